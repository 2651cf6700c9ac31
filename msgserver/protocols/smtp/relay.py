"""A few kept connections to one host, opened when needed; a smarthost is looked for again when it is away."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, error
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.connector import NotConnected, TemporaryFailure
from msgserver.protocols.smtp.client import Connection, Gone, LoginRefused, Timeouts
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.reply import Reply
from msgserver.protocols.smtp.slots import Slots
from msgserver.protocols.smtp.way import Way
from msgserver.wire.backoff import BackOff
from msgserver.wire.tls import client_context, unverified_client_context

_AFTER_LOGIN = 300.0  # seconds until a refused login is tried again
_PARKED = 60.0  # seconds until a connection that was one too many is tried again


_REASONS = {
    error.ConnectionRefusedError: "refused: nothing listens there",
    error.DNSLookupError: "its name is not known",
    error.NoRouteError: "no way there: is the network up?",
    error.TimeoutError: "no answer",
    defer.TimeoutError: "no answer",
}


class _Crowded(NotConnected):
    """No further connection beside those there are."""


class _NoTls(Gone):
    """TLS was offered and did not come about."""


class Relay:
    """Sends through one host. ``able`` and ``words`` are true at any time; ``changed`` tells of a change."""

    _log = Logger()

    def __init__(
        self,
        name: str,
        way: Way,
        reactor: IReactorTime,
        changed: Callable[[], None],
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        self._name = name
        self._way = way
        self._clock = reactor
        self._changed = changed
        self._timeouts = timeouts
        self._endpoint: IStreamClientEndpoint = endpoint or clientFromString(reactor, way.where)
        self._context: object | None = None
        if way.tls in ("opportunistic", "required"):
            self._context = unverified_client_context()
        elif way.tls != "none":
            verified = self._context = client_context(way.name, way.ca)
            if way.tls == "tls":
                self._endpoint = wrapClientTLS(verified, self._endpoint)
        self._clear = False  # TLS was offered and is broken there: without it, where that is allowed
        self._away_until = 0.0  # of a host that is not looked for
        self._slots = Slots(way.connections)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._ready: set[Connection] = set()  # those of them that were greeted and logged in
        self._back_off = BackOff(first=1.0, longest=60.0)
        self._sweep: IDelayedCall | None = None
        self._probe: IDelayedCall | None = None
        self._opening: set[Deferred[Any]] = set()
        self._running: set[Deferred[None]] = set()
        self._parked: list[IDelayedCall] = []
        self._stopped = True
        self.able = False
        self.words = "not started"
        self.since = reactor.seconds()

    # -- state

    def start(self) -> None:
        """Find out whether the smarthost is there; any other host is asked when something is for it."""
        self._stopped = False
        if not self._way.lasting:
            self._state(True, f"sends to {self._way.where}")
            return
        self._state(False, f"connecting to {self._way.where}")
        self._probe = self._clock.callLater(0, self._try)

    async def stop(self) -> None:
        """Let running transactions end within ``limits.stop`` seconds, then hang up everywhere."""
        self._stopped = True
        self._state(False, "stopped")
        for timer in (self._probe, self._sweep, *self._parked):
            if timer is not None and timer.active():
                timer.cancel()
        self._probe = self._sweep = None
        for opening in tuple(self._opening):
            opening.cancel()
        for connection in tuple(self._idle):
            connection.leave()
        if self._running:
            last = self._clock.callLater(self._way.stop, self._abort_all)
            await DeferredList(list(self._running))
            if last.active():
                last.cancel()
        self._abort_all()

    def _abort_all(self) -> None:
        for connection in tuple(self._all):
            connection.abort("the hub is stopping")

    def _state(self, able: bool, words: str) -> None:
        if (able, words) != (self.able, self.words):
            if able != self.able:
                self.since = self._clock.seconds()
            self.able, self.words = able, words
            self._changed()

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._all)

    def _try(self) -> None:
        self._probe = None
        trying = Deferred.fromCoroutine(self._open())
        trying.addCallbacks(self._put_back, self._not_there)

    def _not_there(self, failure: Failure) -> None:
        if not isinstance(failure.value, NotConnected | CancelledError):
            self._log.failure("smtp {name}: looking for the smarthost failed", failure=failure, name=self._name)

    def _down(self, words: str, at_least: float = 0.0) -> NotConnected:
        if not self._way.lasting:
            self._away_until = self._clock.seconds() + self._back_off.next()
        elif not self._stopped and self._probe is None:
            wait = max(self._back_off.next(), at_least)
            self._probe = self._clock.callLater(wait, self._try)
            self._log.warn("smtp {name}: {words}", name=self._name, words=words)
            self._state(False, f"{words}: retry in {wait:.0f} s")
        return NotConnected(words)

    # -- connections

    async def _open(self) -> Connection:
        """A new connection, greeted, secured and logged in as configured.

        Raises:
            NotConnected: it cannot be had just now; it is tried again by itself.
        """
        where = self._way.where
        factory = Factory.forProtocol(lambda: Connection(self._clock, self._timeouts))
        factory.noisy = False
        opening: Deferred[Any] = self._endpoint.connect(factory)
        opening.addTimeout(self._timeouts.connect, self._clock)
        self._opening.add(opening)
        try:
            connection: Connection = await opening
        except CancelledError:
            raise NotConnected("the hub is stopping") from None
        except Exception as reason:
            raise self._down(f"no connection to {where} ({_why(reason)})") from reason
        finally:
            self._opening.discard(opening)
        if connection.alive:
            self._all.add(connection)
            connection.on_lost = self._lost
        try:
            await self._prepare(connection)
        except _NoTls as gone:
            connection.abort(str(gone))
            self._clear = True
            self._log.info("smtp {name}: {where}: without TLS: {why}", name=self._name, where=where, why=str(gone))
            return await self._open()
        except Gone as gone:
            connection.abort(str(gone))
            if self._ready and not self._stopped:
                raise _Crowded(str(gone)) from gone
            patience = _AFTER_LOGIN if isinstance(gone, LoginRefused) else 0.0
            raise self._down(f"{where}: {gone}", patience) from gone
        except BaseException:
            connection.abort("given up")
            raise
        if self._stopped:
            connection.leave()
            raise NotConnected("the hub is stopping")
        self._ready.add(connection)
        self._back_off.reset()
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        self._state(True, f"sends {'through' if self._way.lasting else 'to'} {where}")
        return connection

    async def _prepare(self, connection: Connection) -> None:
        way = self._way
        await connection.greet(way.own_name)
        offered = "STARTTLS" in connection.abilities
        if way.tls in ("starttls", "required"):
            if not offered:
                raise Gone(f"it offers no STARTTLS, and {'relay_tls' if way.lasting else 'tls_for'} asks for it")
            await connection.secure(self._context, way.own_name)
        elif way.tls == "opportunistic" and offered and not self._clear:
            try:
                await connection.secure(self._context, way.own_name)
            except Gone as gone:
                raise _NoTls(str(gone)) from gone
        if way.user and way.password is not None:
            if not connection.secured and not _is_loopback(connection):
                raise Gone("the password is not sent without TLS (relay_tls)")
            await connection.log_in(way.user, way.password.reveal())

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        self._ready.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _put_back(self, connection: Connection) -> None:
        if self._stopped:
            connection.leave()
        elif connection.alive:
            connection.idle_since = self._clock.seconds()
            self._idle.append(connection)
            if self._sweep is None:
                self._sweep = self._clock.callLater(self._way.keep, self._close_unused)

    def _close_unused(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        for connection in tuple(self._idle):
            if now - connection.idle_since >= self._way.keep:
                connection.leave()
        if self._idle:
            oldest = min(connection.idle_since for connection in self._idle)
            self._sweep = self._clock.callLater(oldest + self._way.keep - now, self._close_unused)

    # -- sending

    @property
    def forgettable(self) -> bool:
        """Nothing is under way, no connection is kept, and there is nothing to remember of it."""
        return not (self._all or self._running or self._opening) and self._clock.seconds() >= self._away_until

    async def send(self, letter: Letter) -> Reply:
        """One transaction on a connection of its own choosing.

        Raises:
            NotConnected, TemporaryFailure, PermanentFailure, Unknown: see the seam.
        """
        if self._stopped:
            raise NotConnected("not started")
        if self._probe is not None:
            raise NotConnected(self.words)
        if self._clock.seconds() < self._away_until:
            raise NotConnected(f"{self._way.where} did not answer a moment ago")
        running: Deferred[None] = Deferred()
        self._running.add(running)
        try:
            while True:
                await self._turn(letter)
                parked = False
                try:
                    return await self._send(letter)
                except _Crowded as crowded:
                    self._park(str(crowded))
                    parked = True
                finally:
                    if not parked:
                        self._slots.give()
        finally:
            self._running.discard(running)
            running.callback(None)

    async def _turn(self, letter: Letter) -> None:
        """Wait for a connection; who gives up meanwhile has sent nothing."""
        try:
            await self._slots.take(letter.priority)
        except CancelledError:
            raise TemporaryFailure(f"{self._way.where} was busy with other mail all the time") from None
        if self._stopped:
            self._slots.give()
            raise NotConnected("the hub is stopping")

    def _park(self, words: str) -> None:
        """The smarthost takes fewer connections than we are allowed to make: do with one less for a while."""
        self._log.info("smtp {name}: one connection less for a while: {words}", name=self._name, words=words)
        self._parked = [timer for timer in self._parked if timer.active()]
        self._parked.append(self._clock.callLater(_PARKED, self._slots.give))

    async def _send(self, letter: Letter) -> Reply:
        while True:
            kept = bool(self._idle)
            connection = self._idle.pop() if kept else await self._open()
            try:
                reply = await self._deliver(connection, letter)
            except Gone as gone:
                # A kept connection that the far side had closed meanwhile: nothing was taken, a new one will do.
                if kept and not self._stopped:
                    continue
                raise TemporaryFailure(f"{self._way.where}: {gone}") from gone
            return reply

    async def _deliver(self, connection: Connection, letter: Letter) -> Reply:
        try:
            reply = await connection.deliver(*letter.ready(connection.abilities))
        except Gone:
            raise
        except TemporaryFailure as failure:
            if str(failure).startswith("421"):
                connection.leave()
            self._put_back(connection)
            raise
        except Exception:
            self._put_back(connection)
            raise
        except BaseException:
            connection.abort("given up")
            raise
        self._put_back(connection)
        return reply


def _why(reason: Exception) -> str:
    for kind, words in _REASONS.items():
        if isinstance(reason, kind):
            return words
    return str(reason).rstrip(".") or type(reason).__name__


def _is_loopback(connection: Connection) -> bool:
    host = getattr(connection.transport.getPeer(), "host", None)
    try:
        return host is None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
