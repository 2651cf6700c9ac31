"""What one connector has under way: put into words, handed to it, watched by the clock, and settled in groups.

While the store writes down how some sends ended, others end; the next group settles all of these at once. So the faster
the wire, the larger the groups, and nobody waits for a group to fill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver import failpoint
from msgserver.connector import IConnector, SendFailure, Unknown
from msgserver.message import Envelope, Receipt
from msgserver.records import Claimed, Settlement
from msgserver.routing.bus import Bus
from msgserver.routing.outcomes import settlement
from msgserver.routing.render import text_hash
from msgserver.store import deliveries
from msgserver.store.door import Store, StoreError

_STOPPED = "the hub stopped while it was being sent: it may or may not have arrived"
_MUCH = 16  # sends under way; from then on groups are given time to grow
_GATHER = 0.01  # seconds of that
_HEAVY = 32 << 20  # bytes under way; with so many, no more is claimed
_PATIENCE = 2.0  # seconds between tries to settle, past which a hub that stops gives up

Render = Callable[[Claimed, IConnector], Envelope]
Outcome = Receipt | BaseException


class _Send:
    """One delivery under way; ``sending`` is None once it has ended."""

    __slots__ = ("claimed", "cut", "hash", "sending", "until", "weight")

    def __init__(self, claimed: Claimed, until: float) -> None:
        self.claimed = claimed
        self.until = until
        self.weight = len(claimed.html) + sum(len(one.content) for one in claimed.attachments)
        self.cut = ""  # why it was cut off
        self.hash = ""
        self.sending: Deferred[Any] | None = None


class Sends:
    """See the module. ``len()`` is how many are claimed and not settled.

    Args:
        chance: gives random numbers from 0 to 1, for waits.
        learn: told of each outcome that the connector gave.
        freed: called when slots have become free: as a group begins to be settled, and when it is.
    """

    log = Logger()

    def __init__(
        self,
        connector: IConnector,
        store: Store,
        bus: Bus,
        render: Render,
        chance: Callable[[], float],
        reactor: Any,
        learn: Callable[[Claimed, Outcome], None],
        freed: Callable[[], None],
    ) -> None:
        self._connector = connector
        self._store = store
        self._bus = bus
        self._render = render
        self._chance = chance
        self._reactor = reactor
        self._learn = learn
        self._freed = freed
        self._under_way: dict[int, _Send] = {}
        self._weight = 0
        self.on_wire = 0  # of these the connector has, and has not said how they ended
        self._ended: list[tuple[Claimed, Settlement]] = []
        self._settling = False
        self._timer: IDelayedCall | None = None  # until the next group is settled
        self._hurried = False  # that is now
        self._watch: IDelayedCall | None = None
        self.stopping = False  # what a connector gives up from now on is unknown

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def heavy(self) -> bool:
        """What is under way takes much memory."""
        return self._weight >= _HEAVY

    # --- sending ----------

    def start(self, claimed: Claimed) -> None:
        """Put a claimed delivery on the wire; past the connector's deadline it is cut off and counts as unknown."""
        deadline = self._connector.limits.deadline
        send = self._under_way[claimed.id] = _Send(claimed, self._reactor.seconds() + deadline)
        self._weight += send.weight
        try:
            envelope = self._render(claimed, self._connector)
            send.hash = text_hash(envelope)
        except Exception as error:
            self.log.failure("delivery {id} cannot be put into words", id=claimed.id)
            self._note(send, error)
            return
        if self._watch is None:
            self._watch = self._reactor.callLater(deadline, self._look_at_clock)
        self.on_wire += 1
        failpoint.reach("R2.before")
        sending = send.sending = maybeDeferred(self._connector.send, envelope)
        failpoint.reach("R2.after")
        sending.addBoth(self._end, send).addErrback(self._stumbled, send)

    def _end(self, result: Any, send: _Send) -> None:
        """A connector said how it ended, unless it was cut off before."""
        if send.sending is None:
            return
        send.sending = None
        self.on_wire -= 1
        failpoint.reach("R3.before")
        outcome: Any = result.value if isinstance(result, Failure) else result
        failpoint.reach("R3.after")
        if not isinstance(outcome, Receipt | SendFailure) and (send.cut or self.stopping):
            outcome = Unknown(send.cut or _STOPPED)
        self._learn(send.claimed, outcome)
        self._note(send, outcome)

    def _stumbled(self, failure: Failure, send: _Send) -> None:
        self.log.failure("delivery {id} stumbled", failure, id=send.claimed.id)
        if send.sending is not None:
            send.sending = None
            self.on_wire -= 1
        self._forget(send.claimed.id)
        self._freed()

    def _forget(self, delivery_id: int) -> None:
        send = self._under_way.pop(delivery_id, None)
        if send is not None:
            self._weight -= send.weight

    def _look_at_clock(self) -> None:
        """One timer for all: it is set for the oldest, and set anew only when it went off too early."""
        self._watch = None
        now, seconds = self._reactor.seconds(), self._connector.limits.deadline
        for send in [send for send in self._under_way.values() if send.until <= now]:
            self._cut_off(send, f"no answer within {seconds:.0f} s: it may or may not have arrived")
        waiting = [send.until for send in self._under_way.values() if send.sending is not None]
        if waiting:
            self._watch = self._reactor.callLater(min(waiting) - now, self._look_at_clock)

    def _cut_off(self, send: _Send, why: str) -> None:
        if send.sending is not None:
            send.cut = why
            send.sending.cancel()
        if send.sending is not None:  # it does not let itself be cancelled
            self._end(Failure(Unknown(why)), send)

    def cut_off_all(self) -> None:
        """What has not ended by now is unknown."""
        for send in list(self._under_way.values()):
            self._cut_off(send, _STOPPED)

    def end(self) -> None:
        """Nothing is under way, and nothing will be: watch the clock no more."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    # --- settling ----------

    def _note(self, send: _Send, outcome: Outcome) -> None:
        limits, now = self._connector.limits, self._reactor.seconds()
        claimed = send.claimed
        self._ended.append((claimed, settlement(claimed, outcome, send.hash, limits, now, self._chance())))
        self._settle_soon()

    def _settle_soon(self) -> None:
        """Begin to settle, unless that is under way: at once, or where much else is about to end, a little later."""
        if self._settling:
            return
        quarter = self._connector.limits.concurrency // 4
        wait = _GATHER if self.on_wire >= _MUCH and len(self._ended) < quarter else 0.0
        if self._timer is None:
            self._timer = self._reactor.callLater(wait, self._settle)
        elif not wait and not self._hurried:
            self._timer.reset(0.0)
        self._hurried = not wait

    def _settle(self) -> None:
        self._timer = None
        self._settling = True
        self._freed()  # what is claimed now is committed together with what is settled
        Deferred.fromCoroutine(self._settle_all()).addErrback(
            lambda failure: self.log.failure("settling for {name} stumbled", failure, name=self._connector.name)
        )

    async def _settle_all(self) -> None:
        ended, self._ended = self._ended, []
        try:
            await self._write_down(ended)
        finally:
            for claimed, _ in ended:
                self._forget(claimed.id)
            self._settling = False
            if self._ended:
                self._settle_soon()
            self._freed()

    async def _write_down(self, ended: Sequence[tuple[Claimed, Settlement]]) -> None:
        """While the store says no, keep trying: what went out must not be forgotten.

        One that cannot be written harms no other.
        """
        wait = 0.5
        while True:
            try:
                written = await self._store.write(deliveries.settle, [one for _, one in ended])
            except StoreError as error:
                if self.stopping and wait > _PATIENCE:
                    self.log.error("{n} deliveries are left claimed: {why}", n=len(ended), why=str(error))
                    return
                await deferLater(self._reactor, wait)
                wait = min(wait * 2, 15.0)
            except Exception:
                if len(ended) == 1:
                    self.log.failure("delivery {id} is left claimed", id=ended[0][0].id)
                    return
                for one in ended:
                    await self._write_down([one])
                return
            else:
                break
        for (claimed, _), done in zip(ended, written, strict=True):
            if not done:
                self.log.warn("delivery {id} was claimed anew meanwhile", id=claimed.id)
        self._bus.ring("message", dict.fromkeys(claimed.message_id for claimed, _ in ended))
        tickets = dict.fromkeys(claimed.ticket_id for claimed, _ in ended if claimed.ticket_id is not None)
        self._bus.ring("ticket", tickets)
