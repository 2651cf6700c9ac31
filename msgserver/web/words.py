"""How states, addresses and times are said to people. Pure; the same words on pages and in fragments."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

import phonenumbers

from msgserver.records import Delivery, DeliveryState, Priority
from msgserver.store.deliveries import DELAYED
from msgserver.web.language import _, plural

CHANNELS = {
    "sms": "SMS",
    "mailto": "Mail",
    "xmpp": "Chat",
    "x": "X",
    "tel": "Phone",
    "radio": "Radio",
    "runner": "Runner",
    "loop": "Loopback",
}
PRIORITIES = {
    Priority.LOW: _("Low"),
    Priority.NORMAL: _("Normal"),
    Priority.HIGH: _("High"),
    Priority.URGENT: _("Urgent"),
}

DIGESTS = {"": _("at once"), "hourly": _("gathered every hour"), "daily": _("gathered every morning")}


def time_of_day(minutes: int) -> str:
    """Minutes after midnight as a time."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def channel(address: str) -> str:
    """What people call the channel of an address (or of a scheme)."""
    scheme = address.partition(":")[0]
    return CHANNELS.get(scheme, scheme.capitalize()) or _("Unknown")


@lru_cache(4096)
def spoken_address(address: str) -> str:
    """An address without its scheme; a phone number with the gaps people expect."""
    scheme, _colon, value = address.partition(":")
    if scheme in ("sms", "tel") and value.startswith("+"):
        try:
            number = phonenumbers.parse(value)
        except phonenumbers.NumberParseException:
            return value
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return value or address


def clock(at: float, now: float) -> str:
    """A time as short as it can be said: ``10:02`` today, ``Mon 10:02`` this week, ``3 Nov`` this year."""
    when, today = _local(at), _local(now)
    days = (today.date() - when.date()).days
    if days == 0:
        return when.strftime("%H:%M")
    if 0 < days < 7:
        return when.strftime("%a %H:%M")
    return f"{when.day} {when.strftime('%b')}" + ("" if when.year == today.year else f" {when.year}")


def full_time(at: float) -> str:
    """A time with date and zone."""
    return _local(at).strftime("%A %d %B %Y, %H:%M:%S %Z")


def iso_time(at: float) -> str:
    """A time for machines (RFC 3339, UTC)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone()


def span(seconds: float) -> str:
    """How long, in one unit: ``20 s``, ``5 min``, ``3 h``, ``2 d``."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 129600 else f"{seconds / 86400:.0f} d"


def size(octets: int) -> str:
    """How large a file is."""
    if octets < 1000:
        return f"{octets} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if octets < scale * 1000:
            return f"{octets / scale:.1f} {unit}" if octets < scale * 10 else f"{octets / scale:.0f} {unit}"
    return f"{octets / 1e9:.1f} GB"


def delivery(row: Delivery, now: float) -> str:
    """What became of a delivery: state, why, and what happens next."""
    reason = f": {row.reason}" if row.reason else ""
    match row.state:
        case DeliveryState.PENDING if row.attempt or row.reason:
            wait = (row.next_attempt or now) - now
            return (_("retry in %s") % span(wait) if wait > 1 else _("retrying now")) + reason
        case DeliveryState.PENDING:
            wait = (row.next_attempt or now) - now
            return _("leaves in %s") % span(wait) if wait > 1 else _("waiting to leave")
        case DeliveryState.HELD:
            return _("held") + (reason or _(": the channel is not connected; it leaves when it is"))
        case DeliveryState.CLAIMED:
            return _("leaving now")
        case DeliveryState.UNKNOWN:
            return _("unknown") + (reason or _(": the line was cut after sending"))
        case DeliveryState.SENT if row.reason.startswith(DELAYED):
            return _("sent; the far side still tries to deliver it") + f": {row.reason.removeprefix(DELAYED)}"
        case DeliveryState.SENT:
            return _("sent")
        case DeliveryState.DELIVERED:
            return _("delivered") + reason
        case DeliveryState.FAILED:
            return _("not delivered") + reason
        case DeliveryState.EXPIRED:
            return _("too late: it expired before it could leave")
        case DeliveryState.CANCELLED:
            return _("cancelled") + reason
        case DeliveryState.SUPPRESSED:
            return _("not sent: this address said STOP")


# What became of a delivery that has ended, in a list.
ENDED = {
    DeliveryState.SENT: _("sent"),
    DeliveryState.DELIVERED: _("delivered"),
    DeliveryState.FAILED: _("not delivered"),
    DeliveryState.EXPIRED: _("expired"),
    DeliveryState.CANCELLED: _("cancelled"),
    DeliveryState.SUPPRESSED: _("not sent"),
    DeliveryState.HELD: _("held"),
}

# Shown in amber (needs a look) or red (did not arrive); the rest is soft ink.
TROUBLED = frozenset({DeliveryState.UNKNOWN, DeliveryState.HELD})
FAILED = frozenset({DeliveryState.FAILED, DeliveryState.EXPIRED, DeliveryState.SUPPRESSED})


def mood(row: Delivery) -> str:
    """How a delivery's words are coloured: ``hot``, ``warn``, ``good`` or nothing."""
    if row.state in FAILED:
        return "hot"
    if row.state in TROUBLED or (row.state is DeliveryState.PENDING and row.attempt):
        return "warn"
    return "good" if row.state is DeliveryState.DELIVERED else ""


def unread(n: int) -> str:
    """The spoken label of an unread row."""
    return plural(_("%(n)d unread"), _("%(n)d unread"), n)


def sentence(words: str) -> str:
    """Words as a sentence: a capital at the head, a stop at the end."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?", "…")) else ".")


def tag_place(resource: str, record: str) -> str:
    """Where what a tag names is shown."""
    if resource == "entity":
        return "/people"
    if "/" in resource or "/" in record:
        return f"/log?q={quote(f'resource:{resource}/{record}')}"
    return f"/resources/{quote(resource)}/{quote(record)}" if record else f"/resources/{quote(resource)}"


def told(value: object) -> str:
    """A value out of a record's history."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {words}" for name, words in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)
