"""The master log: every message in and out, and how one of them looked when it arrived."""

from __future__ import annotations

from msgserver.records import Message, Viewer
from msgserver.store import messages
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx
from msgserver.web.pages.around import Around, around, desk_page


def look(tx: Tx, viewer: Viewer, query: str, after: str) -> tuple[Around, Page[Message]]:
    """One page of the log."""
    return around(tx, viewer), messages.log(tx, viewer, query, after)


async def log(ask: Ask) -> Answer:
    """Everything, newest first, or what a search finds."""
    query = ask.query("q")[:500].strip()
    here, page = await ask.store.read(look, ask.viewer, query, ask.query("after"))
    return desk_page(ask, "log.html", here, "log", page=page, query=query)
