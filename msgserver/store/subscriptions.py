"""Who wants copies of what: a resource type, a record, a tag, a saved search; by which channel; now or as a digest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from msgserver.records import HUB, Subscription, Viewer
from msgserver.store import audit, consent, people, saved, visible
from msgserver.store.edits import Refused
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import pe_entity, pe_left, pe_subscription, resource_record
from msgserver.store.upsert import inserting

DIGESTS = ("", "hourly", "daily")
_COLUMNS = [pe_subscription.c[name] for name in Subscription.__struct_fields__]


def _subscription(row: Any) -> Subscription:
    return Subscription(**row._mapping)


def _visible(viewer: Viewer) -> Any:
    """What lies in the viewer's scopes, and one's own."""
    row = pe_subscription.c
    scope = visible.in_scope(viewer, row.resource, row.record)
    return scope if viewer.entity_id is None else or_(scope, row.pr_pe_id == viewer.entity_id)


def subscriptions(
    tx: Connection,
    viewer: Viewer,
    pr_pe_id: int | None = None,
    resource: str = "",
    record: str | None = None,
    cursor_word: str = "",
    limit: int = 100,
) -> Page[Subscription]:
    """Subscriptions that may be seen, oldest first: somebody's, or to a type, or to a record."""
    row = pe_subscription.c
    rows = select(*_COLUMNS).where(_visible(viewer))
    if pr_pe_id is not None:
        rows = rows.where(row.pr_pe_id == pr_pe_id)
    if resource:
        rows = rows.where(row.resource == resource)
    if record is not None:
        rows = rows.where(row.record == record)
    after = position(cursor_word, int)
    if after is not None:
        rows = rows.where(row.id > after[0])
    limit = size(limit)
    items = [_subscription(one) for one in tx.execute(rows.order_by(row.id).limit(limit + 1))]
    return Page(tuple(items[:limit]), cursor(items[limit - 1].id) if len(items) > limit else "")


def subscription(tx: Connection, viewer: Viewer, subscription_id: int) -> Subscription | None:
    """One of them; None where there is none or the viewer may not see it."""
    rows = select(*_COLUMNS).where(pe_subscription.c.id == subscription_id, _visible(viewer))
    row = tx.execute(rows).one_or_none()
    return None if row is None else _subscription(row)


def subscribe(
    tx: Connection,
    actor: Viewer,
    pr_pe_id: int,
    resource: str,
    record: str,
    now: float,
    channel: str = "",
    digest: str = "",
    quiet_from: int | None = None,
    quiet_until: int | None = None,
) -> Subscription | None:
    """Let an entity have copies; once more with the same channel changes the digest and the quiet hours.

    ``channel`` is an address scheme, empty for the preferred address; quiet hours are minutes after midnight where
    the recipient lives. A person whom somebody else subscribes, by an address that nobody has verified, is asked first
    (``asked_at``, see ``store.consent``). None where the actor may not see the entity.

    Raises:
        Refused: what was chosen is not to be had.
    """
    _check(digest, quiet_from, quiet_until)
    if pr_pe_id != actor.entity_id and people.entity(tx, actor, pr_pe_id) is None:
        return None
    record = _target(tx, actor, resource, record)
    row = pe_subscription.c
    same = and_(row.pr_pe_id == pr_pe_id, row.resource == resource, row.record == record, row.channel == channel)
    values: dict[str, Any] = {"digest": digest, "quiet_from": quiet_from, "quiet_until": quiet_until}
    if pr_pe_id != actor.entity_id:
        values["creator_id"] = actor.user_id or None  # by whose right it sends, from now on
    found = tx.execute(update(pe_subscription).where(same).values(**values).returning(*_COLUMNS)).one_or_none()
    if found is None:
        what = {"pr_pe_id": pr_pe_id, "resource": resource, "record": record, "channel": channel}
        values["creator_id"] = actor.user_id or None
        if actor.user_id and pr_pe_id != actor.entity_id and consent.wanted(tx, pr_pe_id, channel):
            values["asked_at"] = now
        made = insert(pe_subscription).values(created_at=now, **what, **values)
        found = tx.execute(made.returning(*_COLUMNS)).one()
    detail = {"resource": resource, "record": record, "channel": channel, "digest": digest}
    audit.note(tx, actor, "subscribe", f"entity/{pr_pe_id}", detail, now)
    return _subscription(found)


def _check(digest: str, quiet_from: int | None, quiet_until: int | None) -> None:
    if digest not in DIGESTS:
        raise Refused(f"Nothing was saved: copies come at once, hourly or daily, not {digest!r}.")
    if (quiet_from is None) != (quiet_until is None) or not all(
        hour is None or 0 <= hour < 24 * 60 for hour in (quiet_from, quiet_until)
    ):
        raise Refused("Nothing was saved: give both ends of the quiet hours, from 00:00 to 23:59.")


def _target(tx: Connection, actor: Viewer, resource: str, record: str) -> str:
    """What to subscribe to, checked; of a saved search its number."""
    if not resource:
        raise Refused("Nothing was saved: choose what to subscribe to.")
    if resource != saved.SEARCH:
        return record
    view = saved.saved(tx, actor, int(record)) if record.isdecimal() and len(record) < 16 else None
    if view is None or view.user_id is not None:
        raise Refused("Nothing was saved: there is no such saved search for everybody. Save it for everybody first.")
    saved.check_watchable(view.query)
    return str(view.id)


def change(
    tx: Connection,
    actor: Viewer,
    subscription_id: int,
    digest: str,
    quiet_from: int | None,
    quiet_until: int | None,
    now: float,
) -> Subscription | None:
    """Give a subscription another digest and other quiet hours; None where there is none that the actor may see.

    Raises:
        Refused: they are not to be had.
    """
    _check(digest, quiet_from, quiet_until)
    before = subscription(tx, actor, subscription_id)
    if before is None:
        return None
    values: dict[str, Any] = {"digest": digest, "quiet_from": quiet_from, "quiet_until": quiet_until}
    if before.pr_pe_id != actor.entity_id:
        values["creator_id"] = actor.user_id or None
    changed = update(pe_subscription).where(pe_subscription.c.id == subscription_id).values(**values)
    row = tx.execute(changed.returning(*_COLUMNS)).one()
    detail = {"subscription": subscription_id, "digest": digest, "quiet_from": quiet_from, "quiet_until": quiet_until}
    audit.note(tx, actor, "change subscription", f"entity/{before.pr_pe_id}", detail, now)
    return _subscription(row)


def unsubscribe(tx: Connection, actor: Viewer, subscription_id: int, now: float) -> bool:
    """End a subscription; False where there is none that the actor may see."""
    found = subscription(tx, actor, subscription_id)
    if found is None:
        return False
    tx.execute(delete(pe_left).where(pe_left.c.subscription_id == subscription_id))
    tx.execute(delete(pe_subscription).where(pe_subscription.c.id == subscription_id))
    detail = {"resource": found.resource, "record": found.record, "channel": found.channel}
    audit.note(tx, actor, "unsubscribe", f"entity/{found.pr_pe_id}", detail, now)
    return True


def unsubscribe_from(tx: Connection, actor: Viewer, pr_pe_id: int, resource: str, record: str, now: float) -> int:
    """End all of an entity's subscriptions to one thing (UNSUBSCRIBE by text message). Returns how many."""
    row = pe_subscription.c
    gone = delete(pe_subscription).where(row.pr_pe_id == pr_pe_id, row.resource == resource, row.record == record)
    ended = tx.execute(gone).rowcount
    if ended:
        audit.note(tx, actor, "unsubscribe", f"entity/{pr_pe_id}", {"resource": resource, "record": record}, now)
    return ended


def subscribers(
    tx: Connection, viewer: Viewer, resource: str, record: str = "", cursor_word: str = "", limit: int = 50
) -> Page[tuple[Subscription, str]]:
    """Who has copies of what is routed to a record (those of its whole type included), with their names, by name."""
    row = pe_subscription.c
    rows = (
        select(*_COLUMNS, pe_entity.c.name, pe_entity.c.name_folded)
        .join(pe_entity, pe_entity.c.id == row.pr_pe_id)
        .where(row.resource == resource, row.record.in_(["", record]), _visible(viewer))
    )
    after = position(cursor_word, str, int)
    if after is not None:
        name, last = after
        folded = pe_entity.c.name_folded
        rows = rows.where(folded >= name, or_(folded > name, row.id > last))
    limit = size(limit)
    found = list(tx.execute(rows.order_by(pe_entity.c.name_folded, row.id).limit(limit + 1)))
    items = [
        (Subscription(**{name: getattr(one, name) for name in Subscription.__struct_fields__}), one.name)
        for one in found[:limit]
    ]
    following = cursor(found[limit - 1].name_folded, found[limit - 1].id) if len(found) > limit else ""
    return Page(tuple(items), following)


def topic(tx: Connection, subscription_id: int) -> str | None:
    """What a subscription is to, for people; None where there is no such (any more)."""
    row = pe_subscription.c
    named = (
        select(resource_record.c.name).where(resource_record.c.uid == row.record, row.record != "").scalar_subquery()
    )
    asked = select(func.coalesce(named, func.nullif(row.record, ""), row.resource)).where(row.id == subscription_id)
    found: str | None = tx.scalar(asked)
    return found


def leave(tx: Connection, subscription_id: int, entity_id: int, now: float) -> str | None:
    """End one's own subscription, or of a group's the copies for one who is in it; asked for by a signed link.

    Returns what it was to; None where there is no such (any more), so that a repeat is harmless.
    """
    name = topic(tx, subscription_id)
    owner = tx.scalar(select(pe_subscription.c.pr_pe_id).where(pe_subscription.c.id == subscription_id))
    if name is None or owner is None:
        return None
    if entity_id in (0, owner):
        tx.execute(delete(pe_left).where(pe_left.c.subscription_id == subscription_id))
        tx.execute(delete(pe_subscription).where(pe_subscription.c.id == subscription_id))
    else:
        row = {"subscription_id": subscription_id, "entity_id": entity_id, "at": now}
        tx.execute(inserting(tx, pe_left).values(**row).on_conflict_do_nothing())
    audit.note(tx, HUB, "unsubscribe", f"entity/{entity_id or owner}", {"to": name, "by": "a signed link"}, now)
    return name
