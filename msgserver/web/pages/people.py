"""People, groups and organisations by name, and the addresses by which they are known."""

from __future__ import annotations

import uuid

from msgserver.message import Address
from msgserver.records import Contact, Entity, EntityKind, Viewer
from msgserver.store import people as kept_people
from msgserver.store.edits import Refused
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.compose import read_addresses
from msgserver.web.pages.entity import show_entity
from msgserver.web.words import sentence


def look(
    tx: Tx, viewer: Viewer, query: str, kind: EntityKind | None, after: str
) -> tuple[Around, Page[Entity], dict[int, list[Contact]]]:
    """A page of people with their addresses."""
    page = kept_people.entities(tx, viewer, query, kind, after)
    return around(tx, viewer), page, kept_people.contacts_of(tx, viewer, [entity.id for entity in page.items])


def make(
    tx: Tx, actor: Viewer, uid: str, kind: EntityKind, name: str, addresses: tuple[Address, ...], now: float
) -> Entity:
    """A new entity with its addresses, or nothing at all."""
    entity = kept_people.create_entity(tx, actor, uid, kind, name, now)
    for address in addresses:
        kept_people.add_contact(tx, actor, entity.id, address, now)
    return entity


async def people(ask: Ask) -> Answer:
    """Everybody by name, and a form to add somebody."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    query = ask.query("q")[:200].strip()
    word = ask.query("kind")
    kind = EntityKind(word) if word in set(EntityKind) else None
    here, page, contacts = await ask.store.read(look, ask.viewer, query, kind, ask.query("after"))
    return desk_page(
        ask, "people.html", here, "people", status=status, page=page, contacts=contacts, wrong=wrong,
        kept=ask.form, query=query, kind=kind,
    )  # fmt: skip


async def add(ask: Ask) -> Answer:
    """Add somebody, with or without addresses (without, they cannot be reached, and the page says so)."""
    words = ask.form("kind", "person")
    kind = EntityKind(words) if words in set(EntityKind) else EntityKind.PERSON
    try:
        addresses = (
            read_addresses(ask.form("addresses"), ask.house.config.hub.region) if ask.form("addresses").strip() else ()
        )
        made = await ask.store.write(make, ask.viewer, str(uuid.uuid4()), kind, ask.form("name"), addresses, ask.at)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other(f"/people/{made.id}?said=added")


async def add_contact(ask: Ask) -> Answer:
    """Add an address to somebody."""
    entity_id = ask.part["entity"]
    try:
        address = read_addresses(ask.form("address"), ask.house.config.hub.region)[0]
        contact = await ask.store.write(kept_people.add_contact, ask.viewer, entity_id, address, ask.at)
    except Refused as refused:
        return await show_entity(ask, entity_id, wrong=sentence(str(refused)))
    if contact is None:
        raise not_found("person")
    return see_other(f"/people/{entity_id}?said=added")
