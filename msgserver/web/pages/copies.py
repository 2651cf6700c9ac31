"""Copies that wait for a person's word because so many people would get them."""

from __future__ import annotations

from msgserver.records import Viewer
from msgserver.store import asking
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page


def look(tx: Tx, viewer: Viewer) -> tuple[Around, list[asking.Asking]]:
    """The messages that wait."""
    return around(tx, viewer), asking.asking(tx, viewer)


async def copies(ask: Ask) -> Answer:
    """Every message whose copies are held, with what would go out."""
    here, found = await ask.store.read(look, ask.viewer)
    return desk_page(ask, "copies.html", here, "copies", items=found, most=ask.house.config.hub.most_copies)


async def decide(ask: Ask, send: bool) -> int:
    """Let go of a message's copies, or cancel them, a part at a time; returns how many.

    Raises:
        Refusal: 404, nothing of it waits.
        Refused: they are still being put together.
    """
    message_id = ask.part["message"]
    if not await ask.store.read(asking.asking, ask.viewer, message_id):
        raise not_found("message whose copies wait")
    total = 0
    while decided := await ask.store.write(asking.decide, ask.viewer, message_id, send, ask.at):
        total += decided
    await ask.store.write(asking.note, ask.viewer, message_id, send, total, ask.at)
    ask.house.bus.ring("delivery", ("*",))
    ask.house.bus.ring("message", (message_id,))
    return total


async def send(ask: Ask) -> Answer:
    """Let them go."""
    await decide(ask, True)
    return see_other("/copies?said=let_go")


async def cancel(ask: Ask) -> Answer:
    """Send none of them."""
    await decide(ask, False)
    return see_other("/copies?said=kept_back")
