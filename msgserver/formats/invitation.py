"""Invitations (iCalendar, RFC 5545 and 5546) in words: what, when, where, and from whom. Pure, and short."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgserver.formats.text import one_line

_MOST = 200_000  # characters looked at
_LINES = 5_000
_DESCRIPTION = 4_000  # characters
_FOLD = re.compile(r"\r?\n[ \t]")
_NAME = re.compile(r"([A-Za-z0-9-]{1,40})((?:;[A-Za-z0-9-]{1,40}=(?:\"[^\"]{0,500}\"|[^\";:]{0,500}))*):")
_PARAMETER = re.compile(r";([A-Za-z0-9-]{1,40})=(?:\"([^\"]*)\"|([^;:]*))")
_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})\d{2}(Z?))?\Z")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KINDS = {"REQUEST": "Invitation", "CANCEL": "Cancelled", "REPLY": "Answer", "COUNTER": "Another time proposed"}
_ANSWERS = {"ACCEPTED": "accepts", "DECLINED": "declines", "TENTATIVE": "may come", "DELEGATED": "sends somebody else"}
_OFTEN = {"DAILY": "daily", "WEEKLY": "weekly", "MONTHLY": "monthly", "YEARLY": "yearly"}

Field = tuple[Mapping[str, str], str]  # parameters, value


def summary(calendar: str) -> str:
    """The title of a calendar's first event, or ""."""
    return _words(_event(calendar)[1].get("SUMMARY"))


def invitation(calendar: str) -> str:
    """A calendar's first event in lines for people; "" where there is none."""
    method, event = _event(calendar)
    if not event:
        return ""
    title = _words(event.get("SUMMARY")) or "an event without a title"
    lines = [f"{_KINDS.get(method, 'Event')}: {title}", *_when(event)]
    for label, name in (("Where", "LOCATION"), ("From", "ORGANIZER"), ("Who", "ATTENDEE")):
        if name == "ATTENDEE" and method != "REPLY":
            continue
        if said := _person(event[name]) if name in event and name != "LOCATION" else _words(event.get(name)):
            lines.append(f"{label}: {said}")
    description = _unescaped(event.get("DESCRIPTION", ({}, ""))[1])[:_DESCRIPTION].strip()
    return "\n".join(lines) + (f"\n\n{description}" if description else "")


def _event(calendar: str) -> tuple[str, dict[str, Field]]:
    """The method, and the first of each of the first event's own properties."""
    method, inside = "", 0
    event: dict[str, Field] = {}
    for line in _FOLD.sub("", calendar[:_MOST]).splitlines()[:_LINES]:
        found = _NAME.match(line)
        if found is None:
            continue
        name, value = found[1].upper(), line[found.end() :]
        kind = value.strip().upper()
        if name == "METHOD" and not inside:
            method = kind
        elif name == "BEGIN" and (inside or kind == "VEVENT"):
            inside += 1  # an alarm inside the event has a description of its own
        elif name == "END" and inside:
            inside -= 1
            if not inside:
                break
        elif inside == 1 and name not in event:
            event[name] = ({one[1].upper(): one[2] or one[3] or "" for one in _PARAMETER.finditer(found[2])}, value)
    return method, event


def _when(event: Mapping[str, Field]) -> list[str]:
    begin, end = _time(event.get("DTSTART")), _time(event.get("DTEND"))
    if not begin:
        return []
    day, clock, zone = begin
    said = " ".join(filter(None, (day, clock)))
    if end and end != begin and (end[1] or end[0] != day):
        said += " to " + " ".join(filter(None, (end[0] if end[0] != day else "", end[1])))
        zone = zone if end[2] == zone else f"{zone}, {end[2]}".strip(", ")
    lines = [f"When: {said}" + (f" ({zone})" if zone else "")]
    often = _OFTEN.get(re.sub(r"(?i).*FREQ=([A-Z]+).*", r"\1", event.get("RRULE", ({}, ""))[1]).upper())
    return [*lines, f"Again: {often}"] if often else lines


def _time(field: Field | None) -> tuple[str, str, str] | None:
    """A time as its day, clock and zone, as its writer gave it: the reader's own zone is not known here."""
    found = _TIME.match(field[1].strip()) if field else None
    if field is None or found is None:
        return None
    year, month, day, hour, minute, utc = found.groups()
    zone = "UTC" if utc else one_line(field[0].get("TZID", ""), 60)
    return f"{year}-{month}-{day}", f"{hour}:{minute}" if hour else "", zone if hour else ""


def _person(field: Field) -> str:
    parameters, value = field
    address = one_line(re.sub(r"(?i)^mailto:", "", value.strip()), 200)
    name = one_line(parameters.get("CN", ""), 200)
    answer = _ANSWERS.get(parameters.get("PARTSTAT", "").upper(), "")
    return " ".join(filter(None, (name, f"<{address}>" if name and address else address, answer)))


def _words(field: Field | None) -> str:
    return one_line(_unescaped(field[1]), 300) if field else ""


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)
