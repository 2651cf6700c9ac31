"""Words as they are searched: one pure tokeniser for every message, name and query, in any script.

Case and marks are folded (NFKD; accents, harakat and points dropped), Arabic letters brought to one form, digits of
every script to ASCII, and scripts that write without spaces (Han, kana, Hangul, Thai, Lao, Khmer, Burmese) cut into
overlapping pairs with the last sign once more on its own, so that any piece of such a text is found.

A token is made of ASCII letters and digits and of signs beyond ASCII only: FTS5 with ``tokenize = 'ascii'`` takes
tokens joined by spaces apart exactly as they are here.

The tokens of a text are kept and handed on *joined*: one ``str``, a single space between two, none around them. A mail
has thousands; ``split()`` cuts them where somebody needs each.
"""

from __future__ import annotations

import re
import unicodedata

from msgserver.formats.reading import Reading, Terms

MOST = 8_000  # tokens kept of one text; PostgreSQL counts positions up to 16,383
LONGEST = 64  # characters kept of one token
_READ = 400_000  # characters looked at

_ASCII = "".join(chr(c).lower() if c < 128 and chr(c).isalnum() else " " for c in range(256)).encode()
# Joined tokens up to the first that is too long, in steps over several at once; the group leaves out what is too much
# of that one. Any end fits, so nothing is tried twice.
_SHORT = re.compile(f"((?:.{{0,{LONGEST}}} )*[^ ]{{0,{LONGEST}}})[^ ]*", re.DOTALL)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_LETTERS = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "æ": "ae",
    "œ": "oe",
    "ı": "i",
    "ħ": "h",
    "\u0671": "\u0627",  # alef wasla: alef
    "\u0649": "\u064a",  # alef maqsura: ya
    "\u06cc": "\u064a",  # Farsi yeh: ya
    "\u06a9": "\u0643",  # keheh: kaf
    "\u0629": "\u0647",  # ta marbuta: ha
    "\u06c1": "\u0647",
    "\u06d5": "\u0647",
    "\u0640": "",  # tatweel
    "\u200c": "",  # joiners, soft hyphen
    "\u200d": "",
    "\u00ad": "",
}


class _Fold(dict[int, str]):
    """What each code point becomes; worked out when it is first met."""

    def __missing__(self, point: int) -> str:
        if len(self) > 50_000:
            self.clear()
        self[point] = result = _folded(chr(point))
        return result


def _folded(sign: str) -> str:
    if sign in _LETTERS:
        return _LETTERS[sign]
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category[0] in "LN":
        return sign.casefold()
    if category[0] == "M":
        dropped = 10 <= unicodedata.combining(sign) <= 35 or unicodedata.combining(sign) >= 200
        return "" if dropped or 0xFE00 <= ord(sign) <= 0xFE0F or 0xE0100 <= ord(sign) <= 0xE01EF else sign
    if category == "Cf":
        return ""
    if category == "So" and ord(sign) >= 0x2190:
        return f" {sign} "  # a pictogram is a word
    return " "


_fold = _Fold()


def _words(text: str) -> str:
    """Folded, one space between two words."""
    text = text[:_READ]
    if text.isascii():
        spaced = text.encode().translate(_ASCII).decode()
    else:
        decomposed = unicodedata.normalize("NFKD", text.casefold()).translate(_fold)
        spaced = unicodedata.normalize("NFC", decomposed)
    return " ".join(filter(None, map(str.strip, spaced.split("  "))))  # most words have a single space already


def _spread(words: str) -> list[str]:
    """Tokens, those of unspaced scripts in pairs; not many more than ``MOST``."""
    found: list[str] = []
    for word in words.split():
        if len(found) > MOST:
            break
        if word.isascii() or not _HAS_UNSPACED.search(word):
            found.append(word)
        else:
            found.extend(_pairs(word))
    return found


def _pairs(word: str) -> list[str]:
    found: list[str] = []
    for run in _RUNS.findall(word):
        if _HAS_UNSPACED.match(run):
            found.extend(run[i : i + 2] for i in range(len(run)))
        else:
            found.append(run)
    return found


def _shortened(words: str) -> str:
    return words if len(words) <= LONGEST else "".join(_SHORT.findall(words))


def joined(text: str) -> str:
    """The words of a text in their order, joined: at most ``MOST`` of at most ``LONGEST`` characters."""
    words = _words(text)
    if not words.isascii() and _HAS_UNSPACED.search(words):
        words = " ".join(_spread(words))
    return _shortened(first(words, MOST))


def tokens(text: str) -> tuple[str, ...]:
    """The same, each by itself."""
    return tuple(joined(text).split())


def first(words: str, most: int) -> str:
    """The first so many of joined tokens."""
    if len(words) <= 2 * most or words.count(" ") < most:  # each takes two characters, with its space
        return words
    return " ".join(words.split(" ", most)[:most])


def terms(reading: Reading) -> Terms:
    """The words of what was read."""
    unquoted = None if reading.quoted_from is None else joined(reading.fresh)
    return Terms(joined(reading.subject), joined(reading.text), unquoted)


def phrase(text: str) -> tuple[tuple[str, ...], bool]:
    """Tokens that stand one after the other in any text containing this one; and whether the last is a beginning.

    A single sign of an unspaced script is the beginning of a pair, wherever it does not end its run.
    """
    found = tokens(text)
    if not found or not _HAS_UNSPACED.match(found[-1]):
        return found, False
    if len(found[-1]) == 1 and len(found) > 1 and found[-2][-1:] == found[-1] and len(found[-2]) == 2:
        return found[:-1], False
    return found, len(found[-1]) == 1


def fold(text: str) -> str:
    """A name as it is compared and sorted: folded words, one space between."""
    return _words(text)[:500]
