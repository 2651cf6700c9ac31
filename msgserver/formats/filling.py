"""A new record filled in from a message, as far as the message says: for a person to look over (MISSION M7). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from msgserver.formats.extract import extract
from msgserver.formats.quoting import quoted_from
from msgserver.records import Field

LONGEST_NAME = 100  # characters
_AGAIN = re.compile(r"^(?:\s*(?:re|aw|sv|fw|fwd|wg|tr|rv|antw|res|enc)(?:\[\d+\])?\s*[:：])+", re.I)


class Filled(msgspec.Struct, frozen=True):
    """What a message gives to a record."""

    name: str = ""
    comments: str = ""
    fields: Mapping[str, str] = {}
    latitude: float | None = None
    longitude: float | None = None


def filled(fields: Sequence[Field], subject: str, body: str, sender: str, region: str = "") -> Filled:
    """The subject (or first line) becomes the name, the words the comments, the sender the contact.

    ``sender`` is an address URI; phone numbers in the text go to further contacts and to fields that are about phones,
    the first position is the record's. What finds no field stays in the comments.
    """
    fold = quoted_from(body)
    words = (body if fold is None else body[:fold]).strip()
    first = next((line.strip() for line in words.splitlines() if line.strip()), "")
    name = " ".join(_AGAIN.sub("", subject).split()) or first
    if len(name) > LONGEST_NAME:
        name = name[:LONGEST_NAME].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
    found = extract(f"{subject}\n{words}", region)
    phones = [phone for phone in found.phones if not sender.endswith(phone)]
    values: dict[str, str] = {}
    people = [sender] if sender else []
    people += [f"sms:{phone}" for phone in phones]
    for field in fields:
        if field.kind == "contact" and people:
            values[field.name] = people.pop(0)
        elif field.kind == "text" and "phone" in f"{field.name} {field.label}".lower() and phones and not field.choices:
            values[field.name] = ", ".join(phones)
    if sender and sender not in values.values():
        words = f"{words}\n\n{sender}".strip()
    place = found.positions[0] if found.positions else None
    return Filled(name, words, values, place.latitude if place else None, place.longitude if place else None)
