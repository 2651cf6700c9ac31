"""The rules by which the hub tags and routes what arrives: list, add, remove."""

from __future__ import annotations

import re

from msgserver.records import Entity, Priority, Rule, Viewer
from msgserver.store import people
from msgserver.store import rules as kept_rules
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.tags import read_tag
from msgserver.web.words import sentence

_SEPARATOR = re.compile(r"[,;\n]+")


def look(tx: Tx, viewer: Viewer) -> tuple[Around, list[Rule], tuple[Entity, ...]]:
    """The rules, and to whom they may send."""
    return around(tx, viewer), kept_rules.rules(tx), people.entities(tx, viewer, limit=500).items


async def rules(ask: Ask) -> Answer:
    """Every rule in words, and a form to add one."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    here, found, entities = await ask.store.read(look, ask.viewer)
    names = {entity.id: entity.name for entity in entities}
    return desk_page(
        ask, "rules.html", here, "rules", status=status, rules=found, entities=entities, names=names, wrong=wrong,
        kept=ask.form,
    )  # fmt: skip


async def add(ask: Ask) -> Answer:
    """Add a keyword rule, or the one that puts forged mail aside."""
    if ask.form("forged") == "spam":
        forged = Rule(id=0, name="forged senders", position=0, doubted=True, spam=True)
        await ask.store.write(kept_rules.create_rule, ask.viewer, forged, ask.at)
        return see_other("/rules?said=added")
    words = tuple(filter(None, (word.strip() for word in _SEPARATOR.split(ask.form("words")))))
    resource, record = read_tag(ask.form("tag"))
    rule = Rule(
        id=0,
        name=", ".join(words)[:100],
        position=0,
        words=words,
        resource=resource,
        record=record,
        entity_id=ask.form.number("entity"),
        priority=Priority(int(ask.form("priority"))) if ask.form("priority") in ("0", "1", "2", "3") else None,
    )
    try:
        await ask.store.write(kept_rules.create_rule, ask.viewer, rule, ask.at)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other("/rules?said=added")


async def remove(ask: Ask) -> Answer:
    """Take a rule away; its former wordings are kept."""
    if not await ask.store.write(kept_rules.remove_rule, ask.viewer, ask.part["rule"], ask.at):
        raise not_found("rule")
    return see_other("/rules?said=removed")
