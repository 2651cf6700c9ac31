"""The bell between several processes: what rings in one is heard in the others, through Redis.

Redis carries only words that say "look": topics and ids, as JSON, on one channel. Whatever it loses, doubles or forges
costs a look at the store, which is the truth; while it is away each process finds its work by polling.

    channel   msgserver/0                  the number is the database in the URL: hubs that share a Redis differ in it
    message   {"from": "a9f3", "rings": {"ticket": [42, 43], "delivery": ["mail"]}}
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from msgserver.routing.bus import Bus

TOPICS = frozenset({"ticket", "message", "delivery", "connector"})  # "raw" concerns the process that took it
GATHER = 0.02  # seconds in which rings become one message
MOST = 500  # ids of one topic in a message; what is beyond them is found by polling
LONGEST = 65_536  # bytes of a message that is read
BEAT = 20.0  # seconds between words to ourselves, by which a dead line is noticed
PATIENCE = 5.0  # seconds for Redis to take a message

_Id = int | str


class Rings(msgspec.Struct, frozen=True):
    """One message on the channel."""

    sender: str = msgspec.field(name="from")
    rings: dict[str, list[_Id]]


_decode = msgspec.json.Decoder(Rings).decode


def understood(message: object, own: str) -> dict[str, list[_Id]] | None:
    """The rings in a message, None where it is our own. Whatever cannot be a message holds no rings."""
    if not isinstance(message, bytes) or len(message) > LONGEST:
        return {}
    try:
        heard = _decode(message)
    except msgspec.MsgspecError:
        return {}
    if heard.sender == own:
        return None
    return {topic: ids[:MOST] for topic, ids in heard.rings.items() if topic in TOPICS}


class RedisBell(Service):
    """Joins a process's bus to those of the others. ``url`` has the password in it and is never logged."""

    log = Logger()

    def __init__(self, url: str, bus: Bus, reactor: Any) -> None:
        self._url = urlsplit(url)
        self._channel = f"msgserver/{self._database}"
        self._bus = bus
        self._reactor = reactor
        self._own = secrets.token_hex(8)
        self._gathered: dict[str, dict[_Id, None]] = {}
        self._timer: Any = None
        self._repeating = False  # what rings now was rung elsewhere
        self._deaf: Callable[[], None] = lambda: None
        self._beat = LoopingCall(self._beaten)
        self._beat.clock = reactor
        self._heard_at = 0.0
        self._mouth: Any = None
        self._ear: Any = None
        self._connected = False

    @property
    def _database(self) -> int:
        return int(self._url.path.strip("/") or 0)

    def startService(self) -> None:
        """Connect, and go on doing so; nothing waits for it."""
        super().startService()  # type: ignore[no-untyped-call]
        from txredisapi import RedisFactory, SubscriberProtocol  # noqa: PLC0415 - it takes the reactor when it is loaded

        bell = self

        class Ear(SubscriberProtocol):  # type: ignore[misc]
            """Hears the channel."""

            def messageReceived(self, _pattern: object, _channel: object, message: object) -> None:
                """Somebody spoke."""
                bell.heard(message)

        host, port = self._url.hostname or "127.0.0.1", self._url.port or 6379
        password = unquote(self._url.password) if self._url.password else None
        user = unquote(self._url.username) if self._url.username else None

        def line(protocol: Any) -> Any:
            factory = RedisFactory(
                f"{host}:{port}", None, 1, isLazy=True, charset=None, password=password, username=user
            )
            if protocol is not None:
                factory.protocol = protocol
            factory.startConnecting(HostnameEndpoint(self._reactor, host, port))
            return factory

        self._mouth, self._ear = line(None), line(Ear)
        self._ear.addConnection = functools.partial(self._found_an_ear, self._ear.addConnection)
        self._deaf = self._bus.listen(self._rung, *TOPICS)
        self._heard_at = self._reactor.seconds()
        self._beat.start(BEAT, now=False).addErrback(lambda failure: self.log.failure("the bell stopped", failure))

    def stopService(self) -> Deferred[Any]:
        """Hang up."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._deaf()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._beat.running:
            self._beat.stop()
        gone: Deferred[Any] = self._mouth.disconnect()
        return gone.addCallback(lambda _: self._ear.disconnect())

    # --- hearing ----------

    def _found_an_ear(self, keep: Callable[[Any], object], ear: Any) -> None:
        keep(ear)
        self._listen(ear)

    def _listen(self, ear: Any) -> None:
        def listening(_answer: object) -> None:
            self._heard_at = self._reactor.seconds()
            self._connected = True
            self.log.info("redis: connected; the other processes hear at once what happens here")
            # What rang meanwhile was not heard: let everybody look.
            self._ring_here({"delivery": ["*"]})

        ear.subscribe(self._channel).addCallbacks(listening, lambda failure: self._lost(failure.getErrorMessage()))

    def heard(self, message: object) -> None:
        """Somebody rang, or it is our own voice, which says that the line is alive."""
        self._heard_at = self._reactor.seconds()
        rings = understood(message, self._own)
        if rings:
            self._ring_here(rings)

    def _ring_here(self, rings: dict[str, list[_Id]]) -> None:
        self._repeating = True
        try:
            for topic, ids in rings.items():
                self._bus.ring(topic, ids)
        finally:
            self._repeating = False

    # --- ringing ----------

    def _rung(self, topic: str, ids: tuple[_Id, ...]) -> None:
        if self._repeating:
            return
        gathered = self._gathered.setdefault(topic, {})
        if len(gathered) < MOST:
            gathered.update(dict.fromkeys(ids[: MOST - len(gathered)]))
        if self._timer is None or not self._timer.active():
            self._timer = self._reactor.callLater(GATHER, self._speak)

    def _speak(self) -> None:
        rings, self._gathered = self._gathered, {}
        if not self._mouth.size:
            return  # not connected: what we would say is in the store, and the others look there
        words = msgspec.json.encode(Rings(self._own, {topic: list(ids) for topic, ids in rings.items()}))
        said = ensureDeferred(self._say(words))
        said.addErrback(lambda failure: self._lost(failure.getErrorMessage()))

    async def _say(self, words: bytes) -> None:
        line = self._mouth.pool[0]
        try:
            await line.publish(self._channel, words).addTimeout(PATIENCE, self._reactor)
        except Exception:
            line.transport.abortConnection()
            raise

    def _beaten(self) -> None:
        self._speak()  # also with nothing to tell: our own ear hears that the line is alive
        if self._reactor.seconds() - self._heard_at > 2 * BEAT:
            self._lost("nothing was heard on the line")
            for ear in list(self._ear.pool):
                ear.transport.abortConnection()

    def _lost(self, why: str) -> None:
        if self._connected:
            self._connected = False
            self.log.warn("redis: {why}; until it is back, messages between processes wait for the next look", why=why)
