"""What becomes of deliveries: settled by lanes, reported by far sides, put right by the clock and by people.

A state never moves backwards: ``pending`` and ``claimed``, then ``unknown``, then ``sent``, then the final ones. A
settlement counts only for the attempt it was made for. A text of several parts is delivered when all its parts are.
``msg_delivery_event`` is only ever added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from msgserver.records import DeliveryState, ReportRow, Settlement
from msgserver.store import bulk
from msgserver.store.choosing import our_ref
from msgserver.store.claiming import claim, due
from msgserver.store.committing import place
from msgserver.store.schema import msg_delivery_event, msg_delivery_part, report_waiting
from msgserver.store.sweeping import abandon, cancel, expire, heartbeat, retry, sweep_unknown

__all__ = [
    "abandon",
    "cancel",
    "claim",
    "due",
    "expire",
    "heartbeat",
    "report",
    "retry",
    "settle",
    "sweep_unknown",
]

RANK = {
    DeliveryState.HELD: 0,
    DeliveryState.PENDING: 0,
    DeliveryState.CLAIMED: 0,
    DeliveryState.UNKNOWN: 1,
    DeliveryState.SENT: 2,
    DeliveryState.DELIVERED: 3,
    DeliveryState.FAILED: 3,
    DeliveryState.EXPIRED: 3,
    DeliveryState.CANCELLED: 3,
    DeliveryState.SUPPRESSED: 3,
}

DELAYED = "delayed: "  # how the reason of a delivery begins that is sent, and that the far side still tries to deliver
_EVENT = ("delivery_id", "at", "attempt", "state", "words", "node")
_PART = ("delivery_id", "part", "connector", "wire_id", "attempt", "state", "at")

# --- how an attempt ended ----------

_FENCED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.i AS i, d.state AS state, d.connector AS connector, d.node AS node
    FROM msg_delivery_status d JOIN r ON d.id = r.id AND d.attempt = r.attempt
    ORDER BY d.id {lock}
    """,
    rows="i:int id:int attempt:int",
    out="i state connector node",
    lock=("", "FOR UPDATE OF d"),
)

_SETTLED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_delivery_status SET state = r.state, attempt = msg_delivery_status.attempt - r.unused,
      reason = r.reason, next_attempt = r.next_attempt, node = '', text_hash = r.text_hash, changed_at = r.at
    FROM r WHERE msg_delivery_status.id = r.id
    """,
    rows="id:int state:text unused:int reason:text next_attempt:float text_hash:text at:float",
)

_BOUNCED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE pe_contact SET bouncing_at = r.at, bounce_words = r.words
    FROM r JOIN msg_delivery_status d ON d.id = r.id WHERE pe_contact.address = d.address
    """,
    rows="id:int words:text at:float",
)

_EARLY = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT DISTINCT w.id AS id, w.report AS report FROM r JOIN report_waiting w
      ON w.wire_id = r.wire_id AND (w.connector = r.connector OR r.wire_id LIKE '%@%') ORDER BY w.id
    """,
    rows="connector:text wire_id:text",
    out="id report",
)

_FORGET = bulk.Statement(
    "WITH r AS MATERIALIZED ({rows}) DELETE FROM report_waiting WHERE id IN (SELECT id FROM r)", rows="id:int"
)


@place("C4")
def settle(tx: Connection, items: list[Settlement]) -> list[bool]:
    """Write how attempts ended; False where the attempt was not the last claim any more, and nothing was written.

    A report that ran ahead of its settlement has already moved the state; then only the wire ids are added.
    """
    fenced: dict[int, list[Any]] = {}
    asked = [(i, item.delivery_id, item.attempt) for i, item in enumerate(items)]
    for i, *rest in _FENCED.fetch(tx, asked):
        fenced[i] = rest
    results = [False] * len(items)
    changes, events, parts, bounces, sent = [], [], [], [], []
    seen: set[int] = set()
    for i, item in enumerate(items):
        if i not in fenced or item.delivery_id in seen:
            continue
        state, connector, node = fenced[i]
        open_claim = state in (DeliveryState.CLAIMED, DeliveryState.UNKNOWN)
        if not open_claim and RANK[state] < RANK[DeliveryState.SENT]:
            continue
        seen.add(item.delivery_id)
        results[i] = True
        reason = bulk.clean(item.reason)
        if open_claim:
            unused = 0 if item.uses_attempt else 1
            changes.append((
                item.delivery_id, item.state, unused, reason, item.next_attempt, item.text_hash, item.at
            ))  # fmt: skip
            events.append((item.delivery_id, item.at, item.attempt, str(item.state), reason, node))
        for number, wire_id in enumerate(item.wire_ids, 1):
            parts.append((item.delivery_id, number, connector, bulk.clean(wire_id), item.attempt, "sent", item.at))
            sent.append((connector, wire_id))
        if item.bad_address:
            bounces.append((item.delivery_id, reason, item.at))
    if changes:
        _SETTLED.run(tx, sorted(changes))
    bulk.insert_rows(tx, msg_delivery_event, _EVENT, events)
    bulk.insert_rows(tx, msg_delivery_part, _PART, parts)
    if bounces:
        _BOUNCED.run(tx, bounces)
    if sent:
        _match_early_reports(tx, sent)
    return results


def _match_early_reports(tx: Connection, sent: Sequence[bulk.Row]) -> None:
    early = _EARLY.fetch(tx, sent)
    if early:
        _FORGET.run(tx, [(number,) for number, _ in early])
        report(tx, [msgspec.json.decode(words, type=ReportRow) for _, words in early])


# --- what far sides say later ----------

_NAMED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows}),
    named AS (
      SELECT r.i AS i, p.delivery_id AS delivery_id, p.attempt AS attempt, p.part AS part, p.id AS place
        FROM r JOIN msg_delivery_part p
          ON p.wire_id = r.wire_id AND (p.connector = r.connector OR r.wire_id LIKE '%@%')
      UNION ALL
      SELECT r.i, d.id, d.attempt, r.part, 0 FROM r JOIN msg_delivery_status d ON d.id = r.delivery_id
        JOIN msg_log m ON m.id = d.message_id AND substr(m.uid, 25) = r.uid
    )
    SELECT i, delivery_id, attempt, part FROM named ORDER BY i, place DESC
    """,
    rows="i:int connector:text wire_id:text delivery_id:int uid:text part:int",
    out="i delivery_id attempt part",
)

_DELIVERIES = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT d.id AS id, d.state AS state, d.attempt AS attempt, d.address AS address
    FROM msg_delivery_status d JOIN r ON d.id = r.id ORDER BY d.id {lock}
    """,
    rows="id:int",
    out="id state attempt address",
    lock=("", "FOR UPDATE OF d"),
)

_PARTS = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT p.delivery_id AS delivery_id, p.attempt AS attempt, p.part AS part, p.id AS id, p.state AS state
    FROM r JOIN msg_delivery_part p ON p.delivery_id = r.id
    """,
    rows="id:int",
    out="delivery_id attempt part id state",
)

_PART_STATE = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_delivery_part SET state = r.state, at = r.at FROM r WHERE msg_delivery_part.id = r.id
    """,
    rows="id:int state:text at:float",
)

_MOVED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_delivery_status SET state = r.state, reason = r.reason, next_attempt = NULL, changed_at = r.at
    FROM r WHERE msg_delivery_status.id = r.id
    """,
    rows="id:int state:text reason:text at:float",
)


class _Told(msgspec.Struct):
    """A delivery while reports are taken in."""

    state: DeliveryState
    attempt: int
    address: str
    parts: dict[tuple[int, int], list[Any]] = {}  # (attempt, part) -> [row id, state]
    moved: tuple[str, float] | None = None


@place("C4")
def report(tx: Connection, rows: list[ReportRow]) -> list[bool]:
    """Take in what far sides say; False where nothing we sent has that name: kept 24 h, matched when it settles."""
    asked = []
    for i, row in enumerate(rows):
        delivery_id, uid = our_ref(row.ref)
        asked.append((i, row.connector, row.wire_id or None, delivery_id, uid, row.part))
    named: dict[int, list[tuple[int, int, int | None]]] = {}
    for i, delivery_id, attempt, part in _NAMED.fetch(tx, asked):
        named.setdefault(i, []).append((delivery_id, attempt, part))
    told = _load(tx, sorted({delivery_id for found in named.values() for delivery_id, _, _ in found}))
    events: list[bulk.Row] = []
    part_changes: dict[int, bulk.Row] = {}
    waiting: list[bulk.Row] = []
    bounces: list[bulk.Row] = []
    results = []
    for i, row in enumerate(rows):
        which = _which(row, named.get(i, ()), told)
        results.append(which is not None)
        if which is None:
            if row.wire_id:
                words = bulk.clean(msgspec.json.encode(row).decode())
                waiting.append((row.connector, bulk.clean(row.wire_id), bulk.clean(row.ref), words, row.at))
            continue
        delivery_id, attempt, part = which
        _take_in(told[delivery_id], row, attempt, part, part_changes)
        said = "report delayed" if row.delayed else f"report {row.state}"
        events.append((delivery_id, row.at, attempt, said, bulk.clean(row.words), ""))
        if row.bad_address and told[delivery_id].state == DeliveryState.FAILED:
            bounces.append((delivery_id, bulk.clean(row.words), row.at))
    if part_changes:
        _PART_STATE.run(tx, [part_changes[number] for number in sorted(part_changes)])
    moved = [(n, str(one.state), *one.moved) for n, one in sorted(told.items()) if one.moved is not None]
    if moved:
        _MOVED.run(tx, moved)
    if bounces:
        _BOUNCED.run(tx, sorted(bounces, key=lambda row: row[0]))
    bulk.insert_rows(tx, msg_delivery_event, _EVENT, events)
    bulk.insert_rows(tx, report_waiting, ("connector", "wire_id", "ref", "report", "at"), waiting)
    return results


def _load(tx: Connection, ids: Sequence[int]) -> dict[int, _Told]:
    if not ids:
        return {}
    rows = [(number,) for number in ids]
    told = {
        number: _Told(DeliveryState(state), attempt, address)
        for number, state, attempt, address in _DELIVERIES.fetch(tx, rows)
    }
    for delivery_id, attempt, part, part_id, state in _PARTS.fetch(tx, rows):
        told[delivery_id].parts[attempt, part] = [part_id, state]
    return told


def _which(
    row: ReportRow, found: Sequence[tuple[int, int, int | None]], told: dict[int, _Told]
) -> tuple[int, int, int | None] | None:
    """Of the sends a report may name (newest first), the one it means: its recipient's, where it names several."""
    if len({delivery_id for delivery_id, _, _ in found}) > 1 and row.recipient:
        found = [one for one in found if told[one[0]].address == row.recipient]
    return found[0] if found else None


def _take_in(one: _Told, row: ReportRow, attempt: int, part: int | None, part_changes: dict[int, bulk.Row]) -> None:
    """Move a part, and its delivery where that says enough."""
    siblings = {number: entry for (n, number), entry in one.parts.items() if n == attempt}
    entry = siblings.get(part) if part is not None else None
    if entry is not None and RANK[DeliveryState(entry[1])] < RANK[row.state]:
        entry[1] = str(row.state)
        part_changes[entry[0]] = (entry[0], str(row.state), row.at)
    if row.state == DeliveryState.DELIVERED and entry is not None:
        if any(state != DeliveryState.DELIVERED for _, state in siblings.values()):
            return
    elif row.state != DeliveryState.DELIVERED and attempt < one.attempt:
        return  # an earlier attempt failed; a later one is under way
    if row.delayed and one.state == DeliveryState.SENT:
        one.moved = (f"{DELAYED}{bulk.clean(row.words)}", row.at)
    if RANK[row.state] > RANK[one.state]:
        one.state = row.state
        words = bulk.clean(row.words) if row.state != DeliveryState.DELIVERED else ""
        one.moved = (words, row.at)
