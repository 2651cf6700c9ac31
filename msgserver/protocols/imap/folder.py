"""The words about one folder: what is new in it, a mail's bytes, and what becomes of it there.

C: SELECT "INBOX"                            S: * OK [UIDVALIDITY 17] * OK [UIDNEXT 4392]
C: UID FETCH 4301:4350 (UID RFC822.SIZE INTERNALDATE)
C: UID FETCH 4390 (UID BODY.PEEK[])          S: * 12 FETCH (UID 4390 BODY[] {512} ...)
C: UID STORE 4390 +FLAGS.SILENT (\\Seen)      or UID MOVE (RFC 6851), or COPY, \\Deleted and UID EXPUNGE (RFC 4315)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from msgserver.protocols.imap.line import Line, Refused, Response
from msgserver.protocols.imap.login import quoted

HEAD = 100_000  # octets of a header that are asked for where the whole mail is not
_AT_ONCE = 500  # mails marked in one command: its line stays below 8 KiB
_NUMBER = re.compile(rb"OK \[(UIDVALIDITY|UIDNEXT) (\d{1,10})\]", re.IGNORECASE)
_FETCH = re.compile(rb"\d{1,10} FETCH \(", re.IGNORECASE)
_TOKEN = re.compile(
    rb"""\s*(?:
      (?P<bracket> [()] )
    | "(?P<quoted> (?:[^"\\]|\\.)* )"
    | (?P<literal> \{\d+\+?\} )
    | (?P<atom> [^\s()"{}\[\]]+ (?:\[[^\]"]*\])? (?:<\d+>)? )
    )""",
    re.VERBOSE,
)


class Selected(msgspec.Struct, frozen=True):
    """A folder as it was when it was opened; ``next_uid`` 0: the server does not say."""

    validity: int
    next_uid: int


class Entry(msgspec.Struct, frozen=True, order=True):
    """A mail in the folder: its UID, its size in octets, and when it came there, in the server's words."""

    uid: int
    size: int
    at: str = ""


def named(folder: str) -> bytes:
    """A folder's name as the wire has it (modified UTF-7, RFC 3501 section 5.1.3)."""
    return quoted(folder.encode("imap4-utf-7"))


async def select(line: Line, folder: str) -> Selected:
    """Open a folder.

    Raises:
        Refused: there is none, or it cannot be opened, or its UIDs mean nothing.
    """
    numbers = {b"UIDVALIDITY": 0, b"UIDNEXT": 0}

    def heard(response: Response) -> None:
        found = _NUMBER.match(response.text)
        if found:
            numbers[found[1].upper()] = int(found[2])

    await line.ask(b"SELECT " + named(folder), heard)
    if not numbers[b"UIDVALIDITY"]:
        raise Refused(b"NO it keeps no lasting numbers for mails (UIDVALIDITY), so it cannot be told what is new")
    return Selected(numbers[b"UIDVALIDITY"], numbers[b"UIDNEXT"])


async def listing(line: Line, first: int, last: int | None, most: int) -> list[Entry]:
    """The mails with UIDs from ``first`` to ``last`` (None: the highest), by UID, the first ``most`` of them."""
    found: list[Entry] = []

    def heard(response: Response) -> None:
        values = fetched(response)
        uid, size = number(values.get(b"UID")), number(values.get(b"RFC822.SIZE"))
        if uid is None or size is None or uid < first or (last is not None and uid > last):
            return  # "n:*" names the last mail even where its UID is below n
        found.append(Entry(uid, size, (values.get(b"INTERNALDATE") or b"").decode("ascii", "replace")))
        if len(found) > 2 * most + 100:
            found[:] = sorted(found)[:most]

    until = b"*" if last is None else b"%d" % last
    await line.ask(b"UID FETCH %d:%b (UID RFC822.SIZE INTERNALDATE)" % (first, until), heard)
    return sorted({entry.uid: entry for entry in found}.values())[:most]


async def content(line: Line, entry: Entry, head_only: bool = False) -> bytes | None:
    """A mail's octets, or the first of its header; None where the mail is no longer there.

    Raises:
        Refused: the server cannot give it.
        LineLost: also where it sends far more than the size it named.
    """
    answers: list[bytes | None] = []
    section = b"BODY[HEADER]" if head_only else b"BODY[]"

    def heard(response: Response) -> None:
        values = fetched(response)
        if number(values.get(b"UID")) == entry.uid and not answers:
            answers.extend(value for key, value in values.items() if key.startswith(section))

    asked = b"BODY.PEEK[HEADER]<0.%d>" % HEAD if head_only else b"BODY.PEEK[]"
    room = HEAD if head_only else entry.size + entry.size // 4 + 1_048_576  # sizes may be estimates
    await line.ask(b"UID FETCH %d (UID %b)" % (entry.uid, asked), heard, room=room)
    if answers and answers[0] is None:
        raise Refused(b"NO it has no content for this mail")
    return answers[0] if answers else None


async def mark_seen(line: Line, uids: Sequence[int]) -> None:
    """Mark mails as read."""
    for some in _portions(uids):
        await line.ask(b"UID STORE %b +FLAGS.SILENT (\\Seen)" % some)


async def move(line: Line, abilities: frozenset[bytes], uids: Sequence[int], target: str) -> None:
    """Move mails into another folder, which is made where it is missing."""
    for some in _portions(uids):
        verb = b"UID MOVE" if b"MOVE" in abilities else b"UID COPY"
        words = b"%b %b %b" % (verb, some, named(target))
        try:
            await line.ask(words)
        except Refused as no:
            if no.code != "TRYCREATE":
                raise
            await line.ask(b"CREATE " + named(target))
            await line.ask(words)
        if b"MOVE" not in abilities:
            await _remove(line, abilities, some, uids)


async def delete(line: Line, abilities: frozenset[bytes], uids: Sequence[int]) -> None:
    """Take mails out of the folder."""
    for some in _portions(uids):
        await _remove(line, abilities, some, uids)


async def _remove(line: Line, abilities: frozenset[bytes], some: bytes, uids: Sequence[int]) -> None:
    await line.ask(b"UID STORE %b +FLAGS.SILENT (\\Deleted)" % some)
    if b"UIDPLUS" in abilities:
        await line.ask(b"UID EXPUNGE %b" % some)
        return
    deleted: set[int] = set()

    def heard(response: Response) -> None:
        words = response.text.split()
        if words[:1] == [b"SEARCH"]:
            deleted.update(int(word) for word in words[1:] if word.isdigit())

    await line.ask(b"UID SEARCH DELETED", heard)
    if deleted <= set(uids):  # a plain EXPUNGE would take what somebody else has marked, and may want back
        await line.ask(b"EXPUNGE")


def fetched(response: Response) -> dict[bytes, bytes | None]:
    """What a FETCH response says, by name in upper case; lists and NIL are None. Empty for any other response."""
    text = response.text
    begin = _FETCH.match(text)
    if begin is None:
        return {}
    items: list[bytes | None] = []
    literals = iter(response.literals)
    depth, at = 1, begin.end()
    while depth and (token := _TOKEN.match(text, at)):
        at = token.end()
        if bracket := token["bracket"]:
            items.extend([None] if bracket == b"(" and depth == 1 else [])
            depth += 1 if bracket == b"(" else -1
            continue
        value = next(literals, None) if token["literal"] else token["quoted"]
        if token["atom"]:
            value = None if token["atom"].upper() == b"NIL" else token["atom"]
        elif token["quoted"] is not None:
            value = re.sub(rb"\\(.)", rb"\1", token["quoted"], flags=re.DOTALL)
        if depth == 1:
            items.append(value)
    return {key.upper(): value for key, value in zip(items[::2], items[1::2], strict=False) if key is not None}


def number(word: bytes | None) -> int | None:
    """A number of the wire; None where it is none."""
    return int(word) if word is not None and word.isdigit() and len(word) <= 12 else None


def uid_set(uids: Iterable[int]) -> bytes:
    """UIDs as the wire names many: ``4:7,9``."""
    ranges: list[list[int]] = []
    for uid in sorted(set(uids)):
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return b",".join(b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in ranges)


def _portions(uids: Sequence[int]) -> list[bytes]:
    return [uid_set(uids[at : at + _AT_ONCE]) for at in range(0, len(uids), _AT_ONCE)]
