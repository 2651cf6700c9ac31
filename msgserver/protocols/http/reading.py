"""Reading what gateways write: JSON of any shape, times in many, and text in the wrong clothes. Nothing here raises."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

_BASE64 = re.compile(r"[A-Za-z0-9+/]{60,}={0,2}")
_ZONE = re.compile(r"([+-][0-9]{2})([0-9]{2})$")


class Thing:
    """A value out of somebody's JSON: ask for what may be there, get an empty one where it is not."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getitem__(self, name: str) -> Thing:
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return Thing(found)

    def __iter__(self) -> Iterator[Thing]:
        return iter([Thing(item) for item in self.value] if isinstance(self.value, list) else [])

    def __bool__(self) -> bool:
        return bool(self.value)

    def at(self, path: str) -> Thing:
        """What a dotted path leads to; numbers count from 0 in lists."""
        found = self
        for word in path.split("."):
            if isinstance(found.value, list):
                at = int(word) if word.isascii() and word.isdigit() else -1
                found = Thing(found.value[at] if 0 <= at < len(found.value) else None)
            else:
                found = found[word]
        return found

    @property
    def text(self) -> str:
        """A string or number as text, everything else empty."""
        if isinstance(self.value, str):
            return self.value
        return str(self.value) if isinstance(self.value, int | float) and not isinstance(self.value, bool) else ""

    @property
    def number(self) -> int:
        """A whole number, also where it is written as text; else -1."""
        return whole(self.text)


def whole(text: str) -> int:
    """A whole number out of text; -1 where it is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 16 else -1


def time_of(text: str) -> float | None:
    """Seconds or milliseconds since 1970, or a date and time (UTC where it names no zone); None where it is none."""
    text = text.strip()
    if not text:
        return None
    try:
        if re.fullmatch(r"[0-9]{9,16}(\.[0-9]+)?", text):
            seconds = float(text)
            return seconds / 1000.0 if seconds > 1e11 else seconds
        read = datetime.fromisoformat(_ZONE.sub(r"\1:\2", text))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def undressed(text: str) -> str:
    """Text that some gateways wrap in base64 when it is long; what does not read as words stays as it is."""
    if len(text) % 4 or not _BASE64.fullmatch(text):
        return text
    try:
        inner = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return text
    is_words = " " in inner and all(each.isprintable() or each in "\r\n\t" for each in inner)
    return inner if is_words else text
