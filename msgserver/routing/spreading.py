"""Writes the copies of large audiences, a slice a commit, while everybody else goes on writing between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from msgserver.routing.bus import Bus
from msgserver.store import fanout, spreading
from msgserver.store.door import Store, StoreError

POLL = 10.0  # seconds between looks where nobody rings
SOON = 0.05  # seconds in which many rings become one look


class Spreader:
    """One for this process; wakes when somebody rings for deliveries.

    ``most`` copies of one message leave without a person's word.
    """

    log = Logger()

    def __init__(self, store: Store, bus: Bus, node: str, most: int, reactor: Any) -> None:
        self._store = store
        self._bus = bus
        self._node = node
        self._most = most
        self._reactor = reactor
        self._timer: Any = None
        self._looking: Deferred[None] | None = None
        self._again = False
        self._stopped = True
        self._deaf: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Look now: the hub may have ended in the middle of something."""
        self._stopped = False
        self._deaf = self._bus.listen(self._rung, "delivery")
        self._look()

    async def stop(self) -> None:
        """Finish the slice under way; the rest is written after the next start."""
        self._stopped = True
        self._deaf()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._looking is not None:
            waiting: Deferred[None] = Deferred()
            self._looking.addBoth(lambda _: waiting.callback(None))
            await waiting

    def _rung(self, _topic: str, names: tuple[int | str, ...]) -> None:
        if "*" not in names or self._stopped:
            return
        if self._looking is not None:
            self._again = True
        elif self._timer is None or not self._timer.active() or self._timer.getTime() > self._reactor.seconds() + SOON:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._timer = self._reactor.callLater(SOON, self._look)

    def _look(self) -> None:
        if self._stopped:
            return
        if self._looking is not None:
            self._again = True
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._again = False
        self._looking = Deferred.fromCoroutine(self._work())
        self._looking.addBoth(self._looked)

    def _looked(self, result: Any) -> None:
        self._looking = None
        if result is not None:
            if result.check(StoreError):
                self.log.warn("copies wait to be written: {why}", why=result.getErrorMessage())
            elif not result.check(CancelledError):
                self.log.failure("copies could not be written", result)
        if self._stopped:
            return
        self._timer = self._reactor.callLater(SOON if self._again else POLL, self._look)

    async def _work(self) -> None:
        """Write job after job until none is left."""
        while not self._stopped and await self._store.read(spreading.waiting):
            work = await self._store.write(spreading.take, self._node, self._reactor.seconds())
            if work is None:
                return  # somebody else has it
            if not await self._write(work):
                return

    async def _write(self, work: spreading.Work) -> bool:
        """Write one job's slices; False: it was cut short."""
        audience = await self._store.read(spreading.audience, work)
        lanes = await self._store.read(fanout.lanes)
        held = audience.people > self._most
        for ways in audience.slices:
            if self._stopped:
                return False
            await self._store.write(spreading.write_slice, work, ways, held, lanes)
            await deferLater(self._reactor, 0)  # whoever waits to write is let in between
        await self._store.write(spreading.finish, work, self._reactor.seconds())
        if held:
            self.log.warn(
                "message {id}: copies for {people} people are held until somebody says so",
                id=work.message_id,
                people=audience.people,
            )
        else:
            self._bus.ring("delivery", sorted(set(lanes.values())))
        self._bus.ring("message", (work.message_id,))
        return True
