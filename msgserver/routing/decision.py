"""What the parser is given and gives: a message in words, a decision, and how it grows out of the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from msgserver.message import Address
from msgserver.records import PlannedTag, Priority, Rule


class Words(msgspec.Struct, frozen=True):
    """A message as the parser sees it: the tokens of its subject and of what is new in its body, joined
    (formats.tokens), and both as text.

    ``at``: when it came, POSIX seconds. ``trust``: why the sender's address is believed, ``doubt``: why it looks
    forged. ``robot``: why it counts as a robot's.
    """

    subject: str = ""
    body: str = ""
    sender: Address | None = None
    connector: str = ""
    text: str = ""
    at: float = 0.0
    trust: str = ""
    robot: str = ""
    doubt: str = ""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a plug-in parser makes of a message; it acts after the rules."""

    parser: str = ""
    tags: tuple[tuple[str, str], ...] = ()  # resource, record
    routes: tuple[int, ...] = ()
    priority: Priority | None = None
    actionable: bool | None = None
    spam: bool = False
    why: str = ""
    confidence: float = 1.0


class Suggested(msgspec.Struct, frozen=True):
    """What all plug-in parsers make of one message, and of those that were skipped, why."""

    suggestions: tuple[Suggestion, ...] = ()
    skipped: tuple[str, ...] = ()


NO_SUGGESTION = Suggested()


class Match(msgspec.Struct, frozen=True):
    """A rule that acted, and why in words."""

    rule_id: int
    name: str
    why: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be done; ``why`` has a line for each rule that matched, ``matches`` which these are."""

    tags: tuple[PlannedTag, ...] = ()
    routes: tuple[int, ...] = ()
    priority: Priority = Priority.NORMAL
    actionable: bool | None = None
    spam: bool = False
    verified: str = ""  # by which rule; empty: it is not
    assign: tuple[int, ...] = ()
    replies: tuple[tuple[int, str], ...] = ()  # rule, text
    why: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    stopped: bool = False  # a rule said that no other shall act after it


class Growing:
    """A decision that grows, rule by rule; what the first one says about a thing stands."""

    def __init__(self) -> None:
        self.stopped = False
        self.spam = False
        self._tags: dict[tuple[str, str], PlannedTag] = {}
        self._routes: dict[int, None] = {}
        self._priority: Priority | None = None
        self._actionable: bool | None = None
        self._verified = ""
        self._assign: dict[int, None] = {}
        self._replies: dict[int, str] = {}
        self._matches: list[Match] = []

    def act(
        self, rule: Rule, why: str, confidence: float, records: Iterable[tuple[str, float]], believed: bool
    ) -> None:
        """Let a rule act. ``records``: those it was told to look for and found, with how sure that is."""
        said = f'rule "{rule.name}": {why}'
        if rule.verified and not believed:
            said += " (not marked verified: nothing proves that the sender is who the address says)"
        self._matches.append(Match(rule.id, rule.name, said))
        if rule.resource:
            for record, sure in list(records) or [(rule.record, 1.0)]:
                self.tag(PlannedTag(rule.resource, record, rule.id, None, said, round(sure * confidence, 2)))
        if rule.entity_id is not None:
            self._routes.setdefault(rule.entity_id)
        self._judge(rule.priority, rule.actionable, rule.spam)
        if rule.verified and believed:
            self._verified = self._verified or f'rule "{rule.name}"'
        self._assign.update(dict.fromkeys(rule.assign))
        if rule.reply:
            self._replies.setdefault(rule.id, rule.reply)
        self.stopped = self.stopped or rule.stop

    def suggest(self, one: Suggestion) -> None:
        """Let a plug-in parser act."""
        said = f'parser "{one.parser}": {one.why}' if one.why else f'parser "{one.parser}"'
        self._matches.append(Match(0, one.parser, said))
        for resource, record in one.tags:
            self.tag(PlannedTag(resource, record, None, None, said, one.confidence))
        self._routes.update(dict.fromkeys(one.routes))
        self._judge(one.priority, one.actionable, one.spam)

    def tag(self, tag: PlannedTag) -> None:
        """Tag, unless it is tagged so already."""
        self._tags.setdefault((tag.resource, tag.record), tag)

    def _judge(self, priority: Priority | None, actionable: bool | None, spam: bool) -> None:
        self._priority = priority if self._priority is None else self._priority
        self._actionable = actionable if self._actionable is None else self._actionable
        self.spam = self.spam or spam

    def decision(self) -> Decision:
        """What it has grown to."""
        return Decision(
            tags=tuple(self._tags.values()),
            routes=tuple(self._routes),
            priority=Priority.NORMAL if self._priority is None else self._priority,
            actionable=self._actionable,
            spam=self.spam,
            verified=self._verified,
            assign=tuple(self._assign),
            replies=tuple(self._replies.items()),
            why=tuple(match.why for match in self._matches),
            matches=tuple(self._matches),
            stopped=self.stopped,
        )
