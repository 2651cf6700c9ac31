"""Texts with holes: list, word, try with values, and send."""

from __future__ import annotations

import uuid
from typing import Any

from msgserver.formats.wording import BadWording, Wording, fill, names
from msgserver.records import Draft, Template, Viewer
from msgserver.store import templates as kept_templates
from msgserver.store.edits import Refused, Stale
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.compose import once, read_addresses
from msgserver.web.words import sentence


def look(tx: Tx, viewer: Viewer) -> tuple[Around, list[Template]]:
    """All of them."""
    return around(tx, viewer), kept_templates.templates(tx)


def look_at(tx: Tx, viewer: Viewer, template_id: int) -> tuple[Around, Template | None]:
    """The newest wording of one."""
    return around(tx, viewer), kept_templates.newest(tx, template_id)


async def templates(ask: Ask) -> Answer:
    """Every template, and a form to add one."""
    return await _list(ask)


async def _list(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    here, found = await ask.store.read(look, ask.viewer)
    return desk_page(ask, "templates.html", here, "templates", status=status, found=found, wrong=wrong, kept=ask.form)


def _wording(ask: Ask) -> Wording:
    return Wording(ask.form("subject"), ask.form("text"), ask.form("html"))


async def add(ask: Ask) -> Answer:
    """Add one."""
    try:
        made = await ask.store.write(kept_templates.save, ask.viewer, ask.form("name"), _wording(ask), ask.at, 0)
    except Stale:
        return await _list(ask, _("There is a template of this name already. Open it to change it."), 409)
    except Refused as refused:
        return await _list(ask, sentence(str(refused)), 422)
    return see_other(f"/templates/{made.id}?said=added")


async def template(ask: Ask) -> Answer:
    """One template: its words, and a form with a box for each of its holes."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200, filled: Wording | None = None) -> Answer:
    here, found = await ask.store.read(look_at, ask.viewer, ask.part["template"])
    if found is None:
        raise not_found("template")
    asks = [name for name in names(kept_templates.wording_of(found)) if name != "to"]
    return desk_page(
        ask, "template.html", here, "templates", status=status, found=found, asks=asks, wrong=wrong, kept=ask.form,
        filled=filled, once=str(uuid.uuid4()),
    )  # fmt: skip


async def save(ask: Ask) -> Answer:
    """Word it anew; a colleague's change meanwhile is not overwritten."""
    found = await ask.store.read(kept_templates.newest, ask.part["template"])
    if found is None:
        raise not_found("template")
    try:
        made = await ask.store.write(
            kept_templates.save,
            ask.viewer,
            found.name,
            _wording(ask),
            ask.at,
            ask.form.number("version", found.version),
        )
    except Stale:
        return await _show(ask, _("Somebody changed it meanwhile; nothing was saved. Your words are kept below."), 409)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other(f"/templates/{made.id}?said=saved")


async def remove(ask: Ask) -> Answer:
    """Take it away; what was written from it still goes out."""
    if not await ask.store.write(kept_templates.remove, ask.viewer, ask.part["template"], ask.at):
        raise not_found("template")
    return see_other("/templates?said=removed")


async def send(ask: Ask) -> Answer:
    """Show what it says with these values, or send it."""
    found = await ask.store.read(kept_templates.template_of, ask.part["template"])
    if found is None:
        raise not_found("template")
    values: dict[str, Any] = {
        name.removeprefix("value-"): ask.form(name) for name in ask.form.names() if name.startswith("value-")
    }
    try:
        if ask.form("do") != "send":
            words = fill(kept_templates.wording_of(found), {**values, "to": kept_templates.SOMEBODY})
            return await _show(ask, filled=words)
        to = read_addresses(ask.form("to"), ask.house.config.hub.region)
        draft = Draft(uid=once(ask), to=to, template=found.id, values=values)
        recorded = await ask.house.desk.write(ask.viewer, draft)
    except (Refused, BadWording) as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other(f"/tickets/{recorded.ticket_id}?view=all&said=sent#m{recorded.number}")
