"""People as a table (CSV, RFC 4180): read as spreadsheets and address books write it, and written so that no
spreadsheet takes a cell for a formula (THREATS T26).

    name        phone                  mail             groups                      language
    Ana Noori   +93 70 123 4567;07...  ana@example.org  Water|driver; North team    fa

The first line names the columns. Several addresses or groups in a cell have ``;`` between them, a role in a group
stands behind ``|``. A cell that would begin a formula is written with ``'`` before it; reading takes that off again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import phonenumbers

from msgserver.formats import text
from msgserver.formats.hours import read_hour
from msgserver.formats.phones import e164
from msgserver.formats.tokens import fold, tokens
from msgserver.message import Address

COLUMNS = (
    "uid", "kind", "name", "phone", "mail", "chat", "addresses", "preferred", "verified", "opted out", "bouncing",
    "language", "time zone", "quiet hours", "groups", "comments",
)  # fmt: skip
KINDS = ("person", "group", "organisation")
_LISTED = re.compile(r"[;\n]| ::: ")
_CALLED = {
    "uid": "uid uuid",
    "kind": "kind type",
    "name": "name fullname displayname nombre nom",
    "first": "firstname givenname forename",
    "last": "lastname surname familyname",
    "phone": "phone phones phonenumber telephone tel mobile mobilephone mobilenumber cell cellphone sms msisdn",
    "mail": "mail mails email emails emailaddress mailaddress",
    "chat": "chat xmpp jabber jid",
    "addresses": "addresses contacts otheraddresses",
    "preferred": "preferred",
    "verified": "verified",
    "opted out": "optedout optout stopped unsubscribed",
    "language": "language lang locale",
    "time zone": "timezone tz zone",
    "quiet hours": "quiethours quiet",
    "groups": "groups group teams team",
    "organisation": "organisation organization organisationname organizationname company employer",
    "role": "role position jobtitle organizationtitle",
    "comments": "comments comment notes note remarks",
}
_FIELDS = {word: field for field, words in _CALLED.items() for word in words.split()}
_RUNS = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"  # begins a formula; the wide ones too, in some spreadsheets
_GUARD = re.compile(rf"^ *'*(?={_RUNS}|[\t\r\n])|(?<=[;\t\r\n]) *'*(?={_RUNS})")
_GUARDED = re.compile(rf"(^ *'*)'(?={_RUNS}|[\t\r\n])|((?<=[;\t\r\n]) *'*)'(?={_RUNS})")
_SPOILED = re.compile(r"[\d.,]+e\+?\d+", re.IGNORECASE)


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, and where; ``left_out``: the whole row is, else only what is named."""

    line: int
    column: str
    words: str
    left_out: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row, checked. Addresses are URIs; ``groups`` are names with the role there."""

    line: int
    uid: str
    given_uid: bool
    kind: str
    name: str
    folded: str
    addresses: tuple[str, ...]
    preferred: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    language: str = ""
    timezone: str = ""
    quiet: tuple[int, int] | None = None
    comments: str = ""
    groups: tuple[tuple[str, str], ...] = ()
    organisation: tuple[str, str] | None = None


class Sheet:
    """A file of people. ``rows`` may be gone through more than once.

    Raises:
        ValueError: it is no table of people; says so for people.
    """

    def __init__(self, raw: bytes, region: str = "") -> None:
        words, self.guessed = text.decode(raw)
        self._text = words.removeprefix("\ufeff").replace("\0", "")
        self._region = region
        self._names = hashlib.sha256(raw).hexdigest()
        self._delimiter, head = _head(self._text)
        self.fields = tuple(_field(name) for name in head)
        self.ignored = tuple(
            name.strip()[:60] for name, f in zip(head, self.fields, strict=True) if not f and name.strip()
        )
        if not {"name", "first", "last", *_ADDRESSED} & set(self.fields):
            raise ValueError(
                "the first line must name the columns, as in: name, phone, mail, groups. None of these is there"
            )

    def rows(self, groups: bool, problems: list[Problem]) -> Iterator[Row | None]:
        """The rows of groups and organisations, or those of persons; None for one that is left out.

        What is wrong is added to ``problems`` as they come. After a row whose quotation marks do not close, nothing
        more is read, and that is said.
        """
        if groups and "kind" not in self.fields:
            return
        lines = csv.reader(io.StringIO(self._text, newline=""), delimiter=self._delimiter, strict=True)
        last = 1
        try:
            for number, cells in enumerate(lines):
                line, last = last, lines.line_num + 1
                if number and any(cell.strip() for cell in cells):
                    yield from self._row(line, cells, groups, problems)
        except csv.Error as error:
            if not groups:
                words = f"this row is broken ({error}): nothing from here on was read. Look for a lone quotation mark"
                problems.append(Problem(last, "", words, True))
                yield None

    def _row(self, line: int, cells: Sequence[str], groups: bool, problems: list[Problem]) -> Iterator[Row | None]:
        held: dict[str, list[str]] = {}
        for field, cell in zip(self.fields, cells, strict=False):
            if field and cell.strip():
                held.setdefault(field, []).append(unguarded(cell).strip())
        kind = held.get("kind", ["person"])[0].lower().replace("organization", "organisation")
        if (kind in KINDS[1:]) is not groups:
            return
        wrong: list[Problem] = []
        if kind not in KINDS:
            wrong.append(Problem(line, "kind", f"{kind[:40]!r} is not person, group or organisation", True))
        if len(cells) > len(self.fields):
            wrong.append(Problem(line, "", "has more cells than there are columns", True))
        row = self._checked(line, kind, held, wrong)
        problems += wrong
        yield None if any(one.left_out for one in wrong) else row

    def _checked(self, line: int, kind: str, held: Mapping[str, list[str]], wrong: list[Problem]) -> Row:
        def one(field: str) -> str:
            return " ".join(" ".join(held[field]).split()) if field in held else ""

        name = (one("name") or " ".join(filter(None, (one("first"), one("last")))))[:200]
        if not name:
            wrong.append(Problem(line, "name", "has no name", True))
        addresses: dict[str, None] = {}
        for field in _ADDRESSED:
            addresses |= dict.fromkeys(self._addresses(line, field, held.get(field, ()), wrong))
        marked = {
            field: tuple(self._addresses(line, field, held[field], wrong)) if field in held else ()
            for field in ("preferred", "verified", "opted out")
        }
        uid = one("uid")[:100]
        own = uid or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._names}:{line}"))
        return Row(
            line=line, uid=own, given_uid=bool(uid), kind=kind, name=name, folded=fold(name),
            addresses=tuple(addresses), preferred=marked["preferred"], verified=marked["verified"],
            stopped=marked["opted out"], language=one("language")[:35], timezone=one("time zone")[:60],
            quiet=_quiet(line, one("quiet hours"), wrong), comments="\n".join(held.get("comments", ()))[:10_000],
            groups=tuple(_groups(held.get("groups", ()))),
            organisation=(one("organisation")[:200], one("role")[:100]) if one("organisation") else None,
        )  # fmt: skip

    def _addresses(self, line: int, field: str, cells: Iterable[str], wrong: list[Problem]) -> Iterator[str]:
        for cell in cells:
            for words in _LISTED.split(cell if field == "addresses" else cell.replace(",", ";")):
                if words.strip():
                    try:
                        yield _address(field, words.strip(), self._region)
                    except ValueError as error:
                        wrong.append(Problem(line, field, f"{error}: left out"))


_ADDRESSED = ("phone", "mail", "chat", "addresses")


def _head(words: str) -> tuple[str, list[str]]:
    """The delimiter and the first line's cells: the delimiter under which most of them are known columns."""
    best: tuple[int, int, str, list[str]] | None = None
    for place, delimiter in enumerate(",;\t|"):
        try:
            cells = next(csv.reader(io.StringIO(words, newline=""), delimiter=delimiter), [])
        except csv.Error:
            continue
        known = sum(bool(_field(cell)) for cell in cells)
        if best is None or (known, -place) > best[:2]:
            best = (known, -place, delimiter, cells)
    if best is None or not best[3]:
        raise ValueError("the file is empty, or no table")
    return best[2], best[3]


def _field(name: str) -> str:
    """What a column holds, by its name ("E-mail 1 - Value": mail); empty where that is not known."""
    word = "".join(part for part in tokens(unguarded(name)) if not part.isdigit() and part != "value")
    return _FIELDS.get(word) or _FIELDS.get(word.rstrip("0123456789"), "")


def _address(field: str, words: str, region: str) -> str:
    scheme, colon, value = words.partition(":")
    if colon and scheme.isalpha():
        address = Address.parse(words)
        return f"{address.scheme}:{_number(value, region)}" if address.scheme in ("sms", "tel") else str(address)
    if field == "mail" or (field != "chat" and "@" in words):
        if any(sign.isspace() for sign in words):
            raise ValueError(f"{words[:60]!r} is not a mail address")
        if words.count("@") > 1 and '"' not in words:
            raise ValueError(f"{words[:60]!r} is not a mail address: it has more than one @")
        return str(Address.of("mailto", words))
    if field == "chat":
        return str(Address.of("xmpp", words))
    number = _number(words, region)
    if number.isdigit():
        raise ValueError(f"{words[:60]!r} is too short for a phone number (a service's is written sms:{number})")
    return f"sms:{number}"


def _number(words: str, region: str) -> str:
    if ("e" in words or "E" in words) and _SPOILED.fullmatch(words.strip()):
        raise ValueError(
            f"{words[:40]} was made a number by a spreadsheet and has lost digits: format the column as text"
        )
    if any(sign.isalpha() for sign in words) or not any(sign.isdigit() for sign in words):
        raise ValueError(f"{words[:60]!r} is not a phone number")
    try:
        return e164(words.replace("(0)", ""), region)
    except ValueError:
        # Spreadsheets drop the plus: digits that are no number here, but a whole one of some country.
        digits = "".join(sign for sign in words if sign.isdigit())
        if len(digits) >= 10 and not words.strip().startswith(("+", "0")):
            found = phonenumbers.parse(f"+{digits}") if digits[0] != "0" else None
            if found is not None and phonenumbers.is_valid_number(found):
                return f"+{digits}"
        raise


def _quiet(line: int, words: str, wrong: list[Problem]) -> tuple[int, int] | None:
    if not words:
        return None
    begin, _, end = words.replace("\u2013", "-").partition("-")
    try:
        return read_hour(begin), read_hour(end)
    except ValueError as error:
        wrong.append(Problem(line, "quiet hours", f"{error}, both ends, as in 22:00-06:00: left out"))
        return None


def _groups(cells: Iterable[str]) -> Iterator[tuple[str, str]]:
    for cell in cells:
        for words in _cut(cell, ";\n"):
            name, *role = (" ".join(_bare(part).split()) for part in _cut(words, "|"))
            if name:
                yield name[:200], " ".join(filter(None, role))[:100]


def _cut(words: str, at: str) -> list[str]:
    """Words cut at any of these signs, but not where a backslash stands before one."""
    return re.findall(rf"((?:\\.|[^{at}])*)(?:[{at}]|$)", words, re.DOTALL)


def _bare(words: str) -> str:
    return re.sub(r"\\(.)", r"\1", words, flags=re.DOTALL)


def group_words(name: str, role: str) -> str:
    """A membership as it stands in a cell."""
    name, role = (re.sub(r"([\\;|])", r"\\\1", part) for part in (name, role))
    return f"{name}|{role}" if role else name


# Writing ---------------------------------------------------------------------------------------------------------

BEGINNING = "\ufeff".encode()  # so that spreadsheets know that it is UTF-8


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, also where it splits cells at ``;`` or at line ends."""
    return _GUARD.sub(lambda found: f"{found[0]}'", cell)


def unguarded(cell: str) -> str:
    """What :func:`guarded` was given."""
    if "'" not in cell:
        return cell
    return _GUARDED.sub(lambda found: found[1] if found[1] is not None else found[2], cell)


def line_of(cells: Iterable[str]) -> str:
    """One line, every cell quoted."""
    quoted = (guarded(cell).replace('"', '""') for cell in cells)
    return '"' + '","'.join(quoted) + '"\r\n'
