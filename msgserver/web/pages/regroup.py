"""Which messages belong together, by hand: merge a conversation into another, split some off, move some."""

from __future__ import annotations

import uuid

from msgserver.records import Message, Ticket, Viewer
from msgserver.store import regroup, tickets
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.words import sentence

SHOWN = 500  # messages of a conversation to choose from


def look(tx: Tx, viewer: Viewer, ticket_id: int) -> tuple[Around, Ticket, tuple[Message, ...]] | None:
    """The conversation and its messages."""
    found = tickets.ticket(tx, viewer, ticket_id)
    if found is None:
        return None
    return around(tx, viewer), found, tuple(tickets.conversation(tx, viewer, found.id, limit=SHOWN))


async def form(ask: Ask) -> Answer:
    """Its messages with a box each, and what can be done with them."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    seen = await ask.store.read(look, ask.viewer, ask.part["ticket"])
    if seen is None:
        raise not_found("conversation")
    here, ticket, log = seen
    chosen = set(_numbers(ask, "message"))
    return desk_page(
        ask, "regroup.html", here, "", status=status, ticket=ticket, log=log, wrong=wrong, chosen=chosen,
        into=ask.form("into"),
    )  # fmt: skip


async def act(ask: Ask) -> Answer:
    """Merge, split or move, as the button says."""
    ticket_id, wish, chosen = ask.part["ticket"], ask.form("do"), _numbers(ask, "message")
    into = _number(ask.form("into").strip().removeprefix("#"))
    try:
        if wish == "split":
            said = "split"
            done = await ask.store.write(regroup.split, ask.viewer, ticket_id, chosen, str(uuid.uuid4()), ask.at)
        elif into is None:
            raise Refused(_("Nothing was changed: write the number of the other conversation, such as #42."))
        elif wish == "move":
            said = "moved"
            done = await ask.store.write(regroup.move, ask.viewer, ticket_id, chosen, into, ask.at)
        else:
            said = "joined"
            done = await ask.store.write(regroup.merge, ask.viewer, ticket_id, into, ask.at)
        if done is None:
            raise Refused(
                _("Nothing was changed: there is no conversation of this number, or it is not shared with you.")
            )
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    ask.house.bus.ring("ticket", [ticket_id, done.id])
    return see_other(f"/tickets/{done.id}?view=all&said={said}")


def _numbers(ask: Ask, name: str) -> list[int]:
    return [number for word in ask.form.all(name) if (number := _number(word)) is not None]


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 16 else None
