"""Tries the rules on a text: what would happen and why, and nothing happens."""

from __future__ import annotations

import msgspec

from msgserver.formats.asking import asked
from msgserver.formats.extract import Found, extract
from msgserver.formats.reserved import Choice, Heard, answer, listen
from msgserver.formats.tokens import joined
from msgserver.message import Address
from msgserver.records import Rule, RuleSet
from msgserver.routing.decision import NO_SUGGESTION, Decision, Words
from msgserver.routing.parser import parse
from msgserver.routing.plan import FLAGGED
from msgserver.routing.plugins import Plugins
from msgserver.routing.ruleset import compile_rules
from msgserver.routing.snapshot import Snapshots

_NOT_SEEN = frozenset({Choice.STOP, Choice.START})


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A message that might come. ``trusted``: its sender is proven. ``at``: POSIX seconds."""

    text: str
    subject: str = ""
    sender: Address | None = None
    connector: str = ""
    at: float = 0.0
    trusted: bool = False


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of it. ``answer``: the hub's own to STOP, START or HELP. ``skipped``: plug-ins, and why."""

    heard: Heard
    decision: Decision
    found: Found
    answer: str = ""
    skipped: tuple[str, ...] = ()


async def try_rules(
    snapshots: Snapshots, plugins: Plugins, sample: Sample, hub: str, contact: str = "", draft: Rule | None = None
) -> Trial:
    """Try the rules in force. ``draft``: a rule to be tried beside them, in place of the one with its id."""
    compiled = await snapshots.fresh()
    if draft is not None:
        others = tuple(one for one in compiled.rules if one.id != draft.id)
        last = 1 + max((one.position for one in others), default=0)
        tried = msgspec.structs.replace(draft, active=True, position=draft.position or last)
        changed = RuleSet(compiled.version, (*others, tried))
        compiled = compile_rules(changed, compiled.names, compiled.zone, compiled.region)
    heard = listen(sample.text if sample.text.strip() else sample.subject)
    whole = f"{sample.subject}\n{sample.text}" if sample.subject else sample.text
    words = Words(
        joined(sample.subject),
        joined(sample.text),
        sample.sender,
        sample.connector,
        whole,
        sample.at,
        "you said so" if sample.trusted else "",
    )
    decision, suggested = Decision(), NO_SUGGESTION
    topic = asked(sample.text if sample.text.strip() else sample.subject) if not heard.choice else None
    if topic is not None:
        decision = msgspec.structs.replace(decision, why=(f"no rule sees it: {topic.verb.upper()} is for the hub",))
    elif heard.choice not in _NOT_SEEN:
        (suggested,) = await plugins.suggest([words])
        decision = parse(words, compiled, suggested.suggestions)
    if heard.flagged:
        decision = msgspec.structs.replace(decision, tags=(*decision.tags, FLAGGED), actionable=True)
    return Trial(
        heard=heard,
        decision=decision,
        found=extract(whole, compiled.region),
        answer=answer(heard.choice, heard.language, hub, contact) if heard.choice else "",
        skipped=suggested.skipped,
    )
