"""A safe HTTP client: kept connections, bounded answers, one deadline, no redirects, and the truth about what was sent.

It tells apart what a sender must know: :class:`NothingSent` (safe to repeat) and :class:`NoAnswer` (bytes went out,
nobody knows what became of them). A request on a kept connection that the far side is just closing is the second,
so connections are kept for a short while only, and looked at before they are used again.

Twisted's Agent would do the same at a third of the rate; see ``bench/gateway_out.py``.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory

from msgserver.wire.answer import LARGEST, Answer, AnswerReader
from msgserver.wire.line import Line, Place, Request, place_of, written
from msgserver.wire.reach import NotReachable, Reach

__all__ = ["KEEP", "LARGEST", "Answer", "HttpAgent", "NoAnswer", "NothingSent", "Request"]

KEEP = 4.0  # seconds an unused connection is kept: less than the 5 s after which many servers close


class NothingSent(Exception):
    """The far side has nothing of it; the message says why."""


class NoAnswer(Exception):
    """It went out, in part at least, and no whole answer came."""


class _Asking:
    """A request under way: what it waits for, and why that was given up."""

    waits: Deferred[Any] | None = None
    timer: IDelayedCall | None = None
    sent = False
    late = ""

    def give_up(self, why: str) -> None:
        self.late = why
        if self.waits is not None:
            self.waits.cancel()


class HttpAgent:
    """A client for a few far sides.

    Args:
        allow_private: private networks and this machine may be reached.
        authorities: a PEM file of whom to trust; empty: whom the system trusts.
        connections: how many requests may be under way at once; more wait for their turn.
    """

    def __init__(
        self, reactor: Any, *, allow_private: bool = False, authorities: str = "", connections: int = 8
    ) -> None:
        self._reactor = reactor
        self._reach = Reach(reactor, allow_private, authorities)
        self._lines = Factory.forProtocol(Line)
        self._lines.noisy = False
        self._free = connections
        self._turns: deque[Deferred[None]] = deque()
        self._idle: dict[Place, list[Line]] = {}
        self._tidy: IDelayedCall | None = None
        self._under_way: set[_Asking] = set()

    async def ask(self, request: Request, deadline: float) -> Answer:
        """Send a request and read the whole answer within ``deadline`` seconds; 3xx is an answer like others.

        The seconds count from when it is its turn.

        Raises:
            NothingSent: there was no connection, or none that may be made.
            NoAnswer: there was one, and then no (whole, bounded) answer.
            ValueError: this is no request.
        """
        place, target = place_of(request)
        wire = written(request, place, target)
        asking = _Asking()
        self._under_way.add(asking)
        try:
            return await self._ask(asking, place, wire, request.method, deadline)
        except NotReachable as error:
            raise NothingSent(str(error)) from error
        except Exception as error:
            why = asking.late or _words(error)
            if asking.sent:
                raise NoAnswer(f"no answer from {place.host} ({why}): it may or may not have been taken") from error
            raise NothingSent(f"no connection to {place.host}: {why}") from error
        finally:
            self._under_way.discard(asking)
            if asking.timer is not None and asking.timer.active():
                asking.timer.cancel()

    async def _ask(self, asking: _Asking, place: Place, wire: bytes, method: str, deadline: float) -> Answer:
        if self._free < 1:
            turn: Deferred[None] = Deferred()
            asking.waits = turn
            self._turns.append(turn)
            await turn
        else:
            self._free -= 1
        asking.timer = self._reactor.callLater(deadline, asking.give_up, f"nothing within {deadline:.0f} s")
        try:
            line = self._kept(place)
            if line is None:
                asking.waits = Deferred.fromCoroutine(self._connected(place))
                line = await asking.waits
            asking.sent = True
            asking.waits = line.ask(wire, method)
            read: AnswerReader = await asking.waits
            now = self._reactor.seconds()
            if read.reusable:
                self._keep(place, line, now)
        finally:
            self._next()
        return Answer(read.status, read.headers, read.body, now)

    async def ask_once(self, request: Request, deadline: float) -> Answer:
        """A rare question, asked with treq over a connection of its own; otherwise as :meth:`ask`.

        Raises:
            NothingSent: there was no connection.
            NoAnswer: there was no answer; whether it was taken is not known.
        """
        from msgserver.wire import rare  # noqa: PLC0415 - treq is heavy, and most hubs never ask

        asking = _Asking()
        self._under_way.add(asking)
        asking.waits = Deferred.fromCoroutine(rare.ask(request, deadline, self._reach, self._reactor))
        try:
            answer: Answer = await asking.waits
        except NotReachable as error:
            raise NothingSent(str(error)) from error
        except Exception as error:
            raise NoAnswer(f"no answer from {place_of(request)[0].host}: {asking.late or _words(error)}") from error
        finally:
            self._under_way.discard(asking)
        return answer

    async def _connected(self, place: Place) -> Any:
        line: Any = await self._reach.endpoint(place.host, place.port, place.tls).connect(self._lines)
        return line

    def _next(self) -> None:
        """Let the one who has waited longest go on."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.called:
                turn.callback(None)
                return
        self._free += 1

    # Kept connections

    def _kept(self, place: Place) -> Line | None:
        idle = self._idle.get(place)
        while idle:
            line = idle.pop()
            if line.is_open:
                return line
            line.hang_up()
        return None

    def _keep(self, place: Place, line: Line, now: float) -> None:
        line.idle_since = now
        self._idle.setdefault(place, []).append(line)
        if self._tidy is None:
            self._tidy = self._reactor.callLater(KEEP, self._tidy_up)

    def _tidy_up(self) -> None:
        """Hang up what has not been used for a while."""
        self._tidy = None
        old = self._reactor.seconds() - KEEP
        oldest = None
        for idle in self._idle.values():
            kept = [line for line in idle if line.idle_since > old]
            for line in idle:
                if line.idle_since <= old:
                    line.hang_up()
                elif oldest is None or line.idle_since < oldest:
                    oldest = line.idle_since
            idle[:] = kept
        if oldest is not None:
            self._tidy = self._reactor.callLater(max(oldest - old, 0.1), self._tidy_up)

    def close(self) -> Deferred[None]:
        """Give up what is under way, hang up all connections."""
        if self._tidy is not None:
            self._tidy.cancel()
            self._tidy = None
        for idle in self._idle.values():
            for line in idle:
                line.hang_up()
        self._idle.clear()
        for turn in list(self._turns):  # first those that have sent nothing
            turn.cancel()
        for asking in list(self._under_way):
            asking.give_up("it was stopped")
        closed: Deferred[None] = Deferred()
        closed.callback(None)
        return closed


def _words(error: BaseException) -> str:
    if isinstance(error, CancelledError):
        return "it was stopped"
    return str(error).rstrip(".") or type(error).__name__
