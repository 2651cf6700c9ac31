"""Reading a file of people into the store, slice by slice: no other writer waits for the whole of it, and the reading
itself happens in a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from msgspec.structs import replace

from msgserver.formats.people_csv import Problem, Row, Sheet
from msgserver.records import Viewer
from msgserver.store import importing
from msgserver.store.edits import Refused
from msgserver.store.importing import Report, Seen, Slice

InThread = Callable[..., Awaitable[Any]]
LARGEST = 16 << 20  # bytes of a file
UPLOAD = LARGEST + (1 << 16)  # with the form around it


class StoreDoor(Protocol):
    """What this uses of the store."""

    async def read(self, query: Callable[..., Any], *args: Any) -> Any:
        """Run a query in a reader."""

    async def write(self, unit: Callable[..., Any], *args: Any) -> Any:
        """Run a unit in the writer."""


class Steps:
    """The slices of a file in their order, and the report that they add up to.

    Groups come first and by themselves, then who of them belongs to which, then the persons: so a group that stands
    further below is there when it is named.
    """

    def __init__(self, raw: bytes, region: str) -> None:
        """Begin; raises Refused where it is no table of people."""
        self.report = Report()
        self.seen = Seen()
        try:
            self._sheet = Sheet(raw, region)
        except ValueError as error:
            raise Refused(f"This file cannot be read: {error}.") from None
        self.report.ignored_columns = self._sheet.ignored
        if self._sheet.guessed:
            self.report.note([Problem(1, "", f"the letters of this file were guessed ({self._sheet.guessed})")])
        self._counts = True
        self._problems: list[Problem] = []
        self._slices = self._all()

    def _all(self) -> Iterator[list[Row]]:
        for rows in importing.slices(self._sheet.rows(True, self._problems), self._tell):
            yield [replace(row, groups=(), organisation=None) for row in rows]
        self._counts = False
        ignored: list[Problem] = []
        for rows in importing.slices(self._sheet.rows(True, ignored), lambda _rows, _lost: None):
            yield [row for row in rows if row.groups or row.organisation]
        self._counts = True
        yield from importing.slices(self._sheet.rows(False, self._problems), self._tell)

    def _tell(self, rows: int, lost: int) -> None:
        self.report.rows += rows
        self.report.left_out += lost
        self.report.note(self._problems)
        self._problems.clear()

    def take(self) -> list[Row] | None:
        """The next rows; None after the last. Slow: for a thread."""
        return next(self._slices, None)

    def add(self, done: Slice) -> None:
        """What became of the rows that were taken last."""
        report = self.report
        report.new_groups += done.new_groups[: max(0, 200 - len(report.new_groups))]
        if not self._counts:
            report.note([problem for problem in done.problems if problem.column == "groups"])
            return
        report.new += done.new
        report.known += done.known
        report.left_out += done.left_out
        report.note(done.problems)


async def look(store: StoreDoor, in_thread: InThread, raw: bytes, region: str) -> Report:
    """What would become of a file; nothing is written.

    Raises:
        Refused: it is no table of people.
    """
    steps = await in_thread(Steps, raw, region)
    while (rows := await in_thread(steps.take)) is not None:
        steps.add(await store.read(importing.check, rows, steps.seen))
    report: Report = steps.report
    return report


async def bring_in(
    store: StoreDoor,
    in_thread: InThread,
    raw: bytes,
    region: str,
    actor: Viewer,
    file: str,
    now: Callable[[], float],
    told: Callable[[Report], Awaitable[None]] | None = None,
) -> Report:
    """Import a file; ``told`` hears how far it is.

    Raises:
        Refused: it is no table of people.
    """
    steps = await in_thread(Steps, raw, region)
    while (rows := await in_thread(steps.take)) is not None:
        steps.add(await store.write(importing.write, actor, rows, steps.seen, file, now()))
        if told is not None:
            await told(steps.report)
    report: Report = steps.report
    return report
