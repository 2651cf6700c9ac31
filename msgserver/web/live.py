"""Pages that stay up to date: one stream of Server-Sent Events for each open page (WHATWG HTML section 9.2).

    <- retry: 2000
    <- event: changed / data: {"tickets": [42], "channels": false}     ids only; the page fetches what it shows
    <- : .                                                             every 20 s, so that nobody cuts the line

A ring of the bus is gathered for a moment, then every viewer hears of those tickets that they may see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from zope.interface import implementer

from msgserver.store import logins, tickets, visible
from msgserver.web.ask import Answer, Ask, Refusal, Tx

GATHER = 0.05  # seconds from a ring to the telling
APART = 0.5  # seconds between two tellings
PING = 20.0
STREAMS = 500  # in all
STREAMS_EACH = 12  # a user
ALL = 200  # more changed tickets than that: say only that something did
RECENT = 200  # rings remembered, for a page that was written just before its stream opened
LIFE = 3600.0  # then the browser comes again, and is asked again who it is


@implementer(IPushProducer)
class Stream:
    """One open page that listens. What a page that does not read would be told is not kept: it is told once later."""

    def __init__(self, user_id: int, session_key: str, request: Any, until: float) -> None:
        self.user_id = user_id
        self.session_key = session_key
        self.request = request
        self.until = until
        self._full = self._missed = False
        request.registerProducer(self, True)

    def write(self, text: str) -> None:
        """Put something on the line, if it takes it."""
        if self._full:
            self._missed = True
        else:
            self.request.write(text.encode())

    def end(self) -> None:
        """Close the line."""
        self.request.unregisterProducer()
        self.request.finish()

    def pauseProducing(self) -> None:
        """The far side does not read."""
        self._full = True

    def resumeProducing(self) -> None:
        """It reads again: say that something changed."""
        self._full = False
        if self._missed:
            self._missed = False
            self.write('event: changed\ndata: {"tickets":[],"channels":true}\n\n')

    def stopProducing(self) -> None:
        """The line is gone; whoever keeps the streams hears of it from the request."""


class Streams:
    """All of them; ``start`` listens to the bus, ``stop`` ends every stream."""

    log = Logger()

    def __init__(self, store: Any, bus: Any, reactor: Any) -> None:
        self._store = store
        self._bus = bus
        self._reactor = reactor
        self._streams: set[Stream] = set()
        self._changed: set[int] = set()
        self._recent: deque[tuple[float, frozenset[int]]] = deque(maxlen=RECENT)
        self._channels = False
        self._told_at = 0.0
        self._due: IDelayedCall | None = None
        self._ping: IDelayedCall | None = None
        self._deaf: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def start(self) -> None:
        """Listen to the bus."""
        self._deaf = self._bus.listen(self._heard, "ticket", "connector")

    def stop(self) -> None:
        """End every stream; browsers come back by themselves."""
        if self._deaf is not None:
            self._deaf()
        for call in (self._due, self._ping):
            if call is not None and call.active():
                call.cancel()
        self._due = self._ping = None
        for stream in tuple(self._streams):
            self._end(stream)

    def open(self, ask: Ask, request: Any) -> None:
        """Keep a request and write to it from now on."""
        assert ask.session is not None
        stream = Stream(ask.viewer.user_id, ask.session.key, request, ask.at + LIFE)
        self._streams.add(stream)

        def gone(_: object) -> None:
            self._streams.discard(stream)

        request.notifyFinish().addBoth(gone)
        stream.write("retry: 2000\n\n")
        missed = self._since(ask.query("since"))
        if missed:
            self._changed |= missed
            self._tell_soon()
        if self._ping is None:
            self._ping = self._reactor.callLater(PING, self._pings)

    def room(self, user_id: int) -> bool:
        """Whether one more stream may open."""
        mine = sum(1 for stream in self._streams if stream.user_id == user_id)
        return len(self._streams) < STREAMS and mine < STREAMS_EACH

    def _heard(self, topic: str, ids: tuple[int | str, ...]) -> None:
        changed = frozenset(i for i in ids if isinstance(i, int))
        if topic == "ticket":
            self._recent.append((self._reactor.seconds(), changed))
        if not self._streams:
            return
        if topic == "ticket":
            self._changed |= changed
        else:
            self._channels = True
        self._tell_soon()

    def _since(self, word: str) -> set[int]:
        """The tickets that rang since a page was written (POSIX seconds)."""
        try:
            since = float(word)
        except ValueError:
            return set()
        return {i for at, changed in self._recent if at >= since for i in changed}

    def _tell_soon(self) -> None:
        if self._due is None:
            wait = max(GATHER, self._told_at + APART - self._reactor.seconds())
            self._due = self._reactor.callLater(wait, self._tell)

    def _tell(self) -> None:
        self._due = None
        self._told_at = self._reactor.seconds()
        changed, channels = self._changed, self._channels
        self._changed, self._channels = set(), False
        telling = Deferred.fromCoroutine(self._tell_all(changed, channels))
        telling.addErrback(lambda failure: self.log.failure("live pages were not told", failure))

    async def _tell_all(self, changed: set[int], channels: bool) -> None:
        keys = {stream.session_key for stream in self._streams}
        seen = await self._store.read(who_sees, keys, changed, self._reactor.seconds())
        for stream in tuple(self._streams):
            tickets_seen = seen.get(stream.session_key)
            if tickets_seen is None:
                if stream.session_key in keys:
                    self._end(stream)
            elif tickets_seen or channels or len(changed) > ALL:
                said = msgspec.json.encode({"tickets": tickets_seen, "channels": channels}).decode()
                stream.write(f"event: changed\ndata: {said}\n\n")

    def _pings(self) -> None:
        self._ping = self._reactor.callLater(PING, self._pings) if self._streams else None
        now = self._reactor.seconds()
        for stream in tuple(self._streams):
            if now >= stream.until:
                self._end(stream)
            else:
                stream.write(": .\n\n")

    def _end(self, stream: Stream) -> None:
        self._streams.discard(stream)
        stream.end()

    def revoke(self, session_key: str) -> None:
        """End the streams of a session that is no more."""
        for stream in [s for s in self._streams if s.session_key == session_key]:
            self._end(stream)


def who_sees(tx: Tx, keys: set[str], changed: set[int], now: float) -> dict[str, list[int]]:
    """For each session that still counts: which of the changed tickets its owner may see (none named if too many)."""
    seen: dict[str, list[int]] = {}
    for key in keys:
        found = logins.session(tx, key, now)
        if found is None:
            continue
        viewer = found[1]
        if len(changed) > ALL:
            seen[key] = []
        elif visible.whole_log(viewer):
            seen[key] = sorted(changed)
        else:
            seen[key] = [i for i in sorted(changed) if tickets.ticket(tx, viewer, i) is not None]
    return seen


async def events(ask: Ask) -> Answer:
    """The stream of what changes."""
    streams: Streams = ask.site.streams
    if not streams.room(ask.viewer.user_id):
        raise Refusal(503, "Too many pages are open.", "Close some; this one works without live updates meanwhile.")

    def stream(request: IRequest) -> None:
        streams.open(ask, request)

    return Answer(media_type="text/event-stream", stream=stream, headers=(("X-Accel-Buffering", "no"),))
