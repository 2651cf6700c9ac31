"""Searching, without a database: under which tokens a message is found, and whether one message answers a query.

The grammar is in ``formats.query``; ``store.search`` turns the same tree into SQL and finds the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from msgserver.formats.query import (
    MARKS,
    All,
    Any,
    Moment,
    Not,
    Numbered,
    OfPriority,
    OfRecord,
    Query,
    Term,
    Tree,
    Words,
    parse,
    personal,
)
from msgserver.formats.tokens import MOST, first, fold, joined
from msgserver.records import Direction, Priority

__all__ = [
    "KEYWORD",
    "Query",
    "Searchable",
    "Tree",
    "index",
    "index_joined",
    "marked",
    "matches",
    "parse",
    "personal",
    "spellings",
]


KEYWORD = "tag"  # the resource type of plain keywords: their record is the word itself, there is no row for it


class Searchable(msgspec.Struct, frozen=True, kw_only=True):
    """One message as :func:`matches` sees it, for one viewer at one time."""

    tokens: str  # of index()
    direction: Direction = Direction.IN
    sender: str = ""
    recipients: tuple[str, ...] = ()
    connector: str = ""
    ticket: int | None = None
    number: int = 0
    received_at: float = 0.0
    tags: tuple[tuple[str, str, str, str], ...] = ()  # resource, record, folded name, code
    assignees: tuple[tuple[int, str], ...] = ()
    priority: Priority | None = None  # None: on no ticket
    done: bool | None = None
    unread: bool = False
    read: bool = False
    verified: bool = False
    actionable: bool = False
    spam: bool = False
    unparsed: bool = False
    attachments: bool = False
    statuses: frozenset[str] = frozenset()
    viewer: int = 0
    now: float = 0.0


def index(sender: str, sender_name: str, recipients: Iterable[str], subject: str, body: str) -> str:
    """The tokens under which a message is found, joined: store them in this order. Addresses are URIs."""
    people = " ".join(address.partition(":")[2] for address, _ in zip(recipients, range(100), strict=False))
    named = joined(f"{sender_name} {sender.partition(':')[2]}")
    return index_joined(named, joined(people), joined(subject), joined(body))


def index_joined(sender: str, recipients: str, subject: str, body: str) -> str:
    """The same of parts that are joined tokens already: sender is name and address."""
    parts = (_marked("from", sender, 50), _marked("to", recipients, 300), _marked("subject", subject, 200), body)
    return first(" ".join(filter(None, parts)), MOST)


def _marked(place: str, words: str, most: int) -> str:
    mark = MARKS[place]
    return mark + first(words, most).replace(" ", f" {mark}") if words else ""


def spellings(value: str) -> tuple[str, ...]:
    """How a tag's or a code's name may be written in the rows; the last is the folded name (perhaps empty)."""
    return (*dict.fromkeys((value, value.lower(), value.upper())), fold(value))


def matches(tree: Tree | None, message: Searchable) -> bool:
    """Whether one message is among what the tree finds."""
    if tree is None:
        return True
    return _matches(tree, message, f" {message.tokens} ")


def _matches(tree: Tree, message: Searchable, text: str) -> bool:
    match tree:
        case All(parts):
            return all(_matches(part, message, text) for part in parts)
        case Any(parts):
            return any(_matches(part, message, text) for part in parts)
        case Not(part):
            return not _matches(part, message, text)
        case Words():
            return any(_stands(written, tree.beginning, text) for written in marked(tree))
        case Term(key, value):
            return _term_holds(key, value, message)
        case OfRecord(resource, record):
            return any(tag[0] == resource and (not record or _named(record, tag[1:])) for tag in message.tags)
        case OfPriority(priority):
            return message.priority == priority
        case Numbered(ticket, number):
            return message.ticket == ticket and number in {0, message.number}
        case Moment(at, after, back):
            return (message.received_at >= (message.now - at if back else at)) == after


def marked(words: Words) -> list[tuple[str, ...]]:
    """The token sequences of which one must stand in the index."""
    places = [words.where] if words.where else list(MARKS)
    return [tuple(MARKS[place] + token for token in words.tokens) for place in places]


def _stands(written: Sequence[str], beginning: bool, text: str) -> bool:
    return f" {' '.join(written)}{'' if beginning else ' '}" in text


def _named(name: str, tag: Sequence[str]) -> bool:
    *written, folded = spellings(name)
    record, tag_folded, code = tag
    return record in written or (code != "" and code in written) or (folded != "" and folded in {tag_folded, record})


def _tag_named(name: str, tag: Sequence[str]) -> bool:
    *written, folded = spellings(name)
    resource, record, tag_folded, code = tag
    if resource in written or (resource == KEYWORD and record in {*written, folded} - {""}):
        return True
    return (code != "" and code in written) or (folded != "" and folded == tag_folded)


def _term_holds(key: str, value: str, message: Searchable) -> bool:
    if key == "is":
        return _flag_holds(value, message)
    if key == "has":
        return message.attachments
    if key == "tag":
        return any(_tag_named(value, tag) for tag in message.tags)
    if key == "channel":
        return any(address.startswith(f"{value}:") for address in (message.sender, *message.recipients))
    if key == "connector":
        return message.connector == value
    if key == "status":
        return value in message.statuses
    if value == "me":
        return any(user == message.viewer for user, _ in message.assignees)
    if value == "none":
        return not message.assignees
    return any(name == value for _, name in message.assignees)


def _flag_holds(flag: str, message: Searchable) -> bool:
    if flag == "todo":
        return message.done is False
    if flag == "done":
        return message.done is True
    if flag in {"incoming", "outgoing"}:
        return (message.direction == Direction.IN) == (flag == "incoming")
    return bool(getattr(message, flag))
