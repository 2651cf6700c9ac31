"""Templates for programs: word them, and see what they say with values."""

from __future__ import annotations

from msgserver.formats.wording import BadWording, Wording, fill, names
from msgserver.records import Template
from msgserver.store import templates
from msgserver.web.api.giving import NOTHING, edit, expected, give, give_all
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import TemplateShape, WordedShape
from msgserver.web.api.taken import NewTemplate, Values
from msgserver.web.ask import Answer, Ask, Refusal, not_found


def shape(one: Template) -> TemplateShape:
    """As the API gives it."""
    asks = tuple(name for name in names(templates.wording_of(one)) if name != "to")
    return TemplateShape(one.id, one.name, one.version, one.subject, one.text, one.html, one.changed_at, asks)


async def _one(ask: Ask) -> Template:
    found = await ask.store.read(templates.template_of, ask.part["template"])
    if found is None:
        raise not_found("template")
    return found


async def listing(ask: Ask) -> Answer:
    """The newest wording of each template."""
    return give_all(await ask.store.read(templates.templates), shape)


async def show(ask: Ask) -> Answer:
    """One wording, also one that is not the newest any more; its ETag goes into If-Match."""
    found = await _one(ask)
    return give(shape(found), version=found.version)


async def add(ask: Ask) -> Answer:
    """Add a template; one of this name must not be there."""
    new = taken(ask, NewTemplate)
    made = await edit(ask, templates.save, ask.viewer, new.name, Wording(new.subject, new.text, new.html), ask.at, 0)
    return give(shape(made), 201, place=f"/api/v1/templates/{made.id}", version=made.version)


async def put(ask: Ask) -> Answer:
    """Word a template anew: a new version with an id of its own. What was written from the former keeps its words."""
    new, found = taken(ask, NewTemplate), await _one(ask)
    if new.name != found.name:
        raise Refusal(422, "A template keeps its name.", "Add a new one, and remove this.")
    wording = Wording(new.subject, new.text, new.html)
    made = await edit(ask, templates.save, ask.viewer, found.name, wording, ask.at, expected(ask))
    return give(shape(made), version=made.version)


async def remove(ask: Ask) -> Answer:
    """Take a template away; what was written from it still goes out."""
    if not await ask.store.write(templates.remove, ask.viewer, ask.part["template"], ask.at):
        raise not_found("template")
    return NOTHING


async def preview(ask: Ask) -> Answer:
    """What it says with these values."""
    values, found = taken(ask, Values).values, await _one(ask)
    try:
        words = fill(templates.wording_of(found), {"to": templates.SOMEBODY, **values})
    except BadWording as error:
        raise Refusal(422, f"It cannot be filled: {error}.") from None
    return give(WordedShape(words.subject, words.text, words.html))
