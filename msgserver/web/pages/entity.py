"""The page of one person, group or organisation, and what one may do there with what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from msgserver.formats.hours import hour_words, read_hour
from msgserver.records import Contact, Entity, EntityKind, Subscription, Viewer
from msgserver.routing.may import Act, may
from msgserver.store import audit, consent, membership, merging, people, subscriptions
from msgserver.store.audit import Entry
from msgserver.store.edits import Refused
from msgserver.store.membership import Group, Member, Unreachable
from msgserver.store.merging import Likely
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.words import channel, sentence

SUBSCRIPTIONS = 50  # that the page of one shows
FOUND = 20  # people that a search for a new member shows


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page shows of one entity; of a person ``size``, ``members`` and ``found`` are empty."""

    entity: Entity
    contacts: list[Contact]
    groups: list[Member]
    choice: tuple[Entity, ...]  # groups that it may be put into
    subscriptions: tuple[tuple[Subscription, str], ...]  # each with what it is to
    more_subscriptions: bool
    alike: list[Likely]
    lost: list[Unreachable]
    history: tuple[Entry, ...]
    called: dict[tuple[str, str], str]  # what the history is about, by resource and record
    size: Group | None = None
    members: Page[Member] = Page()
    member_sizes: dict[int, Group] = {}
    channels: dict[int, list[str]] = {}  # of the members: by what something reaches them
    roles: list[str] = []
    found: tuple[Entity, ...] = ()
    found_contacts: dict[int, list[Contact]] = {}


def look(tx: Tx, viewer: Viewer, entity_id: int, find: str, lost: bool, after: str) -> tuple[Around, Known] | None:
    """What is known of one of them; ``find``: whom one looks for to add."""
    entity = people.entity(tx, viewer, entity_id)
    if entity is None:
        return None
    mine = membership.groups_of(tx, viewer, entity_id)
    taken = {entity_id, *(one.entity.id for one in mine)}
    listed = (
        one
        for kind in (EntityKind.GROUP, EntityKind.ORGANISATION)
        for one in people.entities(tx, viewer, "", kind, limit=200).items
    )
    subscribed = subscriptions.subscriptions(tx, viewer, entity_id, limit=SUBSCRIPTIONS)
    may_look = may(viewer, Act.PEOPLE) or may(viewer, Act.AUDIT)
    history = audit.entries(tx, thing=f"entity/{entity_id}", limit=50).items if may_look else ()
    known = Known(
        entity=entity,
        contacts=people.contacts(tx, viewer, entity_id),
        groups=mine,
        choice=tuple(one for one in listed if one.id not in taken),
        subscriptions=tuple((one, consent.named(tx, one.resource, one.record)) for one in subscribed.items),
        more_subscriptions=bool(subscribed.next),
        alike=merging.alike(tx, viewer, entity_id),
        lost=membership.unreachable(tx, viewer, [entity_id], 1) if entity.kind == EntityKind.PERSON else [],
        history=history,
        called={about: consent.named(tx, *about) for about in {_about(entry) for entry in history} if about[0]},
    )
    if entity.kind != EntityKind.PERSON:
        known = _with_members(tx, viewer, known, find, lost, after)
    return around(tx, viewer), known


def _with_members(tx: Tx, viewer: Viewer, known: Known, find: str, lost: bool, after: str) -> Known:
    group_id = known.entity.id
    page = membership.members(tx, viewer, group_id, "", lost, after)
    inner = [one.entity for one in page.items if one.entity.kind != EntityKind.PERSON]
    found = people.complete(tx, viewer, find, limit=FOUND) if find else []
    found = [one for one in found if one.id != group_id and membership.member(tx, viewer, group_id, one.id) is None]
    return msgspec.structs.replace(
        known,
        size=membership.sizes(tx, viewer, [known.entity])[0],
        members=page,
        member_sizes={one.entity.id: one for one in membership.sizes(tx, viewer, inner)},
        channels={
            number: sorted({channel(one.address) for one in held if not (one.stopped_at or one.bouncing_at)})
            for number, held in people.contacts_of(tx, viewer, [one.entity.id for one in page.items]).items()
        },
        roles=membership.roles(tx, viewer, group_id),
        found=tuple(found),
        found_contacts=people.contacts_of(tx, viewer, [one.id for one in found]),
    )


async def show_entity(ask: Ask, entity_id: int, *, wrong: str = "", warning: str = "") -> Answer:
    """The page, with what was refused (422)."""
    find = ask.query("find")[:200].strip()
    lost = ask.query("show") == "unreachable"
    seen = await ask.store.read(look, ask.viewer, entity_id, find, lost, ask.query("after"))
    if seen is None:
        raise not_found("person")
    here, known = seen
    group = known.entity.kind != EntityKind.PERSON
    return desk_page(
        ask, "group.html" if group else "person.html", here, "groups" if group else "people",
        status=422 if wrong else 200, wrong=wrong, warning=warning, known=known, kept=ask.form, find=find, lost=lost,
        hour=hour_words, told=partial(told, known.called),
    )  # fmt: skip


async def person(ask: Ask) -> Answer:
    """One person; a group's page is elsewhere, as is that of one who was made one with another."""
    entity_id = ask.part["entity"]
    found = await ask.store.read(people.entity, ask.viewer, entity_id)
    if found is None and (stayed := await ask.store.read(people.merged_into, ask.viewer, entity_id)) is not None:
        return see_other(f"/people/{stayed.id}")
    if found is not None and found.kind != EntityKind.PERSON:
        said = ask.query("said")
        return see_other(f"/groups/{entity_id}" + (f"?said={said}" if said.isalpha() else ""))
    return await show_entity(ask, entity_id)


async def change(ask: Ask) -> Answer:
    """Name, language, time zone, quiet hours, comments."""
    entity_id = ask.part["entity"]
    changes: dict[str, Any] = {
        name: ask.form(name).strip() for name in ("name", "language", "timezone", "comments") if name in ask.form
    }
    try:
        for name in ("quiet_from", "quiet_until"):
            if name in ask.form:
                changes[name] = read_hour(ask.form(name)) if ask.form(name).strip() else None
        found = await ask.store.write(people.update_entity, ask.viewer, entity_id, changes, ask.at)
    except (Refused, ValueError) as error:
        return await show_entity(ask, entity_id, wrong=sentence(str(error)))
    if found is None:
        raise not_found("person")
    return see_other(f"/people/{entity_id}?said=saved")


def mark(tx: Tx, actor: Viewer, entity_id: int, contact_id: int, act: str, now: float) -> bool:
    """Do something with an address of theirs; False where there is no such address."""
    contact = people.contact(tx, actor, contact_id)
    if contact is None or contact.entity_id != entity_id:
        return False
    why = f"said by {actor.name}"
    match act:
        case "prefer" | "unprefer":
            people.prefer(tx, actor, contact_id, now, act == "prefer")
        case "verify" | "unverify":
            people.verify(tx, actor, contact_id, act == "verify", now)
        case "stop" | "allow":
            people.set_stopped(tx, actor, contact_id, act == "stop", why, now)
        case "works":
            people.set_bouncing(tx, actor, contact_id, "", now)
        case "remove":
            people.remove_contact(tx, actor, contact_id, now)
        case _:
            raise Refused("Nothing was changed: the form is incomplete. Load the page again.")
    return True


async def contact(ask: Ask) -> Answer:
    """Change what is known of an address, or take it away."""
    entity_id, act = ask.part["entity"], ask.form("act")
    if not await ask.store.write(mark, ask.viewer, entity_id, ask.part["contact"], act, ask.at):
        raise not_found("address")
    return see_other(f"/people/{entity_id}?said={'removed' if act == 'remove' else 'saved'}")


async def remove(ask: Ask) -> Answer:
    """Take them away; messages stay."""
    entity_id = ask.part["entity"]
    try:
        gone = await ask.store.write(people.remove_entity, ask.viewer, entity_id, ask.at)
    except Refused as refused:
        return await show_entity(ask, entity_id, wrong=sentence(str(refused)))
    if not gone:
        raise not_found("person")
    return see_other("/people?said=removed")


def look_two(tx: Tx, viewer: Viewer, one_id: int, other_id: int) -> tuple[Around, tuple[Known, Known]] | None:
    """Two beside each other."""
    one, other = look(tx, viewer, one_id, "", False, ""), look(tx, viewer, other_id, "", False, "")
    return None if one is None or other is None else (one[0], (one[1], other[1]))


async def compare(ask: Ask) -> Answer:
    """Two that may be one, beside each other, to choose which stays."""
    return await _compare(ask, ask.part["entity"], ask.query.number("with", 0) or 0)


async def _compare(ask: Ask, one_id: int, other_id: int, wrong: str = "") -> Answer:
    seen = await ask.store.read(look_two, ask.viewer, one_id, other_id)
    if seen is None:
        raise not_found("person")
    status = 422 if wrong else 200
    return desk_page(ask, "merge.html", seen[0], "people", status=status, two=seen[1], wrong=wrong, hour=hour_words)


async def merge(ask: Ask) -> Answer:
    """Make one of two."""
    keep_id, gone_id = ask.part["entity"], ask.form.number("duplicate", 0) or 0
    try:
        found = await ask.store.write(merging.merge, ask.viewer, keep_id, gone_id, ask.at)
    except Refused as refused:
        return await _compare(ask, keep_id, gone_id, sentence(str(refused)))
    if found is None:
        raise not_found("person")
    return see_other(f"/people/{keep_id}?said=merged")


def look_likely(tx: Tx, viewer: Viewer) -> tuple[Around, list[Likely]]:
    """Pairs that may be one."""
    return around(tx, viewer), merging.likely(tx, viewer, 100)


async def likely(ask: Ask) -> Answer:
    """All pairs that may be one."""
    here, pairs = await ask.store.read(look_likely, ask.viewer)
    return desk_page(ask, "likely.html", here, "people", pairs=pairs)


_ACTS = {
    "create person": _("added"),
    "create group": _("made"),
    "create organisation": _("made"),
    "change person": _("changed"),
    "change group": _("changed"),
    "change organisation": _("changed"),
    "import person": _("imported"),
    "import group": _("imported"),
    "import organisation": _("imported"),
    "add address": _("address added"),
    "remove address": _("address removed"),
    "prefer address": _("address to use first"),
    "verify address": _("address verified"),
    "mark address": _("address marked"),
    "stop address": _("no more messages to"),
    "allow address": _("messages again to"),
    "add member": _("member added"),
    "remove member": _("member removed"),
    "change role": _("role changed"),
    "join": _("put into"),
    "leave": _("taken out of"),
    "subscribe": _("subscribed to"),
    "change subscription": _("subscription changed"),
    "agree": _("said YES to copies, from"),
    "unsubscribe": _("subscription ended"),
    "merge": _("merged with"),
}


def _about(entry: Entry) -> tuple[str, str]:
    resource, record = entry.detail.get("resource"), entry.detail.get("record")
    return (resource, str(record or "")) if isinstance(resource, str) else ("", "")


def told(called: Mapping[tuple[str, str], str], entry: Entry) -> str:
    """A line of the history in words; ``called``: what people call that which it is about."""
    detail = entry.detail
    said = [_ACTS.get(entry.act, entry.act)]
    if isinstance(merged := detail.get("merged"), dict):
        said.append(str(merged.get("name", "")))
        said += map(str, detail.get("addresses", ()))
    said += [str(detail[key]) for key in ("address", "name", "to") if isinstance(detail.get(key), str)]
    said.append(called.get(_about(entry), ""))
    for name, (before, after) in dict(detail.get("changes", {})).items():
        said.append(f"{name}: {before or '–'} → {after or '–'}")
    if isinstance(role := detail.get("role"), list):
        said.append(f"{role[0] or '–'} → {role[1] or '–'}")
    elif role:
        said.append(f"({role})")
    if "file" in detail:
        said.append(_("from %(file)s, line %(line)s") % {"file": detail["file"], "line": detail.get("line", "?")})
    return " ".join(filter(None, said))
