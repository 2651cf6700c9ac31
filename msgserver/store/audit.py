"""Who did what, when: one row for each edit a person makes, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from msgserver.records import Viewer
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import audit, auth_user


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit; ``user_id`` 0 is the hub itself."""

    id: int
    at: float
    user_id: int
    user: str
    act: str
    object: str
    detail: dict[str, Any]


def note(
    tx: Connection, actor: Viewer, act: str, thing: str, detail: Mapping[str, Any] | None = None, now: float = 0.0
) -> None:
    """Write down an act on a thing ("ticket/42"). Never put secrets or message texts into ``detail``."""
    written = msgspec.json.encode(dict(detail or {})).decode()
    tx.execute(insert(audit).values(at=now, user_id=actor.user_id, act=act, object=thing, detail=written))


def entries(
    tx: Connection,
    *,
    thing: str = "",
    user_id: int | None = None,
    act: str = "",
    cursor_word: str = "",
    limit: int = 100,
) -> Page[Entry]:
    """The newest lines, narrowed by whatever is given; a ``thing`` may end in ``*``.

    Whether somebody may look is the caller's to ask.
    """
    rows = select(audit, auth_user.c.name.label("user")).outerjoin(auth_user, auth_user.c.id == audit.c.user_id)
    if thing.endswith("*"):
        start = thing[:-1]
        rows = rows.where(audit.c.object >= start, audit.c.object < f"{start}\U0010ffff")
    elif thing:
        rows = rows.where(audit.c.object == thing)
    if user_id is not None:
        rows = rows.where(audit.c.user_id == user_id)
    if act:
        rows = rows.where(audit.c.act == act)
    after = position(cursor_word, int)
    if after is not None:
        rows = rows.where(audit.c.id < after[0])
    limit = size(limit)
    items = [_entry(row) for row in tx.execute(rows.order_by(audit.c.id.desc()).limit(limit + 1))]
    return Page(tuple(items[:limit]), cursor(items[limit - 1].id) if len(items) > limit else "")


def acts(tx: Connection) -> list[str]:
    """Every act there is a line of, by name: found by skipping from one to the next in the index."""
    found: list[str] = []
    last: str | None = ""
    while last is not None and len(found) < 500:
        last = tx.scalar(select(audit.c.act).where(audit.c.act > last).order_by(audit.c.act).limit(1))
        if last is not None:
            found.append(last)
    return found


def _entry(row: Any) -> Entry:
    values = dict(row._mapping)
    values["detail"] = msgspec.json.decode(values["detail"])
    values["user"] = values["user"] or ("the hub" if row.user_id == 0 else "a former user")
    return Entry(**values)
