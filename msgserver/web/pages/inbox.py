"""The inbox, home of the desk: conversations by view and search; and its rows alone, for the page that is open."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from msgserver.records import Ticket, Viewer
from msgserver.store import tickets
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx
from msgserver.web.language import _, plural
from msgserver.web.pages.around import TITLES, Around, around, desk_page

ROWS = 50
SEARCH = 500  # characters


def place(ask: Ask) -> tuple[str, str]:
    """The view and the search words that a page's address names."""
    view = ask.query("view", "todo")
    return (view if view in TITLES else "todo"), ask.query("q")[:SEARCH].strip()


def suffix(view: str, query: str) -> str:
    """What a row's link carries so that the list stands beside the conversation."""
    named = {"view": "" if view == "todo" else view, "q": query}
    words = urlencode({name: value for name, value in named.items() if value})
    return f"?{words}" if words else ""


def look(tx: Tx, viewer: Viewer, view: str, query: str, after: str, limit: int = ROWS) -> tuple[Around, Page[Ticket]]:
    """One page of the inbox and what stands around it."""
    return around(tx, viewer), tickets.inbox(tx, viewer, view, query, after, limit)


async def inbox(ask: Ask) -> Answer:
    """Conversations, newest need first."""
    view, query = place(ask)
    here, page = await ask.store.read(look, ask.viewer, view, query, ask.query("after"))
    shown: dict[str, Any] = {"page": page, "query": query, "suffix": suffix(view, query)}
    if ask.query("part") == "rows":
        return ask.page(
            "rows.html",
            counts=here.counts,
            waiting=here.counts.get("unread", 0),
            open_id=ask.query.number("open"),
            summary=summary(here.counts),
            **shown,
        )
    return desk_page(ask, "inbox.html", here, view, title=TITLES[view], summary=summary(here.counts), **shown)


def summary(counts: dict[str, int]) -> str:
    """How the desk stands, in a sentence."""
    todo, nobody = counts.get("todo", 0), counts.get("unassigned", 0)
    if not todo:
        return _("All clear: nobody is waiting for an answer.")
    words = plural(_("%(n)d conversation waits for an answer"), _("%(n)d conversations wait for an answer"), todo)
    if nobody == todo:
        words += plural(_(", and nobody has taken it yet"), _(", and nobody has taken any of them yet"), todo)
    elif nobody:
        words += plural(_("; %(n)d of them nobody has taken yet"), _("; %(n)d of them nobody has taken yet"), nobody)
    return words + _(". Choose one on the list.")
