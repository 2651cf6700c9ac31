"""What somebody asks for about topics, in the one line of a text, a chat or a mail: SUBSCRIBE x, UNSUBSCRIBE x, SUBS.

UNSUBSCRIBE alone is STOP (``formats.reserved``). Anything longer than a line is a message like any other. Pure.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from msgserver.formats.text import one_line

LONGEST = 100  # characters of a line that is looked at
_SPOKEN = 160  # characters of an answer


class Verb(StrEnum):
    """What is wanted."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    SUBS = "subs"


class Asked(msgspec.Struct, frozen=True):
    """What is wanted, and about which topic in the sender's words; empty: none was named."""

    verb: Verb
    what: str = ""


def asked(text: str) -> Asked | None:
    """What a text asks for; None where it is a message like any other."""
    line = text.strip()
    if len(line) > LONGEST or "\n" in line:
        return None
    first, _, rest = line.partition(" ")
    try:
        verb = Verb(first.strip(".,:;!\"'").lower())
    except ValueError:
        return None
    what = rest.strip(" .,:;!\"'")
    if (verb is Verb.SUBS) == bool(what) and verb is not Verb.SUBSCRIBE:
        return None  # "subs are here", or UNSUBSCRIBE alone
    return Asked(verb, what)


def _said(hub: str, words: str) -> str:
    head = f"{one_line(hub, 40)}: "
    return head + one_line(words, _SPOKEN - len(head))


def got(hub: str, what: str) -> str:
    """They get it from now on."""
    name = one_line(what, 40)
    return _said(hub, f"you get messages about {name}. UNSUBSCRIBE {name} ends this, STOP ends all.")


def to_confirm(hub: str, what: str) -> str:
    """Somebody asked in their name; it takes a proof that it was they."""
    return _said(hub, f"you asked for messages about {one_line(what, 40)}. Reply YES to get them.")


def ended(hub: str, what: str) -> str:
    """They get it no more."""
    return _said(hub, f"no more messages about {one_line(what, 60)}.")


def has(hub: str, topics: list[str]) -> str:
    """What they get."""
    return _said(hub, f"you get {', '.join(topics)}. STOP ends all." if topics else "you have no subscriptions.")


def unknown(hub: str, what: str, topics: list[str]) -> str:
    """There is no such topic, or they may not have it."""
    head = f'there is no topic "{one_line(what, 30)}" to subscribe to' if what else "SUBSCRIBE what"
    return _said(hub, f"{head}. Topics: {', '.join(topics)}." if topics else f"{head}.")


def several(hub: str, what: str, codes: list[str]) -> str:
    """More than one is called so."""
    return _said(hub, f'several are called "{one_line(what, 30)}": {", ".join(codes)}. Nothing was changed.')
