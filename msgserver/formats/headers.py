"""Header blocks of mail: fields, encoded words, parameters, addresses, ids and dates, read from any bytes at all.

Every function here is total (any input gives an answer) and linear in what it is given; nothing recurses.
"""

from __future__ import annotations

import binascii
import calendar
import re
from urllib.parse import unquote_to_bytes

from msgserver.formats.text import decode, one_line
from msgserver.message import Address

Fields = dict[str, list[str]]  # lower-case names; values unfolded, in order, not yet decoded

_FIELD = re.compile(r"([!-9;-~]{1,200})[ \t]*:[ \t]*(.*)", re.DOTALL)
_FOLD = re.compile(r"\n(?![ \t])")
_ENVELOPE_LINE = re.compile(r">?From ")
_SURROGATE = re.compile("[\udc80-\udcff]")


def split_head(raw: bytes, start: int, end: int, most: int) -> tuple[Fields, int, str]:
    """Read the header block of ``raw[start:end]``.

    Args:
        most: bytes of header to read; a longer block is read so far and skipped to its end.

    Returns:
        the fields, the index where the body begins, and what was wrong ("" where nothing).
    """
    if raw.startswith((b"\r\n", b"\n"), start, end):
        return {}, start + (2 if raw[start] == 0x0D else 1), ""
    stop, body = _blank_line(raw, start, end)
    trouble = ""
    if stop - start > most:
        stop = raw.rfind(b"\n", start, start + most) + 1 or start + most
        trouble = f"only the first {most} bytes of the header were read"
    block = raw[start:stop]
    try:
        head = block.decode("utf-8")
    except UnicodeDecodeError:
        head = block.decode("utf-8", "surrogateescape")
    if "\r" in head:
        head = head.replace("\r\n", "\n").replace("\r", "\n")
    fields: Fields = {}
    at = 0
    for line in _FOLD.split(head):
        found = _FIELD.match(line)
        if found:
            name, value = found.groups()
            if "\n" in value:
                value = value.replace("\n", "")
            fields.setdefault(name.lower(), []).append(value)
        elif line.strip() and not (at == 0 and _ENVELOPE_LINE.match(line)):
            # No field and no continuation: the empty line was forgotten, the body begins here (as others read it).
            body = _after_lines(raw, start, stop, head.count("\n", 0, at))
            return fields, body, trouble or "no empty line between header and body"
        at += len(line) + 1
    return fields, body, trouble


def _blank_line(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the header ends and where the body begins: at the first empty line of either kind."""
    crlf = raw.find(b"\r\n\r\n", start, end)
    bare = raw.find(b"\n\n", start, end if crlf < 0 else crlf)
    mixed = raw.find(b"\n\r\n", start, end if crlf < 0 else crlf)
    best = (end, end)
    for found, length in ((crlf, 4), (bare, 2), (mixed, 3)):
        if 0 <= found < best[0]:
            best = (found, found + length)
    if best[0] == end and raw.find(b"\n", start, end) < 0:
        old = raw.find(b"\r\r", start, end)
        if old >= 0:
            return old, old + 2
    return best


def _after_lines(raw: bytes, start: int, stop: int, lines: int) -> int:
    """The index after so many lines of the header block."""
    for _ in range(lines):
        start = raw.find(b"\n", start, stop) + 1 or stop
    return start


# -- encoded words: RFC 2047, and what is written in its name

_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]{0,40})?\?([bBqQ])\?((?:[^?]++|\?(?!=)){0,200}+)\?=")


def unword(value: str) -> str:
    """A header value with its encoded words decoded, not yet cleaned.

    Neighbours of one charset are joined as bytes first, since many programs cut inside a character.
    """
    if "=?" not in value:
        return raw_text(value)
    out: list[str] = []
    label, held = "", b""
    at = 0
    for found in _WORD.finditer(value):
        gap = value[at : found.start()]
        name, how, body = found.groups()
        word = base64_word(body) if how in "bB" else quoted_word(body)
        if held and not gap.strip() and name.lower() == label.lower():
            held += word
        else:
            out.append(decode(held, label)[0])
            if gap.strip() or not held:
                out.append(raw_text(gap))
            label, held = name, word
        at = found.end()
    out.append(decode(held, label)[0])
    out.append(raw_text(value[at:]))
    return "".join(out)


def raw_text(value: str) -> str:
    """A value whose bytes were no UTF-8 (they stand as surrogates) as text in the likeliest charset."""
    if value.isascii() or not _SURROGATE.search(value):
        return value
    return decode(value.encode("utf-8", "surrogateescape"))[0]


def words(value: str, length: int = 1_000) -> str:
    """A header value for people: decoded, one line, nothing in it that could inject or turn (W15, T7)."""
    return one_line(unword(value[: 8 * length]), length)


def base64_word(body: str) -> bytes:
    """Base64, however broken: what is no base64 is skipped, what is cut off is left out."""
    return unbase64(body.encode("ascii", "ignore"))


_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def unbase64(raw: bytes) -> bytes:
    """Base64, however broken: what is no base64 is skipped, what is cut off is left out."""
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        bare = raw.translate(None, _NOT_BASE64)
        if len(bare) % 4 == 1:
            bare = bare[:-1]
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4))


def quoted_word(body: str) -> bytes:
    """The Q encoding of RFC 2047 section 4.2; what is no escape stands as it is."""
    return binascii.a2b_qp(body.encode("utf-8", "surrogateescape"), header=True)


# -- parameters: RFC 2045 section 5.1, RFC 2231

_PARAMETER = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*("(?:[^"\\]|\\.)*+"?|[^;]*)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)\s*$")
_MOST_PARAMETERS = 100
_LONG = 5_000  # characters of a parameter


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """``text/plain; charset="utf-8"`` as its lower-case value and its parameters, decoded and on one line.

    Continuations and charsets of RFC 2231 are put together; encoded words, which do not belong here, are decoded.
    """
    head, semicolon, _ = value.partition(";")
    kind = head.strip().lower()
    if not semicolon:
        return kind, {}
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, found in enumerate(_PARAMETER.finditer(value, len(head))):
        if count >= _MOST_PARAMETERS:
            break
        name, word = found.groups()
        name = name.lower()
        if word.startswith('"'):
            word = _ESCAPED.sub(r"\1", word[1:-1] if len(word) > 1 and word.endswith('"') else word[1:])
        else:
            word = _COMMENT.sub("", word).strip()
        base, star, rest = name.partition("*")
        if not star:
            plain.setdefault(name, words(word, _LONG) if "=?" in word or not word.isascii() else one_line(word, _LONG))
            continue
        index = rest.rstrip("*")
        number = int(index) if index.isdecimal() and len(index) < 4 else 0
        pieces.setdefault(base, {})[number] = (word, rest.endswith("*") or rest == "")
    for base, parts in pieces.items():
        plain[base] = _together(parts)
    return kind, plain


def _together(parts: dict[int, tuple[str, bool]]) -> str:
    """The pieces of one RFC 2231 parameter as one text."""
    label = ""
    out = b""
    for order, number in enumerate(sorted(parts)):
        word, encoded = parts[number]
        if encoded:
            if order == 0 and word.count("'") >= 2:
                label, _, word = word.split("'", 2)
            out += unquote_to_bytes(word.encode("utf-8", "surrogateescape"))
        else:
            out += word.encode("utf-8", "surrogateescape")
    return one_line(decode(out, label)[0], _LONG)


# -- addresses: RFC 5322 section 3.4, and what is written in its name

_SIMPLE = re.compile(r'\s*(?:"([^"\\]*)"|([^"<>(),:;\\]*?))\s*<([^\s<>"(),:;\\@]+@[^\s<>"(),:;\\@]+)>\s*')
_BARE = re.compile(r'\s*([^\s<>"(),:;\\@]+@[^\s<>"(),:;\\@]+)\s*')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*+"?|<[^>]*>?|[(),:;]|\\.?|[^"<(),:;\\)]+|[\s\S]', re.DOTALL)

Person = tuple[str, Address]


def people(value: str, most: int) -> tuple[Person, ...]:
    """The addresses of a header value with the names beside them; what is no address is left out.

    At most ``most`` addresses are given. Groups are opened, comments serve as names where there is no other.
    """
    if not value:
        return ()
    found = _SIMPLE.fullmatch(value) or _BARE.fullmatch(value)
    if found:
        if found.re is _BARE:
            person = _person("", found.group(1))
        else:
            person = _person(found.group(1) or found.group(2) or "", found.group(3))
        return (person,) if person else ()
    out: list[Person] = []
    for name, address in _mailboxes(value):
        person = _person(name, address)
        if person:
            out.append(person)
            if len(out) >= most:
                break
    return tuple(out)


def _person(name: str, address: str) -> Person | None:
    address = raw_text(address).strip().strip("'")
    if address.lower().startswith("mailto:"):
        address = address[7:]
    if address.startswith("@") and ":" in address:  # a source route of RFC 821
        address = address.rpartition(":")[2]
    try:
        to = Address.of("mailto", one_line(address, 400))
    except ValueError:
        return None
    if " " in to.value and not to.value.startswith('"'):
        return None
    shown = words(name, 200)
    return ("" if shown.lower() == to.value else shown), to


def _mailboxes(value: str) -> list[tuple[str, str]]:
    """Cut a list of mailboxes at its commas: (words before, what stood in angle brackets or looks like an address)."""
    out: list[tuple[str, str]] = []
    name: list[str] = []
    comment: list[str] = []
    angle = ""
    depth = 0
    for found in _TOKEN.finditer(value):
        word = found.group()
        if word == "(":
            depth += 1
        elif word == ")":
            depth = max(0, depth - 1)
        elif depth:
            comment.append(word)
        elif word[0] == "<":
            angle = word.strip("<>").strip() or angle
        elif word in (",", ";"):
            out.append(_mailbox(name, comment, angle))
            name, comment, angle = [], [], ""
        elif word == ":":
            if not any("@" in one for one in name):  # a group's name
                name = []
        else:
            name.append(word)
    out.append(_mailbox(name, comment, angle))
    return out


def _mailbox(name: list[str], comment: list[str], angle: str) -> tuple[str, str]:
    if angle:
        return "".join(_unquoted(word) for word in name), angle
    written = "".join(name).strip()
    return "".join(comment), written


def _unquoted(word: str) -> str:
    if word.startswith('"'):
        return _ESCAPED.sub(r"\1", word[1:-1] if len(word) > 1 and word.endswith('"') else word[1:])
    return word


# -- ids and dates

_ID = re.compile(r"<([^<>]{1,998})>")
_SPACE = re.compile(r"\s+")


def ids(value: str, most: int = 100) -> tuple[str, ...]:
    """The message ids of a value, without angle brackets, each once; of too many, the first and the latest."""
    if not value:
        return ()
    found = [one_line(_SPACE.sub("", raw_text(one)), 998) for one in _ID.findall(value)]
    if not found and "@" in value and len(value) < 998:
        found = [one_line(value, 998).strip("<>").partition(" ")[0]]
    unique = list(dict.fromkeys(one for one in found if one))
    return tuple(unique if len(unique) <= most else [unique[0], *unique[-(most - 1) :]])


_DATE = re.compile(
    r"(\d{1,2})[ \t-]+([A-Za-z]{3})[a-z]*\.?[ \t,-]+(\d{2,4})[ \t,]+(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?"
    r"(?:\.\d+)?[ \t]*(AM|PM|am|pm)?[ \t]*\(?([+-]\d{4}|[A-Za-z]{1,5})?"
)
_UNIX = re.compile(r"([A-Za-z]{3})[a-z]*[ \t]+(\d{1,2})[ \t]+(\d{1,2}):(\d{2}):(\d{2})[ \t]+([A-Z]{1,5}[ \t]+)?(\d{4})")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?[ ]?(Z|[+-]\d{2}:?\d{2})?")
_MONTHS = {
    name: i
    for i, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "CET": 1, "CEST": 2}


def date(value: str) -> float | None:
    """A Date: value as POSIX seconds UTC; None where it is none or lies outside 1980 to 2100."""
    if not value:
        return None
    zone = ""
    if found := _DATE.search(value):
        day, month, year, hour, minute, second, half, zone = found.groups()
        number = _MONTHS.get(month.lower(), 0)
        if half:
            hour = str(int(hour) % 12 + (12 if half.lower() == "pm" else 0))
    elif found := _UNIX.search(value):
        month, day, hour, minute, second, zone, year = found.groups()
        number = _MONTHS.get(month.lower(), 0)
    elif found := _ISO.search(value):
        year, month, day, hour, minute, second, zone = found.groups()
        number = int(month)
    else:
        return None
    full = int(year) + (0 if len(year) == 4 else 1900 if len(year) == 3 or int(year) > 68 else 2000)
    if not (1 <= number <= 12 and 1 <= int(day) <= 31 and int(hour) < 25 and int(minute) < 60 and 1980 <= full < 2100):
        return None
    at = calendar.timegm((full, number, int(day), int(hour), int(minute), min(int(second or 0), 60)))
    return float(at - _zone((zone or "").strip()))


def _zone(zone: str) -> int:
    """Seconds east of Greenwich; an unknown name counts as UTC (RFC 5322 section 4.3)."""
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "")
        seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60
        return -seconds if zone[0] == "-" else seconds
    return _ZONES.get(zone.upper(), 0) * 3600
