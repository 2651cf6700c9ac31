"""Who belongs to which group or organisation, without going round in circles, and who of them cannot be reached."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
)

from msgserver.records import Entity, EntityKind, Viewer
from msgserver.store import audit, people, visible
from msgserver.store.edits import Refused
from msgserver.store.paging import Page
from msgserver.store.schema import pe_contact, pe_entity, pe_membership, suppression

NO_ADDRESS = "no phone number, e-mail or chat address"
STOPPED = "asked for no more messages"
BOUNCES = "messages to every address come back"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group or organisation with how many people it reaches, those in its groups included."""

    entity: Entity
    people: int
    unreachable: int


class Unreachable(msgspec.Struct, frozen=True):
    """Somebody whom a message to the group would not reach, and why."""

    entity: Entity
    why: str


def _within(group_ids: Iterable[int]) -> CTE:
    """(top, member): everybody inside these groups, at any depth."""
    row = pe_membership.c
    start = select(row.group_id.label("top"), row.member_id.label("member")).where(row.group_id.in_(list(group_ids)))
    within = start.cte("within", recursive=True)
    deeper = pe_membership.alias("deeper")
    return within.union(select(within.c.top, deeper.c.member_id).join(deeper, deeper.c.group_id == within.c.member))


def _usable() -> tuple[ColumnElement[bool], ...]:
    """Of pe_entity: has an address; has one that was not stopped; has one that also does not bounce."""
    mine = select(pe_contact.c.id).where(pe_contact.c.entity_id == pe_entity.c.id)
    stopped = exists(
        select(suppression.c.address).where(suppression.c.address == pe_contact.c.address).correlate(pe_contact)
    )
    allowed = mine.where(~stopped)
    working = allowed.where(pe_contact.c.bouncing_at.is_(None))
    return tuple(exists(rows.correlate(pe_entity)) for rows in (mine, allowed, working))


def members(tx: Connection, viewer: Viewer, group_id: int) -> list[Entity]:
    """Who is directly in a group, by name."""
    rows = (
        select(*people.ENTITY)
        .join(pe_membership, pe_membership.c.member_id == pe_entity.c.id)
        .where(pe_membership.c.group_id == group_id, visible.entities(viewer))
        .order_by(pe_entity.c.name_folded, pe_entity.c.id)
    )
    return [people.entity_from(row) for row in tx.execute(rows)]


def groups_of(tx: Connection, viewer: Viewer, member_id: int) -> list[Entity]:
    """In which groups and organisations somebody directly is."""
    rows = (
        select(*people.ENTITY)
        .join(pe_membership, pe_membership.c.group_id == pe_entity.c.id)
        .where(pe_membership.c.member_id == member_id, visible.entities(viewer))
        .order_by(pe_entity.c.name_folded, pe_entity.c.id)
    )
    return [people.entity_from(row) for row in tx.execute(rows)]


def everybody(tx: Connection, group_ids: Iterable[int]) -> set[int]:
    """The persons inside these groups, at any depth."""
    within = _within(group_ids)
    rows = select(within.c.member).distinct().join(pe_entity, pe_entity.c.id == within.c.member)
    return set(tx.scalars(rows.where(pe_entity.c.kind == EntityKind.PERSON.value)))


def groups(
    tx: Connection,
    viewer: Viewer,
    query: str = "",
    kind: EntityKind = EntityKind.GROUP,
    cursor_word: str = "",
    limit: int = 50,
) -> Page[Group]:
    """Groups (or organisations) by name, each with how many people it has and how many of them nothing reaches."""
    page = people.entities(tx, viewer, query, kind, cursor_word, limit)
    within = _within(one.id for one in page.items)
    _, _, working = _usable()
    reached = case((working, literal_column("0")), else_=literal_column("1"))
    rows = (
        select(within.c.top, func.count().label("people"), func.sum(reached).label("lost"))
        .join(pe_entity, pe_entity.c.id == within.c.member)
        .where(pe_entity.c.kind == EntityKind.PERSON.value)
        .group_by(within.c.top)
    )
    held = {row.top: (row.people, int(row.lost)) for row in tx.execute(rows)} if page.items else {}
    items = [
        Group(entity=one, people=held.get(one.id, (0, 0))[0], unreachable=held.get(one.id, (0, 0))[1])
        for one in page.items
    ]
    return Page(tuple(items), page.next)


def unreachable(tx: Connection, viewer: Viewer, entity_ids: Iterable[int]) -> list[Unreachable]:
    """Of these entities and everybody inside them: the persons whom nothing reaches, by name, with why."""
    ids = list(entity_ids)
    within = _within(ids)
    has_any, allowed, working = _usable()
    rows = (
        select(*people.ENTITY, has_any.label("has_any"), allowed.label("allowed"))
        .where(
            or_(pe_entity.c.id.in_(ids), pe_entity.c.id.in_(select(within.c.member))),
            pe_entity.c.kind == EntityKind.PERSON.value,
            visible.entities(viewer),
            ~working,
        )
        .order_by(pe_entity.c.name_folded, pe_entity.c.id)
    )
    return [
        Unreachable(people.entity_from(row), NO_ADDRESS if not row.has_any else BOUNCES if row.allowed else STOPPED)
        for row in tx.execute(rows)
    ]


def add_member(tx: Connection, actor: Viewer, group_id: int, member_id: int, now: float) -> list[Unreachable] | None:
    """Put somebody (or a group) into a group; the answer warns of whom nothing reaches. Again is harmless.

    None where the actor may not see one of the two.

    Raises:
        Refused: a person has no members, or the group would end up inside itself.
    """
    group, member = people.entity(tx, actor, group_id), people.entity(tx, actor, member_id)
    if group is None or member is None:
        return None
    if group.kind == EntityKind.PERSON:
        raise Refused(f"{group.name} is a person: only groups and organisations have members.")
    within = _within([member_id])
    inside = select(within.c.member).where(within.c.member == group_id)
    if group_id == member_id or tx.scalar(inside) is not None:
        raise Refused(
            f"{member.name} was not added: {group.name} belongs to it already, and would then contain itself."
        )
    row = pe_membership.c
    if tx.scalar(select(row.at).where(row.group_id == group_id, row.member_id == member_id)) is None:
        tx.execute(insert(pe_membership).values(group_id=group_id, member_id=member_id, at=now))
        audit.note(tx, actor, "add member", f"entity/{group_id}", {"member": member_id}, now)
    return unreachable(tx, actor, [member_id])


def remove_member(tx: Connection, actor: Viewer, group_id: int, member_id: int, now: float) -> bool:
    """Take somebody out of a group."""
    if people.entity(tx, actor, group_id) is None:
        return False
    row = pe_membership.c
    gone = delete(pe_membership).where(row.group_id == group_id, row.member_id == member_id)
    if not tx.execute(gone).rowcount:
        return False
    audit.note(tx, actor, "remove member", f"entity/{group_id}", {"member": member_id}, now)
    return True
