"""The one search grammar, for log, inbox, API, saved searches, subscriptions and FIND: text to a tree, never an error.

::

    query  = all *( "OR" all )              words stand side by side: all of them
    all    = *( ["-"] ( "(" query ")" / field / phrase / word ) )
    phrase = DQUOTE words DQUOTE            word* finds words that begin so
    field  = from: to: subject: body: tag: resource:type/record channel:sms connector: assignee:me|none|name
             priority:low|normal|high|urgent status:failed id:42 id:42.3 has:attachment
             is:unread|read|todo|done|verified|actionable|spam|unparsed|incoming|outgoing
             before:2026-11-01 after:2026-11 newer:2d older:1w        (min h d w mo y; days begin at 00:00 UTC)

What is not understood is left out and named in :attr:`Query.ignored`. ``store.search`` turns the tree into SQL,
``formats.search.matches`` tests one message by it; the two agree.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from msgserver.formats.tokens import phrase
from msgserver.records import DeliveryState, Priority

LONGEST_QUERY = 1000  # characters; what lies beyond is left out
MOST_TERMS = 40
DEEPEST = 20

# One sign before each token of sender, recipients and subject tells where it stands. No token begins with one of
# them by itself: folding turns them into plain digits. Tokens of the body have none.
MARKS = {"body": "", "from": "\u00b9", "to": "\u00b2", "subject": "\u00b3"}

_SCHEMES = {"mail": "mailto", "email": "mailto", "e-mail": "mailto", "chat": "xmpp", "jabber": "xmpp", "text": "sms"}
_FLAGS = {
    "unread": "unread",
    "read": "read",
    "todo": "todo",
    "done": "done",
    "actioned": "done",
    "verified": "verified",
    "actionable": "actionable",
    "spam": "spam",
    "unparsed": "unparsed",
    "incoming": "incoming",
    "in": "incoming",
    "outgoing": "outgoing",
    "out": "outgoing",
}
_UNITS = {"min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "m": 30 * 86400, "y": 365 * 86400}
_AGE = re.compile(r"^([0-9]{1,6})([a-z]+)$")
_DAY = re.compile(r"^([0-9]{4})(?:-([0-9]{1,2}))?(?:-([0-9]{1,2}))?(?:T([0-9]{2}):([0-9]{2}))?$")
_ID = re.compile(r"^#?([0-9]{1,18})(?:\.([0-9]{1,9}))?$")
_KEY = re.compile(r"^([A-Za-z]+):(?!//)(.*)$", re.DOTALL)
_SCHEME = re.compile(r"^[a-z][a-z0-9.+-]{0,30}$")


class Words(msgspec.Struct, frozen=True, tag=True):
    """Tokens one after the other within one field (``where``; empty: any); ``beginning``: the last one is cut off."""

    text: str
    tokens: tuple[str, ...]
    beginning: bool = False
    where: str = ""


class Term(msgspec.Struct, frozen=True, tag=True):
    """A field and its value, both checked: is, has, tag, channel, connector, assignee, status."""

    key: str
    value: str


class OfRecord(msgspec.Struct, frozen=True, tag=True):
    """Tagged with a resource type, or one record of it by uid, code or name."""

    resource: str
    record: str = ""


class OfPriority(msgspec.Struct, frozen=True, tag=True):
    """Its ticket has this priority."""

    priority: Priority


class Numbered(msgspec.Struct, frozen=True, tag=True):
    """On this ticket; with a number, that message on it."""

    ticket: int
    number: int = 0


class Moment(msgspec.Struct, frozen=True, tag=True):
    """Received at or after (or before) a time: POSIX seconds, or seconds back from now."""

    at: float
    after: bool
    back: bool = False


class Not(msgspec.Struct, frozen=True, tag=True):
    """Everything else."""

    part: Tree


class All(msgspec.Struct, frozen=True, tag=True):
    """Every one of these."""

    parts: tuple[Tree, ...]


class Any(msgspec.Struct, frozen=True, tag=True):
    """At least one of these."""

    parts: tuple[Tree, ...]


Tree: TypeAlias = Words | Term | OfRecord | OfPriority | Numbered | Moment | Not | All | Any


class Query(msgspec.Struct, frozen=True):
    """What a text means; no ``tree``: everything."""

    tree: Tree | None = None
    ignored: tuple[str, ...] = ()


def parse(text: str) -> Query:
    """What a person wrote as a tree. Never raises."""
    written = text[:LONGEST_QUERY].replace("\0", " ").encode("utf-8", "replace").decode()  # no database holds these
    reading = _Reading(written)
    tree = reading.any_of(0)
    if len(text) > LONGEST_QUERY:
        reading.ignored.append("the end (too long)")
    return Query(tree, tuple(reading.ignored))


def personal(tree: Tree | None) -> bool:
    """Whether its answer depends on who asks (``is:unread``, ``assignee:me``): no subscription may say so."""
    if isinstance(tree, Term):
        return (tree.key == "is" and tree.value in {"unread", "read"}) or (tree.key, tree.value) == ("assignee", "me")
    if isinstance(tree, Not):
        return personal(tree.part)
    return isinstance(tree, All | Any) and any(personal(part) for part in tree.parts)


def unknowable(tree: Tree) -> bool:
    """Whether it asks for what no message has yet while it is being routed: what became of copies, its number."""
    if isinstance(tree, Numbered) or (isinstance(tree, Term) and tree.key == "status"):
        return True
    if isinstance(tree, Not):
        return unknowable(tree.part)
    return isinstance(tree, All | Any) and any(unknowable(part) for part in tree.parts)


class _Reading:
    """One pass over a query's text."""

    def __init__(self, text: str):
        self.bits = _bits(text)
        self.at = 0
        self.terms = 0
        self.ignored: list[str] = []

    def any_of(self, depth: int) -> Tree | None:
        """Alternatives up to a closing bracket or the end."""
        found: list[Tree] = []
        while True:
            part = self._all_of(depth)
            if part is not None and part not in found:
                found.append(part)
            if self.at >= len(self.bits) or self.bits[self.at] != "OR":
                break
            self.at += 1
        return None if not found else found[0] if len(found) == 1 else Any(tuple(found))

    def _all_of(self, depth: int) -> Tree | None:
        found: list[Tree] = []
        while self.at < len(self.bits) and self.bits[self.at] != "OR":
            if self.bits[self.at] == ")":
                if depth:
                    break
                self.at += 1  # one too many
                continue
            part = self._one(depth)
            if part is not None and part not in found:
                found.append(part)
        return None if not found else found[0] if len(found) == 1 else All(tuple(found))

    def _one(self, depth: int) -> Tree | None:
        bit = self.bits[self.at]
        self.at += 1
        negative = False
        while bit == "-":
            if self.at >= len(self.bits) or self.bits[self.at] in {"OR", ")"}:
                return None
            negative = not negative
            bit = self.bits[self.at]
            self.at += 1
        if bit == "(":
            if depth >= DEEPEST:
                self.ignored.append("(")
                return None
            part = self.any_of(depth + 1)
            if self.at < len(self.bits) and self.bits[self.at] == ")":
                self.at += 1
        else:
            part = self._term(bit)
        return Not(part) if negative and part is not None else part

    def _term(self, bit: str) -> Tree | None:
        self.terms += 1
        part = _read_term(bit) if self.terms <= MOST_TERMS else None
        if part is None:
            words = bit[:60]
            if bit.casefold() == "is:flagged":
                words += " (there are no flags: use a tag or a priority)"
            if words not in self.ignored and len(self.ignored) < MOST_TERMS:
                self.ignored.append(words)
        return part


def _bits(text: str) -> list[str]:
    """Brackets, minus signs, OR, and terms: a term keeps its quotes."""
    bits: list[str] = []
    at = 0
    while at < len(text):
        sign = text[at]
        if sign.isspace():
            at += 1
        elif sign in "()":
            bits.append(sign)
            at += 1
        elif sign == "-" and at + 1 < len(text) and not text[at + 1].isspace():
            bits.append("-")
            at += 1
        else:
            end = _term_end(text, at)
            word = text[at:end]
            bits.append("OR" if word in {"OR", "|"} else word)
            if word in {"AND", "-"}:
                bits.pop()
            at = end
    return bits


def _term_end(text: str, at: int) -> int:
    quoted = False
    while at < len(text):
        sign = text[at]
        if sign == '"':
            if quoted:
                return at + 1
            quoted = True
        elif not quoted and (sign.isspace() or sign in "()"):
            break
        at += 1
    return at


def _read_term(bit: str) -> Tree | None:
    named = _KEY.match(bit)
    if named is None:
        return _read_words(bit, "")
    key, value = named[1].lower(), named[2]
    if key in MARKS:
        return _read_words(value, key)
    value = value.replace('"', "").strip()
    return _read_field(key, value) if value else None


def _read_words(text: str, where: str) -> Words | None:
    bare = text.replace('"', " ").strip()
    if where in {"from", "to"} and (scheme := bare.partition(":"))[1] and _SCHEME.match(scheme[0]):
        bare = scheme[2]  # from:mailto:ana@example.org
    found, beginning = phrase(bare)
    if not found:
        return None
    return Words(bare, found, beginning or bare.endswith("*"), where)


def _read_field(key: str, value: str) -> Tree | None:
    low = value.casefold()
    if key == "is":
        return Term("is", _FLAGS[low]) if low in _FLAGS else None
    if key == "has":
        return Term("has", "attachment") if low in {"attachment", "attachments", "file", "files"} else None
    if key == "resource":
        resource, _, record = value.partition("/")
        return OfRecord(resource.lower(), record) if resource else None
    if key == "channel":
        scheme = _SCHEMES.get(low, low)
        return Term("channel", scheme) if _SCHEME.match(scheme) else None
    if key == "assignee":
        return Term("assignee", low)
    if key in {"tag", "connector"}:
        return Term(key, value)
    if key == "status":
        return Term("status", low) if low in set(DeliveryState) else None
    if key == "priority":
        return OfPriority(Priority[low.upper()]) if low.upper() in Priority.__members__ else None
    if key == "id":
        found = _ID.match(value)
        return Numbered(int(found[1]), int(found[2] or 0)) if found else None
    return _read_moment(key, low)


def _read_moment(key: str, value: str) -> Moment | None:
    if key in {"newer", "older"}:
        age = _AGE.match(value)
        if age is None or age[2] not in _UNITS:
            return None
        return Moment(float(int(age[1]) * _UNITS[age[2]]), key == "newer", back=True)
    day = _DAY.match(value.upper()) if key in {"before", "after"} else None
    if day is None:
        return None
    year, month, date, hour, minute = (int(part) if part else None for part in day.groups())
    try:
        at = datetime(year or 1, month or 1, date or 1, hour or 0, minute or 0, tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return Moment(at, key == "after")
