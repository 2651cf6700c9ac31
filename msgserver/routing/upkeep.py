"""What the house does once a day beside its work, so that nothing grows that nobody needs.

Files that no row names, answers kept for repeated requests, sessions that have ended, connectors that are gone. None
of it is urgent: whatever the store refuses waits for the next day.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from msgserver.routing.bus import Bus
from msgserver.store import answering, blobs, connectors, idempotency, logins, rules
from msgserver.store.door import Store, StoreError

FIRST = 300.0  # seconds after the start
DAY = 24 * 3600.0


class Upkeep:
    """One for this process; ``configured`` are the names of all connectors in its configuration."""

    log = Logger()

    def __init__(self, store: Store, bus: Bus, node: str, configured: Collection[str], reactor: Any) -> None:
        self._store = store
        self._bus = bus
        self._node = node
        self._configured = configured
        self._reactor = reactor
        self._loop = LoopingCall(self._round)
        self._loop.clock = reactor
        self._waiting: Deferred[None] | None = None

    async def start(self) -> None:
        """Let go of connectors that are gone, now that those in force are known; the rest a little later."""
        await self.retire()
        self._waiting = deferLater(self._reactor, FIRST)
        self._waiting.addCallbacks(self._begin, lambda failure: failure.trap(CancelledError))

    def stop(self) -> None:
        """Begin nothing more."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._loop.running:
            self._loop.stop()

    async def retire(self) -> None:
        """Give nothing more to connectors that are gone; what waited for them goes by others or is held."""
        now = self._reactor.seconds()
        gone = await self._store.write(connectors.retire, self._node, self._configured, now)
        if gone:
            self.log.warn("no longer configured: {names}; what waited for them is handed over", names=", ".join(gone))
            self._bus.ring("connector", gone)
            self._bus.ring("delivery", ("*",))

    def _begin(self, _: object) -> None:
        self._loop.start(DAY).addErrback(lambda failure: self.log.failure("the upkeep ended", failure))

    def _round(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._tidy()).addErrback(self._refused)

    def _refused(self, failure: Any) -> None:
        failure.trap(StoreError)
        self.log.warn("the upkeep waits for tomorrow: {why}", why=failure.getErrorMessage())

    async def _tidy(self) -> None:
        await self.retire()
        await self._store.write(idempotency.forget_old, self._reactor.seconds())
        await self._store.write(logins.forget_expired, self._reactor.seconds())
        await self._store.write(rules.forget_hits, self._reactor.seconds())
        await self._store.write(answering.forget_old, self._reactor.seconds())
        removed = 0
        for place in blobs.FOLDERS:  # each by itself: no reader is kept from the others' pages for long
            removed += await self._store.read(blobs.sweep, place, self._reactor.seconds())
        if removed:
            self.log.info("{removed} files that belonged to nothing are gone", removed=removed)
