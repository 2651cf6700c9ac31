"""Files of people that were uploaded: kept for a day between the look and the import, and how far an import is.

A row of ``job`` a file. Its ``run_at`` goes on while somebody works at it: one that stands still was interrupted, and
may be begun again, for the same file once more changes nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from msgserver.records import Viewer
from msgserver.store import audit, blobs
from msgserver.store.edits import Refused
from msgserver.store.importing import Report
from msgserver.store.schema import job

KIND = "import people"
KEPT = 7 * 24 * 3600.0  # seconds for which the report is
STILL = 60.0  # seconds without a sign after which a run was interrupted


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, whose, and in which country its numbers are at home."""

    blob: str
    file: str
    user_id: int
    region: str


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file. ``state``: checked, running, interrupted, done or failed (then ``report.problems`` say why)."""

    id: int
    work: Work
    state: str
    report: Report
    at: float


def keep(tx: Connection, work: Work, report: Report, now: float) -> int:
    """Keep what a look at a file found; returns its number. Those of last week go."""
    tx.execute(delete(job).where(job.c.kind == KIND, job.c.run_at < now - KEPT))
    row = {"kind": KIND, "state": "checked", "work": _json(work), "words": _json(report), "run_at": now}
    number: int = tx.execute(insert(job).values(**row).returning(job.c.id)).scalar_one()
    return number


def find(tx: Connection, viewer: Viewer, number: int, now: float) -> Import | None:
    """One's own upload; None where there is none."""
    row = tx.execute(select(job).where(job.c.id == number, job.c.kind == KIND)).one_or_none()
    if row is None or (work := msgspec.json.decode(row.work, type=Work)).user_id != viewer.user_id:
        return None
    state = "interrupted" if row.state == "running" and row.run_at < now - STILL else row.state
    return Import(id=row.id, work=work, state=state, report=msgspec.json.decode(row.words, type=Report), at=row.run_at)


def content(tx: Connection, name: str) -> bytes:
    """The file itself.

    Raises:
        Refused: its day is over.
    """
    try:
        return blobs.get(blobs.folder(tx), name)
    except FileNotFoundError:
        raise Refused("Nothing was imported: the file is not kept any more. Upload it again.") from None


def begin(tx: Connection, actor: Viewer, number: int, now: float) -> Import | None:
    """Begin to import; None where there is no such upload of theirs.

    Raises:
        Refused: it is done, or one is running.
    """
    found = find(tx, actor, number, now)
    if found is None:
        return None
    if found.state == "done":
        raise Refused("This file was imported already.")
    running = select(job.c.id).where(job.c.kind == KIND, job.c.state == "running", job.c.run_at > now - STILL)
    if tx.scalar(running.limit(1)) is not None:
        raise Refused("An import is running. Wait until it is done, then begin this one.")
    tx.execute(update(job).where(job.c.id == number).values(state="running", run_at=now, words=_json(Report())))
    detail = {"file": found.work.file, "region": found.work.region}
    audit.note(tx, actor, "import people", f"import/{number}", detail, now)
    return found


def tell(tx: Connection, number: int, report: Report, now: float, state: str = "running") -> None:
    """How far it is."""
    values: dict[str, Any] = {"state": state, "run_at": now, "words": _json(report)}
    if state != "running":
        values["finished_at"] = now
    tx.execute(update(job).where(job.c.id == number).values(**values))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
