"""Copies that wait for a person's word: those of a message that more people would get than the configuration allows."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, select, text

from msgserver.records import Viewer
from msgserver.store import audit, bulk, fanout, visible
from msgserver.store.edits import Refused
from msgserver.store.schema import job, msg_delivery_status, msg_log

PERSON = "person"
STEP = 2_000  # rows that one unit decides about


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """One message whose copies are held; ``writing``: there will be more, they are being written."""

    message_id: int
    ticket_id: int | None
    number: int
    subject: str
    snippet: str
    sender: str
    sender_name: str
    received_at: float
    copies: int
    channels: tuple[tuple[str, int], ...]  # how many by each address scheme
    writing: bool = False


_held = (msg_delivery_status.c.state == text("'held'"), msg_delivery_status.c.waits_for == PERSON)


def asking(tx: Connection, viewer: Viewer, message_id: int | None = None, limit: int = 50) -> list[Asking]:
    """The messages that wait and may be seen, newest first; or one of them."""
    row = msg_delivery_status.c
    waiting = select(row.message_id).where(*_held).distinct()
    log = msg_log.c
    rows = select(
        log.id, log.ticket_id, log.number, log.subject, func.substr(log.body, 1, 140).label("snippet"), log.sender,
        log.sender_name, log.received_at,
    ).where(log.id.in_(waiting), visible.messages(viewer))  # fmt: skip
    if message_id is not None:
        rows = rows.where(log.id == message_id)
    found = list(tx.execute(rows.order_by(log.id.desc()).limit(limit)))
    counted = _counted(tx, [one.id for one in found])
    unfinished = _unfinished(tx)
    return [
        Asking(
            message_id=one.id, ticket_id=one.ticket_id, number=one.number, subject=one.subject, snippet=one.snippet,
            sender=one.sender, sender_name=one.sender_name, received_at=one.received_at,
            copies=sum(n for _, n in counted[one.id]), channels=tuple(counted[one.id]), writing=one.id in unfinished,
        )
        for one in found
    ]  # fmt: skip


def _counted(tx: Connection, message_ids: list[int]) -> dict[int, list[tuple[str, int]]]:
    row = msg_delivery_status.c
    place = func.strpos if not bulk.is_sqlite(tx) else func.instr
    scheme = func.substr(row.address, 1, place(row.address, ":") - 1).label("scheme")
    rows = select(row.message_id, scheme, func.count()).where(row.message_id.in_(message_ids), *_held)
    found: dict[int, list[tuple[str, int]]] = {number: [] for number in message_ids}
    for number, name, n in tx.execute(rows.group_by(row.message_id, scheme).order_by(scheme)):
        found[number].append((name, n))
    return found


def _unfinished(tx: Connection) -> set[int]:
    rows = select(job.c.work).where(job.c.kind == fanout.COPIES_JOB, job.c.state == "waiting")
    return {msgspec.json.decode(work)[0] for work in tx.scalars(rows)}


def decide(tx: Connection, actor: Viewer, message_id: int, send: bool, now: float) -> int:
    """Let go of some of a message's held copies, or cancel them; returns how many: 0, it is done.

    Raises:
        Refused: not all of them are written yet.
    """
    if message_id in _unfinished(tx):
        raise Refused("nothing was decided: the copies are still being put together; try again in a few seconds")
    row = msg_delivery_status.c
    chosen = select(row.id).where(row.message_id == message_id, *_held).order_by(row.id).limit(STEP)
    ids = list(tx.scalars(chosen))
    if not ids:
        return 0
    state, words = ("pending", f"{actor.name} let it go") if send else ("cancelled", f"{actor.name} cancelled it")
    _DECIDED.run(tx, [(number,) for number in ids], state=state, reason="" if send else words, now=now)
    _TOLD.run(tx, [(number,) for number in ids], state=state, words=words, now=now)
    return len(ids)


def note(tx: Connection, actor: Viewer, message_id: int, send: bool, copies: int, now: float) -> None:
    """Write down who decided."""
    act = "send copies" if send else "cancel copies"
    audit.note(tx, actor, act, f"message/{message_id}", {"copies": copies}, now)


_DECIDED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_delivery_status SET state = CAST(:state AS text), waits_for = '', reason = CAST(:reason AS text),
      next_attempt = CAST(:now AS double precision), changed_at = :now
    FROM r WHERE msg_delivery_status.id = r.id
    """,
    rows="id:int",
)
_TOLD = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    INSERT INTO msg_delivery_event (delivery_id, at, attempt, state, words)
    SELECT r.id, CAST(:now AS double precision), 0, CAST(:state AS text), CAST(:words AS text) FROM r
    """,
    rows="id:int",
)
