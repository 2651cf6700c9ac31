"""The way out: a lane for each connector, waked by the bell and by the clock, and what is put right at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from msgserver.connector import IConnector, Mode
from msgserver.message import Envelope
from msgserver.records import Claimed
from msgserver.routing.bus import Bus
from msgserver.routing.lane import Lane
from msgserver.routing.pull import PullLane
from msgserver.store import deliveries
from msgserver.store.door import Store, StoreError

SWEEP = 15.0  # seconds between looks for what expired, what is unknown and may be repeated, and the heartbeat


class Outbox(Service):
    """Starts, wakes and stops the lanes."""

    log = Logger()

    def __init__(
        self,
        store: Store,
        bus: Bus,
        node: str,
        render: Callable[[Claimed, IConnector], Envelope],
        chance: Callable[[], float],
        reactor: Any,
    ) -> None:
        self._store = store
        self._bus = bus
        self._node = node
        self._render = render
        self._chance = chance
        self._reactor = reactor
        self._lanes: dict[str, Lane | PullLane] = {}
        self._sweep = LoopingCall(self._swept)
        self._sweep.clock = reactor
        self._deaf: Callable[[], None] = lambda: None

    @property
    def lanes(self) -> Mapping[str, Lane | PullLane]:
        """The lanes, by their connectors' names."""
        return self._lanes

    def add(self, connector: IConnector) -> None:
        """Give a connector its lane; before the start."""
        kind = PullLane if connector.limits.mode is Mode.PULL else Lane
        self._lanes[connector.name] = kind(
            connector, self._store, self._bus, self._node, self._render, self._chance, self._reactor
        )

    async def recover(self) -> None:
        """At the start: what this node had claimed when it died went out or not, nobody knows: ``unknown``."""
        lost = await self._store.write(deliveries.abandon, self._node, self._reactor.seconds())
        if lost:
            self.log.warn("{lost} sends were under way when the hub last ended: they are unknown now", lost=lost)

    def startService(self) -> None:
        """Start the lanes, listen to the bell."""
        super().startService()  # type: ignore[no-untyped-call]
        self._deaf = self._bus.listen(self._rung, "delivery")
        for lane in self._lanes.values():
            lane.startService()
        self._sweep.start(SWEEP, now=True).addErrback(lambda failure: self.log.failure("the sweep ended", failure))

    def stopService(self) -> Deferred[Any]:
        """Stop claiming; fires when what was under way is settled, at the latest after some ten seconds."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._deaf()
        if self._sweep.running:
            self._sweep.stop()
        return DeferredList([lane.stopService() for lane in self._lanes.values()], consumeErrors=True)

    def changed(self, name: str) -> None:
        """A connector's status is another one now."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.changed()

    def _rung(self, _topic: str, names: tuple[int | str, ...]) -> None:
        for name, lane in self._lanes.items():
            if "*" in names or name in names:
                lane.wake()

    def _swept(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._put_right())

    async def _put_right(self) -> None:
        now = self._reactor.seconds()
        repeating = [name for name, lane in self._lanes.items() if lane.connector.limits.repeat_unknown]
        try:
            await self._store.write(deliveries.heartbeat, self._node, now)
            await self._store.write(deliveries.expire, now)
            again = await self._store.write(deliveries.sweep_unknown, repeating, now) if repeating else 0
            if again:
                self._rung("delivery", tuple(repeating))
        except StoreError as error:
            self.log.warn("the outbox could not be swept: {why}", why=str(error))
