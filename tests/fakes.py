"""Fakes that any connector's tests may use: a hub that records, and fails on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from msgserver.connector import IHub, SendFailure
from msgserver.message import Accepted, Arrival, Envelope, Receipt, Report


@implementer(IHub)
class FakeHub:
    """Records what a connector hands in; ``failures`` are raised by the next accepts, one each.

    ``hold()`` makes accepts wait until ``release()``: a test sees what is *not* acknowledged meanwhile.
    ``on_accept`` is called with each arrival before it is taken (a place to look at the wire's state).
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.reports: list[Report] = []
        self.memory: dict[str, bytes] = {}
        self.failures: deque[BaseException] = deque()
        self.outgoing: deque[Envelope] = deque()
        self.settled: list[tuple[Envelope, Receipt | SendFailure]] = []
        self.changes = 0
        self.on_accept: Callable[[Arrival], None] = lambda arrival: None
        self._held: list[Deferred[None]] | None = None
        self._seen: dict[str, int] = {}

    def hold(self) -> None:
        """From now on accepts wait."""
        self._held = []

    def release(self) -> None:
        """Let every waiting accept go on, in order, and wait no more."""
        held, self._held = self._held or [], None
        for waiting in held:
            waiting.callback(None)

    @property
    def waiting(self) -> int:
        """How many accepts are held."""
        return len(self._held or ())

    async def accept(self, arrival: Arrival) -> Accepted:
        self.on_accept(arrival)
        if self._held is not None:
            waiting: Deferred[None] = Deferred()
            self._held.append(waiting)
            await waiting
        if self.failures:
            raise self.failures.popleft()
        if arrival.cursor is not None:
            self.memory[arrival.cursor[0]] = arrival.cursor[1]
        duplicate = arrival.wire_id in self._seen
        if not duplicate:
            self.arrivals.append(arrival)
            self._seen[arrival.wire_id] = len(self.arrivals)
        return Accepted(raw_id=self._seen[arrival.wire_id], duplicate=duplicate)

    async def report(self, report: Report) -> None:
        self.reports.append(report)

    async def recall(self, key: str) -> bytes | None:
        return self.memory.get(key)

    async def remember(self, key: str, value: bytes) -> None:
        self.memory[key] = value

    async def take(self, limit: int, only: Sequence[str] = ()) -> Sequence[Envelope]:
        if only:
            named = [envelope for envelope in self.outgoing if envelope.ref in only][:limit]
            for envelope in named:
                self.outgoing.remove(envelope)
            return named
        return [self.outgoing.popleft() for _ in range(min(limit, len(self.outgoing)))]

    async def settle(self, envelope: Envelope, outcome: Receipt | SendFailure) -> None:
        self.settled.append((envelope, outcome))

    def changed(self) -> None:
        self.changes += 1
