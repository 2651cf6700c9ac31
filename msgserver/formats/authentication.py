"""What a mail server before ours says of a sender: the Authentication-Results header (RFC 8601)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_MOST = 8_000  # characters of one header
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_RESULT = re.compile(r"(?i)^\s*([a-z0-9-]{1,40})(?:\s*/\s*\d+)?\s*=\s*([a-z]{1,20})\b")
_PROPERTY = re.compile(r"(?i)\b([a-z]{1,20}\.[a-z0-9_-]{1,40})\s*=\s*(?:\"([^\"]{0,300})\"|([^\s;\"]{1,300}))")


class Claim(msgspec.Struct, frozen=True):
    """One method's result: ``dkim``, ``pass``, {"header.d": "example.org"}."""

    method: str
    result: str
    properties: dict[str, str] = {}

    def domain(self, *names: str) -> str:
        """The domain in the first of the properties that is there, lower case."""
        for name in names:
            value = self.properties.get(name, "")
            if value:
                return value.rpartition("@")[2].lower().rstrip(".")
        return ""


def claims(values: Sequence[str], trusted: str) -> tuple[Claim, ...]:
    """What the trusted server found; () where it said nothing.

    Args:
        values: the headers, the newest (topmost) first, unfolded.
        trusted: the authserv-id of our own border. The topmost header with it counts: those below it may have come
            with the mail, and a border that names itself takes away what others wrote in its name (section 5).
    """
    if not trusted:
        return ()
    for value in values:
        words = value[:_MOST]
        for _ in range(3):  # comments within comments
            words = _COMMENT.sub(" ", words)
        first, *rest = words.split(";")
        if first.split()[:1] and first.split()[0].lower() == trusted.lower():
            return tuple(filter(None, map(_claim, rest[:50])))
    return ()


def _claim(words: str) -> Claim | None:
    found = _RESULT.match(words)
    if found is None:
        return None
    properties = {one.group(1).lower(): one.group(2) or one.group(3) for one in _PROPERTY.finditer(words, found.end())}
    return Claim(found.group(1).lower(), found.group(2).lower(), properties)
