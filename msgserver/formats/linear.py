"""Regular expressions that no text can make slow: RE2's, which take time linear in the text whatever they say. Pure.

RE2 has neither back references nor looks around. Letters match whatever their case. All patterns are looked for in one
go over the text, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import re2

LONGEST = 1_000  # characters of a pattern
MOST_TEXT = 100_000  # characters looked at
_MEMORY = 8 * 1024 * 1024  # bytes that one pattern may take, compiled; a set has as much for each


def _options(memory: int = _MEMORY) -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = memory
    return options


def mistake(pattern: str) -> str:
    """Why a pattern cannot be one, in words; "" where it can."""
    if len(pattern) > LONGEST:
        return f"the pattern has more than {LONGEST} characters"
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        said = error.args[0] if error.args else error
        return f"the pattern is not understood: {said.decode() if isinstance(said, bytes) else said}"
    if compiled.search("") is not None:
        return "the pattern holds for an empty text, so for every message"
    return ""


class Patterns:
    """Several patterns, compiled together. Those that cannot be compiled never match."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._each = [None if mistake(pattern) else re2.compile(pattern, _options()) for pattern in patterns]
        self._set: re2.Set | None = None
        self._places: list[int] = []  # in the set -> in ``patterns``
        if len(patterns) > 1:
            self._put_together(patterns)

    def _put_together(self, patterns: Sequence[str]) -> None:
        found = re2.Set.SearchSet(_options(_MEMORY * len(patterns)))
        for place, pattern in enumerate(patterns):
            if self._each[place] is not None:
                found.Add(pattern)
                self._places.append(place)
        if self._places:
            found.Compile()
            self._set = found

    def search(self, text: str) -> list[Hit]:
        """Which patterns stand in a text, and what each found first."""
        text = text[:MOST_TEXT]
        places = range(len(self._each)) if self._set is None else [self._places[n] for n in self._set.Match(text) or ()]
        hits = []
        for place in sorted(places):
            compiled = self._each[place]
            match = None if compiled is None else compiled.search(text)
            if match is not None:
                hits.append(Hit(place, match.group()))
        return hits


class Hit(msgspec.Struct, frozen=True):
    """A pattern, by its place, and what it found."""

    place: int
    text: str
