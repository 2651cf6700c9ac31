"""The rules by which the hub tags and routes what arrives: read, worded, put in order, tried, taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from msgserver.formats.phones import read_address
from msgserver.formats.search import KEYWORD
from msgserver.formats.stems import LANGUAGES
from msgserver.records import ResourceRecord, ResourceType, Rule, User, Viewer
from msgserver.routing.commands import conflicts
from msgserver.routing.trial import Sample, Trial, try_rules
from msgserver.store import people, resource_types, resources, users
from msgserver.store import rules as kept_rules
from msgserver.store.edits import Refused, Stale
from msgserver.store.rules import Wording
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages import rule_words
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.meant import entity_meant, several
from msgserver.web.pages.resources import choose
from msgserver.web.words import sentence

FRESH = Rule(id=0, name="", position=0)


class Shown(msgspec.Struct, frozen=True):
    """What the pages about rules show."""

    here: Around
    rules: list[Rule]
    hits: dict[int, int]
    removed: list[Wording]
    users: list[User]
    types: list[ResourceType]
    names: dict[int, str] = {}  # of those whom rules send to
    records: dict[str, ResourceRecord] = {}  # those that rules tag with, by uid; what lives elsewhere is not among them
    version: int = 0
    wordings: list[Wording] = []


def look(tx: Tx, viewer: Viewer, now: float, one: Rule = FRESH, tried: Trial | None = None) -> Shown:
    """All of it; of one rule its versions besides; and what is called how that the rules or the trial name."""
    held = kept_rules.rule_of(tx, one.id) if one.id else None
    wordings = [] if held is None else kept_rules.wordings(tx, one.id)
    listed, removed = kept_rules.rules(tx), kept_rules.removed(tx, 10)
    told = [*listed, one, *(wording.rule for wording in (*wordings, *removed))]
    receivers = {rule.entity_id for rule in told} | set(tried.decision.routes if tried else ())
    tags = [(rule.resource, rule.record) for rule in told]
    tags += [(tag.resource, tag.record) for tag in (tried.decision.tags if tried else ())]
    sent_to = [people.entity(tx, viewer, number) for number in receivers if number is not None]
    named = [resources.record(tx, viewer, uid) for uid in {uid for resource, uid in tags if resource != KEYWORD}]
    return Shown(
        around(tx, viewer),
        listed,
        kept_rules.hits(tx, now),
        removed,
        users.users(tx),
        resource_types.types(tx, viewer),
        {entity.id: entity.name for entity in sent_to if entity is not None},
        {record.uid: record for record in named if record is not None},
        0 if held is None else held[1],
        wordings,
    )


def meant(tx: Tx, viewer: Viewer, worded: Rule, before: Rule, whom: str, region: str) -> Rule:
    """The rule with the record by its uid and the receiver by number, from the names and codes that were written.

    A record that nothing here is called by stays as it is written: it may live in another application.

    Raises:
        Refused: several may be meant, or nobody.
    """
    entity_id = worded.entity_id
    if entity_id is None and whom:
        held = people.entity(tx, viewer, before.entity_id) if before.entity_id else None
        unchanged = held is not None and held.name == whom
        entity_id = before.entity_id if unchanged else entity_meant(tx, viewer, whom, region).id
    record = worded.record
    if record and worded.resource != KEYWORD and not worded.find:
        near = choose(tx, viewer, record, worded.resource)
        if len(near) > 1:
            choices = [f"{one.name} ({one.code or one.uid})" for one in near]
            raise Refused(several(record, choices, _("Write which one is meant.")))
        record = near[0].uid if near else record
    return msgspec.structs.replace(worded, entity_id=entity_id, record=record)


async def rules(ask: Ask) -> Answer:
    """Every rule in words and in order, the test box, what was removed, the plug-in parsers."""
    return await _list(ask)


async def _list(ask: Ask, wrong: str = "", status: int = 200, tried: Trial | None = None) -> Answer:
    shown = await ask.store.read(look, ask.viewer, ask.at, FRESH, tried)
    return _page(ask, "rules.html", shown, wrong, status, tried, plugins=ask.house.plugins.states())


def _page(ask: Ask, template: str, shown: Shown, wrong: str, status: int, tried: Trial | None, **values: Any) -> Answer:
    return desk_page(
        ask, template, shown.here, "rules", status=status, shown=shown, wrong=wrong, kept=ask.form, tried=tried,
        say=rule_words, conflicts=conflicts, languages=LANGUAGES,
        names=shown.names, records=shown.records,
        logins={user.id: user.name for user in shown.users}, **values,
    )  # fmt: skip


async def new(ask: Ask) -> Answer:
    """The form of a new rule."""
    return await _form(ask, FRESH)


async def rule(ask: Ask) -> Answer:
    """The form of a rule, with its versions."""
    found = await ask.store.read(kept_rules.rule_of, ask.part["rule"])
    if found is None:
        raise not_found("rule")
    return await _form(ask, found[0])


async def _form(ask: Ask, one: Rule, wrong: str = "", status: int = 200, tried: Trial | None = None) -> Answer:
    shown = await ask.store.read(look, ask.viewer, ask.at, one, tried)
    return _page(ask, "rule.html", shown, wrong, status, tried, rule=one)


async def add(ask: Ask) -> Answer:
    """Add a rule, or try it; also the one that puts forged mail aside."""
    if ask.form("forged") == "spam":
        forged = Rule(id=0, name="forged senders", position=0, doubted=True, spam=True)
        await ask.store.write(kept_rules.create_rule, ask.viewer, forged, ask.at)
        return see_other("/rules?said=added")
    return await _save(ask, FRESH, kept_rules.create_rule)


async def save(ask: Ask) -> Answer:
    """Word a rule anew, or try the new wording."""
    found = await ask.store.read(kept_rules.rule_of, ask.part["rule"])
    if found is None:
        raise not_found("rule")
    return await _save(ask, found[0], kept_rules.update_rule, ask.form.number("version", found[1]))


async def _save(ask: Ask, before: Rule, unit: Callable[..., Any], *expected: Any) -> Answer:
    worded = before
    try:
        worded = rule_words.read_form(ask.form, before.id, before.position)
        whom = " ".join(ask.form("to").split())[:200]
        worded = await ask.store.read(meant, ask.viewer, worded, before, whom, ask.house.config.hub.region)
        if ask.form("act") == "try":
            await ask.store.read(kept_rules.check, worded, before)
            return await _form(ask, worded, tried=await _tried(ask, worded))
        made = await ask.store.write(unit, ask.viewer, worded, ask.at, *expected)
    except Stale:
        words = _("Somebody changed this rule meanwhile. Nothing was saved: your wording is here, theirs further down.")
        return await _form(ask, worded, words, 409)
    except Refused as refused:
        return await _form(ask, worded, sentence(str(refused)), 422)
    return see_other(f"/rules/{made.id}?said=saved" if before.id else "/rules?said=added")


async def test(ask: Ask) -> Answer:
    """What would happen to a text, and why; nothing happens."""
    try:
        return await _list(ask, tried=await _tried(ask))
    except Refused as refused:
        return await _list(ask, sentence(str(refused)), 422)


async def _tried(ask: Ask, draft: Rule | None = None) -> Trial:
    hub = ask.house.config.hub
    try:
        sender = read_address(ask.form("try_sender"), hub.region) if ask.form("try_sender").strip() else None
    except ValueError as error:
        raise Refused(f"Nothing was tried: {error}") from None
    sample = Sample(text=ask.form("try_text"), sender=sender, connector=ask.form("try_connector"), at=ask.at)
    return await try_rules(ask.house.rules, ask.house.plugins, sample, hub.name, hub.contact, draft)


async def move(ask: Ask) -> Answer:
    """Move a rule up or down in the order."""
    return await _done(ask, kept_rules.move, -1 if ask.form("by") == "up" else 1)


async def switch(ask: Ask) -> Answer:
    """Switch a rule off or on."""
    found = await ask.store.read(kept_rules.rule_of, ask.part["rule"])
    if found is None:
        raise not_found("rule")
    changed = msgspec.structs.replace(found[0], active=ask.form("to") == "on")
    await ask.store.write(kept_rules.update_rule, ask.viewer, changed, ask.at)
    return see_other("/rules?said=saved")


async def remove(ask: Ask) -> Answer:
    """Take a rule away; its former wordings are kept."""
    return await _done(ask, kept_rules.remove_rule, said="removed")


async def undo(ask: Ask) -> Answer:
    """Take the last change of a rule back, its removal included."""
    return await _done(ask, kept_rules.undo)


async def restore(ask: Ask) -> Answer:
    """Let a rule say again what it said in a version."""
    return await _done(ask, kept_rules.restore, ask.form.number("version", 0))


async def _done(ask: Ask, unit: Callable[..., Any], *more: Any, said: str = "saved") -> Answer:
    try:
        if not await ask.store.write(unit, ask.viewer, ask.part["rule"], *more, ask.at):
            raise not_found("rule")
    except Refused as refused:
        return await _list(ask, sentence(str(refused)), 422)
    return see_other(f"/rules?said={said}")
