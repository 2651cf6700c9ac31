"""A conversation's page: read it, and see what one may do with it (the acts are in ``ticket_acts`` and ``answer``)."""

from __future__ import annotations

import uuid
from typing import Any

from msgserver.message import Address
from msgserver.records import Direction, Ticket, Viewer
from msgserver.store import people
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx, not_found
from msgserver.web.pages import counting, inbox
from msgserver.web.pages.around import TITLES, Around, desk_page
from msgserver.web.pages.thread import Conversation, conversation
from msgserver.web.words import spoken_address

BESIDE = 30  # rows of the list beside the conversation


def look(
    tx: Tx, viewer: Viewer, ticket_id: int, view: str, query: str
) -> tuple[Around, Page[Ticket], Conversation, tuple[str, ...]] | None:
    """The conversation, the list beside it, and the addresses by which an answer may go."""
    found = conversation(tx, viewer, ticket_id)
    if found is None:
        return None
    here, page = inbox.look(tx, viewer, view, query, "", BESIDE)
    contacts = people.contacts(tx, viewer, found.ticket.entity_id) if found.ticket.entity_id else ()
    return here, page, found, _ways(found, [contact.address for contact in contacts])


def _ways(found: Conversation, contacts: list[str]) -> tuple[str, ...]:
    """As the question came first, then the sender's other addresses."""
    asked = found.last_question()
    first = asked.sender if asked is not None else found.ticket.address
    return tuple(dict.fromkeys(way for way in (first, *contacts) if way))


async def ticket(ask: Ask) -> Answer:
    """One conversation and the box to answer it."""
    return await show(ask)


async def show(ask: Ask, *, status: int = 200, **changes: Any) -> Answer:
    """The ticket's page; ``changes`` are what a refused act wants said and kept."""
    view, query = inbox.place(ask)
    seen = await ask.store.read(look, ask.viewer, ask.part["ticket"], view, query)
    if seen is None:
        raise not_found("conversation")
    here, page, found, ways = seen
    assigned = {user_id for user_id, _name in found.ticket.assignees}
    asked = found.last_question()
    values: dict[str, Any] = {
        "ticket": found.ticket,
        "items": found.items,
        "users": [user for user in found.users if user.active],
        "page": page,
        "query": query,
        "title": TITLES[view],
        "suffix": inbox.suffix(view, query),
        "who": found.ticket.entity_name or spoken_address(found.ticket.address),
        "mine": ask.viewer.user_id in assigned,
        "assigned": assigned,
        "ways": ways,
        "answers": asked.id if asked is not None else None,
        "once": str(uuid.uuid4()),
        "kept": "",
        "rich": False,
        "preview": None,
        "by_mail": any(way.startswith("mailto:") for way in ways),
        "chosen": ask.form("to"),
        "kept_note": "",
        "stale": False,
        **changes,
    }
    values["count"] = counting.counted(ask, values["kept"], [ask.form("to") or (ways[0] if ways else "")])
    return desk_page(ask, "ticket.html", here, view, status=status, **values)


async def thread(ask: Ask) -> Answer:
    """The conversation alone, for the page that is open."""
    found = await ask.store.read(conversation, ask.viewer, ask.part["ticket"])
    if found is None:
        raise not_found("conversation")
    return ask.page("thread.html", ticket=found.ticket, items=found.items)


def unread_ids(found: Conversation) -> list[int]:
    """The incoming messages of a conversation."""
    return [i.message.id for i in found.items if i.message and i.message.direction is Direction.IN]


def address(words: str) -> Address | None:
    """An address out of a form, None where it is none."""
    try:
        return Address.parse(words) if words else None
    except ValueError:
        return None
