"""Words kept for their writer: saved searches (one's own or everybody's) and drafts that are not sent yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, or_, select, update

from msgserver.formats.query import parse, personal, unknowable
from msgserver.records import HUB, PlannedTag, Viewer
from msgserver.store import audit, bulk
from msgserver.store.edits import Refused
from msgserver.store.schema import draft, msg_log, pe_subscription, saved_view
from msgserver.store.search import answering, finding
from msgserver.store.upsert import put

SEARCH = "search"  # the resource under which a saved search is subscribed to, by its number
LONGEST_DRAFT = 1_000_000  # characters


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A search with a name; ``user_id`` None: everybody's."""

    id: int
    user_id: int | None
    name: str
    query: str
    created_at: float


def _view(row: Any) -> SavedView:
    return SavedView(**row._mapping)


def saved_views(tx: Connection, viewer: Viewer) -> list[SavedView]:
    """One's own and everybody's, by name."""
    row = saved_view.c
    rows = select(saved_view).where(or_(row.user_id == viewer.user_id, row.user_id.is_(None)))
    return [_view(one) for one in tx.execute(rows.order_by(row.name, row.id))]


def saved(tx: Connection, viewer: Viewer, view_id: int) -> SavedView | None:
    """One of them."""
    return next((one for one in saved_views(tx, viewer) if one.id == view_id), None)


def shared(tx: Connection) -> list[SavedView]:
    """Everybody's, which one may subscribe to; in the order in which they were made."""
    rows = select(saved_view).where(saved_view.c.user_id.is_(None)).order_by(saved_view.c.id)
    return [_view(row) for row in tx.execute(rows)]


def save_view(tx: Connection, actor: Viewer, name: str, query: str, now: float, everybodys: bool = False) -> SavedView:
    """Keep a search.

    Raises:
        Refused: it has no name or asks nothing.
    """
    name, query = bulk.clean(" ".join(name.split())[:100]), bulk.clean(query.strip()[:1000])
    if not name or not query:
        raise Refused("Nothing was saved: give the search a name and some words.")
    row = {"user_id": None if everybodys else actor.user_id, "name": name, "query": query, "created_at": now}
    made = tx.execute(insert(saved_view).values(**row).returning(*saved_view.c)).one()
    audit.note(tx, actor, "save view", f"view/{made.id}", {"name": name, "shared": everybodys}, now)
    return _view(made)


def change_view(tx: Connection, actor: Viewer, view_id: int, name: str, query: str, now: float) -> SavedView | None:
    """Give it another name or other words; None where there is none for the actor.

    Raises:
        Refused: it has no name or asks nothing.
    """
    before = saved(tx, actor, view_id)
    if before is None:
        return None
    name, query = bulk.clean(" ".join(name.split())[:100]), bulk.clean(query.strip()[:1000])
    if not name or not query:
        raise Refused("Nothing was saved: give the search a name and some words.")
    if before.user_id is None and _subscribed(tx, view_id):
        check_watchable(query)
    changed = update(saved_view).where(saved_view.c.id == view_id).values(name=name, query=query)
    row = tx.execute(changed.returning(*saved_view.c)).one()
    audit.note(tx, actor, "change view", f"view/{view_id}", {"name": name}, now)
    return _view(row)


def remove_view(tx: Connection, actor: Viewer, view_id: int, now: float) -> bool:
    """Forget it.

    Raises:
        Refused: somebody has subscribed to it.
    """
    if saved(tx, actor, view_id) is None:
        return False
    if _subscribed(tx, view_id):
        raise Refused("Nothing was removed: somebody has subscribed to this search. End the subscriptions first.")
    tx.execute(delete(saved_view).where(saved_view.c.id == view_id))
    audit.note(tx, actor, "remove view", f"view/{view_id}", {}, now)
    return True


# --- saved searches that somebody subscribed to ----------


def check_watchable(query: str) -> None:
    """See that a search can be asked of a message while it is being routed.

    Raises:
        Refused: it finds other messages for each reader, or what no message is yet when it comes in.
    """
    tree = parse(query).tree
    if tree is None:
        raise Refused("Nothing was saved: this search asks for nothing.")
    if personal(tree):
        raise Refused("Nothing was saved: is:unread, is:read and me mean something else to everybody. Leave them out.")
    if unknowable(tree):
        raise Refused("Nothing was saved: no message has a status: or an id: yet when it comes in. Leave them out.")


def _subscribed(tx: Connection, view_id: int) -> bool:
    row = pe_subscription.c
    mine = select(row.id).where(row.resource == SEARCH, row.record == str(view_id))
    return tx.execute(mine.limit(1)).first() is not None


_SUBSCRIBED = bulk.Statement(
    "SELECT DISTINCT record AS record FROM pe_subscription WHERE resource = :search", out="record"
)


def watched(tx: Connection) -> list[SavedView]:
    """Everybody's searches that somebody has subscribed to."""
    numbers = [int(record) for (record,) in _SUBSCRIBED.fetch(tx, search=SEARCH) if record.isdecimal()]
    if not numbers:
        return []
    row = saved_view.c
    rows = select(saved_view).where(row.id.in_(numbers), row.user_id.is_(None))
    return [_view(one) for one in tx.execute(rows.order_by(row.id))]


def hits(tx: Connection, message_ids: Sequence[int]) -> dict[int, list[PlannedTag]]:
    """By which watched searches messages that have just been written are found: as tags."""
    found: dict[int, list[PlannedTag]] = {}
    for view in watched(tx):
        tree = parse(view.query).tree
        if tree is None:
            continue
        here = answering(finding(tx, tree, HUB))
        tag = PlannedTag(SEARCH, str(view.id), why=f"saved search “{view.name}”")
        for number in tx.scalars(select(msg_log.c.id).where(msg_log.c.id.in_(message_ids), here)):
            found.setdefault(number, []).append(tag)
    return found


# --- drafts ----------


def keep_draft(tx: Connection, actor: Viewer, place: str, content: dict[str, str], now: float) -> None:
    """Keep what somebody is writing in a place ("ticket/42", "new"); nothing written: forget it.

    Raises:
        Refused: it is longer than ``LONGEST_DRAFT``.
    """
    if not any(value.strip() for value in content.values()):
        drop_draft(tx, actor, place)
        return
    kept = {bulk.clean(key): bulk.clean(value) for key, value in content.items()}
    if sum(map(len, kept.values())) > LONGEST_DRAFT:
        raise Refused("This draft is too long to be kept here: keep a copy of it yourself before you leave the page.")
    key = {"user_id": actor.user_id, "place": place[:200]}
    put(tx, draft, key, {"content": msgspec.json.encode(kept).decode(), "changed_at": now})


def draft_of(tx: Connection, viewer: Viewer, place: str) -> dict[str, str]:
    """What one was writing there; empty where nothing."""
    row = draft.c
    kept = tx.scalar(select(row.content).where(row.user_id == viewer.user_id, row.place == place[:200]))
    return msgspec.json.decode(kept, type=dict[str, str]) if kept else {}


def drafts(tx: Connection, viewer: Viewer) -> list[tuple[str, float]]:
    """Where one has unsent words, and since when; latest first."""
    row = draft.c
    rows = select(row.place, row.changed_at).where(row.user_id == viewer.user_id).order_by(row.changed_at.desc())
    return [(one.place, one.changed_at) for one in tx.execute(rows)]


def drop_draft(tx: Connection, actor: Viewer, place: str) -> bool:
    """Forget a draft: it was sent, or is not wanted."""
    row = draft.c
    gone = delete(draft).where(row.user_id == actor.user_id, row.place == place[:200])
    return tx.execute(gone).rowcount > 0
