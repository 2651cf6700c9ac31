"""What a mail server before ours says of a sender: the Authentication-Results header (RFC 8601)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_MOST = 8_000  # characters of one header
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_MOST_HEADER = 100_000  # bytes
_END = re.compile(rb"\r?\n\r?\n")
_LINES = re.compile(rb"(?im)^(received|authentication-results|x-spam-flag|x-spam-status)[ \t]*:([^\r\n]*)")
_SCORE = re.compile(rb"(?i)\bscore\s*=\s*(-?\d{1,4}(?:\.\d{1,3})?)")
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
    place = written_by(values, trusted)
    return () if place is None else results(_bare(values[place]).partition(";")[2])


def written_by(values: Sequence[str], server: str) -> int | None:
    """Which of the headers the server with this authserv-id wrote: the topmost in its name; None: it wrote none."""
    for place, value in enumerate(values):
        name = _bare(value).partition(";")[0].split()
        if server and name and name[0].lower() == server.lower():
            return place
    return None


def results(words: str) -> tuple[Claim, ...]:
    """The results in such a header, as they stand behind the server's name."""
    return tuple(filter(None, map(_claim, _bare(words).split(";")[:50])))


def spam_mark(raw: bytes) -> tuple[int, str] | None:
    """Where a mail server marked a mail as spam (``X-Spam-Flag``, ``X-Spam-Status``), and its words; None: nowhere.

    Nobody signs such a mark, so its place must tell whose it is: a server writes its headers above those that the mail
    came with, which begin with the "Received" by which it took the mail. The number says how far down: an
    Authentication-Results header is of the mark's writer, or of somebody behind it, if it is at that place or below.
    """
    above = seen = 0
    mark: tuple[int, str] | None = None
    end = _END.search(raw, 0, _MOST_HEADER)
    for line in _LINES.finditer(raw, 0, end.start() if end else _MOST_HEADER):
        name = line[1].lower()
        if name == b"received":
            above = seen
        elif name == b"authentication-results":
            seen += 1
        elif line[2].strip().lower().startswith(b"yes"):
            score = _SCORE.search(line[2])
            words = f"score {score[1].decode()}" if score else "marked so"
            if mark is None or (mark[0] == above and score):  # the two headers of one server
                mark = above, words
    return mark


def _bare(words: str) -> str:
    words = words[:_MOST]
    for _ in range(3):  # comments within comments
        words = _COMMENT.sub(" ", words)
    return words


def _claim(words: str) -> Claim | None:
    found = _RESULT.match(words)
    if found is None:
        return None
    properties = {one.group(1).lower(): one.group(2) or one.group(3) for one in _PROPERTY.finditer(words, found.end())}
    return Claim(found.group(1).lower(), found.group(2).lower(), properties)
