"""What a connector sees of the house: its own door, which knows its name."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from zope.interface import implementer

from msgserver.connector import IHub, SendFailure, TemporaryFailure
from msgserver.message import Accepted, Arrival, Envelope, Receipt, Report
from msgserver.routing.pull import PullLane
from msgserver.routing.router import Router
from msgserver.store import connectors
from msgserver.store.door import Store, StoreError


@implementer(IHub)
class Hub:
    """One connector's door. ``lanes`` will hold its lane, which is made after the connector."""

    def __init__(
        self,
        name: str,
        router: Router,
        store: Store,
        lanes: Mapping[str, object],
        on_change: Callable[[str], None],
        reactor: Any,
    ) -> None:
        self._name = name
        self._router = router
        self._store = store
        self._lanes = lanes
        self._on_change = on_change
        self._reactor = reactor

    def accept(self, arrival: Arrival) -> Coroutine[Any, Any, Accepted]:
        """See IHub."""
        return self._router.accept(self._name, arrival)

    def report(self, report: Report) -> Coroutine[Any, Any, None]:
        """See IHub."""
        return self._router.report(self._name, report)

    async def recall(self, key: str) -> bytes | None:
        """See IHub."""
        return await self._store.read(connectors.recall, self._name, key)

    async def remember(self, key: str, value: bytes) -> None:
        """See IHub."""
        try:
            await self._store.write(connectors.remember, self._name, key, value, self._reactor.seconds())
        except StoreError as error:
            raise TemporaryFailure(f"this cannot be remembered just now: {error}", 30.0) from error

    async def take(self, limit: int, only: Sequence[str] = ()) -> Sequence[Envelope]:
        """See IHub."""
        return await self._pull_lane().take(limit, only)

    async def settle(self, envelope: Envelope, outcome: Receipt | SendFailure) -> None:
        """See IHub."""
        await self._pull_lane().settle(envelope, outcome)

    def changed(self) -> None:
        """See IHub."""
        self._on_change(self._name)

    def _pull_lane(self) -> PullLane:
        lane = self._lanes.get(self._name)
        if not isinstance(lane, PullLane):
            raise TypeError(f"connector {self._name} is no pull connector: its limits say mode push")
        return lane
