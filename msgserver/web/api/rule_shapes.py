"""Rules and what they would do, as the API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from msgserver.records import Find, Holds, Priority, Rule
from msgserver.routing.commands import conflicts
from msgserver.routing.plugins import PluginState
from msgserver.routing.trial import Trial
from msgserver.web.api.giving import level
from msgserver.web.api.taken import Id, Level, Name

Clock = Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", description="a time of day, as 18:30")]
Day = Annotated[int, Meta(ge=0, le=6)]


class NewRule(Struct, frozen=True, forbid_unknown_fields=True):
    """A parser rule: its conditions, and what is done when all of them hold (docs/rules.md)."""

    name: Name
    words: Annotated[list[Name], Meta(max_length=200)] = []
    stem: Annotated[str, Meta(max_length=40, description="language whose endings make no difference: english")] = ""
    prefix: Annotated[str, Meta(max_length=100, description="first word")] = ""
    hashtags: Annotated[list[Annotated[str, Meta(min_length=1, max_length=60)]], Meta(max_length=100)] = []
    sender: Annotated[str, Meta(max_length=320)] = ""
    connector: Annotated[str, Meta(max_length=40, description="a connector, or a kind of address: sms:")] = ""
    pattern: Annotated[str, Meta(max_length=1000, description="regular expression (RE2)")] = ""
    holds: Annotated[list[Literal["position", "phone"]], Meta(max_length=2)] = []
    from_time: Clock | None = None
    until_time: Clock | None = None
    days: Annotated[list[Day], Meta(max_length=7, description="0 is Monday")] = []
    find: Literal["", "prefix", "name"] = ""
    doubted: bool = False  # only mail whose sender looks forged
    resource: Annotated[str, Meta(max_length=60)] = ""
    record: Annotated[str, Meta(max_length=200)] = ""
    entity: Id | None = None
    priority: Level | None = None
    actionable: bool | None = None
    verified: bool = False  # mark as verified what comes from a proven sender
    assign: Annotated[list[Id], Meta(max_length=50)] = []
    reply: Annotated[str, Meta(max_length=1000)] = ""
    spam: bool = False
    stop: bool = False
    active: bool = True
    position: Annotated[int, Meta(ge=0, lt=1_000_000)] = 0


class RuleShape(Struct, frozen=True):
    """A rule as it is kept; its ETag is the version of its wording."""

    id: int
    name: str
    position: int
    words: tuple[str, ...]
    stem: str
    prefix: str
    hashtags: tuple[str, ...]
    sender: str
    connector: str
    pattern: str
    holds: tuple[str, ...]
    from_time: str | None
    until_time: str | None
    days: tuple[int, ...]
    find: str
    doubted: bool
    resource: str
    record: str
    entity: int | None
    priority: str | None
    actionable: bool | None
    verified: bool
    assign: tuple[int, ...]
    reply: str
    spam: bool
    stop: bool
    active: bool
    hits: int  # messages of the last 7 days on which it acted
    conflicts: tuple[str, ...]  # its words that are reserved, and what that means


class WordingShape(Struct, frozen=True):
    """What a rule said in one of its versions."""

    version: int
    at: float
    user: int | None
    rule: RuleShape


class RuleOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Rules in the order they shall have; those not named follow."""

    rules: Annotated[list[Id], Meta(min_length=1, max_length=10_000)]


class RuleVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """The version that a rule shall say again."""

    version: Id


class RuleTest(Struct, frozen=True, forbid_unknown_fields=True):
    """A message that might come; ``rule`` is tried beside those in force, in place of ``instead_of``."""

    text: Annotated[str, Meta(max_length=20_000)]
    subject: Annotated[str, Meta(max_length=500)] = ""
    sender: Annotated[str, Meta(max_length=320)] = ""
    connector: Annotated[str, Meta(max_length=40)] = ""
    at: Annotated[float, Meta(ge=0, lt=2**33)] | None = None
    trusted: bool = False
    rule: NewRule | None = None
    instead_of: Id | None = None


class TriedTag(Struct, frozen=True):
    """A tag that would be given, how sure it is (0 to 1), and why."""

    resource: str
    record: str
    why: str
    confidence: float
    rule: int | None


class TriedMatch(Struct, frozen=True):
    """A rule (or plug-in parser, whose rule is 0) that would act, and why."""

    rule: int
    name: str
    why: str


class TriedReply(Struct, frozen=True):
    """What a rule would answer."""

    rule: int
    text: str


class TriedPosition(Struct, frozen=True):
    """A place that the text names."""

    latitude: float
    longitude: float
    written: str


class TrialShape(Struct, frozen=True):
    """What would happen, and why. ``reserved``: stop, start or help, which win over rules, with the hub's answer."""

    reserved: str
    answer: str
    tags: tuple[TriedTag, ...]
    routes: tuple[int, ...]
    priority: str
    actionable: bool | None
    verified: str
    assign: tuple[int, ...]
    replies: tuple[TriedReply, ...]
    spam: bool
    stopped: bool
    matches: tuple[TriedMatch, ...]
    skipped: tuple[str, ...]
    positions: tuple[TriedPosition, ...]
    phones: tuple[str, ...]
    hashtags: tuple[str, ...]
    codes: tuple[str, ...]


class ParserShape(Struct, frozen=True):
    """A plug-in parser and how it is."""

    name: str
    place: str
    able: bool
    words: str
    asked: int
    failed: int


def read_rule(new: NewRule, rule_id: int) -> Rule:
    """A rule as it was sent."""
    return Rule(
        id=rule_id, name=new.name, position=new.position, words=tuple(new.words), stem=new.stem, prefix=new.prefix,
        hashtags=tuple(new.hashtags), sender=new.sender, connector=new.connector, pattern=new.pattern,
        holds=tuple(map(Holds, new.holds)), from_minute=minute(new.from_time), until_minute=minute(new.until_time),
        days=tuple(new.days), find=Find(new.find), doubted=new.doubted, resource=new.resource, record=new.record,
        entity_id=new.entity, priority=None if new.priority is None else level(new.priority),
        actionable=new.actionable, verified=new.verified, assign=tuple(new.assign), reply=new.reply, spam=new.spam,
        stop=new.stop, active=new.active,
    )  # fmt: skip


def rule_shape(rule: Rule, hits: int = 0) -> RuleShape:
    """A rule for programs."""
    return RuleShape(
        id=rule.id, name=rule.name, position=rule.position, words=rule.words, stem=rule.stem, prefix=rule.prefix,
        hashtags=rule.hashtags, sender=rule.sender, connector=rule.connector, pattern=rule.pattern,
        holds=tuple(kind.value for kind in rule.holds), from_time=clock(rule.from_minute),
        until_time=clock(rule.until_minute), days=rule.days, find=rule.find.value, doubted=rule.doubted,
        resource=rule.resource, record=rule.record, entity=rule.entity_id,
        priority=None if rule.priority is None else _named(rule.priority), actionable=rule.actionable,
        verified=rule.verified, assign=rule.assign, reply=rule.reply, spam=rule.spam, stop=rule.stop,
        active=rule.active, hits=hits, conflicts=conflicts(rule),
    )  # fmt: skip


def trial_shape(trial: Trial) -> TrialShape:
    """What was tried, for programs."""
    made, found = trial.decision, trial.found
    return TrialShape(
        reserved=trial.heard.choice.value,
        answer=trial.answer,
        tags=tuple(TriedTag(tag.resource, tag.record, tag.why, tag.confidence, tag.rule_id) for tag in made.tags),
        routes=made.routes,
        priority=_named(made.priority),
        actionable=made.actionable,
        verified=made.verified,
        assign=made.assign,
        replies=tuple(TriedReply(rule_id, text) for rule_id, text in made.replies),
        spam=made.spam,
        stopped=made.stopped,
        matches=tuple(TriedMatch(match.rule_id, match.name, match.why) for match in made.matches),
        skipped=trial.skipped,
        positions=tuple(TriedPosition(one.latitude, one.longitude, one.written) for one in found.positions),
        phones=found.phones,
        hashtags=found.hashtags,
        codes=found.codes,
    )


def parser_shape(state: PluginState) -> ParserShape:
    """A plug-in parser for programs."""
    return ParserShape(state.name, state.place, state.able, state.words, state.asked, state.failed)


def minute(words: str | None) -> int | None:
    """``18:30`` as minutes after midnight; None where nothing is said."""
    if not words:
        return None
    hours, _, minutes = words.partition(":")
    return int(hours) * 60 + int(minutes)


def clock(at: int | None) -> str | None:
    """Minutes after midnight as ``18:30``."""
    return None if at is None else f"{at // 60:02d}:{at % 60:02d}"


def _named(priority: Priority) -> str:
    return priority.name.lower()
