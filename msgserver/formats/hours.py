"""Times of day as people write them ("22:00") and as they are kept: minutes after midnight."""

from __future__ import annotations

import re

_HOUR = re.compile(r"([01]?[0-9]|2[0-3])(?:[:.h]([0-5][0-9]))?")


def read_hour(words: str) -> int:
    """Minutes after midnight of "22:00", "7.30", "7h30" or "7".

    Raises:
        ValueError: that is no time of day; says so for people.
    """
    found = _HOUR.fullmatch(words.strip().lower())
    if found is None:
        raise ValueError(f"{words.strip()[:20]!r} is no time of day; write it as in 22:00")
    return int(found[1]) * 60 + int(found[2] or 0)


def hour_words(minutes: int | None) -> str:
    """The other way round; None is empty."""
    return "" if minutes is None else f"{minutes // 60:02}:{minutes % 60:02}"
