"""A message in the words of another channel: as chat or text message, and as mail; copies and answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from unicodedata import category

import msgspec

from msgserver.formats.text import one_line

# "Re:" as mail programs write it in many languages, counted ones ("Re[2]:") too; forwards stay.
_REPLY = re.compile(
    r"(?i)^(?:re|aw|antw|sv|vs|odp|ynt|rif|res|antwort|ответ|回复|回覆|返信|رد)(?:\s?\[\d{1,3}\])?\s?[:：]\s*"
)
_TAG = re.compile(r"\s*\[#\d{1,12}(?:\.\d{1,6})?\]\s*")
_SUBJECT = 200  # characters
_ELLIPSIS = "…"


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said, by whom, and about what."""

    subject: str = ""
    text: str = ""
    html: str = ""
    sender_name: str = ""  # who wrote it; of a copy, the stranger
    channel: str = ""  # by which way it came, for people: "mail", "text message", "chat"
    ticket: int | None = None
    copy: bool = False  # a subscriber's copy of somebody else's message, not an answer
    why: str = ""  # why this reader gets a copy: "you follow Floods"
    quoted_from: int | None = None  # where old mail begins in the text


class Rendered(msgspec.Struct, frozen=True):
    """What goes out. ``subject`` and ``html`` are empty where the channel has none."""

    subject: str
    text: str
    html: str = ""


def bare_subject(subject: str) -> str:
    """A subject without the marks of replying and of tickets, however many there are."""
    left = one_line(subject, 4 * _SUBJECT)
    for _ in range(50):
        shorter = _TAG.sub(" ", _REPLY.sub("", left)).strip()
        if shorter == left:
            break
        left = shorter
    return left[:_SUBJECT].rstrip()


@lru_cache(32)
def mail_subject(subject: str, ticket: int | None, reply: bool) -> str:
    """A subject with the ticket's number once, and "Re:" once where it is a reply."""
    tag = f"[#{ticket}]" if ticket is not None else ""
    return " ".join(filter(None, ("Re:" if reply else "", tag, bare_subject(subject))))


def as_text(words: Words, limit: int | None = None) -> Rendered:
    """As chat, or with a limit (characters) as a text message.

    An answer is its text, as it was written. A copy says on which ticket, who wrote it and by which way; history quoted
    in it stays behind, and what is over the limit is cut at a word and marked so.
    """
    if not words.copy:
        return Rendered("", words.text if words.text.strip() else words.subject)
    fresh = words.text if words.quoted_from is None else words.text[: words.quoted_from]
    fresh = fresh.strip()
    subject = bare_subject(words.subject)
    number = f"#{words.ticket} " if words.ticket is not None else ""
    who = one_line(words.sender_name, 60) or "Somebody"
    if limit is not None:
        said = f"{subject}: {fresh}" if subject and fresh and not fresh.startswith(subject) else fresh or subject
        return Rendered("", shortened(f"{number}{who}: {one_line(said, 10 * limit)}", limit))
    way = f" ({words.channel})" if words.channel else ""
    head = f"{number}{who}{way}:"
    return Rendered("", f"{head} {subject}\n\n{fresh}".strip() if subject else f"{head} {fresh}".strip())


@lru_cache(32)  # the same message goes to many
def as_mail(words: Words) -> Rendered:
    """As mail: the ticket's number in the subject and in the footer, so that the thread survives any mail program."""
    footer = _footer(words)
    text = words.text.rstrip()
    html = words.html
    if footer:
        text = f"{text}\n\n-- \n{footer}"
        html = f'{html}<p style="color:#666">{escape(footer)}</p>' if html else ""
    return Rendered(mail_subject(words.subject, words.ticket, reply=not words.copy), text, html)


def _footer(words: Words) -> str:
    ref = f"Ref #{words.ticket}" if words.ticket is not None else ""
    if not words.copy:
        return ref
    who = one_line(words.sender_name, 100) or "somebody"
    came = f"From {who} by {words.channel}" if words.channel else f"From {who}"
    return " · ".join(filter(None, (came, ref, one_line(words.why, 200))))


def consent_question(hub: str, who: str, what: str) -> str:
    """The question to somebody whom others want to send copies, within one text message where the names are short."""
    return (
        f"{one_line(hub, 40)}: {one_line(who, 30)} wants to send you messages about {one_line(what, 40)}."
        " Reply YES to get them. Reply STOP and you never hear from us."
    )


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a digest; ``when`` is the time where the reader lives, as words."""

    ticket: int | None = None
    who: str = ""
    subject: str = ""
    text: str = ""
    when: str = ""
    channel: str = ""
    why: str = ""


_EXCERPT = 600  # characters of a message in a digest by mail or chat
SHORT_DIGEST = 300  # characters of a digest as a text message: two of Latin letters, five of others


def digest(items: Sequence[Item], more: int, hub: str, short: bool) -> Rendered:
    """Many messages as one, oldest first; ``more``: how many there are beyond these. ``short``: as a text message."""
    count = len(items) + more
    title = f"{hub}: {count} message{'' if count == 1 else 's'}"
    if short:
        return Rendered("", _short_digest(title, items, more))
    blocks = []
    for item in items:
        number = f"#{item.ticket} " if item.ticket is not None else ""
        who = one_line(item.who, 60) or "Somebody"
        head = f"{number}{who}, " + ", ".join(filter(None, (one_line(item.channel, 40), item.when)))
        subject = bare_subject(item.subject)
        said = [head, subject] if subject else [head]
        said.append(shortened(item.text.strip(), _EXCERPT))
        if item.why:
            said.append(f"({one_line(item.why, 200)})")
        blocks.append("\n".join(part for part in said if part))
    if more:
        blocks.append(f"... and {more} more")
    return Rendered(title, "\n\n".join(blocks))


def _short_digest(title: str, items: Sequence[Item], more: int) -> str:
    """As many messages as fit, each cut to its share; the rest is counted."""
    lines = [f"{title}"]
    left = SHORT_DIGEST - len(title)
    for place, item in enumerate(items):
        number = f"#{item.ticket} " if item.ticket is not None else ""
        said = one_line(bare_subject(item.subject) or item.text, 300)
        line = f"{number}{one_line(item.who, 20) or 'Somebody'}: {said}"
        share = max(30, left // (len(items) - place) - 1)
        if left < 40:
            more += len(items) - place
            break
        lines.append(shortened(line, min(share, left - 1)))
        left -= len(lines[-1]) + 1
    return "\n".join(lines) + (f"\n+{more} more" if more else "")


def shortened(text: str, limit: int) -> str:
    """A text of at most ``limit`` characters, cut between words where one is near, with "…" where it was cut.

    No mark (accent, vowel sign, joiner) is parted from its letter.
    """
    if len(text) <= limit:
        return text
    end = max(0, limit - 1)
    space = text.rfind(" ", max(0, end - 20), end + 1)
    if space > 0:
        end = space
    else:
        while end > 1 and _belongs_to_before(text, end):
            end -= 1
    return text[:end].rstrip() + _ELLIPSIS if limit > 0 else ""


def _belongs_to_before(text: str, index: int) -> bool:
    """Whether the character at an index is written together with the one before it."""
    here, before = text[index], text[index - 1]
    joined = "\u200d" in (here, before) or "\ufe00" <= here <= "\ufe0f" or "\U0001f3fb" <= here <= "\U0001f3ff"
    return joined or category(here)[0] == "M"
