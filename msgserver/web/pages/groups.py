"""Groups and organisations: who is in them, and whom nothing reaches."""

from __future__ import annotations

import uuid

from msgserver.records import EntityKind, Viewer
from msgserver.store import membership, people
from msgserver.store.edits import Refused
from msgserver.store.membership import Group, Unreachable
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.entity import show_entity
from msgserver.web.words import sentence

NAMED = 5  # whom nothing reaches, by name, in one warning


def look(tx: Tx, viewer: Viewer, query: str, kind: EntityKind, after: str) -> tuple[Around, Page[Group]]:
    """A page of groups with their sizes."""
    return around(tx, viewer), membership.groups(tx, viewer, query, kind, after)


async def groups(ask: Ask) -> Answer:
    """All of them by name, with how many people they have."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    query = ask.query("q")[:200].strip()
    kind = EntityKind.ORGANISATION if ask.query("kind") == EntityKind.ORGANISATION else EntityKind.GROUP
    here, page = await ask.store.read(look, ask.viewer, query, kind, ask.query("after"))
    return desk_page(
        ask, "groups.html", here, "groups", status=status, page=page, query=query, kind=kind, wrong=wrong, kept=ask.form
    )


async def add(ask: Ask) -> Answer:
    """Make a group or an organisation."""
    kind = EntityKind.ORGANISATION if ask.form("kind") == EntityKind.ORGANISATION else EntityKind.GROUP
    try:
        made = await ask.store.write(
            people.create_entity, ask.viewer, str(uuid.uuid4()), kind, ask.form("name"), ask.at
        )
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other(f"/groups/{made.id}?said=added")


def lost_of(tx: Tx, viewer: Viewer, group_id: int, members: tuple[int, ...]) -> list[Unreachable]:
    """Of these members, whom nothing reaches."""
    held = [number for number in members if membership.member(tx, viewer, group_id, number) is not None]
    return membership.unreachable(tx, viewer, held, NAMED + 1) if held else []


async def group(ask: Ask) -> Answer:
    """One group; ``?warn=`` names members that were just added, of whom the page says whether anything reaches them."""
    group_id = ask.part["group"]
    found = await ask.store.read(people.entity, ask.viewer, group_id)
    if found is None and (stayed := await ask.store.read(people.merged_into, ask.viewer, group_id)) is not None:
        return see_other(f"/groups/{stayed.id}")
    if found is None:
        raise not_found("group")
    if found.kind == EntityKind.PERSON:
        return see_other(f"/people/{group_id}")
    words = ask.query("warn")[:400].split(",")
    members = tuple(int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 16)
    lost = await ask.store.read(lost_of, ask.viewer, group_id, members) if members else []
    return await show_entity(ask, group_id, warning=warning(lost))


def warning(lost: list[Unreachable]) -> str:
    """Whom nothing reaches, in words; empty where something reaches everybody."""
    if not lost:
        return ""
    told = "; ".join(f"{one.entity.name} ({one.why})" for one in lost[:NAMED])
    more = _(" and others") if len(lost) > NAMED else ""
    return _("Added, but nothing reaches %(names)s%(more)s.") % {"names": told, "more": more}


def join(tx: Tx, actor: Viewer, group_id: int, members: tuple[int, ...], role: str, now: float) -> list[int] | None:
    """Put them into a group; which of them (or of whom is inside them) nothing reaches. None: there is no such."""
    lost = []
    for member_id in members:
        found = membership.add_member(tx, actor, group_id, member_id, now, role)
        if found is None:
            return None
        lost += [member_id] if found else []
    return lost


async def add_members(ask: Ask) -> Answer:
    """Put people (or groups) into it; whom nothing reaches is added all the same, and named."""
    group_id = ask.part["group"]
    members = tuple(int(word) for word in ask.form.all("member") if word.isascii() and word.isdigit())[:100]
    try:
        if not members:
            raise Refused(_("Nobody was added: choose somebody."))
        lost = await ask.store.write(join, ask.viewer, group_id, members, ask.form("role"), ask.at)
    except Refused as refused:
        return await show_entity(ask, group_id, wrong=sentence(str(refused)))
    if lost is None:
        raise not_found("group or person")
    back = ask.form.number("back")
    if back is not None:
        return see_other(f"/people/{back}?said=added")
    return see_other(f"/groups/{group_id}" + (f"?warn={','.join(map(str, lost[:20]))}" if lost else "?said=added"))


async def change_member(ask: Ask) -> Answer:
    """Change somebody's role, or take them out."""
    group_id, member_id = ask.part["group"], ask.part["member"]
    removes = ask.form("act") == "remove"
    done: object
    if removes:
        done = await ask.store.write(membership.remove_member, ask.viewer, group_id, member_id, ask.at)
    else:
        done = await ask.store.write(membership.set_role, ask.viewer, group_id, member_id, ask.form("role"), ask.at)
    if not done:
        raise not_found("member")
    back = ask.form.number("back")
    said = "removed" if removes else "saved"
    return see_other(f"/people/{back}?said={said}" if back is not None else f"/groups/{group_id}?said={said}")
