"""The text of an SMS: which alphabet carries it, how many parts it takes, where it may be cut.

One source for the modem, the gateways and the counter on the page. Sizes follow 3GPP TS 23.040 section 9.2.3.24 (140
octets of user data, the header included) and TS 23.038 section 6 (alphabets, national language tables).
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import gsmcodecs  # noqa: F401  (registers the codecs "gsm23.038-<locking>-<single>")
import msgspec

USER_DATA_OCTETS = 140
CONCATENATION_OCTETS = {8: 5, 16: 6}  # information element of an 8-bit, of a 16-bit reference
ESCAPE = 0x1B

LANGUAGES = {
    "default": 0,
    "turkish": 1,
    "spanish": 2,
    "portuguese": 3,
    "bengali": 4,
    "gujarati": 5,
    "hindi": 6,
    "kannada": 7,
    "malayalam": 8,
    "oriya": 9,
    "punjabi": 10,
    "tamil": 11,
    "telugu": 12,
    "urdu": 13,
}
_LOCKING = frozenset({1, 3, *range(4, 14)})  # languages with a locking table of their own; Spanish has none

_SUBSTITUTES = {
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f\u00ad", ""),
    "…": "...",
    "•": "*",
    "·": ".",
    "©": "(c)",
    "®": "(R)",
    "™": "(TM)",
    "×": "x",
    "÷": "/",
    "°": "deg",
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "\t": " ",
    "œ": "oe",
    "Œ": "OE",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ı": "i",
}


class Alphabet(msgspec.Struct, frozen=True):
    """How the characters travel: UCS-2 (as UTF-16), or GSM-7 with a locking and a single shift table."""

    ucs2: bool = False
    locking: int = 0
    single: int = 0

    @property
    def name(self) -> str:
        """In the words of the page."""
        if self.ucs2:
            return "Unicode"
        return "GSM-7" if not (self.locking or self.single) else f"GSM-7/{self.locking}-{self.single}"

    @property
    def header_octets(self) -> int:
        """Octets of the shift tables' information elements (TS 23.040 section 9.2.3.24.15 and 16)."""
        return 3 * bool(self.locking) + 3 * bool(self.single)

    def capacity(self, concatenated: bool, reference_bits: int = 8) -> int:
        """Units (septets, or UTF-16 code units) that one part holds."""
        header = self.header_octets + (CONCATENATION_OCTETS[reference_bits] if concatenated else 0)
        octets = USER_DATA_OCTETS - (header + 1 if header else 0)
        return octets // 2 if self.ucs2 else octets * 8 // 7


GSM7 = Alphabet()
UCS2 = Alphabet(ucs2=True)


class Measure(msgspec.Struct, frozen=True):
    """What a text costs, for the counter: "3 parts, 12 left; Unicode because of “…”"."""

    alphabet: Alphabet
    units: int
    parts: int
    per_part: int
    left: int  # units that still fit in the last part
    forced_by: tuple[str, ...]  # the characters that GSM-7 lacks, each once, in order
    substitute: str | None  # the text with plain look-alikes, where that fits GSM-7; else None


class Part(msgspec.Struct, frozen=True):
    """One part of a text: its characters and its units as bytes (one septet an octet, or UTF-16BE)."""

    text: str
    units: bytes


@lru_cache(maxsize=256)
def _table(alphabet: Alphabet) -> dict[str, bytes]:
    """Every character the alphabet has, with its septets (escape sequences are two)."""
    codec = f"gsm23.038-{alphabet.locking}-{alphabet.single}"
    table: dict[str, bytes] = {}
    candidates = [bytes((code,)) for code in range(128) if code != ESCAPE]
    candidates += [bytes((ESCAPE, code)) for code in range(128) if code != ESCAPE]
    for septets in candidates:
        try:
            character = septets.decode(codec)
        except UnicodeDecodeError:
            continue
        if len(character) == 1 and character != "\ufffd":
            table.setdefault(character, septets)
    return table


def encode(text: str, alphabet: Alphabet) -> bytes:
    """The units of a text: one septet an octet, or UTF-16BE.

    Raises:
        ValueError: the alphabet lacks a character.
    """
    if alphabet.ucs2:
        return text.encode("utf-16-be", "surrogatepass")
    table = _table(alphabet)
    try:
        return b"".join([table[character] for character in text])
    except KeyError as lacking:
        raise ValueError(f"{alphabet.name} has no {lacking.args[0]!r}") from None


def readable(locking: int, single: int) -> Alphabet:
    """GSM-7 with these tables; one that is not known is to be taken as the default (TS 23.040 section 9.2.3.24.15)."""
    known = single if 0 < single <= 13 else 0
    return Alphabet(False, locking if locking in _LOCKING else 0, known) if locking or single else GSM7


@lru_cache(maxsize=256)
def _reading(alphabet: Alphabet) -> tuple[str, dict[int, str]]:
    """The 128 characters of the alphabet by their codes (U+FFFD where there is none), and those after an escape."""
    plain, escaped = ["\ufffd"] * 128, {ESCAPE: " "}
    codec = f"gsm23.038-{alphabet.locking}-{alphabet.single}"
    for code in range(128):
        if code == ESCAPE:
            continue
        for into, septets in ((plain, bytes((code,))), (escaped, bytes((ESCAPE, code)))):
            try:
                character = septets.decode(codec)
            except UnicodeDecodeError:
                continue
            if len(character) == 1 and character != "\ufffd":
                into[code] = character
    return "".join(plain), escaped


def decode(units: bytes, alphabet: Alphabet) -> str:
    """The text of units; what no table names becomes U+FFFD, an odd or unpaired UTF-16 unit likewise.

    An escape before a code that the extension table lacks is passed over (TS 23.038 section 6.2.1.1).
    """
    if alphabet.ucs2:
        return units.decode("utf-16-be", "replace")
    plain, escaped = _reading(alphabet)
    if ESCAPE not in units:
        return codecs.charmap_decode(units, "replace", plain)[0]
    first, *rest = units.split(b"\x1b")
    found = [codecs.charmap_decode(first, "replace", plain)[0]]
    after_escape = False  # of an escape that came right after one
    for n, piece in enumerate(rest):
        if after_escape:
            after_escape = False
            found.append(codecs.charmap_decode(piece, "replace", plain)[0])
        elif piece:
            head = escaped.get(piece[0], plain[piece[0]] if piece[0] < 128 else "\ufffd")
            found.append(head + codecs.charmap_decode(piece[1:], "replace", plain)[0])
        elif n + 1 < len(rest):
            found.append(escaped[ESCAPE])
            after_escape = True
        else:
            found.append("\ufffd")
    return "".join(found)


def lacking(text: str, alphabet: Alphabet = GSM7) -> tuple[str, ...]:
    """The characters of a text that the alphabet does not have, each once, in order of appearance."""
    if alphabet.ucs2:
        return ()
    table = _table(alphabet)
    return tuple(dict.fromkeys(character for character in text if character not in table))


def substitute(text: str) -> str:
    """Plain look-alikes for what GSM-7 lacks: smart quotes, dashes, ellipsis, accents; the rest stays as it is."""
    table = _table(GSM7)
    return "".join([character if character in table else _plain(character, table) for character in text])


def _plain(character: str, table: dict[str, bytes]) -> str:
    if character in _SUBSTITUTES:
        return _SUBSTITUTES[character]
    if unicodedata.combining(character):
        return ""
    bare = unicodedata.normalize("NFKD", character)
    kept = "".join(each for each in bare if not unicodedata.combining(each))
    return kept if kept and all(each in table for each in kept) else character


def choose(text: str, languages: Sequence[str] = ()) -> Alphabet:
    """The alphabet that carries the text in the fewest parts: plain GSM-7 first, then the allowed national tables.

    National tables are used only where asked for, since not every network and phone knows them.

    Args:
        text: what is to be sent.
        languages: keys of ``LANGUAGES`` whose tables may be used.
    """
    text = unicodedata.normalize("NFC", text)
    if not lacking(text, GSM7):
        return GSM7
    numbers = [LANGUAGES[language] for language in languages]
    tables = [Alphabet(False, 0, number) for number in numbers if number]
    tables += [Alphabet(False, number, 0) for number in numbers if number in _LOCKING]
    tables += [Alphabet(False, number, number) for number in numbers if number in _LOCKING]
    fitting = [alphabet for alphabet in tables if not lacking(text, alphabet)]
    return min([*fitting, UCS2], key=lambda alphabet: len(split(text, alphabet)))


def split(text: str, alphabet: Alphabet | None = None, reference_bits: int = 8) -> tuple[Part, ...]:
    """Cut a text into parts, never inside an escape pair or a surrogate pair, nor inside a grapheme where avoidable.

    Args:
        text: any text; composed to NFC first, as phones expect.
        alphabet: the one to use; None: plain GSM-7 if it can, else UCS-2.
        reference_bits: of the concatenation reference, 8 or 16.

    Raises:
        ValueError: the given alphabet lacks a character.
    """
    text = unicodedata.normalize("NFC", text)
    if alphabet is None:
        alphabet = UCS2 if lacking(text) else GSM7
    width = 2 if alphabet.ucs2 else 1
    whole = encode(text, alphabet)
    if len(whole) <= alphabet.capacity(concatenated=False) * width:
        return (Part(text, whole),)
    room = alphabet.capacity(concatenated=True, reference_bits=reference_bits) * width
    return tuple(_pack(text, alphabet, room))


def _pack(text: str, alphabet: Alphabet, room: int) -> Iterator[Part]:
    held: list[str] = []
    units = b""
    for piece in _pieces(text, alphabet, room):
        encoded = encode(piece, alphabet)
        if len(units) + len(encoded) > room:
            yield Part("".join(held), units)
            held, units = [], b""
        held.append(piece)
        units += encoded
    yield Part("".join(held), units)


def _pieces(text: str, alphabet: Alphabet, room: int) -> Iterator[str]:
    """Graphemes, or single characters where a grapheme is longer than a part."""
    for grapheme in graphemes(text):
        if len(encode(grapheme, alphabet)) <= room:
            yield grapheme
        else:
            yield from grapheme


def graphemes(text: str) -> Iterator[str]:
    """User-perceived characters, near enough to UAX #29 to cut a text decently.

    Kept together: marks with their letter, emoji modifiers and joiner sequences, flags, Hangul syllables, CR LF.
    """
    start = 0
    flags = 0
    for index in range(1, len(text)):
        before, here = text[index - 1], text[index]
        flags = flags + 1 if _is_flag(before) else 0
        if not _together(before, here, flags):
            yield text[start:index]
            start, flags = index, 0
    if start < len(text):
        yield text[start:]


def _is_flag(character: str) -> bool:
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


def _together(before: str, here: str, flags: int) -> bool:
    if before == "\r" and here == "\n":
        return True
    code = ord(here)
    if code < 0x300:
        return False
    if (
        here in "\u200d\ufe0e\ufe0f\u20e3"
        or before == "\u200d"
        or 0x1F3FB <= code <= 0x1F3FF
        or 0xE0020 <= code <= 0xE007F
    ):
        return True
    if _is_flag(here):
        return _is_flag(before) and flags % 2 == 1
    if unicodedata.category(here) in ("Mn", "Mc", "Me"):
        return before not in "\r\n"
    return 0x1160 <= code <= 0x11FF  # a Hangul vowel or final joins the initial before it


def measure(text: str, languages: Sequence[str] = (), reference_bits: int = 8) -> Measure:
    """What a text costs and why, as the compose page shows it."""
    text = unicodedata.normalize("NFC", text)
    alphabet = choose(text, languages)
    parts = split(text, alphabet, reference_bits)
    width = 2 if alphabet.ucs2 else 1
    per_part = alphabet.capacity(len(parts) > 1, reference_bits)
    forced_by = lacking(text, GSM7) if alphabet != GSM7 else ()
    plainer = substitute(text) if forced_by else ""
    return Measure(
        alphabet=alphabet,
        units=sum(len(part.units) for part in parts) // width,
        parts=len(parts),
        per_part=per_part,
        left=per_part - len(parts[-1].units) // width,
        forced_by=forced_by,
        substitute=plainer if forced_by and not lacking(plainer) else None,
    )
