"""Entities, their addresses and their subscriptions for programs."""

from __future__ import annotations

import uuid

from msgspec import UNSET

from msgserver.formats.hours import read_hour
from msgserver.message import Address
from msgserver.records import Contact, Entity, EntityKind, Viewer
from msgserver.routing.may import Act, require
from msgserver.store import membership, merging, people
from msgserver.web.api.giving import NOTHING, addresses, edit, give, give_all, give_page, limit
from msgserver.web.api.giving import take as taken
from msgserver.web.api.people_shapes import ContactChange, Duplicate, likely_shape, member_shape
from msgserver.web.api.shapes import contact_shape, entity_shape
from msgserver.web.api.taken import EntityChange, NewContact, NewEntity
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found


async def _one(ask: Ask) -> Entity:
    found = await ask.store.read(people.entity, ask.viewer, ask.part["entity"])
    if found is None:
        raise not_found("entity")
    return found


def _known(tx: Tx, viewer: Viewer, number: int) -> Entity | None:
    return people.entity(tx, viewer, number) or people.merged_into(tx, viewer, number)


async def listing(ask: Ask) -> Answer:
    """People, groups and organisations by name; ``q`` finds words of a name or a part of an address.

    ``uid`` finds the one that has it, or had it before it was made one with another.
    """
    if uid := ask.query("uid")[:100]:
        found = await ask.store.read(people.entity_by_uid, ask.viewer, uid)
        return give_all([found] if found is not None else [], entity_shape)
    word = ask.query("kind")
    if word and word not in set(EntityKind):
        raise Refusal(422, "There is no such kind.", "It is person, group or organisation.")
    kind = EntityKind(word) if word else None
    query, after = ask.query("q")[:200], ask.query("after")
    return give_page(await ask.store.read(people.entities, ask.viewer, query, kind, after, limit(ask)), entity_shape)


async def show(ask: Ask) -> Answer:
    """One of them; of one that was made one with another, the one that stayed."""
    found = await ask.store.read(_known, ask.viewer, ask.part["entity"])
    if found is None:
        raise not_found("entity")
    return give(entity_shape(found))


def make(tx: Tx, actor: Viewer, uid: str, new: NewEntity, to: tuple[Address, ...], now: float) -> Entity:
    """An entity with its addresses, or nothing at all."""
    kind = EntityKind(new.kind)
    made = people.create_entity(tx, actor, uid, kind, new.name, now, new.language, new.timezone, new.comments)
    for address in to:
        people.add_contact(tx, actor, made.id, address, now)
    return made


async def add(ask: Ask) -> Answer:
    """Add a person, group or organisation, with addresses or without."""
    new = taken(ask, NewEntity)
    made = await edit(ask, make, ask.viewer, str(uuid.uuid4()), new, addresses(ask, new.addresses), ask.at)
    return give(entity_shape(made), 201, place=f"/api/v1/entities/{made.id}")


async def patch(ask: Ask) -> Answer:
    """Change name, language, time zone, comments or quiet hours."""
    wish = taken(ask, EntityChange)
    changes: dict[str, str | int | None] = {
        name: value
        for name in wish.__struct_fields__
        if (value := getattr(wish, name)) is not UNSET and isinstance(value, str)
    }
    for name in ("quiet_from", "quiet_until"):
        if name in changes:
            changes[name] = read_hour(str(changes[name])) if changes[name] else None
    found = await edit(ask, people.update_entity, ask.viewer, ask.part["entity"], changes, ask.at)
    if found is None:
        raise not_found("entity")
    return give(entity_shape(found))


async def remove(ask: Ask) -> Answer:
    """Take it away with its addresses and subscriptions; messages stay."""
    if not await edit(ask, people.remove_entity, ask.viewer, ask.part["entity"], ask.at):
        raise not_found("entity")
    return NOTHING


async def contacts(ask: Ask) -> Answer:
    """Its addresses, the preferred first."""
    found = await _one(ask)
    return give_all(await ask.store.read(people.contacts, ask.viewer, found.id), contact_shape)


async def add_contact(ask: Ask) -> Answer:
    """Give it an address."""
    new = taken(ask, NewContact)
    (address,) = addresses(ask, [new.address])
    made = await edit(ask, people.add_contact, ask.viewer, ask.part["entity"], address, ask.at, False, new.preferred)
    if made is None:
        raise not_found("entity")
    return give(contact_shape(made), 201, place=f"/api/v1/contacts/{made.id}")


async def contact(ask: Ask) -> Answer:
    """One address."""
    found = await ask.store.read(people.contact, ask.viewer, ask.part["contact"])
    if found is None:
        raise not_found("contact")
    return give(contact_shape(found))


def mark(tx: Tx, actor: Viewer, contact_id: int, wish: ContactChange, now: float) -> Contact | None:
    """Change what is known of an address."""
    if wish.verified is not UNSET:
        people.verify(tx, actor, contact_id, wish.verified, now)
    if wish.bouncing is not UNSET:
        people.set_bouncing(tx, actor, contact_id, wish.bouncing, now)
    if wish.stopped is not UNSET:
        people.set_stopped(tx, actor, contact_id, wish.stopped, f"said by {actor.name}", now)
    if wish.preferred is not UNSET:
        people.prefer(tx, actor, contact_id, now, wish.preferred)
    return people.contact(tx, actor, contact_id)


async def patch_contact(ask: Ask) -> Answer:
    """Change whether it is preferred, verified, stopped (no more messages) or bouncing."""
    changed = await edit(ask, mark, ask.viewer, ask.part["contact"], taken(ask, ContactChange), ask.at)
    if changed is None:
        raise not_found("contact")
    return give(contact_shape(changed))


async def groups(ask: Ask) -> Answer:
    """In which groups and organisations it directly is, with its role there."""
    found = await _one(ask)
    return give_all(await ask.store.read(membership.groups_of, ask.viewer, found.id), member_shape)


async def likely(ask: Ask) -> Answer:
    """Pairs that may be one person kept twice: they share an address or a name; at most 100."""
    return give_all(await ask.store.read(merging.likely, ask.viewer, 100), likely_shape)


async def merge(ask: Ask) -> Answer:
    """Make one of two: all that ``duplicate`` has goes over to this one, and it is no more. It cannot be undone."""
    wish = taken(ask, Duplicate)
    merged = await edit(ask, merging.merge, ask.viewer, ask.part["entity"], wish.duplicate, ask.at)
    if merged is None:
        raise not_found("entity")
    return give(entity_shape(merged))


async def remove_contact(ask: Ask) -> Answer:
    """Take an address away."""
    require(ask.viewer, Act.PEOPLE)
    if not await edit(ask, people.remove_contact, ask.viewer, ask.part["contact"], ask.at):
        raise not_found("contact")
    return NOTHING
