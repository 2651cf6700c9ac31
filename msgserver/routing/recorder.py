"""Decides what a read arrival becomes and has it written: one transaction, one outcome.

Mostly a message; else delivery reports out of a bounce, or a part that waits for the others. Whatever the store refuses
for reasons of its own (busy, full) is tried again until it is written; what fails for itself is shown as unreadable
after three tries, and its neighbours go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.formats.reading import Reading
from msgserver.formats.reserved import Choice
from msgserver.records import Outcome, Plan, Recorded
from msgserver.routing import joining
from msgserver.routing.bounced import report_of
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens, returned_ref
from msgserver.routing.decision import NO_SUGGESTION, Suggested, Words
from msgserver.routing.joiner import Joined, Joiner
from msgserver.routing.journalling import Journalled
from msgserver.routing.plan import Planned, Read, make_plan, read_mail, read_text
from msgserver.routing.replies import Answer, Replies
from msgserver.routing.snapshot import Snapshots
from msgserver.store import answering, deliveries, journal, subscriptions
from msgserver.store.answering import Wish, record_and_answer
from msgserver.store.door import Store, StoreError
from msgserver.store.joined import record_whole
from msgserver.store.recording import record
from msgserver.store.replies import record_answer

MOST_TRIES = 3
MOST_REPLANS = 20  # of one arrival, while rules are being edited
_WAITS = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # seconds between tries while the store is busy or full

Item = tuple[Journalled, Reading | None]
Suggest = Callable[[Sequence[Words]], Awaitable[Sequence[Suggested]]]


async def nobody(words: Sequence[Words]) -> Sequence[Suggested]:
    """No plug-in parsers."""
    return [NO_SUGGESTION] * len(words)


class _Work:
    """One arrival on its way to its outcome. The uid is the same however often it is planned."""

    def __init__(self, item: Journalled, reading: Reading | None, uid: str) -> None:
        self.item = item
        self.reading = reading
        self.uid = uid
        self.read: Read | None = None
        self.planned: Planned | None = None
        self.wish: Wish | None = None
        self.answer: Answer | None = None  # a colleague's, written to a copy
        self.joined: Joined | None = None  # where it came in several parts
        self.tries = 0
        self.replans = 0


def _apart(works: list[_Work]) -> list[list[_Work]]:
    """In their order, parts of longer messages each alone: what one of them becomes decides about the next."""
    groups: list[list[_Work]] = []
    for work in works:
        lone = work.item.arrival.part is not None
        if groups and not lone and groups[-1][0].item.arrival.part is None:
            groups[-1].append(work)
        else:
            groups.append([work])
    return groups


class Recorder:
    """See the module.

    ``wish`` says what the hub itself answers to a message; it is written with it, or not at all. ``suggest`` asks the
    plug-in parsers.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        bus: Bus,
        signer: Tokens,
        marks: frozenset[str],
        rules: Snapshots,
        wish: Callable[[Planned], Wish | None],
        new_uid: Callable[[], str],
        reactor: Any,
        suggest: Suggest = nobody,
    ) -> None:
        self._store = store
        self._bus = bus
        self._signer = signer
        self._marks = marks
        self._rules = rules
        self._wish = wish
        self._new_uid = new_uid
        self._reactor = reactor
        self._suggest = suggest
        self._joiner = Joiner(store, bus, signer, rules, self._show, reactor)
        self._replies = Replies(store, reactor)
        self._pauses: set[Deferred[Any]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Wait for the store no longer: what has no outcome yet stays unread in the journal."""
        self._stopped = True
        for pause in list(self._pauses):
            pause.cancel()

    async def _pause(self, seconds: float) -> None:
        if self._stopped:
            raise CancelledError
        pause: Deferred[None] = deferLater(self._reactor, seconds)
        self._pauses.add(pause)
        try:
            await pause
        finally:
            self._pauses.discard(pause)

    async def record(self, items: Sequence[Item]) -> None:
        """Give every item its outcome; returns when all have one."""
        for works in _apart([_Work(item, reading, self._new_uid()) for item, reading in items]):
            waits = iter(_WAITS)
            while works:
                works, slow = await self._round(works)
                if slow:
                    await self._pause(next(waits, _WAITS[-1]))

    async def unreadable(self, raw_id: int, why: str) -> None:
        """Show an arrival raw, with the reason in words."""
        self.log.warn("arrival {raw_id} cannot be read: {why}", raw_id=raw_id, why=why)
        waits = iter(_WAITS)
        while True:
            try:
                await self._store.batch(journal.mark_unreadable, (raw_id, why[:500], self._reactor.seconds()))
            except StoreError:
                await self._pause(next(waits, _WAITS[-1]))
            else:
                break
        self._bus.ring("raw", (raw_id,))

    async def _round(self, works: list[_Work]) -> tuple[list[_Work], bool]:
        """Plan and write; returns those to be tried again, and whether the store wants some time first."""
        failures: list[tuple[_Work, Failure]] = []
        taken: list[_Work] = []
        for work in works:
            try:
                if await self._take_up(work):
                    taken.append(work)
            except Exception:
                failures.append((work, Failure()))
        ready: list[_Work] = []
        for work, found in zip(taken, await self._suggestions(taken), strict=True):
            try:
                await self._plan(work, found)
                ready.append(work)
            except Exception:
                failures.append((work, Failure()))
        done: list[tuple[_Work, Recorded]] = []
        stale: list[_Work] = []
        for work, outcome in zip(ready, await self._write_all(ready), strict=True):
            if isinstance(outcome, Failure):
                failures.append((work, outcome))
            elif outcome.stale:
                stale.append(work)
            else:
                done.append((work, outcome))
        if done:
            self._tell(done)
        again, slow = await self._sort(failures)
        return again + await self._plan_again(stale), slow

    def _write(self, work: _Work, plan: Plan) -> Coroutine[Any, Any, Recorded]:
        now, answer = self._reactor.seconds(), work.answer
        if work.joined is not None:
            words = (answer.actor, answer.draft) if answer is not None else None
            return self._store.write(record_whole, plan, work.joined.whole, work.wish, now, words)
        if answer is not None:
            return self._store.write(record_answer, answer.actor, answer.draft, plan, now)
        if work.wish is not None:
            return self._store.write(record_and_answer, plan, work.wish, now)
        return self._store.batch(record, plan)

    async def _write_all(self, works: Sequence[_Work]) -> list[Recorded | Failure]:
        """Write the plans, all in one unit; where that fails, each alone, so that only the guilty one does."""
        plans = [work.planned.plan for work in works if work.planned]
        if len(plans) > 1 and not any(work.joined or work.wish or work.answer for work in works):
            try:
                return [*await self._store.write(record, plans)]
            except StoreError:
                return [Failure() for _ in plans]
            except Exception as error:
                self.log.debug("a group of {many} is written one by one: {error}", many=len(plans), error=error)
        outcomes: list[Recorded | Failure] = []
        for work, plan in zip(works, plans, strict=True):
            try:
                outcomes.append(await self._write(work, plan))
            except Exception:
                outcomes.append(Failure())
        return outcomes

    # --- planning ----------

    async def _take_up(self, work: _Work) -> bool:
        """Make it ready to be planned; False: the arrival has an outcome already and nothing is to be planned."""
        item, reading = work.item, work.reading
        if reading is None:
            part = item.arrival.part
            if part is not None and part.total > 1:
                work.joined = await self._joiner.join(item)
                if work.joined is None:
                    return False
                item = work.joined.item
            work.read = read_text(item, self._signer)
        else:
            if reading.bounces and await self._bounced(item, reading):
                return False
            work.read = read_mail(item, reading, self._signer, self._marks)
            if work.read.leaving is not None:
                await self._store.write(subscriptions.leave, *work.read.leaving, self._reactor.seconds())
        return True

    async def _suggestions(self, works: Sequence[_Work]) -> list[Suggested]:
        """What the plug-in parsers make of each, all asked at once: a slow one costs one wait, not many."""
        asked = [work.read.words for work in works if work.read is not None and work.read.parsed]
        found = iter(await self._suggest(asked) if asked else ())
        return [next(found) if work.read is not None and work.read.parsed else NO_SUGGESTION for work in works]

    async def _plan(self, work: _Work, found: Suggested) -> None:
        """Let the rules decide."""
        assert work.read is not None
        rules = await self._rules.current()
        work.planned = make_plan(work.read, rules, work.uid, found.suggestions, found.skipped)
        if work.joined is not None and work.joined.missing:
            plan = joining.without(work.planned.plan, work.joined.missing)
            work.planned = msgspec.structs.replace(work.planned, plan=plan)
        if work.planned.choice is Choice.NONE and work.planned.asked is None:
            work.planned, work.answer = await self._replies.look(work.planned)
        work.wish = self._wish(work.planned) if work.answer is None else None

    async def show_overdue(self) -> None:
        """Show what has waited long for parts that did not come."""
        await self._joiner.show_overdue()

    async def _show(self, whole: Joined) -> None:
        """Record a message without some of its parts; where another process was faster, it has done so."""
        work = _Work(whole.item, None, self._new_uid())
        work.joined = whole
        for _ in range(2):
            await self._take_up(work)
            [found] = await self._suggestions([work])
            await self._plan(work, found)
            [outcome] = await self._write_all([work])
            if isinstance(outcome, Failure):
                outcome.raiseException()
            elif not outcome.stale:
                self._tell([(work, outcome)])
                return
            await self._rules.fresh()

    async def _bounced(self, item: Journalled, reading: Reading) -> bool:
        """Take a bounce as reports on what we sent; False where it speaks of nothing we know."""
        now = self._reactor.seconds()
        returned = returned_ref(item.arrival.recipients)
        rows = [
            report_of(msgspec.structs.replace(bounce, envelope_id=bounce.envelope_id or returned), item.connector, now)
            for bounce in reading.bounces
            if bounce.message_id or bounce.envelope_id or returned
        ]
        if not rows:
            return False
        known = await self._store.write(deliveries.report, rows)
        if not any(known):
            return False
        await self._store.write(journal.mark, item.raw_id, Outcome.REPORT, None, now)
        self._bus.ring("raw", (item.raw_id,))
        return True

    # --- afterwards ----------

    def _tell(self, done: list[tuple[_Work, Recorded]]) -> None:
        """Ring the bell."""
        self._bus.ring("message", [recorded.message_id for _, recorded in done])
        self._bus.ring("ticket", dict.fromkeys(recorded.ticket_id for _, recorded in done))
        if any(recorded.deliveries or work.wish for work, recorded in done):
            self._bus.ring("delivery", ("*",))

    async def _sort(self, failures: list[tuple[_Work, Failure]]) -> tuple[list[_Work], bool]:
        """Of what failed, what is to be tried again, and whether to wait first; the rest is set aside."""
        again, slow = [], False
        for work, failure in failures:
            if failure.check(StoreError):
                slow = True
                again.append(work)
                continue
            work.tries += 1
            self.log.failure(
                "arrival {raw_id} could not be recorded, try {tries}",
                failure,
                raw_id=work.item.raw_id,
                tries=work.tries,
            )
            if work.tries < MOST_TRIES:
                again.append(work)
            else:
                await self._obey_all_the_same(work)
                why = f"it could not be recorded after {MOST_TRIES} tries: {failure.getErrorMessage()}"
                await self.unreadable(work.item.raw_id, why)
        return again, slow

    async def _obey_all_the_same(self, work: _Work) -> None:
        """Whatever is wrong with a message: its STOP counts."""
        if work.planned is not None and work.planned.choice in (Choice.STOP, Choice.START):
            plan, choice = work.planned.plan, work.planned.choice
            await self._store.write(answering.obey, plan, choice, self._reactor.seconds())

    async def _plan_again(self, stale: list[_Work]) -> list[_Work]:
        """The rules changed while these were planned: read them again. Somebody who edits without end waits too."""
        if not stale:
            return []
        await self._rules.fresh()
        for work in stale:
            work.replans += 1
            if work.replans % MOST_REPLANS == 0:
                self.log.warn("the rules keep changing while arrival {raw_id} is planned", raw_id=work.item.raw_id)
                await self._pause(1.0)
        return stale
