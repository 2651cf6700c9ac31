"""What a pull connector takes and settles: the lane of those whose far side asks when it has time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from msgserver.connector import IConnector, SendFailure, TemporaryFailure, Unknown
from msgserver.message import Envelope, Receipt
from msgserver.records import Claimed
from msgserver.routing.bus import Bus
from msgserver.routing.outcomes import settlement
from msgserver.routing.render import delivery_of, text_hash
from msgserver.store import deliveries
from msgserver.store.door import Store, StoreError

Render = Callable[[Claimed, IConnector], Envelope]


class PullLane(Service):
    """Claims when asked; what was taken and not settled within the connector's deadline becomes ``unknown``."""

    log = Logger()

    def __init__(
        self,
        connector: IConnector,
        store: Store,
        bus: Bus,
        node: str,
        render: Render,
        chance: Callable[[], float],
        reactor: Any,
    ) -> None:
        self.name = f"lane {connector.name}"
        self.connector = connector
        self._store = store
        self._bus = bus
        self._node = node
        self._render = render
        self._chance = chance
        self._reactor = reactor
        self._taken: dict[tuple[str, int], tuple[Claimed, Envelope, Any]] = {}
        self.paused = False
        self.last_out: float | None = None

    def stopService(self) -> Deferred[None]:
        """What is taken and not settled stays claimed; the next start calls it unknown."""
        super().stopService()  # type: ignore[no-untyped-call]
        for _, _, timer in self._taken.values():
            timer.cancel()
        self._taken.clear()
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    @property
    def under_way(self) -> int:
        """How many deliveries are taken and not settled."""
        return len(self._taken)

    def wake(self) -> None:
        """Something is pending: the far side will ask."""

    def changed(self) -> None:
        """The connector's status is another one: nothing to do before it asks."""

    async def take(self, limit: int, only: Sequence[str] = ()) -> Sequence[Envelope]:
        """Claim up to ``limit``, rendered; with ``only`` none but these, if they are due.

        Raises:
            TemporaryFailure: the store does not answer.
        """
        if not self.running or self.paused or limit < 1:
            return []
        now = self._reactor.seconds()
        wanted = [number for number in map(delivery_of, only) if number is not None] if only else None
        try:
            claims = await self._store.write(deliveries.claim, self.connector.name, self._node, limit, now, wanted)
        except StoreError as error:
            raise TemporaryFailure(f"nothing can be taken just now: {error}", 30.0) from error
        taken = []
        for claimed in claims:
            try:
                envelope = self._render(claimed, self.connector)
            except Exception as error:
                self.log.failure("delivery {id} cannot be put into words", id=claimed.id)
                await self._write(claimed, error, "")
                continue
            timer = self._reactor.callLater(self.connector.limits.deadline, self._forgotten, envelope)
            self._taken[envelope.ref, envelope.attempt] = (claimed, envelope, timer)
            taken.append(envelope)
        return taken

    async def settle(self, envelope: Envelope, outcome: Receipt | SendFailure) -> None:
        """Write down how a taken envelope ended; of one that is no longer taken, nothing.

        Raises:
            TemporaryFailure: the store does not answer; settle again.
        """
        entry = self._taken.get((envelope.ref, envelope.attempt))
        if entry is None:
            return
        claimed, kept, timer = entry
        if isinstance(outcome, Receipt):
            self.last_out = self._reactor.seconds()
        try:
            await self._write(claimed, outcome, text_hash(kept))
        except StoreError as error:
            raise TemporaryFailure(f"the outcome cannot be written just now: {error}", 30.0) from error
        if self._taken.pop((envelope.ref, envelope.attempt), None) is not None and timer.active():
            timer.cancel()

    def _forgotten(self, envelope: Envelope) -> None:
        seconds = self.connector.limits.deadline
        outcome = Unknown(f"taken, and nothing said for {seconds:.0f} s: it may or may not have gone out")
        Deferred.fromCoroutine(self.settle(envelope, outcome)).addErrback(
            lambda failure: self.log.failure("delivery {ref} stays claimed", failure, ref=envelope.ref)
        )

    async def _write(self, claimed: Claimed, outcome: Receipt | BaseException, hashed: str) -> None:
        now = self._reactor.seconds()
        ended = settlement(claimed, outcome, hashed, self.connector.limits, now, self._chance())
        await self._store.batch(deliveries.settle, ended)
        self._bus.ring("message", (claimed.message_id,))
        if claimed.ticket_id is not None:
            self._bus.ring("ticket", (claimed.ticket_id,))
