"""Saved searches, one's own and everybody's, each with what one has yet to read of it."""

from __future__ import annotations

from msgserver.records import Viewer
from msgserver.routing.may import Act, Forbidden, may
from msgserver.store import counting, saved
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.words import sentence


def look(tx: Tx, viewer: Viewer) -> tuple[Around, list[tuple[saved.SavedView, tuple[int, int]]]]:
    """The searches, with unread and read."""
    views = saved.saved_views(tx, viewer)
    return around(tx, viewer), [(view, counting.of_search(tx, viewer, view.query)) for view in views]


async def searches(ask: Ask) -> Answer:
    """All that one may use."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    here, found = await ask.store.read(look, ask.viewer)
    return desk_page(
        ask, "searches.html", here, "searches", status=status, items=found, wrong=wrong, kept=ask.form,
        shares=may_share(ask.viewer), most=counting.MOST_FOUND,
    )  # fmt: skip


def may_share(viewer: Viewer) -> bool:
    """Whether somebody may save and change searches for everybody: who may subscribe others, or keep the rules."""
    return may(viewer, Act.RULES) or may(viewer, Act.SUBSCRIBE_OTHERS) or may(viewer, Act.SETTINGS)


def must_share(viewer: Viewer) -> None:
    """See that somebody may.

    Raises:
        Forbidden: in words.
    """
    if not may_share(viewer):
        raise Forbidden(
            "You may not do this for everybody: it takes the role operator, alert sender or administrator."
            " Save the search for yourself, or ask one of them."
        )


async def add(ask: Ask) -> Answer:
    """Keep a search."""
    everybodys = "everybody" in ask.form
    if everybodys:
        must_share(ask.viewer)
    try:
        await ask.store.write(saved.save_view, ask.viewer, ask.form("name"), ask.form("query"), ask.at, everybodys)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other("/searches?said=saved")


async def _meant(ask: Ask) -> saved.SavedView:
    found = await ask.store.read(saved.saved, ask.viewer, ask.part["view"])
    if found is None:
        raise not_found("saved search")
    if found.user_id is None:
        must_share(ask.viewer)
    return found


async def change(ask: Ask) -> Answer:
    """Give it another name or other words."""
    found = await _meant(ask)
    try:
        await ask.store.write(saved.change_view, ask.viewer, found.id, ask.form("name"), ask.form("query"), ask.at)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other("/searches?said=saved")


async def remove(ask: Ask) -> Answer:
    """Forget it."""
    found = await _meant(ask)
    try:
        await ask.store.write(saved.remove_view, ask.viewer, found.id, ask.at)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other("/searches?said=removed")
