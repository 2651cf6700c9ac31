"""Saved searches for programs."""

from __future__ import annotations

from msgserver.records import Viewer
from msgserver.store import counting, saved
from msgserver.web.api.giving import NOTHING, edit, give, give_all
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import SearchShape
from msgserver.web.api.taken import NewSearch
from msgserver.web.ask import Answer, Ask, Tx, not_found
from msgserver.web.pages.searches import must_share


def _shape(tx: Tx, viewer: Viewer, view: saved.SavedView) -> SearchShape:
    count = counting.of_search(tx, viewer, view.query)
    return SearchShape(view.id, view.name, view.query, view.user_id is None, *count)


def _shapes(tx: Tx, viewer: Viewer) -> list[SearchShape]:
    return [_shape(tx, viewer, view) for view in saved.saved_views(tx, viewer)]


async def listing(ask: Ask) -> Answer:
    """One's own searches and everybody's."""
    return give_all(await ask.store.read(_shapes, ask.viewer), lambda shape: shape)


async def add(ask: Ask) -> Answer:
    """Keep a search."""
    new = taken(ask, NewSearch)
    if new.everybody:
        must_share(ask.viewer)
    made = await edit(ask, saved.save_view, ask.viewer, new.name, new.query, ask.at, new.everybody)
    return give(await ask.store.read(_shape, ask.viewer, made), 201)


async def _meant(ask: Ask) -> saved.SavedView:
    found = await ask.store.read(saved.saved, ask.viewer, ask.part["view"])
    if found is None:
        raise not_found("saved search")
    if found.user_id is None:
        must_share(ask.viewer)
    return found


async def put(ask: Ask) -> Answer:
    """Give it another name or other words; whose it is stays."""
    found, new = await _meant(ask), taken(ask, NewSearch)
    changed = await edit(ask, saved.change_view, ask.viewer, found.id, new.name, new.query, ask.at)
    if changed is None:
        raise not_found("saved search")
    return give(await ask.store.read(_shape, ask.viewer, changed))


async def remove(ask: Ask) -> Answer:
    """Forget it."""
    found = await _meant(ask)
    await edit(ask, saved.remove_view, ask.viewer, found.id, ask.at)
    return NOTHING
