"""Resource types and records for programs, and messages routed to people."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from msgspec import UNSET

from msgserver.formats.filling import filled
from msgserver.records import Field, Message, ResourceRecord, ResourceType, Viewer
from msgserver.routing import by_hand
from msgserver.routing.may import Act, require
from msgserver.store import messages, resource_types, resources, tagged
from msgserver.store.edits import Refused
from msgserver.store.paging import Page
from msgserver.store.tagged import Shown
from msgserver.web.api.giving import NOTHING, edit, expected, give, give_all, give_page, limit
from msgserver.web.api.giving import take as taken
from msgserver.web.api.messages import shaped
from msgserver.web.api.record_shapes import (
    FilledShape,
    RecordShape,
    RoutedShape,
    change_shape,
    record_shape,
    type_shape,
)
from msgserver.web.api.record_taken import NewRecord, NewRoute, RecordChange, TypeWish
from msgserver.web.api.shapes import MessageShape, tag_shape
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found
from msgserver.web.words import sentence

# Types -----------------------------------------------------------------------------------------------------------


async def list_types(ask: Ask) -> Answer:
    """The resource types, each with its fields."""
    return give_all(await ask.store.read(resource_types.types, ask.viewer), type_shape)


async def show_type(ask: Ask) -> Answer:
    """One resource type."""
    found = await ask.store.read(resource_types.type_of, ask.viewer, ask.part["name"])
    if found is None:
        raise not_found("resource type")
    return give(type_shape(found))


async def put_type(ask: Ask) -> Answer:
    """Add a resource type, or give one another label and other fields; records keep what they have."""
    wish = taken(ask, TypeWish)
    fields = tuple(
        Field(name=one.name, label=one.label, kind=one.kind, choices=tuple(one.choices), required=one.required)
        for one in wish.fields
    )
    kind = ResourceType(name=ask.part["name"], label=wish.label, fields=fields, url=wish.url)
    return give(type_shape(await edit(ask, resource_types.put_type, ask.viewer, kind, ask.at)))


async def remove_type(ask: Ask) -> Answer:
    """Take away a resource type that has no records."""
    if not await edit(ask, resource_types.remove_type, ask.viewer, ask.part["name"], ask.at):
        raise not_found("resource type")
    return NOTHING


# Records ---------------------------------------------------------------------------------------------------------


def _shaped(tx: Tx, viewer: Viewer, found: list[ResourceRecord]) -> list[RecordShape]:
    """Records with how many messages the viewer has yet to read about each, and has read."""
    counts: dict[str, tuple[int, int]] = {}
    for resource in {one.resource for one in found}:
        uids = [one.uid for one in found if one.resource == resource]
        counts |= resources.message_counts(tx, viewer, resource, uids)
    return [record_shape(one, *counts.get(one.uid, (0, 0))) for one in found]


def page(
    tx: Tx, viewer: Viewer, resource: str, query: str, after: str, most: int, code: str, parent: int | None
) -> Page[RecordShape]:
    """One page of records."""
    found = resources.records(tx, viewer, resource, query, after, most, code, parent)
    return Page(tuple(_shaped(tx, viewer, list(found.items))), found.next)


async def listing(ask: Ask) -> Answer:
    """Records by name; ``q`` finds the beginnings of words of names, aliases and codes."""
    query, code, after = ask.query("q")[:200], ask.query("code")[:40], ask.query("after")
    wish = (ask.query("resource")[:60], query, after, limit(ask), code, ask.query.number("parent"))
    return give_page(await ask.store.read(page, ask.viewer, *wish), lambda shape: shape)


def completed(tx: Tx, viewer: Viewer, query: str, resource: str, most: int) -> list[RecordShape]:
    """What somebody may mean."""
    return _shaped(tx, viewer, resources.complete(tx, viewer, query, resource, most))


async def complete(ask: Ask) -> Answer:
    """The records that somebody may mean who types ``q``, the likeliest first."""
    most = min(limit(ask), 20)
    found = await ask.store.read(completed, ask.viewer, ask.query("q")[:200], ask.query("resource")[:60], most)
    return give_all(found, lambda shape: shape)


def one(tx: Tx, viewer: Viewer, uid: str) -> RecordShape | None:
    """One record."""
    found = resources.record(tx, viewer, uid)
    return None if found is None else _shaped(tx, viewer, [found])[0]


async def show(ask: Ask) -> Answer:
    """One record; its ETag goes into If-Match."""
    found = await ask.store.read(one, ask.viewer, ask.part["uid"])
    if found is None:
        raise not_found("record")
    return give(found, version=found.version)


async def add(ask: Ask) -> Answer:
    """Make a record, under a uid of your own application where you name one; ``message`` is tagged with it."""
    new = taken(ask, NewRecord)
    require(ask.viewer, Act.RECORD, new.resource)
    content: dict[str, Any] = msgspec.structs.asdict(new)
    content["parent_id"] = content.pop("parent")
    uid, message_id = new.uid or str(uuid.uuid4()), new.message
    if message_id is not None and await ask.store.read(messages.message, ask.viewer, message_id) is None:
        raise not_found("message")
    made = await edit(ask, resources.create_record, ask.viewer, uid, new.resource, content, ask.at)
    if message_id is not None:
        await by_hand.tag(ask.house.store, ask.house.bus, ask.viewer, message_id, made.resource, made.uid, ask.at)
    return give(record_shape(made), 201, place=f"/api/v1/records/{made.uid}", version=made.version)


async def patch(ask: Ask) -> Answer:
    """Change a record: what is named is changed, the rest stays; with If-Match only if nobody else did meanwhile."""
    wish = taken(ask, RecordChange)
    changes = {name: value for name in wish.__struct_fields__ if (value := getattr(wish, name)) is not UNSET}
    if "parent" in changes:
        changes["parent_id"] = changes.pop("parent")
    before = await ask.store.read(resources.record, ask.viewer, ask.part["uid"])
    if before is None:
        raise not_found("record")
    require(ask.viewer, Act.RECORD, before.resource, before.uid)
    if await edit(ask, resources.update_record, ask.viewer, before.uid, changes, ask.at, expected(ask)) is None:
        raise not_found("record")
    return await show(ask)


async def remove(ask: Ask) -> Answer:
    """Take a record away; the tags of its messages stay."""
    before = await ask.store.read(resources.record, ask.viewer, ask.part["uid"])
    if before is None:
        raise not_found("record")
    require(ask.viewer, Act.RECORD, before.resource, before.uid)
    await edit(ask, resources.remove_record, ask.viewer, before.uid, ask.at)
    return NOTHING


async def history(ask: Ask) -> Answer:
    """Who changed what about a record, newest first."""
    found = await ask.store.read(resources.history, ask.viewer, ask.part["uid"], ask.query("after"), limit(ask))
    if found is None:
        raise not_found("record")
    return give_page(found, change_shape)


def about(
    tx: Tx, viewer: Viewer, resource: str, uid: str, shown: Shown, after: str, most: int
) -> Page[MessageShape] | None:
    """The messages of a record, of ours or another application's; None where there is nothing of it."""
    found = resources.record(tx, viewer, uid)
    if found is None and not tagged.known(tx, viewer, resource, uid):
        return None
    kind = found.resource if found is not None and not resource else resource
    listed = tagged.of_record(tx, viewer, kind, uid, shown, after, most, whole=True)
    return Page(tuple(shaped(tx, viewer, listed.items)), listed.next)


async def about_record(ask: Ask) -> Answer:
    """The messages about a record, newest first: all, or ``show`` unread, read or verified ones.

    A record of another application is found with its ``resource`` named.
    """
    word = ask.query("show", "all")
    if word not in set(Shown):
        raise Refusal(422, "There is no such choice.", f"It is {', '.join(Shown)}.")
    wish = (ask.query("resource")[:60], ask.part["uid"], Shown(word), ask.query("after"), limit(ask))
    found = await ask.store.read(about, ask.viewer, *wish)
    if found is None:
        raise not_found("record")
    return give_page(found, lambda shape: shape)


# Messages --------------------------------------------------------------------------------------------------------


def _message(tx: Tx, viewer: Viewer, message_id: int, resource: str) -> tuple[Message | None, ResourceType | None]:
    return messages.message(tx, viewer, message_id), resource_types.type_of(tx, viewer, resource)


async def fill(ask: Ask) -> Answer:
    """What a new record of a type would say, filled in from a message."""
    found, kind = await ask.store.read(_message, ask.viewer, ask.part["message"], ask.query("resource")[:60])
    if found is None:
        raise not_found("message")
    if kind is None:
        raise Refusal(422, "There is no such resource type.", "Name one as ?resource=.")
    made = filled(kind.fields, found.subject, found.body, found.sender, ask.house.config.hub.region)
    return give(
        FilledShape(kind.name, made.name, made.comments, dict(made.fields), made.latitude, made.longitude, found.id)
    )


async def route(ask: Ask) -> Answer:
    """Send a message on to a person, group or organisation: a tag that says so, and a delivery for each of them."""
    new = taken(ask, NewRoute)
    try:
        done = await by_hand.route(ask.house.store, ask.house.bus, ask.viewer, ask.part["message"], new.entity, ask.at)
    except Refused as refused:
        raise Refusal(422, sentence(str(refused))) from None
    if done is None:
        raise not_found("message or entity")
    return give(RoutedShape(tag_shape(done.tag), done.deliveries, done.nobody), 201)
