"""The resource types as administrators define them: their labels, fields, and where other applications show them."""

from __future__ import annotations

import re

from msgserver.formats.fields import KINDS, name_for
from msgserver.records import Field, ResourceType, Viewer
from msgserver.store import resource_types
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.words import sentence

EMPTY = 4  # rows for further fields
LONGEST = 60  # rows looked at
_SEPARATOR = re.compile(r"[,;\n]+")
KIND_WORDS = {
    "text": _("text"),
    "number": _("number"),
    "date": _("date"),
    "choice": _("choice"),
    "yes/no": _("yes or no"),
    "contact": _("address of somebody"),
}


def look(tx: Tx, viewer: Viewer, name: str) -> tuple[Around, ResourceType | None]:
    """The type, if there is one."""
    return around(tx, viewer), resource_types.type_of(tx, viewer, name) if name else None


async def new(ask: Ask) -> Answer:
    """An empty sheet for a type."""
    return await _show(ask, "")


async def edit(ask: Ask) -> Answer:
    """A type's sheet."""
    return await _show(ask, ask.part["type"])


async def _show(ask: Ask, name: str, *, wrong: str = "", status: int = 200, kept: ResourceType | None = None) -> Answer:
    here, found = await ask.store.read(look, ask.viewer, name)
    if name and found is None:
        raise not_found("resource type")
    kind = kept or found or ResourceType(name="", label="")
    rows = [*kind.fields, *(Field(name="", label="") for _row in range(EMPTY))]
    return desk_page(
        ask, "type.html", here, "resources", status=status, wrong=wrong, kind=kind, rows=rows, old=name,
        kinds=[(word, KIND_WORDS[word]) for word in KINDS],
    )  # fmt: skip


def read(ask: Ask, name: str) -> ResourceType:
    """A type out of its sheet; fields without a label are left out, and each keeps its name for as long as it is."""
    label = ask.form("label").strip()
    fields: list[Field] = []
    for n in range(LONGEST):
        said = ask.form(f"label-{n}").strip()
        if not said:
            continue
        known = ask.form(f"name-{n}").strip()
        fields.append(
            Field(
                name=known or _fresh(said, {field.name for field in fields} | set(ask.form.all("names"))),
                label=said[:100],
                kind=ask.form(f"kind-{n}", "text"),
                choices=tuple(filter(None, (word.strip() for word in _SEPARATOR.split(ask.form(f"choices-{n}"))))),
                required=f"required-{n}" in ask.form,
            )
        )
    own = name or ask.form("name").strip().lower() or name_for(label)
    return ResourceType(name=own, label=label, fields=tuple(fields), url=ask.form("url").strip())


def _fresh(label: str, taken: set[str]) -> str:
    wish = name_for(label) or "field"
    return next(one for one in (wish, *(f"{wish[:36]}_{n}" for n in range(2, 100))) if one not in taken)


async def add(ask: Ask) -> Answer:
    """A type of one's own."""
    kind = read(ask, "")
    _here, there = await ask.store.read(look, ask.viewer, kind.name)
    if there is not None:
        wrong = _("There is a type of this name already: %s. Change that one, or choose another name.") % there.label
        return await _show(ask, "", wrong=wrong, status=422, kept=kind)
    return await _put(ask, "", kind)


async def change(ask: Ask) -> Answer:
    """Another label, other fields. Records keep what they have in fields that went."""
    name = ask.part["type"]
    if (await ask.store.read(look, ask.viewer, name))[1] is None:
        raise not_found("resource type")
    return await _put(ask, name, read(ask, name))


async def _put(ask: Ask, name: str, kind: ResourceType) -> Answer:
    try:
        await ask.store.write(resource_types.put_type, ask.viewer, kind, ask.at)
    except Refused as refused:
        return await _show(ask, name, wrong=sentence(str(refused)), status=422, kept=kind)
    return see_other(f"/resources/{kind.name}?said=saved")


async def remove(ask: Ask) -> Answer:
    """Take a type away that has no records."""
    name = ask.part["type"]
    try:
        gone = await ask.store.write(resource_types.remove_type, ask.viewer, name, ask.at)
    except Refused as refused:
        return await _show(ask, name, wrong=sentence(str(refused)), status=422)
    if not gone:
        raise not_found("resource type")
    return see_other("/resources?said=removed")
