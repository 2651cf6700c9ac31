"""One person kept twice: finding whom that may be true of, and making one of the two.

Nothing is lost by a merge: addresses, memberships, subscriptions, messages, tickets, deliveries, rules and the login
go over to the one that stays; what it has no value for it takes from the other, and the other's uid and number find it
from then on. It cannot be undone, so the history tells all that the other was.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from msgserver.formats.tokens import tokens
from msgserver.records import Entity, EntityKind, Viewer
from msgserver.store import audit, membership, people, rules, visible
from msgserver.store.edits import Refused
from msgserver.store.paging import size
from msgserver.store.schema import (
    auth_user,
    msg_delivery_status,
    msg_log,
    name_word,
    pe_contact,
    pe_entity,
    pe_left,
    pe_membership,
    pe_merged,
    pe_subscription,
    ticket,
)

SAME_ADDRESS = "the same address"
SAME_NAME = "the same name"
ALIKE = "a similar name"
_FILLED = ("language", "timezone", "quiet_from", "quiet_until")
_LOOKED_AT = 2000  # pairs that are looked at for one list: of a name that thousands bear, not all pairs there are


class Likely(msgspec.Struct, frozen=True, kw_only=True):
    """Two that may be one, the one that was known first in front; ``why``, and by which address or name."""

    first: Entity
    second: Entity
    why: str
    by: str


def likely(tx: Connection, viewer: Viewer, limit: int = 50) -> list[Likely]:
    """Pairs that share an address, then pairs that share a name; each pair once."""
    a, b = pe_contact.alias("a"), pe_contact.alias("b")
    shared = (
        select(a.c.entity_id.label("one"), b.c.entity_id.label("two"), literal(SAME_ADDRESS).label("why"))
        .add_columns(a.c.address.label("by"))
        .join(b, and_(b.c.address == a.c.address, b.c.entity_id > a.c.entity_id))
        .where(_seen(viewer, a.c.entity_id), _seen(viewer, b.c.entity_id))
    )
    p, q = pe_entity.alias("p"), pe_entity.alias("q")
    named = (
        select(p.c.id.label("one"), q.c.id.label("two"), literal(SAME_NAME).label("why"), p.c.name.label("by"))
        .join(q, and_(q.c.name_folded == p.c.name_folded, q.c.kind == p.c.kind, q.c.id > p.c.id))
        .where(p.c.name_folded != "", _seen(viewer, p.c.id), _seen(viewer, q.c.id))
    )
    limit = size(limit)
    pairs: dict[tuple[int, int], tuple[str, str]] = {}
    for rows in (shared, named):
        if len(pairs) < limit:
            for one, two, why, by in tx.execute(rows.limit(_LOOKED_AT)):
                pairs.setdefault((one, two), (why, by))
    chosen = list(pairs.items())[:limit]
    known = _entities(tx, {number for pair, _ in chosen for number in pair})
    return [
        Likely(first=known[one], second=known[two], why=why, by=by)
        for (one, two), (why, by) in chosen
        if known[one].kind == known[two].kind
    ]


def alike(tx: Connection, viewer: Viewer, entity_id: int, limit: int = 5) -> list[Likely]:
    """Whom somebody may be the same as: by an address, or by a name of the same words in any order."""
    one = people.entity(tx, viewer, entity_id)
    if one is None:
        return []
    mine = select(pe_contact.c.address).where(pe_contact.c.entity_id == entity_id)
    theirs = select(pe_contact.c.entity_id, pe_contact.c.address).where(
        pe_contact.c.address.in_(mine), pe_contact.c.entity_id != entity_id, _seen(viewer, pe_contact.c.entity_id)
    )
    why = {number: (SAME_ADDRESS, address) for number, address in tx.execute(theirs.limit(limit))}
    words = sorted(set(tokens(one.name)), key=len, reverse=True)
    if len(words) > 1:
        held = [
            pe_entity.c.id.in_(
                select(name_word.c.id).where(name_word.c.place == literal_column("'entity'"), name_word.c.word == word)
            )
            for word in words
        ]
        rows = select(pe_entity.c.id, pe_entity.c.name).where(
            *held, pe_entity.c.id != entity_id, visible.entities(viewer)
        )
        for number, name in tx.execute(rows.limit(limit)):
            why.setdefault(number, (SAME_NAME if sorted(tokens(name)) == sorted(tokens(one.name)) else ALIKE, name))
    known = _entities(tx, why)
    pairs = [(known[number], *told) for number, told in why.items() if known[number].kind == one.kind]
    return [Likely(first=one, second=other, why=reason, by=by) for other, reason, by in pairs[:limit]]


def _seen(viewer: Viewer, number: ColumnElement[int]) -> ColumnElement[bool]:
    if visible.whole_log(viewer):
        return literal(True)
    return number.in_(select(pe_entity.c.id).where(visible.entities(viewer)))


def _entities(tx: Connection, numbers: Any) -> dict[int, Entity]:
    rows = select(*people.ENTITY).where(pe_entity.c.id.in_(list(numbers)))
    return {row.id: people.entity_from(row) for row in tx.execute(rows)}


def merge(tx: Connection, actor: Viewer, keep_id: int, gone_id: int, now: float) -> Entity | None:
    """Make one of two: everything that ``gone_id`` has goes over to ``keep_id``, and it is no more.

    None where the actor may not see one of them.

    Raises:
        Refused: they are of different kinds or one within the other, are one already, or both sign in.
    """
    keep, gone = people.entity(tx, actor, keep_id), people.entity(tx, actor, gone_id)
    if keep is None or gone is None:
        return None
    _check(tx, keep, gone)
    told = _told(tx, actor, gone)
    _contacts(tx, keep_id, gone_id)
    _memberships(tx, keep_id, gone_id)
    _subscriptions(tx, keep_id, gone_id)
    for table in (msg_log, ticket, msg_delivery_status, auth_user):
        tx.execute(update(table).where(table.c.entity_id == gone_id).values(entity_id=keep_id))
    for rule in rules.rules(tx):
        if rule.entity_id == gone_id:
            rules.update_rule(tx, actor, msgspec.structs.replace(rule, entity_id=keep_id), now)
    _fill(tx, keep, gone)
    earlier = update(pe_merged).where(pe_merged.c.entity_id == gone_id).values(entity_id=keep_id)
    tx.execute(earlier)  # of whom this one was made before
    tx.execute(insert(pe_merged).values(uid=gone.uid, was_id=gone_id, entity_id=keep_id, at=now))
    tx.execute(delete(pe_entity).where(pe_entity.c.id == gone_id))
    people.reindex(tx, [keep_id, gone_id])
    audit.note(tx, actor, "merge", f"entity/{keep_id}", told, now)
    audit.note(tx, actor, "merged away", f"entity/{gone_id}", {"into": keep_id, "name": gone.name}, now)
    return people.entity(tx, actor, keep_id)


def _check(tx: Connection, keep: Entity, gone: Entity) -> None:
    if keep.id == gone.id:
        raise Refused("Nothing was merged: these are one and the same.")
    if keep.kind != gone.kind:
        raise Refused(f"Nothing was merged: {keep.name} is a {keep.kind.value}, {gone.name} a {gone.kind.value}.")
    logins = select(func.count()).where(auth_user.c.entity_id.in_([keep.id, gone.id]), auth_user.c.active)
    if (tx.scalar(logins) or 0) > 1:
        raise Refused("Nothing was merged: both have a login. Switch one of the two off first.")
    if keep.kind != EntityKind.PERSON:
        membership.refuse_circle(tx, keep, gone)
        membership.refuse_circle(tx, gone, keep)


def _told(tx: Connection, actor: Viewer, gone: Entity) -> dict[str, Any]:
    """All that one was, for the history."""
    addresses = [one.address for one in people.contacts(tx, actor, gone.id)]
    groups = [one.entity.name for one in membership.groups_of(tx, actor, gone.id)]
    kept = {key: value for key, value in msgspec.to_builtins(gone).items() if value not in ("", None)}
    kept["comments"] = gone.comments[:300]
    return {"merged": kept, "addresses": addresses[:100], "groups": groups[:100]}


def _contacts(tx: Connection, keep_id: int, gone_id: int) -> None:
    """Addresses that both have become one, with what is known of either; deliveries go on to name it."""
    row = pe_contact.c
    ours = pe_contact.alias("ours")
    same = select(row.id, ours.c.id.label("kept"), row.verified_at).join(
        ours, and_(ours.c.address == row.address, ours.c.entity_id == keep_id)
    )
    for number, kept, verified_at in tx.execute(same.where(row.entity_id == gone_id)).all():
        if verified_at is not None:
            known = func.coalesce(row.verified_at, verified_at)
            tx.execute(update(pe_contact).where(row.id == kept).values(verified_at=known))
        named = update(msg_delivery_status).where(
            msg_delivery_status.c.entity_id == gone_id, msg_delivery_status.c.pe_contact_id == number
        )
        tx.execute(named.values(pe_contact_id=kept))
        tx.execute(delete(pe_contact).where(row.id == number))
    chosen = exists(select(ours.c.id).where(ours.c.entity_id == keep_id, ours.c.preferred))
    if tx.scalar(select(chosen)):
        tx.execute(update(pe_contact).where(row.entity_id == gone_id).values(preferred=False))
    tx.execute(update(pe_contact).where(row.entity_id == gone_id).values(entity_id=keep_id))


def _memberships(tx: Connection, keep_id: int, gone_id: int) -> None:
    row = pe_membership.c
    between = or_(
        and_(row.group_id == keep_id, row.member_id == gone_id), and_(row.group_id == gone_id, row.member_id == keep_id)
    )
    tx.execute(delete(pe_membership).where(between))
    _move(tx, pe_membership, "member_id", ("group_id",), keep_id, gone_id)
    _move(tx, pe_membership, "group_id", ("member_id",), keep_id, gone_id)


def _subscriptions(tx: Connection, keep_id: int, gone_id: int) -> None:
    """Where both had the same, copies of the one that have not left are the other's; who left a group's stays out."""
    ours, theirs = pe_subscription.alias("ours"), pe_subscription.alias("theirs")
    same = and_(*(ours.c[name] == theirs.c[name] for name in ("resource", "record", "channel")))
    both = select(ours.c.id, theirs.c.id).where(same, ours.c.pr_pe_id == keep_id, theirs.c.pr_pe_id == gone_id)
    for kept, ended in tx.execute(both).all():
        for state in ("held", "pending"):  # literal, each for its partial index
            waiting = msg_delivery_status.c.state == literal_column(f"'{state}'")
            theirs_too = update(msg_delivery_status).where(waiting, msg_delivery_status.c.subscription_id == ended)
            tx.execute(theirs_too.values(subscription_id=kept))
    _move(tx, pe_left, "entity_id", ("subscription_id",), keep_id, gone_id)
    _move(tx, pe_subscription, "pr_pe_id", ("resource", "record", "channel"), keep_id, gone_id)


def _move(tx: Connection, table: Table, owner: str, key: tuple[str, ...], keep_id: int, gone_id: int) -> None:
    """Give one's rows to the other, but for those of which it has its own."""
    ours = table.alias("ours")
    same = and_(ours.c[owner] == keep_id, *(ours.c[name] == table.c[name] for name in key))
    mine = table.c[owner] == gone_id
    has = exists(select(literal(1)).select_from(ours).where(same).correlate(table))
    tx.execute(delete(table).where(mine, has))
    tx.execute(update(table).where(mine).values({owner: keep_id}))


def _fill(tx: Connection, keep: Entity, gone: Entity) -> None:
    """What is known of the one that goes, where nothing is of the one that stays."""
    values: dict[str, Any] = {}
    for name in _FILLED:
        if getattr(keep, name) in ("", None) and getattr(gone, name) not in ("", None):
            values[name] = getattr(gone, name)
    if gone.comments.strip() and gone.comments not in keep.comments:
        values["comments"] = f"{keep.comments}\n{gone.comments}".strip()
    if values:
        tx.execute(update(pe_entity).where(pe_entity.c.id == keep.id).values(**values))
