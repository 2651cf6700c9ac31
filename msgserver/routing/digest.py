"""Makes digests when their hour has come where their receivers live; what was missed while the hub slept, at the start.

When a digest is due is no schedule that could be lost: it is due when something waits for it since before the last
full hour, or the last morning, over there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from msgserver.formats.zones import last_edge
from msgserver.routing.bus import Bus
from msgserver.store import digests
from msgserver.store.door import Store, StoreError

EVERY = 60.0  # seconds between looks


class Digests:
    """One for this process; of several that do this each digest is made by one."""

    log = Logger()

    def __init__(self, store: Store, bus: Bus, hub_name: str, new_uid: Callable[[], str], reactor: Any) -> None:
        self._store = store
        self._bus = bus
        self._hub_name = hub_name
        self._new_uid = new_uid
        self._reactor = reactor
        self._loop = LoopingCall(self._round)
        self._loop.clock = reactor
        self._stopped = False
        self._working: Deferred[None] | None = None

    def start(self) -> None:
        """Look now and then every minute."""
        self._loop.start(EVERY).addErrback(lambda failure: self.log.failure("digests are made no more", failure))

    async def stop(self) -> None:
        """Begin nothing more; what is being written is finished."""
        self._stopped = True
        if self._loop.running:
            self._loop.stop()
        if self._working is not None:
            ended: Deferred[None] = Deferred()
            self._working.addBoth(lambda _: ended.callback(None))
            await ended

    def _round(self) -> Deferred[None]:
        self._working = Deferred.fromCoroutine(self._make())
        return self._working.addBoth(self._made)

    def _made(self, result: Any) -> None:
        self._working = None
        if result is not None:
            result.trap(StoreError)
            self.log.warn("digests wait a minute: {why}", why=result.getErrorMessage())

    async def _make(self) -> None:
        """Write all that is due, some receivers at a time."""
        now = self._reactor.seconds()
        made = 0
        for one in await self._store.read(digests.waiting):
            until = last_edge(now, one.digest, one.timezone)
            while one.since < until and not self._stopped:
                uids = [self._new_uid() for _ in range(digests.STEP)]
                name = self._hub_name
                done = await self._store.write(digests.make, one.digest, one.timezone, until, name, uids, now)
                made += done
                if done < len(uids):
                    break
        if made:
            self._bus.ring("delivery", ("*",))
