"""Which records a text may speak of: their names, aliases and codes, found by their first token. Pure.

An index holds what records are called, as tokens, so that a text is looked through once however many records there
are; of names that begin alike the longest is meant. It is changed record by record as people change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from msgserver.formats.tokens import phrase
from msgserver.records import Named

SHORTEST = 3  # characters of a name that is looked for in running text; scripts without spaces may have less
MOST_ALIKE = 3  # records of one name that are tagged; of more, none


class Call(msgspec.Struct, frozen=True):
    """One thing that a record is called, as tokens."""

    tokens: tuple[str, ...]
    open: bool  # the last token is only a beginning (see formats.tokens.phrase)
    resource: str
    uid: str
    written: str
    spoken: bool  # a name or alias, to be looked for in running text; else a code

    def at(self, text: Sequence[str], place: int) -> bool:
        """Whether it stands in a text from this token on."""
        found = tuple(text[place : place + len(self.tokens)])
        if not self.open:
            return found == self.tokens
        return (
            len(found) == len(self.tokens) and found[:-1] == self.tokens[:-1] and found[-1].startswith(self.tokens[-1])
        )


class Ready(msgspec.Struct, frozen=True):
    """A record made ready to be put into an index: what takes time is done."""

    uid: str
    version: int
    calls: tuple[Call, ...]
    codes: tuple[str, ...]
    resource: str


def ready(record: Named) -> Ready:
    """Prepare a record."""
    calls: dict[tuple[str, ...], Call] = {}
    for written, spoken in ((record.name, True), *((alias, True) for alias in record.aliases), (record.code, False)):
        split, beginning = phrase(written)
        if split and split not in calls:
            long_enough = len(written.strip()) >= SHORTEST or not written.isascii()
            calls[split] = Call(split, beginning, record.resource, record.uid, written.strip(), spoken and long_enough)
    single = [alias for alias in record.aliases if not any(map(str.isspace, alias))]
    codes = tuple(dict.fromkeys(word.casefold() for word in (record.code, *single) if word))
    return Ready(record.uid, record.version, tuple(calls.values()), codes, record.resource)


class Names:
    """The index; ``versions`` says which wording of which record is in it."""

    def __init__(self, records: Iterable[Named] = ()) -> None:
        self.versions: dict[str, int] = {}
        self._ready: dict[str, Ready] = {}
        self._calls: dict[tuple[str, ...], list[Call]] = {}  # by their tokens
        self._lengths: dict[str, Counter[int]] = {}  # first token -> how many tokens calls have that begin so
        self._open: dict[str, list[Call]] = {}  # those that end in a beginning, by first token
        self._signs: dict[str, list[Call]] = {}  # single signs of unspaced scripts, by that sign
        self._codes: dict[str, dict[str, str]] = {}  # code -> uid -> resource
        for record in records:
            self.put(ready(record))

    def __len__(self) -> int:
        return len(self.versions)

    def put(self, one: Ready) -> None:
        """Put a record in, in place of what it was called before."""
        self.remove(one.uid)
        self.versions[one.uid] = one.version
        self._ready[one.uid] = one
        for call in one.calls:
            self._place(call).append(call)
            self._lengths.setdefault(call.tokens[0], Counter())[len(call.tokens)] += not call.open
        for code in one.codes:
            self._codes.setdefault(code, {})[one.uid] = one.resource

    def remove(self, uid: str) -> None:
        """Take a record out; one that is not there is no mistake."""
        before = self._ready.pop(uid, None)
        if before is None:
            return
        del self.versions[uid]
        for call in before.calls:
            self._place(call).remove(call)
            self._lengths[call.tokens[0]][len(call.tokens)] -= not call.open
        for code in before.codes:
            self._codes[code].pop(uid)

    def coded(self, code: str) -> list[tuple[str, str]]:
        """Records with a (case-folded) code: resource, uid; none where it means too many."""
        found = [(resource, uid) for uid, resource in self._codes.get(code, {}).items()]
        return found if len(found) <= MOST_ALIKE else []

    def following(self, text: Sequence[str], place: int, resource: str) -> list[Call]:
        """Records of a type whose code or name stands exactly here: the longest."""
        return self._longest(text, place, frozenset((resource,)), spoken=False)

    def spoken_of(self, text: Sequence[str], resources: frozenset[str]) -> list[list[Call]]:
        """Names of records of these types in running text, in its order; several calls: one name, several records."""
        found: list[list[Call]] = []
        begins, signs, place = self._lengths, self._signs, 0
        while place < len(text):
            token = text[place]
            if token not in begins and not (signs and token[0] in signs):  # most words begin no name at all
                place += 1
                continue
            longest = self._longest(text, place, resources, spoken=True)
            if longest:
                found.append(longest)
            place += len(longest[0].tokens) if longest else 1
        return found

    def _longest(self, text: Sequence[str], place: int, resources: frozenset[str], spoken: bool) -> list[Call]:
        if place >= len(text):
            return []
        token = text[place]
        lengths: Mapping[int, int] = self._lengths.get(token, {})
        found = [
            call
            for length in sorted((length for length, held in lengths.items() if held), reverse=True)
            for call in self._calls.get(tuple(text[place : place + length]), ())
        ]
        if self._open or self._signs:
            loose = (*self._open.get(token, ()), *self._signs.get(token[0], ()))
            found += [call for call in loose if call.at(text, place)]
        meant = [call for call in found if call.resource in resources and (call.spoken or not spoken)]
        most = max((len(call.tokens) for call in meant), default=0)
        longest = {call.uid: call for call in meant if len(call.tokens) == most}
        return list(longest.values()) if len(longest) <= MOST_ALIKE else []

    def _place(self, call: Call) -> list[Call]:
        if not call.open:
            return self._calls.setdefault(call.tokens, [])
        index = self._signs if len(call.tokens) == 1 else self._open
        return index.setdefault(call.tokens[0], [])
