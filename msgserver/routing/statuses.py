"""Keeps the connectors' status where every process and page can read it, and obeys a pause set there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from msgserver.connector import IConnector
from msgserver.routing.bus import Bus
from msgserver.routing.outbox import Outbox
from msgserver.store import connectors
from msgserver.store.door import Store, StoreError

BEAT = 15.0  # seconds between rows
SOON = 0.2  # seconds in which several changes of one connector become one row


class Statuses:
    """One for this process; ``add`` its connectors before the start.

    ``last_in``: when each last brought something. ``owns``: whether a connector is run here, not by another process.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        bus: Bus,
        outbox: Outbox,
        last_in: Mapping[str, float],
        owns: Callable[[str], bool],
        node: str,
        reactor: Any,
    ) -> None:
        self._store = store
        self._last_in = last_in
        self._traffic: dict[str, tuple[float | None, float | None]] = {}  # as it is written
        self._bus = bus
        self._outbox = outbox
        self._owns = owns
        self._node = node
        self._reactor = reactor
        self._connectors: dict[str, tuple[IConnector, str]] = {}
        self._changed: dict[str, None] = {}
        self._timer: Any = None
        self._running = False
        self._beat = LoopingCall(self._beaten)
        self._beat.clock = reactor
        self._deaf: Callable[[], None] = lambda: None

    def add(self, connector: IConnector, kind: str) -> None:
        """Watch a connector; ``kind`` is its type in the configuration."""
        self._connectors[connector.name] = (connector, kind)

    async def start(self) -> None:
        """Write down all connectors, so that the store knows who sends what, and go on doing so."""
        self._running = True
        now = self._reactor.seconds()
        await self._store.write(connectors.heartbeat, self._node, now, now)
        await self._write(list(self._connectors))
        await self._obey()
        self._deaf = self._bus.listen(self._rung, "connector")
        self._beat.start(BEAT, now=False).addErrback(lambda failure: self.log.failure("heartbeats ended", failure))

    async def stop(self) -> None:
        """Write down how they are at the end."""
        self._running = False
        self._deaf()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._beat.running:
            self._beat.stop()
            await self._write(list(self._connectors))

    def changed(self, name: str) -> None:
        """A connector says that its status is another one."""
        self._outbox.changed(name)
        if name not in self._connectors or not self._running:
            return
        self._changed[name] = None
        if self._timer is None or not self._timer.active():
            self._timer = self._reactor.callLater(SOON, self._flush)

    def _flush(self) -> None:
        names, self._changed = list(self._changed), {}
        self._beside(self._tell(names))

    async def _tell(self, names: list[str]) -> None:
        await self._write(names)
        self._bus.ring("connector", names)

    def _beaten(self) -> Deferred[None]:
        return self._beside(self._pulse())

    async def _pulse(self) -> None:
        await self._write(list(self._connectors))
        await self._obey()

    async def _write(self, names: list[str]) -> None:
        for name in filter(self._owns, names):
            connector, kind = self._connectors[name]
            status = connector.status
            await self._store.write(
                connectors.put_status,
                name,
                kind,
                self._node,
                status.able,
                status.words,
                self._reactor.seconds(),
                tuple(connector.schemes),
                status.gauges,
            )
            traffic = (self._last_in.get(name), self._outbox.lanes[name].last_out)
            if traffic != self._traffic.get(name, (None, None)):
                last_in, last_out = self._traffic[name] = traffic
                await self._store.write(connectors.note_traffic, name, last_in=last_in, last_out=last_out)

    def _rung(self, _topic: str, names: tuple[int | str, ...]) -> None:
        if any(name in self._connectors for name in names):
            self._beside(self._obey())

    async def _obey(self) -> None:
        """Hold the lanes that are to pause, let the others go."""
        paused = await self._store.read(connectors.paused)
        for name, lane in self._outbox.lanes.items():
            if lane.paused != (name in paused):
                lane.paused = name in paused
                lane.wake()

    def _beside(self, act: Any) -> Deferred[None]:
        """Do something beside all else; the store's refusal is a line in the log."""
        done: Deferred[None] = Deferred.fromCoroutine(act)

        def refused(failure: Any) -> None:
            if failure.check(StoreError):
                self.log.warn("a status could not be written: {why}", why=failure.getErrorMessage())
            else:
                self.log.failure("a status could not be written", failure)

        return done.addErrback(refused)
