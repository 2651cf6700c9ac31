"""Reads what is journalled: takes arrivals up in order, has mail read by workers, and records what came of them.

There are two streams, text (read at once, in process) and mail (by worker processes, several groups under way); in each
the order of arrival is kept for every sender. Arrivals come from memory, straight from ``accept``; after a start, and
when memory was too small, the rest is found in the journal, which is the one way back for every channel. Nothing that
cannot be read keeps back what comes after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.connector import TemporaryFailure
from msgserver.formats.reading import Reading
from msgserver.records import Raw
from msgserver.routing.journalling import Journalled, journalled
from msgserver.store import journal
from msgserver.store.door import Store

MOST_ROWS = 2_000  # unread in memory; beyond, accept waits
MOST_AGE = 5.0  # seconds that the oldest may wait; beyond, accept waits
MOST_BYTES = 32 * 1024 * 1024  # kept in memory; what comes beyond is fetched from the journal again
GROUP_MAILS = 64
GROUP_BYTES = 1024 * 1024
GATHER = 0.02  # seconds that arrivals gather before they are read together
GROUPS = 3  # of mails under way at once
PAGE = 64  # rows fetched from the journal at once
SWEEP = 30.0  # seconds between looks into the journal for what nobody rang for
SETTLED = 10.0  # seconds after which an arrival that is not known here counts as forgotten

MAIL_TYPES = frozenset({"message/rfc822", "message/global"})


class Unread(Exception):
    """An arrival cannot be read; the message says why, for people."""


class MailReaders(Protocol):
    """Whoever turns mails into readings: ``trust.Examiner``, with the workers behind it."""

    def read_mails(self, items: Sequence[Journalled]) -> Awaitable[Sequence[Any]]:
        """One Reading, or what says why there is none, for each mail."""


class Recorder(Protocol):
    """Whoever decides about what was read and writes it: ``recorder.Recorder``."""

    def record(self, items: Sequence[tuple[Journalled, Reading | None]]) -> Awaitable[None]:
        """Give every item its outcome; returns when all have one."""

    def unreadable(self, raw_id: int, why: str) -> Awaitable[None]:
        """Show an arrival raw, with the reason."""

    def show_overdue(self) -> Awaitable[None]:
        """Show what has waited long for parts that did not come."""


class _Group:
    """Mails that a worker reads in one go."""

    def __init__(self, items: list[Journalled]) -> None:
        self.items = items
        self.senders = {item.arrival.sender for item in items}
        self.waiting: list[Deferred[None]] = []

    def finish(self) -> None:
        """Let those go on that have mail of the same senders."""
        waiting, self.waiting = self.waiting, []
        for other in waiting:
            other.callback(None)


class Reader:
    """See the module. ``blob(name)`` fetches the bytes of an arrival that lie outside the database."""

    log = Logger()

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        workers: MailReaders,
        blob: Callable[[str], Awaitable[bytes]],
        reactor: Any,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._workers = workers
        self._blob = blob
        self._reactor = reactor
        self._texts: deque[Journalled] = deque()
        self._mails: deque[Journalled] = deque()
        self._coming = {False: 0, True: 0}  # texts, mails that are being journalled just now
        self._known: dict[int, tuple[bool, int]] = {}  # raw_id -> is it mail, bytes; all that is queued or under way
        self._unread = {False: 0, True: 0}  # how many of these are text, mail
        self._bytes = 0
        self._groups: list[_Group] = []
        self._reading_texts = False
        self._rung = False
        # Text, mail: the journal may hold some that are not known here, so new arrivals wait there too.
        self._behind = {False: True, True: True}
        self._fetched = 0  # last id seen by the fetching under way
        self._newest = 0
        self._waiting: dict[bool, deque[Deferred[None]]] = {False: deque(), True: deque()}
        self._letting_in = False
        self._idle: list[Deferred[None]] = []
        self._sweeping: Any = None
        self._fetching = False
        self._turning = False  # from journal to memory: nothing is begun until what came between is in its place
        self._stopped = False

    # --- what accept asks ----------

    def full(self, mail: bool) -> bool:
        """Whether accept should wait with a mail (else a text): too many are unread, or the oldest has waited long.

        Mail that nobody reads just now keeps no text back, nor the other way round.
        """
        if self._unread[mail] + self._coming[mail] >= MOST_ROWS:
            return True
        if self._behind[mail] and self._newest - self._fetched >= MOST_ROWS:
            return True
        queue = self._mails if mail else self._texts
        return bool(queue) and self._reactor.seconds() - queue[0].received_at > MOST_AGE

    async def room(self, mail: bool) -> None:
        """Wait until there is room, in the order of asking."""
        while self.full(mail) and not self._stopped:
            turn: Deferred[None] = Deferred()
            self._waiting[mail].append(turn)
            await turn

    def comes(self, mail: bool) -> None:
        """A mail (else a text) is being journalled, and takes up room meanwhile."""
        self._coming[mail] += 1

    def came(self, mail: bool, item: Journalled | None) -> None:
        """That has ended, well or not; None: there is nothing new to read."""
        self._coming[mail] -= 1
        if item is not None:
            self.take(item)
        self._let_in()  # whoever waited for the room it took may come, though nothing was read yet

    @property
    def unread(self) -> int:
        """How many arrivals are queued or being read here."""
        return len(self._known)

    def take(self, item: Journalled) -> None:
        """Take up an arrival that has just been journalled."""
        self._newest = max(self._newest, item.raw_id)
        mail = item.arrival.text is None
        if self._stopped or self._behind[mail] or item.raw_id in self._known:
            return
        if self._bytes + len(item.arrival.raw) > MOST_BYTES and self._known:
            self._behind[mail] = True
            self._fetched = item.raw_id - 1
            return
        self._queue(item)
        self._go_on_soon()

    # --- starting, sweeping, stopping ----------

    def start(self) -> None:
        """Read what was received and not read, then go on with what comes."""
        self._fetch_soon(0.0)

    async def stop(self) -> None:
        """Finish what is under way and take up no more; the journal keeps the rest."""
        self._stopped = True
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()
        self._texts.clear()
        self._mails.clear()
        self._let_in()
        while self._groups or self._reading_texts or self._fetching:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def _fetch_soon(self, delay: float) -> None:
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()
        if not self._stopped:
            self._sweeping = self._reactor.callLater(delay, self._start, self._fetch)

    async def _fetch(self) -> None:
        """Fetch from the journal, oldest first, until nothing is there that is not known here."""
        if self._fetching:
            return
        self._fetching = True
        try:
            after = 0
            behind = any(self._behind.values())
            while not self._stopped:
                if not behind and any(self._behind.values()):
                    behind, after = True, 0  # memory became too small meanwhile: what is fresh counts too
                if not self._turning and (len(self._known) >= MOST_ROWS // 2 or self._bytes > MOST_BYTES // 2):
                    await deferLater(self._reactor, 0.05)
                    continue
                page: Sequence[Raw] = await self._store.read(journal.unread, after, PAGE)
                was_behind = len(page) < PAGE and any(self._behind.values())
                if was_behind:
                    # What is journalled from here on comes through memory; what was meanwhile, by one more look.
                    self._behind = {False: False, True: False}
                    self._turning = not self._turning  # twice in a row: memory is too small again, so read first
                for raw in page:
                    if behind or raw.received_at < self._reactor.seconds() - SETTLED:
                        await self._take_up(raw)
                after = self._fetched = page[-1].id if page else after
                self._go_on()
                self._let_in()
                if len(page) < PAGE and not was_behind:
                    break
            if not self._stopped:
                await self._recorder.show_overdue()
        except Exception:
            self.log.failure("the journal could not be looked through; trying again")
        finally:
            self._fetching = self._turning = False
            self._fetch_soon(1.0 if any(self._behind.values()) else SWEEP)
            self._finished()

    async def _take_up(self, raw: Raw) -> None:
        if raw.id in self._known or self._stopped:
            return
        try:
            content = await self._blob(raw.blob) if raw.blob else raw.raw
            item = journalled(raw, content)
        except (OSError, ValueError) as error:
            await self._set_aside(raw.id, f"what was stored cannot be read back: {error}")
            return
        if raw.id not in self._known:
            self._queue(item)

    # --- the two streams ----------

    def _queue(self, item: Journalled) -> None:
        size = len(item.arrival.raw)
        mail = item.arrival.text is None
        self._known[item.raw_id] = (mail, size)
        self._unread[mail] += 1
        self._bytes += size
        queue = self._mails if mail else self._texts
        queue.append(item)
        place = len(queue) - 1
        while place and queue[place - 1].raw_id > item.raw_id:  # out of the journal, while later ones came by memory
            place -= 1
        if place < len(queue) - 1:
            queue.insert(place, queue.pop())

    def _go_on_soon(self) -> None:
        """Read what has gathered in a moment; many at once cost little more than one, and nobody waits for it."""
        if not self._rung:
            self._rung = True
            self._reactor.callLater(GATHER, self._go_on)

    def _go_on(self) -> None:
        self._rung = False
        if self._stopped or self._turning:
            return
        if self._texts and not self._reading_texts:
            self._reading_texts = True
            self._start(self._read_texts)
        while self._mails and len(self._groups) < GROUPS:
            group = _Group(self._next_mails())
            earlier = [other for other in self._groups if other.senders & group.senders]
            self._groups.append(group)
            self._start(self._read_group, group, earlier)

    def _next_mails(self) -> list[Journalled]:
        items = [self._mails.popleft()]
        size = len(items[0].arrival.raw)
        while self._mails and len(items) < GROUP_MAILS and size + len(self._mails[0].arrival.raw) <= GROUP_BYTES:
            items.append(self._mails.popleft())
            size += len(items[-1].arrival.raw)
        return items

    async def _read_texts(self) -> None:
        try:
            while self._texts and not self._stopped:
                items = [self._texts.popleft() for _ in range(min(GROUP_MAILS, len(self._texts)))]
                try:
                    await self._recorder.record([(item, None) for item in items])
                finally:
                    self._done(items)
        finally:
            self._reading_texts = False
            self._finished()

    async def _read_group(self, group: _Group, earlier: list[_Group]) -> None:
        try:
            read = await self._read_mails(group.items)
            for other in earlier:
                if other in self._groups:
                    turn: Deferred[None] = Deferred()
                    other.waiting.append(turn)
                    await turn
            await self._recorder.record(read)
        finally:
            self._done(group.items)
            self._groups.remove(group)
            group.finish()
            self._finished()

    async def _read_mails(self, items: list[Journalled]) -> list[tuple[Journalled, Reading | None]]:
        """Have mails read; what is no mail and what the workers cannot read is set aside."""
        mails = [item for item in items if item.arrival.media_type in MAIL_TYPES]
        for item in items:
            if item.arrival.media_type not in MAIL_TYPES:
                await self._set_aside(item.raw_id, f"nothing here reads {item.arrival.media_type}")
        read: list[tuple[Journalled, Reading | None]] = []
        if mails:
            readings = await self._ask_workers(mails)
            for item, reading in zip(mails, readings, strict=True):
                if isinstance(reading, Reading):
                    read.append((item, reading))
                else:
                    await self._set_aside(item.raw_id, reading.why)
        return read

    async def _ask_workers(self, mails: list[Journalled]) -> Sequence[Any]:
        """Have the workers read; while there are none, wait: the mails are in the journal."""
        wait = 0.5
        while True:
            try:
                return await self._workers.read_mails(mails)
            except TemporaryFailure as failure:
                if self._stopped:
                    raise
                self.log.warn("mail waits to be read: {why}", why=str(failure))
            await deferLater(self._reactor, wait)
            wait = min(wait * 2, 15.0)

    async def _set_aside(self, raw_id: int, why: str) -> None:
        await self._recorder.unreadable(raw_id, why)
        self._forget(raw_id)

    def _done(self, items: Sequence[Journalled]) -> None:
        for item in items:
            self._forget(item.raw_id)
        self._let_in()

    def _forget(self, raw_id: int) -> None:
        known = self._known.pop(raw_id, None)
        if known is not None:
            mail, size = known
            self._unread[mail] -= 1
            self._bytes -= size

    def _let_in(self) -> None:
        """Let as many accepts go on as there is room for."""
        if self._letting_in:  # one of those let in has ended at once; the loop below goes on by itself
            return
        self._letting_in = True
        for mail, waiting in self._waiting.items():
            for _ in range(min(len(waiting), max(1, MOST_ROWS - self._unread[mail]))):
                if self.full(mail) and not self._stopped:
                    break
                waiting.popleft().callback(None)
        self._letting_in = False

    def _finished(self) -> None:
        if not self._stopped:
            if len(self._mails) >= GROUP_MAILS:
                self._go_on()
            elif self._mails or self._texts:
                self._go_on_soon()
            if any(self._behind.values()) and not self._fetching:
                self._fetch_soon(0.0)
        elif not (self._groups or self._reading_texts or self._fetching):
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _start(self, act: Callable[..., Any], *args: Any) -> None:
        """Run something beside what runs; it never fails but for mistakes of ours, which are logged."""

        def failed(failure: Failure) -> None:
            if not self._stopped:
                self.log.failure("reading failed", failure)

        Deferred.fromCoroutine(act(*args)).addErrback(failed)
