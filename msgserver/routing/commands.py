"""The reserved words that win over every rule: opting out and opting in again. Pure.

Exact words, as the carriers ask of whoever texts people: the whole message is one of them, or it has at most three
words of which the first is STOP. Anything longer goes to a person.
"""

from __future__ import annotations

import re
from enum import StrEnum

_STOP = frozenset(
    {
        *("stop", "stopall", "unsubscribe", "cancel", "end", "quit"),
        *("arret", "arrêt", "remove", "optout", "opt-out", "td", "revoke"),
    }
)
_START = frozenset({"start", "unstop"})
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


class Choice(StrEnum):
    """What somebody asked for about hearing from us at all."""

    NONE = ""
    STOP = "stop"
    START = "start"


def choice(text: str) -> Choice:
    """Read STOP and START out of the text of an arrival."""
    if len(text) > 60:
        return Choice.NONE
    words = [_EDGES.sub("", word) for word in text.lower().split()]
    words = [word for word in words if word]
    if len(words) == 1 and words[0] in _STOP:
        return Choice.STOP
    if len(words) == 1 and words[0] in _START:
        return Choice.START
    if 1 < len(words) <= 3 and words[0] == "stop":
        return Choice.STOP
    return Choice.NONE


def confirmation(chosen: Choice, hub: str) -> str:
    """The one answer to STOP or START, short enough for one SMS where the hub's name is."""
    if chosen is Choice.STOP:
        return f"{hub}: you will get no more messages from us. Reply START to get them again."
    return f"{hub}: you will get messages from us again. Reply STOP to end them."
