"""Deliveries put right by the clock, after a crash, and by people's hands."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, text

from msgserver.records import DeliveryState, Viewer
from msgserver.store import audit, bulk
from msgserver.store.edits import Refused
from msgserver.store.fanout import lanes, serving

SILENCE = 60.0  # seconds without a heartbeat after which a node is dead
REPORTS_KEPT = 24 * 3600.0
_LOST = "the hub ended while this was being sent: it may or may not have arrived"

# Every change writes its event first, from the rows as they are; both statements name the rows alike.
_ABANDONED = "state = 'claimed' AND node = :node"
_EXPIRED = "state IN ('pending', 'held') AND expires <= :now"


def _all(tx: Connection, where: str, state: str, words: str, change: str = "", **values: object) -> int:
    """Move every row that ``where`` names to a state, with an event each; returns how many."""
    parameters = {"to": state, "words": words, **values}
    tx.execute(
        text(
            "INSERT INTO msg_delivery_event (delivery_id, at, attempt, state, words, node)"  # noqa: S608
            f" SELECT id, :now, attempt, CAST(:to AS text), CAST(:words AS text), node"
            f" FROM msg_delivery_status WHERE {where} ORDER BY id"
        ),
        parameters,
    )
    moved = tx.execute(
        text(
            "UPDATE msg_delivery_status SET state = CAST(:to AS text), reason = CAST(:words AS text),"  # noqa: S608
            f" changed_at = :now, node = ''{change} WHERE {where}"
        ),
        parameters,
    )
    return moved.rowcount


def abandon(tx: Connection, node: str, now: float) -> int:
    """A node died (or starts anew): nobody knows what became of its claims, so they are ``unknown``."""
    return _all(tx, _ABANDONED, "unknown", _LOST, ", next_attempt = :now", node=node, now=now)


def heartbeat(tx: Connection, node: str, now: float) -> int:
    """Say that a node lives; the claims of those that were silent for a minute become unknown: how many."""
    tx.execute(
        text(
            "INSERT INTO node (name, started_at, seen_at) VALUES (:node, :now, :now)"
            " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at"
        ),
        {"node": node, "now": now},
    )
    dead = tx.execute(
        text(
            "SELECT DISTINCT d.node FROM msg_delivery_status d LEFT JOIN node n ON n.name = d.node"
            " WHERE d.state = 'claimed' AND d.node <> :node AND d.changed_at < :silent"
            " AND (n.seen_at IS NULL OR n.seen_at < :silent)"
        ),
        {"node": node, "silent": now - SILENCE},
    ).scalars()
    return sum(abandon(tx, name, now) for name in list(dead))


def sweep_unknown(tx: Connection, connectors_that_repeat: list[str], now: float) -> int:
    """Unknown sends of connectors whose far sides know a repeat as one are sent again when their time comes.

    One that has no time waits for a person.
    """
    where = "state = 'unknown' AND connector = :connector AND next_attempt <= :now"
    words = "sent again: the far side knows a repeat as one"
    return sum(
        _all(tx, where, "pending", words, ", next_attempt = :now", connector=name, now=now)
        for name in sorted(connectors_that_repeat)
    )


def expire(tx: Connection, now: float) -> int:
    """End what was not sent in time; and let go on what was held for want of a connector that is there now.

    Returns how many rows changed. Reports that nobody matched within 24 h are forgotten.
    """
    tx.execute(text("DELETE FROM report_waiting WHERE at < :old"), {"old": now - REPORTS_KEPT})
    changed = 0
    if tx.execute(text(f"SELECT 1 FROM msg_delivery_status WHERE {_EXPIRED} LIMIT 1"), {"now": now}).first():  # noqa: S608
        changed = _all(tx, _EXPIRED, "expired", "it was not sent in time", now=now)
    return changed + release(tx, now)


_HELD = "state = 'held' AND waits_for = '' AND connector = '' AND alert_id IS NULL"


def release(tx: Connection, now: float) -> int:
    """Give held deliveries to the connector that serves their scheme now; returns how many."""
    if not tx.execute(text(f"SELECT 1 FROM msg_delivery_status WHERE {_HELD} LIMIT 1")).first():  # noqa: S608
        return 0
    return sum(
        _all(
            tx,
            f"{_HELD} AND address LIKE :scheme",
            "pending",
            "",
            ", next_attempt = :now, connector = CAST(:connector AS text)",
            scheme=f"{scheme}:%",
            connector=connector,
            now=now,
        )
        for scheme, connector in sorted(lanes(tx).items())
    )


def hand_over(tx: Connection, connector: str, now: float) -> int:
    """A connector is gone: what waits for it goes to the one that serves its address now, or is held; how many."""
    served = sorted((scheme, name) for scheme, name in lanes(tx).items() if name != connector)
    where = "state = 'pending' AND connector = :gone AND address LIKE :scheme"
    words = f"connector {connector} is no longer configured"
    change = ", next_attempt = :now, connector = CAST(:connector AS text)"
    moved = sum(
        _all(tx, where, "pending", words, change, gone=connector, scheme=f"{scheme}:%", connector=name, now=now)
        for scheme, name in served
    )
    left = "state = 'pending' AND connector = :gone AND alert_id IS NULL"
    return moved + _all(tx, left, "held", words, ", connector = ''", gone=connector, now=now)


# --- by hand ----------


class _Row(msgspec.Struct):
    state: DeliveryState
    address: str
    connector: str


def _row(tx: Connection, delivery_id: int) -> _Row:
    lock = "" if bulk.is_sqlite(tx) else " FOR UPDATE"
    query = f"SELECT state, address, connector FROM msg_delivery_status WHERE id = :id{lock}"  # noqa: S608
    row = tx.execute(text(query), {"id": delivery_id}).one_or_none()
    if row is None:
        raise Refused(f"there is no delivery {delivery_id}")
    return _Row(DeliveryState(row[0]), *row[1:])


def retry(tx: Connection, actor: Viewer, delivery_id: int, now: float) -> int:
    """Send it again now. What had ended stays as it is in the log, and a new delivery is made; returns which one.

    It goes by its own connector, or where that is gone by the one that serves the address now.

    Raises:
        Refused: it is on its way or arrived, the address asked for no more, or no connector sends there.
    """
    row = _row(tx, delivery_id)
    if row.state in (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.CLAIMED):
        raise Refused(f"this is {row.state} already: write a new message if it shall go out once more")
    if row.state is DeliveryState.SUPPRESSED:
        raise Refused("this address asked for no more messages: it must ask for them again itself")
    scheme = row.address.partition(":")[0]
    connector = row.connector if (row.connector, scheme) in serving(tx) else lanes(tx).get(scheme, "")
    if not connector:
        raise Refused(f"no connector sends {scheme}: now: set one up, and what is held goes out by itself")
    words = f"{actor.name} had it sent again"
    if row.state in (DeliveryState.HELD, DeliveryState.PENDING, DeliveryState.UNKNOWN):
        change = ", next_attempt = :now, not_before = NULL, waits_for = '', connector = CAST(:connector AS text)"
        _all(tx, "id = :id", "pending", words, change, id=delivery_id, connector=connector, now=now)
        again = delivery_id
    else:
        [again] = bulk.take_ids(tx, "msg_delivery_status", 1)
        tx.execute(text(_AGAIN), {"again": again, "id": delivery_id, "connector": connector, "now": now, "why": words})
    audit.note(tx, actor, "delivery.retry", f"delivery/{delivery_id}", {"again": again}, now)
    return again


_AGAIN = """
    INSERT INTO msg_delivery_status (id, message_id, ticket_id, address, step, entity_id, pe_contact_id, alert_id,
      subscription_id, why, connector, state, priority, next_attempt, created_at, changed_at, reason)
    SELECT CAST(:again AS bigint), d.message_id, d.ticket_id, d.address,
      (SELECT max(o.step) + 1 FROM msg_delivery_status o WHERE o.message_id = d.message_id AND o.address = d.address),
      d.entity_id, d.pe_contact_id, d.alert_id, d.subscription_id, d.why, CAST(:connector AS text), 'pending',
      d.priority, :now, :now, :now, CAST(:why AS text)
    FROM msg_delivery_status d WHERE d.id = :id
"""


def cancel(tx: Connection, actor: Viewer, delivery_id: int, now: float) -> None:
    """Never send it (again).

    Raises:
        Refused: it is being sent just now, or has ended.
    """
    row = _row(tx, delivery_id)
    if row.state is DeliveryState.CLAIMED:
        raise Refused("it is being sent just now: look again in a minute")
    if row.state not in (DeliveryState.HELD, DeliveryState.PENDING, DeliveryState.UNKNOWN):
        raise Refused(f"this is {row.state} already: nothing is left to cancel")
    _all(tx, "id = :id", "cancelled", f"{actor.name} cancelled it", id=delivery_id, now=now)
    audit.note(tx, actor, "delivery.cancel", f"delivery/{delivery_id}", {}, now)


def take_back(tx: Connection, actor: Viewer, where: str, now: float, **values: Any) -> int:
    """Never send those of the deliveries that ``where`` (SQL of ours) names which have not gone out yet; how many."""
    waiting = f"state IN ('pending', 'held') AND {where}"
    return _all(tx, waiting, "cancelled", f"{actor.name} took it back", now=now, **values)
