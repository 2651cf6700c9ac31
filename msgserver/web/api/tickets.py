"""Tickets for programs: the inbox, one conversation, its notes, and changing it without overwriting a colleague."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from msgserver.records import Ticket, Viewer
from msgserver.store import regroup, tickets
from msgserver.store.edits import Stale
from msgserver.web.api.giving import edit, expected, give, give_all, give_page, level, limit, new_uid
from msgserver.web.api.giving import take as taken
from msgserver.web.api.messages import shaped
from msgserver.web.api.shapes import MessageShape, note_shape, ticket_shape
from msgserver.web.api.taken import Merge, Move, NewNote, Split, TicketChange
from msgserver.web.ask import Answer, Ask, Tx, not_found


def conversation(tx: Tx, viewer: Viewer, ticket_id: int) -> list[MessageShape] | None:
    """The messages of a ticket, oldest first."""
    found = tickets.ticket(tx, viewer, ticket_id)
    if found is None:
        return None
    return shaped(tx, viewer, tuple(tickets.conversation(tx, viewer, found.id)))


async def _one(ask: Ask) -> Ticket:
    found = await ask.store.read(tickets.ticket, ask.viewer, ask.part["ticket"])
    if found is None:
        raise not_found("ticket")
    return found


async def listing(ask: Ask) -> Answer:
    """Tickets of a view (todo, mine, unassigned, all, done, spam); ``q`` searches."""
    view = ask.query("view", "todo")
    query, after = ask.query("q")[:500], ask.query("after")
    return give_page(await ask.store.read(tickets.inbox, ask.viewer, view, query, after, limit(ask)), ticket_shape)


async def show(ask: Ask) -> Answer:
    """One ticket; its ETag goes into If-Match."""
    found = await _one(ask)
    return give(ticket_shape(found), version=found.version)


def change(tx: Tx, actor: Viewer, ticket_id: int, wish: TicketChange, version: int | None, now: float) -> Ticket | None:
    """Make all of the changes, or none."""
    found = tickets.ticket(tx, actor, ticket_id)
    if found is None:
        return None
    if version is not None and found.version != version:
        raise Stale(found)
    if wish.subject is not UNSET:
        found = tickets.set_subject(tx, actor, ticket_id, wish.subject, now)
    if wish.priority is not UNSET:
        found = tickets.set_priority(tx, actor, ticket_id, level(wish.priority), now)
    if wish.assignees is not UNSET:
        found = tickets.assign(tx, actor, ticket_id, wish.assignees, now)
    if wish.actioned is not UNSET:
        found = tickets.set_actioned(tx, actor, ticket_id, wish.actioned, now)
    return found


async def patch(ask: Ask) -> Answer:
    """Change assignees, priority, actioned or subject; with If-Match only if nobody else did meanwhile."""
    wish = taken(ask, TicketChange)
    found = await edit(ask, change, ask.viewer, ask.part["ticket"], wish, expected(ask), ask.at)
    if found is None:
        raise not_found("ticket")
    ask.house.bus.ring("ticket", [found.id])
    return give(ticket_shape(found), version=found.version)


async def messages(ask: Ask) -> Answer:
    """The conversation, oldest first."""
    found = await ask.store.read(conversation, ask.viewer, ask.part["ticket"])
    if found is None:
        raise not_found("ticket")
    return give_all(found, lambda shape: shape)


async def notes(ask: Ask) -> Answer:
    """The internal notes, oldest first."""
    found = await _one(ask)
    return give_all(await ask.store.read(tickets.notes, ask.viewer, found.id), note_shape)


async def add_note(ask: Ask) -> Answer:
    """Keep an internal note; it is never sent."""
    made = await edit(ask, tickets.add_note, ask.viewer, ask.part["ticket"], taken(ask, NewNote).text, ask.at)
    if made is None:
        raise not_found("ticket")
    ask.house.bus.ring("ticket", [made.ticket_id])
    return give(note_shape(made), 201)


async def merge(ask: Ask) -> Answer:
    """Put everything on this ticket onto another, which is answered; with If-Match only if nothing came meanwhile."""
    into = taken(ask, Merge).into
    return await _regrouped(ask, into, regroup.merge, into, ask.at, expected(ask))


async def split(ask: Ask) -> Answer:
    """Give some messages a ticket of their own, which is answered."""
    return await _regrouped(ask, None, regroup.split, taken(ask, Split).messages, new_uid(ask), ask.at)


async def move(ask: Ask) -> Answer:
    """Move some messages to another ticket, which is answered."""
    wish = taken(ask, Move)
    return await _regrouped(ask, wish.into, regroup.move, wish.messages, wish.into, ask.at)


async def _regrouped(ask: Ask, into: int | None, unit: Any, *args: Any) -> Answer:
    found = await edit(ask, unit, ask.viewer, ask.part["ticket"], *args)
    if found is None:
        raise not_found("ticket")
    ask.house.bus.ring("ticket", [ask.part["ticket"], found.id])
    status, place = (201, f"/api/v1/tickets/{found.id}") if into is None else (200, "")
    return give(ticket_shape(found), status, place=place, version=found.version)
