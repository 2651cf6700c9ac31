"""Groups and organisations, who is in them and whom nothing reaches, for programs."""

from __future__ import annotations

from collections.abc import Iterable

from msgserver.records import EntityKind, Viewer
from msgserver.store import membership, people
from msgserver.store.membership import Group, Member, Unreachable
from msgserver.store.paging import Page
from msgserver.web.api.giving import NOTHING, edit, give, give_all, give_page, limit
from msgserver.web.api.giving import take as taken
from msgserver.web.api.people_shapes import MemberChange, NewMember, group_shape, member_shape, unreachable_shape
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found


async def listing(ask: Ask) -> Answer:
    """Groups by name, each with how many people it has and how many of them nothing reaches."""
    word = ask.query("kind") or EntityKind.GROUP.value
    if word not in (EntityKind.GROUP, EntityKind.ORGANISATION):
        raise Refusal(422, "There is no such kind.", "It is group or organisation.")
    query, after = ask.query("q")[:200], ask.query("after")
    page = await ask.store.read(membership.groups, ask.viewer, query, EntityKind(word), after, limit(ask))
    return give_page(page, group_shape)


def group_of(tx: Tx, viewer: Viewer, group_id: int) -> Group | None:
    """A group or organisation with its numbers; None where there is none, or it is a person."""
    entity = people.entity(tx, viewer, group_id)
    if entity is None or entity.kind == EntityKind.PERSON:
        return None
    return membership.sizes(tx, viewer, [entity])[0]


async def _group(ask: Ask) -> Group:
    found = await ask.store.read(group_of, ask.viewer, ask.part["group"])
    if found is None:
        raise not_found("group")
    return found


async def show(ask: Ask) -> Answer:
    """One group or organisation."""
    return give(group_shape(await _group(ask)))


async def members(ask: Ask) -> Answer:
    """Who is directly in it, by name, each with their role and why nothing reaches them."""
    group = await _group(ask)
    query, after = ask.query("q")[:200], ask.query("after")
    page: Page[Member] = await ask.store.read(
        membership.members, ask.viewer, group.entity.id, query, False, after, limit(ask)
    )
    return give_page(page, member_shape)


async def unreachable(ask: Ask) -> Answer:
    """Everybody in it, at any depth, whom nothing reaches, and why: at most 1000."""
    group = await _group(ask)
    found = await ask.store.read(membership.unreachable, ask.viewer, [group.entity.id], 1000)
    return give_all(found, unreachable_shape)


def warnings(lost: Iterable[Unreachable]) -> tuple[str, ...]:
    """Whom nothing reaches, a sentence each."""
    return tuple(f"Nothing reaches {one.entity.name}: {one.why}." for one in lost)


def join(
    tx: Tx, actor: Viewer, group_id: int, member_id: int, role: str, now: float
) -> tuple[Member, list[Unreachable]] | None:
    """Put somebody into a group; the membership with whom nothing reaches."""
    lost = membership.add_member(tx, actor, group_id, member_id, now, role)
    made = membership.member(tx, actor, group_id, member_id)
    return None if lost is None or made is None else (made, lost)


async def add(ask: Ask) -> Answer:
    """Put somebody (or a group) into it; ``warnings`` says whom nothing reaches, and they are added all the same."""
    new = taken(ask, NewMember)
    group_id = ask.part["group"]
    made = await edit(ask, join, ask.viewer, group_id, new.entity, new.role, ask.at)
    if made is None:
        raise not_found("group or entity")
    member, lost = made
    place = f"/api/v1/groups/{group_id}/members/{new.entity}"
    return give(member_shape(member, warnings(lost)), 201, place=place)


async def member(ask: Ask) -> Answer:
    """One membership."""
    found = await ask.store.read(membership.member, ask.viewer, ask.part["group"], ask.part["member"])
    if found is None:
        raise not_found("member")
    return give(member_shape(found))


async def change(ask: Ask) -> Answer:
    """Say what somebody is in it."""
    wish = taken(ask, MemberChange)
    found = await edit(ask, membership.set_role, ask.viewer, ask.part["group"], ask.part["member"], wish.role, ask.at)
    if found is None:
        raise not_found("member")
    return give(member_shape(found))


async def remove(ask: Ask) -> Answer:
    """Take somebody out of it."""
    if not await edit(ask, membership.remove_member, ask.viewer, ask.part["group"], ask.part["member"], ask.at):
        raise not_found("member")
    return NOTHING
