"""What people do with a conversation besides answering: take, assign, raise, finish, mark, tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgserver.records import Priority, Ticket, Viewer
from msgserver.store import forwarding, messages, resources, tickets
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found, see_other
from msgserver.web.pages.compose import read_priority
from msgserver.web.pages.ticket import show
from msgserver.web.tags import read_tag
from msgserver.web.words import sentence


def take_it(tx: Tx, actor: Viewer, ticket_id: int, now: float) -> Ticket | None:
    """Add oneself to those who have it."""
    found = tickets.ticket(tx, actor, ticket_id)
    if found is None:
        return None
    have = {user_id for user_id, _name in found.assignees} | {actor.user_id}
    return tickets.assign(tx, actor, ticket_id, have, now)


def drop_it(tx: Tx, actor: Viewer, ticket_id: int, now: float) -> Ticket | None:
    """Take oneself off."""
    found = tickets.ticket(tx, actor, ticket_id)
    if found is None:
        return None
    have = {user_id for user_id, _name in found.assignees} - {actor.user_id}
    return tickets.assign(tx, actor, ticket_id, have, now)


def mark_newest_unread(tx: Tx, viewer: Viewer, ticket_id: int) -> bool:
    """Mark the latest message that came in unread, for the viewer alone."""
    newest = [m.id for m in tickets.conversation(tx, viewer, ticket_id, limit=50) if m.direction == "in"][-1:]
    messages.mark_unread(tx, viewer, newest)
    return bool(newest)


def tag_newest(tx: Tx, actor: Viewer, ticket_id: int, resource: str, record: str, now: float) -> bool:
    """Tag the latest message that came in on a conversation (the latest at all, where none did)."""
    log = tickets.conversation(tx, actor, ticket_id, limit=50)
    chosen = [m for m in log if m.direction == "in"] or log
    record = resources.uid_of(tx, actor, resource, record)
    return bool(chosen) and forwarding.tag(tx, actor, chosen[-1].id, resource, record, now) is not None


async def _edit(ask: Ask, said: str, unit: Callable[..., Any], *args: Any) -> Answer:
    """Run one edit, make it known, go back to the conversation."""
    ticket_id = ask.part["ticket"]
    try:
        done = await ask.store.write(unit, ask.viewer, ticket_id, *args)
    except Refused as refused:
        return await show(ask, status=422, wrong=sentence(str(refused)))
    if done is None or done is False:
        raise not_found("conversation")
    ask.house.bus.ring("ticket", [ticket_id])
    return see_other(f"/tickets/{ticket_id}?said={said}" if said else f"/tickets/{ticket_id}")


async def take(ask: Ask) -> Answer:
    """It is mine (too)."""
    return await _edit(ask, "taken", take_it, ask.at)


async def drop(ask: Ask) -> Answer:
    """Somebody else may have it."""
    return await _edit(ask, "dropped", drop_it, ask.at)


async def assign(ask: Ask) -> Answer:
    """Give it to exactly the people chosen."""
    chosen = [int(word) for word in ask.form.all("user") if word.isascii() and word.isdigit() and len(word) < 16]
    return await _edit(ask, "assigned", tickets.assign, chosen, ask.at)


async def prioritise(ask: Ask) -> Answer:
    """Raise or lower it."""
    if ask.form("priority") not in {str(int(level)) for level in Priority}:
        raise Refusal(422, "There is no such priority.", "Choose low, normal, high or urgent.")
    return await _edit(ask, "priority", tickets.set_priority, read_priority(ask.form("priority")), ask.at)


async def done(ask: Ask) -> Answer:
    """Nothing is left to do, until they write again."""
    return await _edit(ask, "done", tickets.set_actioned, True, ask.at)


async def reopen(ask: Ask) -> Answer:
    """Something is left to do after all."""
    return await _edit(ask, "reopened", tickets.set_actioned, False, ask.at)


def read_it(tx: Tx, viewer: Viewer, ticket_id: int, now: float) -> bool | None:
    """Mark a conversation read for the viewer; None where it may not be seen."""
    if tickets.ticket(tx, viewer, ticket_id) is None:
        return None
    messages.mark_ticket_read(tx, viewer, ticket_id, now)
    return True


async def read(ask: Ask) -> Answer:
    """I have read it."""
    return await _edit(ask, "", read_it, ask.at)


async def unread(ask: Ask) -> Answer:
    """Show it to me as unread again; back to the list, since this page would mark it read."""
    if not await ask.store.write(mark_newest_unread, ask.viewer, ask.part["ticket"]):
        raise not_found("conversation")
    return see_other("/?said=unread")


async def tag(ask: Ask) -> Answer:
    """Say what its latest message is about."""
    resource, record = read_tag(ask.form("tag"))
    done = await _edit(ask, "tagged", tag_newest, resource, record, ask.at)
    ask.house.bus.ring("delivery", ["*"])
    return done
