"""Who belongs to which group or organisation, without going round in circles, and who of them cannot be reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from msgserver.records import Entity, EntityKind, Viewer
from msgserver.store import audit, bulk, people, visible
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import pe_contact, pe_entity, pe_membership, suppression
from msgserver.store.upsert import insert_new

NO_ADDRESS = "no phone number, e-mail or chat address"
STOPPED = "asked for no more messages"
BOUNCES = "messages to every address come back"
WARNED = 100  # named in one warning
_TURN = 0x67726F75  # PostgreSQL's advisory lock: one nesting of groups at a time


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group or organisation with how many people it reaches, those in its groups included."""

    entity: Entity
    people: int
    unreachable: int


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody (or a group) in a group; ``why`` nothing reaches them, empty where something does (or for groups)."""

    entity: Entity
    role: str
    at: float
    why: str = ""


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


def _why(row: Any) -> str:
    return "" if row.working else NO_ADDRESS if not row.has_any else BOUNCES if row.allowed else STOPPED


def _member(row: Any) -> Member:
    one = people.entity_from(row)
    return Member(entity=one, role=row.role, at=row.at, why=_why(row) if one.kind == EntityKind.PERSON else "")


def _memberships() -> Select[Any]:
    has_any, allowed, working = _usable()
    row = pe_membership.c
    flags = (has_any.label("has_any"), allowed.label("allowed"), working.label("working"))
    return select(*people.ENTITY, pe_entity.c.name_folded, row.role, row.at, *flags)


def members(
    tx: Connection,
    viewer: Viewer,
    group_id: int,
    query: str = "",
    lost: bool = False,
    cursor_word: str = "",
    limit: int = 100,
) -> Page[Member]:
    """Who is directly in a group, by name; with ``lost`` only the persons whom nothing reaches."""
    row = pe_entity.c
    rows = _memberships().join(pe_membership, pe_membership.c.member_id == row.id)
    rows = rows.where(pe_membership.c.group_id == group_id, visible.entities(viewer))
    if query.strip():
        rows = rows.where(people.named_like(query))
    if lost:
        rows = rows.where(row.kind == EntityKind.PERSON.value, ~_usable()[2])
    after = position(cursor_word, str, int)
    if after is not None:
        name, last = after
        rows = rows.where(row.name_folded >= name, or_(row.name_folded > name, row.id > last))
    limit = size(limit)
    found = list(tx.execute(rows.order_by(row.name_folded, row.id).limit(limit + 1)))
    following = cursor(found[limit - 1].name_folded, found[limit - 1].id) if len(found) > limit else ""
    return Page(tuple(_member(one) for one in found[:limit]), following)


def member(tx: Connection, viewer: Viewer, group_id: int, member_id: int) -> Member | None:
    """One membership; None where there is none, or the viewer may not see both."""
    if people.entity(tx, viewer, group_id) is None:
        return None
    rows = _memberships().join(pe_membership, pe_membership.c.member_id == pe_entity.c.id)
    rows = rows.where(pe_membership.c.group_id == group_id, pe_entity.c.id == member_id, visible.entities(viewer))
    row = tx.execute(rows).one_or_none()
    return None if row is None else _member(row)


def groups_of(tx: Connection, viewer: Viewer, member_id: int) -> list[Member]:
    """In which groups and organisations somebody directly is, each with their role there."""
    rows = _memberships().join(pe_membership, pe_membership.c.group_id == pe_entity.c.id)
    rows = rows.where(pe_membership.c.member_id == member_id, visible.entities(viewer))
    return [_member(row) for row in tx.execute(rows.order_by(pe_entity.c.name_folded, pe_entity.c.id))]


def roles(tx: Connection, viewer: Viewer, group_id: int) -> list[str]:
    """The roles that members of a group have, for a choice."""
    if people.entity(tx, viewer, group_id) is None:
        return []
    row = pe_membership.c
    return list(tx.scalars(select(row.role).where(row.group_id == group_id, row.role != "").distinct().limit(50)))


def everybody(tx: Connection, group_ids: Iterable[int]) -> set[int]:
    """The persons inside these groups, at any depth."""
    within = _within(group_ids)
    rows = select(within.c.member).distinct().join(pe_entity, pe_entity.c.id == within.c.member)
    return set(tx.scalars(rows.where(pe_entity.c.kind == EntityKind.PERSON.value)))


def inside(tx: Connection, group_ids: Iterable[int]) -> set[int]:
    """Everybody and every group inside these groups, at any depth."""
    return set(tx.scalars(select(_within(group_ids).c.member).distinct()))


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
    return Page(tuple(sizes(tx, viewer, page.items)), page.next)


def sizes(tx: Connection, viewer: Viewer, entities: Sequence[Entity]) -> list[Group]:
    """Groups and organisations with how many people they have and how many of them nothing reaches."""
    if not entities:
        return []
    within = _within(one.id for one in entities)
    reached = case((_usable()[2], literal_column("0")), else_=literal_column("1"))
    rows = (
        select(within.c.top, func.count().label("people"), func.sum(reached).label("lost"))
        .join(pe_entity, pe_entity.c.id == within.c.member)
        .where(pe_entity.c.kind == EntityKind.PERSON.value, visible.entities(viewer))
        .group_by(within.c.top)
    )
    held = {row.top: (row.people, int(row.lost)) for row in tx.execute(rows)}
    none = (0, 0)
    return [
        Group(entity=one, people=held.get(one.id, none)[0], unreachable=held.get(one.id, none)[1]) for one in entities
    ]


def unreachable(
    tx: Connection, viewer: Viewer, entity_ids: Iterable[int], limit: int | None = None
) -> list[Unreachable]:
    """Of these entities and everybody inside them: the persons whom nothing reaches, by name, with why."""
    ids = list(entity_ids)
    within = _within(ids)
    has_any, allowed, working = _usable()
    rows = (
        select(*people.ENTITY, has_any.label("has_any"), allowed.label("allowed"), working.label("working"))
        .where(
            or_(pe_entity.c.id.in_(ids), pe_entity.c.id.in_(select(within.c.member))),
            pe_entity.c.kind == EntityKind.PERSON.value,
            visible.entities(viewer),
            ~working,
        )
        .order_by(pe_entity.c.name_folded, pe_entity.c.id)
    )
    return [Unreachable(people.entity_from(row), _why(row)) for row in tx.execute(rows.limit(limit))]


def add_member(
    tx: Connection, actor: Viewer, group_id: int, member_id: int, now: float, role: str = ""
) -> list[Unreachable] | None:
    """Put somebody (or a group) into a group; the answer warns of whom nothing reaches (at most ``WARNED`` of them).

    Again is harmless, and changes the role where one is given. None where the actor may not see one of the two.

    Raises:
        Refused: a person has no members, or the group would end up inside itself.
    """
    group, member = people.entity(tx, actor, group_id), people.entity(tx, actor, member_id)
    if group is None or member is None:
        return None
    if group.kind == EntityKind.PERSON:
        raise Refused(f"{group.name} is a person: only groups and organisations have members.")
    if member.kind != EntityKind.PERSON:
        refuse_circle(tx, group, member)
    role = clean(" ".join(role.split())[:100])
    made = insert_new(tx, pe_membership, [{"group_id": group_id, "member_id": member_id, "role": role, "at": now}])
    if made:
        detail = {"member": member_id, "name": member.name, "role": role}
        audit.note(tx, actor, "add member", f"entity/{group_id}", detail, now)
        audit.note(tx, actor, "join", f"entity/{member_id}", {"group": group_id, "name": group.name, "role": role}, now)
    elif role:
        set_role(tx, actor, group_id, member_id, role, now)
    return unreachable(tx, actor, [member_id], WARNED)


def refuse_circle(tx: Connection, group: Entity, member: Entity) -> None:
    """See that a group may become a member of another.

    Raises:
        Refused: it would end up inside itself.
    """
    if not bulk.is_sqlite(tx):  # of two at once, each of which closes half the circle, the second sees the first
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
    within = _within([member.id])
    inside = select(within.c.member).where(within.c.member == group.id)
    if group.id == member.id or tx.scalar(inside.limit(1)) is not None:
        raise Refused(
            f"{member.name} was not added: {group.name} belongs to it already, and would then contain itself."
        )


def set_role(tx: Connection, actor: Viewer, group_id: int, member_id: int, role: str, now: float) -> Member | None:
    """Say what somebody is in a group ("driver"); None where they are no member of it that the actor may see."""
    before = member(tx, actor, group_id, member_id)
    role = clean(" ".join(role.split())[:100])
    if before is None or before.role == role:
        return before
    row = pe_membership.c
    mine = and_(row.group_id == group_id, row.member_id == member_id)
    tx.execute(update(pe_membership).where(mine).values(role=role))
    detail = {"member": member_id, "name": before.entity.name, "role": [before.role, role]}
    audit.note(tx, actor, "change role", f"entity/{group_id}", detail, now)
    return member(tx, actor, group_id, member_id)


def remove_member(tx: Connection, actor: Viewer, group_id: int, member_id: int, now: float) -> bool:
    """Take somebody out of a group."""
    group, gone = people.entity(tx, actor, group_id), member(tx, actor, group_id, member_id)
    if group is None or gone is None:
        return False
    row = pe_membership.c
    tx.execute(delete(pe_membership).where(row.group_id == group_id, row.member_id == member_id))
    detail = {"member": member_id, "name": gone.entity.name}
    audit.note(tx, actor, "remove member", f"entity/{group_id}", detail, now)
    audit.note(tx, actor, "leave", f"entity/{member_id}", {"group": group_id, "name": group.name}, now)
    return True
