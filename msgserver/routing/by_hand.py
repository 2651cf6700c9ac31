"""What people do by hand with a message: tag it, route it to somebody, take either back."""

from __future__ import annotations

import msgspec

from msgserver.records import Tag, Viewer
from msgserver.routing.bus import Bus
from msgserver.routing.may import Act, require
from msgserver.store import forwarding, messages
from msgserver.store.door import Store


class Routed(msgspec.Struct, frozen=True):
    """A message was routed to an entity: the tag that says so, deliveries made, and how many have no address."""

    tag: Tag
    deliveries: int
    nobody: int


async def route(store: Store, bus: Bus, actor: Viewer, message_id: int, entity_id: int, now: float) -> Routed | None:
    """Send a message on to a person, group or organisation; again is harmless. None: one of them may not be seen.

    Raises:
        Forbidden: the actor may not.
        StoreError: not all of it was written; the same once more goes on from there.
    """
    require(actor, Act.ROUTE)
    way = await store.read(forwarding.way, actor, message_id, entity_id, now)
    if way is None:
        return None
    made = 0
    for start in range(0, len(way.to), forwarding.SLICE):
        made += await store.write(forwarding.deliver, way, way.to[start : start + forwarding.SLICE], now)
        bus.ring("delivery", ("*",))
    tag = await store.write(forwarding.settle, actor, way, now)
    if way.message.ticket_id is not None:
        bus.ring("ticket", (way.message.ticket_id,))
    return Routed(tag, made, way.nobody)


async def tag(
    store: Store, bus: Bus, actor: Viewer, message_id: int, resource: str, record: str, now: float
) -> Tag | None:
    """Say what a message is about; whoever subscribes to that gets a copy. None: it may not be seen.

    Raises:
        Forbidden: the actor may not.
        Refused: the resource's name is none.
    """
    require(actor, Act.TAG)
    made = await store.write(forwarding.tag, actor, message_id, resource, record, now)
    if made is not None:
        await _ring(store, bus, actor, message_id)
    return made


async def untag(store: Store, bus: Bus, actor: Viewer, tag_id: int, now: float) -> Tag | None:
    """Take a tag off, and back what has not gone out because of it. None: there is none that the actor may see.

    Raises:
        Forbidden: the actor may not.
    """
    require(actor, Act.TAG)
    gone = await store.write(forwarding.untag, actor, tag_id, now)
    if gone is not None:
        await _ring(store, bus, actor, gone.message_id)
    return gone


async def _ring(store: Store, bus: Bus, actor: Viewer, message_id: int) -> None:
    """Wake the outbox, and the pages that show the message."""
    bus.ring("delivery", ("*",))
    found = await store.read(messages.message, actor, message_id)
    if found is not None and found.ticket_id is not None:
        bus.ring("ticket", (found.ticket_id,))
