"""Small makers of what store tests need: people, subscriptions, connectors, plans."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from msgserver.message import Address
from msgserver.records import Hints, Plan, PlannedTag
from msgserver.store import bulk
from msgserver.store.schema import (
    connector_status,
    msg_raw,
    msg_raw_bytes,
    pe_contact,
    pe_entity,
    pe_membership,
    pe_subscription,
)

NOW = 1_000_000.0


def entity(tx: Connection, name: str, *addresses: str, kind: str = "person", **values: Any) -> int:
    """A person (or group) with addresses; returns its id."""
    [number] = tx.execute(
        pe_entity.insert()
        .values(uid=f"uid of {name}", kind=kind, name=name, created_at=0, **values)
        .returning(pe_entity.c.id)
    ).one()
    for address in addresses:
        contact(tx, number, address)
    return int(number)


def contact(tx: Connection, entity_id: int, address: str, **values: Any) -> None:
    scheme = address.partition(":")[0]
    tx.execute(pe_contact.insert().values(entity_id=entity_id, scheme=scheme, address=address, created_at=0, **values))


def member(tx: Connection, group: int, *members: int) -> None:
    for one in members:
        tx.execute(pe_membership.insert().values(group_id=group, member_id=one, at=0))


def subscribe(tx: Connection, entity_id: int, resource: str, record: str = "", **values: Any) -> None:
    tx.execute(
        pe_subscription.insert().values(pr_pe_id=entity_id, resource=resource, record=record, created_at=0, **values)
    )


def connector(tx: Connection, name: str, *schemes: str, **values: Any) -> None:
    tx.execute(connector_status.insert().values(name=name, schemes=bulk.encode(schemes), since=0, seen_at=0, **values))


def arrivals(tx: Connection, count: int = 1, connector: str = "modem1") -> list[int]:
    """Journalled arrivals; returns their ids."""
    ids = list(bulk.take_ids(tx, "msg_raw", count))
    rows = [(n, connector, f"wire {n}", "{}", 3, "0" * 64, NOW) for n in ids]
    columns = ("id", "connector", "wire_id", "envelope", "size", "sha256", "received_at")
    bulk.insert_rows(tx, msg_raw, columns, rows)
    bulk.insert_rows(tx, msg_raw_bytes, ("raw_id", "raw"), [(n, b"raw") for n in ids])
    return ids


_uids = iter(range(1, 1_000_000))


def plan(tx: Connection, sender: str | None = "sms:+1", **values: Any) -> Plan:
    """A plan for an arrival of its own; ``tags`` may be "resource/record" words."""
    tags = tuple(PlannedTag(*tag.split("/", 1)) for tag in values.pop("tags", ()))
    hints = Hints(**values.pop("hints", {}))
    address = Address.parse(sender) if sender is not None else None
    fields = {"connector": "modem1", "received_at": NOW, "body": "hello there", "search": "hello there"}
    uid = f"00000000-0000-4000-8000-{next(_uids):012}"
    return Plan(raw_id=arrivals(tx)[0], uid=uid, sender=address, tags=tags, hints=hints, **(fields | values))
