"""One connector's queue: claims no more than it has free slots, sends, and settles what became of it.

A delivery is claimed and committed before a byte goes out. The lane's words: *free* (slots), *held up* (until a time,
after trouble with the connector itself), *under way* (claimed, not settled). A lane that fails holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.connector import IConnector, NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Receipt
from msgserver.records import Claimed
from msgserver.routing.bus import Bus
from msgserver.routing.sends import Outcome, Render, Sends
from msgserver.store import deliveries, standing_in
from msgserver.store.door import Store, StoreError

POLL = 5.0  # seconds between looks at the queue where nobody rings
FINISH = 10.0  # seconds that sends under way have when the house stops
_AGAIN = 1.0  # seconds until the next look after a claim that gave nothing
_HOLD_FIRST, _HOLD_LONGEST = 2.0, 60.0  # seconds
_TROUBLES = 5  # temporary failures in a row after which the lane as a whole waits


class Lane(Service):
    """See the module. ``chance()`` gives random numbers from 0 to 1."""

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
        self._node = node
        self._reactor = reactor
        self._sends = Sends(connector, store, bus, render, chance, reactor, self._learn, self._freed)
        self._timer: Any = None
        self._looking = False
        self._look_again = False
        self._hungry = False  # something is due, as far as is known: no need to ask when
        self._held_until = 0.0
        self._hold = 0.0
        self._troubles = 0
        self._allowance = 1.0
        self._allowed_at = 0.0
        self._looks_round_at = 0.0
        self._empty: list[Deferred[None]] = []
        self.paused = False
        self.last_out: float | None = None

    # --- the service ----------

    def startService(self) -> None:
        """Begin to look for what is pending."""
        super().startService()  # type: ignore[no-untyped-call]
        self._wake_in(0.0)

    def stopService(self) -> Deferred[None]:
        """Claim no more; let what is under way end, for ten seconds, then cut it off: that is ``unknown``."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        self._sends.stopping = True
        late = self._reactor.callLater(FINISH, self._sends.cut_off_all)
        while self._sends or self._looking:
            empty: Deferred[None] = Deferred()
            self._empty.append(empty)
            await empty
        self._sends.end()
        if late.active():
            late.cancel()

    @property
    def under_way(self) -> int:
        """How many deliveries are claimed and not settled."""
        return len(self._sends)

    def wake(self) -> None:
        """Something is pending, or the connector's status changed: look now."""
        if self.running:
            self._hungry = True
            self._wake_in(0.0)

    def changed(self) -> None:
        """The connector says that its status is another one: if it can send, being held up is over."""
        if self.connector.status.able:
            self._held_until = self._hold = 0.0
        self.wake()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= self._reactor.seconds() + seconds:
                return
            self._timer.cancel()
        self._timer = self._reactor.callLater(seconds, self._woken)

    def _woken(self) -> None:
        if self._looking:
            self._look_again = True
            return
        self._looking = True
        Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: self.log.failure("lane {lane} stumbled", failure, lane=self.connector.name)
        )

    # --- claiming ----------

    async def _look(self) -> None:
        """Claim while there are free slots and something is due."""
        wait = POLL
        try:
            while self.running and (free := self._free()):
                self._look_again = False
                if not self._hungry:
                    wait = await self._until_due()
                    if wait > 0:
                        if self._look_again:
                            continue
                        if not await self._stand_in(free):
                            break
                guessed, self._hungry = self._hungry, False
                claims = await self._claim(free)
                for claimed in claims:
                    self._sends.start(claimed)
                # Then there may well be more.
                self._hungry = self._hungry or len(claims) == free or self._sends.heavy
                wait = POLL
                if not claims and not guessed:
                    wait = _AGAIN  # due, and yet held back by something that only the claim looks at
                    break
        except StoreError as error:
            wait = _AGAIN
            self.log.warn("lane {lane} cannot claim: {why}", lane=self.connector.name, why=str(error))
        finally:
            self._looking = False
            self._finished()
            if self.running:
                self._wake_in(0.0 if self._look_again and self._free() else min(wait, self._until_allowed()))

    def _free(self) -> int:
        """How many may be claimed now."""
        limits = self.connector.limits
        now = self._reactor.seconds()
        if self.paused or now < self._held_until or not self.connector.status.able or self._sends.heavy:
            return 0
        # A store that is slow to settle is not given more and more to settle.
        free = min(limits.concurrency - self._sends.on_wire, 2 * limits.concurrency - len(self._sends))
        if limits.rate is not None:
            burst = max(1.0, limits.rate)
            self._allowance = min(burst, self._allowance + (now - self._allowed_at) * limits.rate)
            self._allowed_at = now
            free = min(free, int(self._allowance))
        return max(free, 0)

    def _until_allowed(self) -> float:
        """Seconds until the hold or the rate lets the next one go, as far as that is known."""
        now: float = self._reactor.seconds()
        if now < self._held_until:
            return self._held_until - now
        rate = self.connector.limits.rate
        if rate is not None and self._allowance < 1.0 and self._sends.on_wire < self.connector.limits.concurrency:
            return (1.0 - self._allowance) / rate
        return POLL

    async def _claim(self, limit: int) -> list[Claimed]:
        now = self._reactor.seconds()
        claims = await self._store.write(deliveries.claim, self.connector.name, self._node, limit, now)
        if self.connector.limits.rate is not None:
            self._allowance -= len(claims)
        return claims

    async def _stand_in(self, limit: int) -> int:
        """With nothing to do of its own, take over what waits for another connector of its type; how many."""
        now = self._reactor.seconds()
        if not self.connector.limits.stand_in or now < self._looks_round_at:
            return 0
        name = self.connector.name
        taken = 0
        if await self._store.read(standing_in.waiting_elsewhere, name, now):
            taken = await self._store.write(standing_in.take_over, name, limit, now)
        if not taken:
            self._looks_round_at = now + POLL
        return taken

    async def _until_due(self) -> float:
        """Seconds until something is due, at most until the next poll; 0: now."""
        now = self._reactor.seconds()
        due = await self._store.read(deliveries.due, self.connector.name, now)
        return POLL if due is None else min(max(0.0, due - now), POLL)

    # --- learning ----------

    def _learn(self, claimed: Claimed, outcome: Outcome) -> None:
        """What an outcome says about the connector itself."""
        if isinstance(outcome, Receipt):
            self._troubles, self._hold = 0, 0.0
            self.last_out = self._reactor.seconds()
        elif isinstance(outcome, NotConnected):
            self._hold_up()
        elif isinstance(outcome, PermanentFailure):
            self._troubles = 0
        elif not isinstance(outcome, Unknown) and not (isinstance(outcome, TemporaryFailure) and outcome.alone):
            self._troubles += 1
            if self._troubles >= _TROUBLES:
                self._hold_up()
            if not isinstance(outcome, TemporaryFailure):
                failure = Failure(outcome)
                name = self.connector.name
                self.log.failure("connector {lane} failed on delivery {id}", failure, lane=name, id=claimed.id)

    def _hold_up(self) -> None:
        """Trouble with the connector itself: the lane waits as a whole, longer each time, until it says it changed."""
        now = self._reactor.seconds()
        if self._held_until <= now:
            self._hold = min(max(self._hold * 2, _HOLD_FIRST), _HOLD_LONGEST)
            self._held_until = now + self._hold

    def _freed(self) -> None:
        """Some have ended: their slots are free, though it may still be being written down how."""
        self._finished()
        # Half of the slots at once: one claim for many sends.
        held = self._held_until - self._reactor.seconds()
        half = self.connector.limits.concurrency // 2
        if self.running and self._sends.on_wire <= half and (self._hungry or held > 0):
            self._wake_in(max(0.0, held))

    def _finished(self) -> None:
        if not self._sends and not self._looking:
            empty, self._empty = self._empty, []
            for waiting in empty:
                waiting.callback(None)
