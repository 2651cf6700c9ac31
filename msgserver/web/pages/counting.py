"""What a text costs as SMS, said beside the box it is written in: parts, people, and what makes it long."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from msgserver.formats.phones import read_address
from msgserver.formats.sms import measure, substitute
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask
from msgserver.web.language import _, plural

_MOST = 100_000  # characters of a text; of its recipients a tenth
_SHOWN = 6  # characters named that plain SMS lacks


class Count(msgspec.Struct, frozen=True):
    """How a text goes out by SMS. ``mood``: "warn" where it is long, "hot" where it is too long to be sent."""

    words: str
    mood: str = ""
    why: str = ""  # what forces Unicode
    plain: str = ""  # the text with plain letters, where that makes it shorter


def count(text: str, people: int, warn: int, most: int) -> Count | None:
    """Count a text for so many phones; None where nothing goes by SMS.

    Args:
        text: what is written.
        people: phones among the recipients.
        warn: parts above which it is called long.
        most: parts that may be sent.
    """
    text = text.strip()
    if not people or not text:
        return None
    found = measure(text)
    said = plural(_("%(n)d part"), _("%(n)d parts"), found.parts)
    if people > 1:
        said = _("%(parts)s × %(people)d people = %(all)d SMS") % {
            "parts": said,
            "people": people,
            "all": found.parts * people,
        }
    said = _("%(said)s, %(left)d characters left") % {"said": said, "left": found.left}
    why = plain = ""
    if found.forced_by:
        named = " ".join(found.forced_by[:_SHOWN]) + (" …" if len(found.forced_by) > _SHOWN else "")
        why = _("Unicode because of %s") % named
        if found.substitute is not None and measure(found.substitute).parts < found.parts:
            plain = found.substitute
    if found.parts > most:
        return Count(
            _("%(said)s: at most %(most)d parts can be sent") % {"said": said, "most": most}, "hot", why, plain
        )
    return Count(said, "warn" if found.parts > warn else "", why, plain)


def phones(words: str | Iterable[str], region: str = "") -> int:
    """How many phones are among recipients that somebody is still typing."""
    if isinstance(words, str):
        words = words[: _MOST // 10].replace(";", ",").replace("\n", ",").split(",")
    found = set()
    for word in words:
        try:
            address = read_address(word.strip().rpartition("<")[2].rstrip(">"), region)
        except ValueError:
            continue
        if address.scheme == "sms":
            found.add(address)
    return len(found)


def counted(ask: Ask, text: str, to: str | Iterable[str]) -> Count | None:
    """What stands beside the box of this request."""
    hub = ask.house.config.hub
    return count(text[:_MOST], phones(to, hub.region), hub.sms_warn, hub.sms_most)


def refuse_too_long(ask: Ask, text: str, to: str | Iterable[str]) -> None:
    """Let nobody send more parts than the hub allows.

    Raises:
        Refused: it is too long, in words.
    """
    hub = ask.house.config.hub
    if phones(to, hub.region) and (parts := measure(text.strip()).parts) > hub.sms_most:
        raise Refused(
            _("As SMS this is %(parts)d parts long; at most %(most)d can be sent. Shorten it, or send it by mail.")
            % {"parts": parts, "most": hub.sms_most}
        )


def plainer(text: str) -> str:
    """The text with plain letters where there are such."""
    return substitute(text)


async def fragment(ask: Ask) -> Answer:
    """The count alone, for the page that is open."""
    return ask.page("count.html", count=counted(ask, ask.form("text"), ask.form("to")))
