"""Kept numbers: versions that go up by one, and totals."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, func, select

from msgserver.store.schema import counter, msg_log, msg_tag
from msgserver.store.upsert import inserting


def add(tx: Connection, name: str, amounts: Mapping[str, int], user_id: int = 0) -> None:
    """Add to counters of one name, by their keys."""
    rows = [{"name": name, "key": key, "user_id": user_id, "value": by} for key, by in sorted(amounts.items()) if by]
    if not rows:
        return
    added = inserting(tx, counter).values(rows)
    tx.execute(
        added.on_conflict_do_update(
            index_elements=[counter.c.name, counter.c.key, counter.c.user_id],
            set_={"value": counter.c.value + added.excluded.value},
        )
    )


def count_tags(tx: Connection, which: ColumnElement[bool], by: int) -> None:
    """Add ``by`` to the totals of all tags on incoming messages that ``which`` names (a condition on both tables)."""
    rows = (
        select(msg_tag.c.resource, msg_tag.c.record, func.count())
        .join(msg_log, msg_log.c.id == msg_tag.c.message_id)
        .where(msg_log.c.direction == "in", which)
        .group_by(msg_tag.c.resource, msg_tag.c.record)
    )
    add(tx, "total", {f"{resource}/{record}": by * count for resource, record, count in tx.execute(rows)})


def bump(tx: Connection, name: str) -> None:
    """Count a version up by one."""
    add(tx, name, {"": 1})
