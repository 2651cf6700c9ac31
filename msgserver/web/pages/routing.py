"""Routing a message by hand (MISSION M7, M8): to a record or type, to a person or group; and taking either back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from msgserver.formats.search import KEYWORD
from msgserver.records import Delivery, Entity, Message, ResourceRecord, ResourceType, Tag, Viewer
from msgserver.routing import by_hand
from msgserver.routing.may import Act, may
from msgserver.store import messages, people, resource_types, resources, tickets, users
from msgserver.store.edits import Refused
from msgserver.store.messages import ENTITY
from msgserver.web.ask import Answer, Ask, Tx, local, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.resources import choose
from msgserver.web.words import channel, sentence

DONE = "done"  # the box "this message is dealt with"
ANSWER = "done when routed"  # what somebody last said to it, among their settings


class Sheet(msgspec.Struct, frozen=True):
    """What the page shows: the message, where it was routed to, and where it may be."""

    message: Message
    tags: tuple[Tag, ...]
    deliveries: tuple[Delivery, ...]
    types: tuple[ResourceType, ...]
    done: bool


def remembered(settings: Mapping[str, Any]) -> bool:
    """Whether somebody last said that what they route is dealt with."""
    return settings.get(ANSWER) is True


def look(tx: Tx, viewer: Viewer, message_id: int) -> tuple[Around, Sheet] | None:
    """The message and where it went; None where it may not be seen."""
    found = messages.message(tx, viewer, message_id)
    if found is None:
        return None
    tags = messages.tags(tx, viewer, [found.id]).get(found.id, [])
    sent = messages.deliveries(tx, viewer, [found.id], limit=50).items
    types = resource_types.types(tx, viewer)
    done = remembered(users.settings(tx, viewer.user_id))
    return around(tx, viewer), Sheet(found, tuple(tags), sent, tuple(types), done)


async def form(ask: Ask) -> Answer:
    """Where to?"""
    return await show(ask)


async def show(ask: Ask, *, status: int = 200, **values: Any) -> Answer:
    """The page; ``values`` are what was typed, and what it may mean."""
    seen = await ask.store.read(look, ask.viewer, ask.part["message"])
    if seen is None:
        raise not_found("message")
    here, sheet = seen
    shown = {
        "words_typed": "", "type": "", "records": None, "to": "", "entities": None, "made": ask.query.number("made"),
        "nobody": ask.query.number("nobody"), "keyword": KEYWORD, "entity": ENTITY,
    } | values  # fmt: skip
    return desk_page(ask, "route.html", here, "", status=status, sheet=sheet, **shown)


async def finish(ask: Ask, message_id: int, done: bool) -> None:
    """Keep the answer to "is this dealt with?", and where it is, end the conversation."""
    ticket_id = await ask.store.write(finish_it, ask.viewer, message_id, done, ask.at)
    if ticket_id is not None:
        ask.house.bus.ring("ticket", [ticket_id])


def finish_it(tx: Tx, actor: Viewer, message_id: int, done: bool, now: float) -> int | None:
    """The message's ticket, where it was ended."""
    users.set_settings(tx, actor.user_id, {ANSWER: done})
    found = messages.message(tx, actor, message_id)
    if not done or found is None or found.ticket_id is None or not may(actor, Act.TICKET):
        return None
    tickets.set_actioned(tx, actor, found.ticket_id, True, now)
    return found.ticket_id


# To a record ------------------------------------------------------------------------------------------------------


def meant(tx: Tx, viewer: Viewer, resource: str, words: str, uid: str) -> list[ResourceRecord]:
    """The record chosen, or those that the words may mean."""
    chosen = resources.record(tx, viewer, uid) if uid else None
    return [chosen] if chosen is not None else choose(tx, viewer, words, resource)


async def tag(ask: Ask) -> Answer:
    """To a record, to a type as a whole, or to a word of one's own."""
    resource, words = ask.form("type")[:60].strip().lower(), " ".join(ask.form("words").split())[:200]
    if resource == KEYWORD or (not words and not ask.form("uid")):
        record = words.lstrip("#").casefold()
        if not resource or (resource == KEYWORD and not record):
            return await show(ask, status=422, wrong=_("Nothing was routed: say to what."))
        return await _tag(ask, resource, record)
    found = await ask.store.read(meant, ask.viewer, resource, words, ask.form("uid")[:200])
    if len(found) == 1:
        return await _tag(ask, found[0].resource, found[0].uid)
    return await show(ask, words_typed=words, type=resource, records=found)


async def _tag(ask: Ask, resource: str, record: str) -> Answer:
    message_id = ask.part["message"]
    try:
        made = await by_hand.tag(ask.house.store, ask.house.bus, ask.viewer, message_id, resource, record, ask.at)
    except Refused as refused:
        return await show(ask, status=422, wrong=sentence(str(refused)))
    if made is None:
        raise not_found("message")
    await finish(ask, message_id, DONE in ask.form)
    return see_other(f"/messages/{message_id}/route?said=routed")


async def untag(ask: Ask) -> Answer:
    """It is not about this after all; what has not gone out because of it stays here."""
    known = await ask.store.read(messages.tags, ask.viewer, [ask.part["message"]])
    if ask.part["tag"] not in {one.id for one in known.get(ask.part["message"], ())}:
        raise not_found("tag")
    gone = await by_hand.untag(ask.house.store, ask.house.bus, ask.viewer, ask.part["tag"], ask.at)
    if gone is None:
        raise not_found("tag")
    place, mark, anchor = local(ask.form("back"), f"/messages/{gone.message_id}/route").partition("#")
    return see_other(f"{place}{'&' if '?' in place else '?'}said=untagged{mark}{anchor}")


# To people --------------------------------------------------------------------------------------------------------


def channels_of(tx: Tx, viewer: Viewer, found: Iterable[Entity]) -> list[tuple[Entity, str]]:
    """Each of them with the kinds of address they have, in words."""
    listed = list(found)
    contacts = people.contacts_of(tx, viewer, [one.id for one in listed])
    return [(one, _ways(one, [contact.address for contact in contacts.get(one.id, ())])) for one in listed]


def _ways(one: Entity, addresses: list[str]) -> str:
    ways = ", ".join(dict.fromkeys(map(channel, addresses)))
    if one.kind == "person":
        return ways or _("no address: cannot be reached")
    return f"{one.kind}, {ways}" if ways else str(one.kind)


def whom(tx: Tx, viewer: Viewer, words: str, entity_id: int | None) -> list[tuple[Entity, str]]:
    """The one chosen, or those whom the words may mean."""
    chosen = people.entity(tx, viewer, entity_id) if entity_id is not None else None
    if chosen is not None:
        return channels_of(tx, viewer, [chosen])
    found = people.complete(tx, viewer, words) if words.strip() else []
    same = [one for one in found if one.name.lower() == words.strip().lower()]
    return channels_of(tx, viewer, same if len(same) == 1 else found)


async def forward(ask: Ask) -> Answer:
    """To a person, group or organisation: each gets a delivery, and the message a tag that says so."""
    message_id, words = ask.part["message"], " ".join(ask.form("to").split())[:200]
    found = await ask.store.read(whom, ask.viewer, words, ask.form.number("entity"))
    if len(found) != 1:
        return await show(ask, to=words, entities=found)
    entity = found[0][0]
    done = await by_hand.route(ask.house.store, ask.house.bus, ask.viewer, message_id, entity.id, ask.at)
    if done is None:
        raise not_found("message")
    await finish(ask, message_id, DONE in ask.form)
    return see_other(f"/messages/{message_id}/route?said=forwarded&made={done.deliveries}&nobody={done.nobody}")
