"""Messages for programs: the log, sending, answering, reading, tagging."""

from __future__ import annotations

from msgserver.records import Delivery, Draft, Message, Viewer
from msgserver.routing import by_hand
from msgserver.store import messages, resources
from msgserver.store.edits import Refused
from msgserver.store.paging import Page
from msgserver.web.api.giving import NOTHING, addresses, give, give_all, give_page, level, limit, new_uid, write
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import MessageShape, delivery_shape, message_shape, tag_shape
from msgserver.web.api.taken import NewMessage, NewReply, NewTag
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found
from msgserver.web.pages import download
from msgserver.web.tags import read_tag
from msgserver.web.words import sentence


def shaped(tx: Tx, viewer: Viewer, log: tuple[Message, ...]) -> list[MessageShape]:
    """Messages with their tags, attachments and deliveries."""
    ids = [message.id for message in log]
    tags, files = messages.tags(tx, viewer, ids), messages.attachments(tx, viewer, ids)
    sent: dict[int, list[Delivery]] = {}
    for row in messages.deliveries(tx, viewer, ids, limit=500).items:
        sent.setdefault(row.message_id, []).append(row)
    return [message_shape(m, tags.get(m.id, []), files.get(m.id, []), list(reversed(sent.get(m.id, [])))) for m in log]


def page(tx: Tx, viewer: Viewer, query: str, after: str, most: int) -> Page[MessageShape]:
    """One page of the log."""
    found = messages.log(tx, viewer, query, after, most, whole=True)
    return Page(tuple(shaped(tx, viewer, found.items)), found.next, found.ignored)


def one(tx: Tx, viewer: Viewer, message_id: int) -> MessageShape | None:
    """One message."""
    found = messages.message(tx, viewer, message_id)
    return None if found is None else shaped(tx, viewer, (found,))[0]


async def _one(ask: Ask, message_id: int) -> MessageShape:
    found = await ask.store.read(one, ask.viewer, message_id)
    if found is None:
        raise not_found("message")
    return found


async def listing(ask: Ask) -> Answer:
    """Messages, newest first; ``q`` searches."""
    found = await ask.store.read(page, ask.viewer, ask.query("q")[:500], ask.query("after"), limit(ask))
    return give_page(found, lambda shape: shape)


async def show(ask: Ask) -> Answer:
    """One message."""
    return give(await _one(ask, ask.part["message"]))


async def send(ask: Ask) -> Answer:
    """Send a new message to any addresses."""
    new = taken(ask, NewMessage)
    recorded = await write(
        ask,
        Draft(
            uid=new_uid(ask),
            to=addresses(ask, new.to),
            subject=new.subject,
            text=new.text,
            html=new.html,
            connector=new.connector,
            priority=level(new.priority),
            template=new.template,
            values=new.values,
        ),
    )
    return give(await _one(ask, recorded.message_id), 201, place=f"/api/v1/messages/{recorded.message_id}")


async def reply(ask: Ask) -> Answer:
    """Answer a message, by default the way it came."""
    new = taken(ask, NewReply)
    asked = await _one(ask, ask.part["message"])
    if asked.ticket is None:
        raise Refusal(422, "This message is on no ticket, so it cannot be answered.", "Send a new message instead.")
    recorded = await write(
        ask,
        Draft(
            uid=new_uid(ask),
            ticket_id=asked.ticket,
            answers=asked.id,
            to=addresses(ask, new.to),
            text=new.text,
            html=new.html,
            connector=new.connector,
            template=new.template,
            values=new.values,
        ),
    )
    return give(await _one(ask, recorded.message_id), 201, place=f"/api/v1/messages/{recorded.message_id}")


async def mark_read(ask: Ask) -> Answer:
    """Mark a message read, for oneself."""
    found = await _one(ask, ask.part["message"])
    await ask.store.write(messages.mark_read, ask.viewer, [found.id], ask.at)
    return NOTHING


async def mark_unread(ask: Ask) -> Answer:
    """Mark a message unread, for oneself."""
    found = await _one(ask, ask.part["message"])
    await ask.store.write(messages.mark_unread, ask.viewer, [found.id])
    return NOTHING


async def tags(ask: Ask) -> Answer:
    """The tags of a message, each with its why."""
    found = await _one(ask, ask.part["message"])
    return give_all(found.tags, lambda tag: tag)


async def add_tag(ask: Ask) -> Answer:
    """Tag a message; whoever subscribes to that gets a copy."""
    resource, words = read_tag(taken(ask, NewTag).tag)
    record = await ask.store.read(resources.uid_of, ask.viewer, resource, words)
    try:
        made = await by_hand.tag(
            ask.house.store, ask.house.bus, ask.viewer, ask.part["message"], resource, record, ask.at
        )
    except Refused as refused:
        raise Refusal(422, sentence(str(refused))) from None
    if made is None:
        raise not_found("message")
    return give(tag_shape(made), 201)


async def remove_tag(ask: Ask) -> Answer:
    """Take a tag off; copies that a tag set by hand called for and that wait are not sent."""
    if await by_hand.untag(ask.house.store, ask.house.bus, ask.viewer, ask.part["tag"], ask.at) is None:
        raise not_found("tag")
    return NOTHING


async def deliveries(ask: Ask) -> Answer:
    """What became of a message, address by address."""
    found = await _one(ask, ask.part["message"])
    rows = await ask.store.read(messages.deliveries, ask.viewer, [found.id])
    return give_page(rows, delivery_shape)


async def original(ask: Ask) -> Answer:
    """A message byte for byte as it arrived."""
    return await download.original(ask)


async def attachment(ask: Ask) -> Answer:
    """An attachment's bytes."""
    return await download.attachment(ask)
