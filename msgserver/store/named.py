"""What records are called, for the parser's index of names: all of them, or what changed since."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from msgserver.records import Named
from msgserver.store.counting import bump
from msgserver.store.schema import counter, resource_record

NAMES = "names"
_SLACK = 600.0  # seconds that the clocks of several processes may differ


def told(tx: Connection) -> None:
    """Let parsers know that a record was made, renamed or removed: what is being planned is planned again."""
    bump(tx, NAMES)
    bump(tx, "rules")


class Changes(msgspec.Struct, frozen=True):
    """What an index of names needs to be as the store is. ``whole``: ``records`` are all there are."""

    version: int
    newest: float  # the latest change there is
    total: int  # records there are
    records: tuple[Named, ...] = ()
    whole: bool = False


def changes(tx: Connection, version: int = -1, newest: float = 0.0) -> Changes | None:
    """What has changed since an index was at ``version`` and its latest change ``newest``; None: nothing.

    -1 asks for everything. Records that are gone are not named: the index has more than ``total`` then.
    """
    held = select(counter.c.value).where(counter.c.name == NAMES, counter.c.key == "", counter.c.user_id == 0)
    current = int(tx.scalar(held) or 0)
    if current == version:
        return None
    row = resource_record.c
    rows = select(row.uid, row.resource, row.name, row.code, row.aliases, row.version)
    if version >= 0:
        rows = rows.where(row.changed_at >= newest - _SLACK)
    found = tuple(_named(one) for one in tx.execute(rows))
    latest, total = tx.execute(select(func.coalesce(func.max(row.changed_at), 0.0), func.count())).one()
    return Changes(current, float(latest), total, found, version < 0)


def _named(row: Any) -> Named:
    aliases = msgspec.json.decode(row.aliases, type=tuple[str, ...])
    return Named(row.uid, row.resource, row.name, row.code, aliases, row.version)
