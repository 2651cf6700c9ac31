"""How the site map is written down and looked up: a row a route, found by path and method."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from msgserver.routing.may import Act
from msgserver.web.ask import Answer, Ask
from msgserver.web.channel import SMALL

_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_KINDS = {"int": r"[0-9]{1,15}", "word": r"[^/]{1,200}"}


class Open(StrEnum):
    """Who may where no act is asked for."""

    ANYONE = "anyone"
    SIGNED_IN = "signed in"


class Row(msgspec.Struct, frozen=True):
    """One route: method, path pattern, what it does, who may.

    ``{ticket}`` in a pattern catches a whole number, ``{name:word}`` text without a slash. ``limit`` is the largest
    body in bytes. What stands below it is for the API's rows and its description: the Struct the body is read into,
    the Struct of the answer, whether that is a list of them, the query's names and the status of success.
    """

    method: str
    pattern: str
    act: Callable[[Ask], Awaitable[Answer]]
    who: Act | Open
    limit: int = SMALL
    takes: Any = None
    gives: Any = None
    many: bool = False
    query: tuple[str, ...] = ()
    media_type: str = "*/*"  # of an answer in bytes
    status: int = 200
    matches: bool = False  # takes If-Match
    sealed: bool = False  # its path is signed and right enough: forms may come from anywhere (RFC 8058)
    once: bool = False  # takes an Idempotency-Key

    @property
    def api(self) -> bool:
        """Whether programs use it, with a token; else browsers, with a session."""
        return self.pattern.startswith("/api/")

    @property
    def feed(self) -> bool:
        """Whether feed readers use it, with a key of their own."""
        return self.pattern.startswith("/feeds/")


class Found(msgspec.Struct, frozen=True):
    """What a path leads to: the row for the method, or None with the methods that there are."""

    row: Row | None
    part: dict[str, Any]
    allowed: tuple[str, ...]


class Routes:
    """The site map, looked up by the number of a path's parts and the first of them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self._places: dict[tuple[int, str], dict[str, tuple[re.Pattern[str], dict[str, str], dict[str, Row]]]] = {}
        for row in rows:
            kinds = {name: kind or "int" for name, kind in _HOLE.findall(row.pattern)}
            place = self._places.setdefault(_place(row.pattern), {})
            if row.pattern not in place:
                place[row.pattern] = (_compile(row.pattern), kinds, {})
            place[row.pattern][2][row.method] = row

    def find(self, method: str, path: str) -> Found | None:
        """The row for a method and a (decoded) path; None: no route has this path. HEAD is served by GET."""
        for pattern, kinds, by_method in self._places.get(_place(path), {}).values():
            match = pattern.fullmatch(path)
            if match is None:
                continue
            part = {name: int(v) if kinds[name] == "int" else v for name, v in match.groupdict().items()}
            row = by_method.get("GET" if method == "HEAD" else method)
            return Found(row, part, tuple(sorted({*by_method, *(("HEAD",) if "GET" in by_method else ())})))
        return None


def _place(path: str) -> tuple[int, str]:
    parts = path.split("/")
    return len(parts), parts[1] if len(parts) > 1 else ""


def _compile(pattern: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for hole in _HOLE.finditer(pattern):
        pieces.append(re.escape(pattern[at : hole.start()]))
        pieces.append(f"(?P<{hole[1]}>{_KINDS[hole[2] or 'int']})")
        at = hole.end()
    return re.compile("".join(pieces) + re.escape(pattern[at:]))
