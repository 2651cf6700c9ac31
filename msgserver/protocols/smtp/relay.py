"""A few kept connections to one host, opened when needed; a smarthost is looked for again when it is away.

Letters wait in one queue. A carrier takes the next one as soon as its connection can begin with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.connector import NotConnected, TemporaryFailure
from msgserver.protocols.smtp.carrier import Carrier
from msgserver.protocols.smtp.client import Connection, Gone, LoginRefused, Timeouts
from msgserver.protocols.smtp.errands import Errand, Errands
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.opening import Opener
from msgserver.protocols.smtp.reply import Reply
from msgserver.protocols.smtp.way import Way
from msgserver.wire.backoff import BackOff

_AFTER_LOGIN = 300.0  # seconds until a refused login is tried again
_PARKED = 60.0  # seconds until a connection that was one too many is tried again
_LOSSES = 3  # connections that may be lost under one letter before it has to wait


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
        self._opener = Opener(name, way, reactor, timeouts, endpoint, self._made)
        self._away_until = 0.0  # of a host that is not looked for
        self._waiting = Errands()
        self._all: set[Connection] = set()
        self._carriers: set[Carrier] = set()  # one for each connection that was greeted and logged in
        self._idle: list[Carrier] = []
        self._back_off = BackOff(first=1.0, longest=60.0)
        self._sweep: IDelayedCall | None = None
        self._probe: IDelayedCall | None = None
        self._opening: set[Deferred[Any]] = set()
        self._parked: set[IDelayedCall] = set()
        self._quiet: Deferred[None] | None = None  # fires when nothing is under way any more
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
        for errand in self._waiting.take_all():
            errand.fail(NotConnected("the hub is stopping"))
        for opening in tuple(self._opening):
            opening.cancel()
        for carrier in tuple(self._idle):
            carrier.connection.leave()
        if self._busy:
            self._quiet = Deferred()
            last = self._clock.callLater(self._way.stop, self._abort_all)
            await self._quiet
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

    @property
    def forgettable(self) -> bool:
        """Nothing is under way, no connection is kept, and there is nothing to remember of it."""
        return not (self._all or self._waiting or self._opening) and self._clock.seconds() >= self._away_until

    @property
    def _busy(self) -> bool:
        return any(carrier.busy for carrier in self._carriers)

    def _try(self) -> None:
        self._probe = None
        self._open_another()

    def _down(self, words: str, at_least: float) -> None:
        """It is away: who waits need not wait here."""
        if not self._way.lasting:
            self._away_until = self._clock.seconds() + self._back_off.next()
        elif self._probe is None:
            wait = max(self._back_off.next(), at_least)
            self._probe = self._clock.callLater(wait, self._try)
            self._log.warn("smtp {name}: {words}", name=self._name, words=words)
            self._state(False, f"{words}: retry in {wait:.0f} s")
        for errand in self._waiting.take_all():
            errand.fail(NotConnected(words))

    # -- connections

    def _open_another(self) -> None:
        opening = Deferred.fromCoroutine(self._opener.open())
        self._opening.add(opening)
        opening.addBoth(self._tried, opening).addCallbacks(self._opened, self._not_opened)

    def _tried(self, result: Any, opening: Deferred[Any]) -> Any:
        self._opening.discard(opening)
        return result

    def _made(self, connection: Connection) -> None:
        if connection.alive:
            self._all.add(connection)
            connection.on_lost = lambda _: self._all.discard(connection)

    def _opened(self, connection: Connection) -> None:
        if self._stopped:
            connection.leave()
            return
        carrier = Carrier(connection, self._next, self._free, self._lost)
        self._carriers.add(carrier)
        connection.on_lost = lambda words: self._closed(carrier, words)
        self._back_off.reset()
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        self._state(True, f"sends {'through' if self._way.lasting else 'to'} {self._way.where}")
        carrier.go()

    def _not_opened(self, failure: Failure) -> None:
        if self._stopped or failure.check(CancelledError):
            return
        words = failure.getErrorMessage()
        if not failure.check(Gone):
            self._log.failure("smtp {name}: a connection could not be opened", failure=failure, name=self._name)
        if self._carriers:
            self._park(words)
        else:
            self._down(words, _AFTER_LOGIN if failure.check(LoginRefused) else 0.0)

    def _park(self, words: str) -> None:
        """The host takes fewer connections than we are allowed to make: do with one less for a while."""
        self._log.info("smtp {name}: one connection less for a while: {words}", name=self._name, words=words)

        def over() -> None:
            self._parked.discard(timer)
            self._pump()

        timer = self._clock.callLater(_PARKED, over)
        self._parked.add(timer)

    def _closed(self, carrier: Carrier, words: str) -> None:
        self._all.discard(carrier.connection)
        self._carriers.discard(carrier)
        if carrier in self._idle:
            self._idle.remove(carrier)
        carrier.closed(words)
        self._pump()
        if self._quiet is not None and not self._quiet.called and not self._busy:
            self._quiet.callback(None)

    def _free(self, carrier: Carrier) -> None:
        """It has nothing to do: keep it for a while."""
        if self._stopped:
            carrier.connection.leave()
        elif carrier not in self._idle:
            carrier.kept = True
            carrier.idle_since = self._clock.seconds()
            self._idle.append(carrier)
            if self._sweep is None:
                self._sweep = self._clock.callLater(self._way.keep, self._close_unused)

    def _close_unused(self) -> None:
        self._sweep = None
        now = self._clock.seconds()
        for carrier in tuple(self._idle):
            if now - carrier.idle_since >= self._way.keep:
                carrier.connection.leave()
        if self._idle:
            oldest = min(carrier.idle_since for carrier in self._idle)
            self._sweep = self._clock.callLater(oldest + self._way.keep - now, self._close_unused)

    # -- sending

    def send(self, letter: Letter) -> Deferred[Reply]:
        """One transaction on a connection of its own choosing; cancelled, it is given up.

        Fails with:
            NotConnected, TemporaryFailure, PermanentFailure, Unknown: see the seam.
        """
        if self._stopped:
            return fail(NotConnected("not started"))
        if self._probe is not None:
            return fail(NotConnected(self.words))
        if self._clock.seconds() < self._away_until:
            return fail(NotConnected(f"{self._way.where} did not answer a moment ago"))
        errand = Errand(letter, self._give_up)
        self._waiting.put(errand)
        self._pump()
        return errand.ended

    def _pump(self) -> None:
        """Put what waits on connections that are free, and open more of them as far as there may be."""
        if self._stopped:
            return
        while self._waiting and self._idle:
            self._idle.pop().go()
        while len(self._waiting) > len(self._opening) and self._room:
            self._open_another()

    @property
    def _room(self) -> bool:
        """May there be one more connection?"""
        return len(self._carriers) + len(self._opening) + len(self._parked) < self._way.connections

    def _next(self) -> Errand | None:
        return None if self._stopped else self._waiting.take()

    def _give_up(self, errand: Errand) -> None:
        """Who waits and is given up has sent nothing."""
        self._waiting.drop(errand)
        errand.fail(TemporaryFailure(f"{self._way.where} was busy with other mail all the time"))

    def _lost(self, carrier: Carrier, errand: Errand, gone: Gone) -> None:
        """Nothing was taken. Where a kept connection was closed by the far side meanwhile, another one will do."""
        errand.losses += 1
        if carrier.kept and errand.losses < _LOSSES and not self._stopped:
            errand.give_up = self._give_up
            self._waiting.put(errand)
        else:
            errand.fail(TemporaryFailure(f"{self._way.where}: {gone}"))
