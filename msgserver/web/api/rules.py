"""Parser rules for programs: their wordings, order, versions, a test of them, and the plug-in parsers."""

from __future__ import annotations

from typing import Any

import msgspec

from msgserver.formats.phones import read_address
from msgserver.formats.search import KEYWORD
from msgserver.records import Rule
from msgserver.routing.trial import Sample, try_rules
from msgserver.store import resources
from msgserver.store import rules as kept_rules
from msgserver.store.edits import Refused
from msgserver.web.api.giving import NOTHING, edit, expected, give, give_all
from msgserver.web.api.giving import take as taken
from msgserver.web.api.rule_shapes import (
    NewRule,
    RuleOrder,
    RuleTest,
    RuleVersion,
    WordingShape,
    parser_shape,
    read_rule,
    rule_shape,
    trial_shape,
)
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found
from msgserver.web.words import sentence


def all_rules(tx: Tx, now: float) -> list[tuple[Rule, int]]:
    """All rules in their order, each with its hits of the last 7 days."""
    hits = kept_rules.hits(tx, now)
    return [(one, hits.get(one.id, 0)) for one in kept_rules.rules(tx)]


def one_rule(tx: Tx, rule_id: int, now: float) -> tuple[Rule, int, int] | None:
    """A rule, the version of its wording, and its hits."""
    found = kept_rules.rule_of(tx, rule_id)
    return None if found is None else (*found, kept_rules.hits(tx, now).get(rule_id, 0))


async def list_rules(ask: Ask) -> Answer:
    """All parser rules, in their order."""
    return give_all(await ask.store.read(all_rules, ask.at), lambda pair: rule_shape(*pair))


async def _with_uid(ask: Ask, new: Rule) -> Rule:
    """With the uid of its record, which may be named by its code: under that nobody would find the messages."""
    if not new.record or new.resource in ("", KEYWORD):
        return new
    uid = await ask.store.read(resources.uid_of, ask.viewer, new.resource, new.record)
    return msgspec.structs.replace(new, record=uid)


async def add_rule(ask: Ask) -> Answer:
    """Add a rule, last unless a position is given; its record by uid or code."""
    new = await _with_uid(ask, read_rule(taken(ask, NewRule), 0))
    made = await edit(ask, kept_rules.create_rule, ask.viewer, new, ask.at)
    return give(rule_shape(made), 201, place=f"/api/v1/rules/{made.id}", version=1)


async def rule(ask: Ask) -> Answer:
    """One rule; its ETag goes into If-Match."""
    found = await ask.store.read(one_rule, ask.part["rule"], ask.at)
    if found is None:
        raise not_found("rule")
    kept, version, hits = found
    return give(rule_shape(kept, hits), version=version)


async def put_rule(ask: Ask) -> Answer:
    """Word a rule anew; its former wordings are kept."""
    new = await _with_uid(ask, read_rule(taken(ask, NewRule), ask.part["rule"]))
    if await edit(ask, kept_rules.update_rule, ask.viewer, new, ask.at, expected(ask)) is None:
        raise not_found("rule")
    return await rule(ask)


async def remove_rule(ask: Ask) -> Answer:
    """Take a rule away; its wordings are kept, and it can be had back."""
    if not await edit(ask, kept_rules.remove_rule, ask.viewer, ask.part["rule"], ask.at):
        raise not_found("rule")
    return NOTHING


async def arrange(ask: Ask) -> Answer:
    """Put rules into an order."""
    await edit(ask, kept_rules.arrange, ask.viewer, taken(ask, RuleOrder).rules, ask.at)
    return await list_rules(ask)


async def versions(ask: Ask) -> Answer:
    """What a rule said in all its versions, the newest first; also of one that was removed."""
    found = await ask.store.read(kept_rules.wordings, ask.part["rule"])
    if not found:
        raise not_found("rule")
    return give_all(found, _wording)


async def removed(ask: Ask) -> Answer:
    """Rules that were removed, by what they said last."""
    return give_all(await ask.store.read(kept_rules.removed), _wording)


def _wording(one: kept_rules.Wording) -> WordingShape:
    return WordingShape(one.version, one.at, one.user_id, rule_shape(one.rule))


async def undo(ask: Ask) -> Answer:
    """Take the last change of a rule back, its removal included."""
    return await _restored(ask, kept_rules.undo, "There is no former wording to go back to.")


async def restore(ask: Ask) -> Answer:
    """Let a rule say again what it said in a version."""
    return await _restored(ask, kept_rules.restore, "There is no such version.", taken(ask, RuleVersion).version)


async def _restored(ask: Ask, unit: Any, otherwise: str, *more: int) -> Answer:
    if not await ask.store.read(kept_rules.wordings, ask.part["rule"]):
        raise not_found("rule")
    if await edit(ask, unit, ask.viewer, ask.part["rule"], *more, ask.at) is None:
        raise Refusal(422, otherwise, "Nothing was changed.")
    return await rule(ask)


async def test(ask: Ask) -> Answer:
    """What would happen to a text, and why. Nothing happens."""
    asked = taken(ask, RuleTest)
    try:
        sender = read_address(asked.sender, ask.house.config.hub.region) if asked.sender.strip() else None
    except ValueError as error:
        raise Refusal(422, f"{error}.", "Nothing was tried.") from None
    sample = Sample(
        text=asked.text,
        subject=asked.subject,
        sender=sender,
        connector=asked.connector,
        at=ask.at if asked.at is None else asked.at,
        trusted=asked.trusted,
    )
    draft = None
    if asked.rule is not None:
        draft = read_rule(asked.rule, asked.instead_of or 0)
        try:
            await ask.store.read(kept_rules.check, draft)
        except Refused as refused:
            raise Refusal(422, sentence(str(refused))) from None
    hub = ask.house.config.hub
    return give(trial_shape(await try_rules(ask.house.rules, ask.house.plugins, sample, hub.name, hub.contact, draft)))


async def parsers(ask: Ask) -> Answer:
    """The plug-in parsers of this process, and how each is."""
    return give_all(ask.house.plugins.states(), parser_shape)
