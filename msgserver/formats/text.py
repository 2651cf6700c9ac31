"""Bytes in some charset to clean Unicode, whatever the label says."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

from msgserver.formats.guessing import another_script, likeliest

# Names that mail programs write and Python does not know, or knows as something narrower than what is meant: senders
# who say "latin-1" or "gb2312" use the superset (as the WHATWG Encoding Standard has it).
_MEANT = {
    "ascii": "utf-8",
    "us-ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "utf8": "utf-8",
    "utf-8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso_8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "ansi": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "cp-850": "cp850",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "iso-2022-jp": "iso2022_jp_ext",
}
# Codecs of Python that are no charsets of mail.
_REFUSED = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "charmap"}
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+\-]{0,39}")
_WESTERN = ("cp1252", "iso8859-1", "iso8859-15")
_SINGLE_BYTE = ("cp125", "iso8859", "koi8", "mac-", "cp437", "cp85", "cp86", "cp874")

# Out of text for good: NUL and the other C0 controls but tab and newline, DEL, C1, what is no character at all.
_JUNK = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\U0001fffe\U0001ffff]+")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n")) + b"\x7f"
_SURROGATES = re.compile("[\ud800-\udfff]")
# Out of one-line fields besides: whatever breaks a line, and what turns the direction of others' words (T12, T14).
_BREAKS = re.compile("[\x00-\x20\x7f-\xa0\u2028\u2029\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff]+")


@lru_cache(maxsize=256)
def charset(label: str) -> str | None:
    """Python's codec for a charset label as found in mail, or None where there is none.

    Never raises, whatever the label; only codecs between text and bytes are given out.
    """
    found = _LABEL.match(label.strip().strip("\"'"))
    if not found:
        return None
    name = found.group().lower()
    name = _MEANT.get(name, name)
    try:
        codec = codecs.lookup(name).name
        b"a".decode(codec, "replace")
    except (LookupError, ValueError, UnicodeError):
        return None
    return None if codec.replace("-", "_") in _REFUSED else codec


def decode(raw: bytes, label: str = "", thorough: bool = False) -> tuple[str, str]:
    """Text of bytes, and what had to be repaired or guessed ("" where nothing).

    The label is believed unless the bytes belie it: what does not decode under it, is labelled with a single-byte
    charset and is well-formed UTF-8, or is labelled Western and consists of the letters of another script, is read as
    what it is. Never raises; what cannot be read becomes U+FFFD.

    Args:
        thorough: where a charset has to be guessed, look at its language too (milliseconds).
    """
    if raw.isascii() and b"\x1b" not in raw and (not label or label.lower() in ("us-ascii", "utf-8", "iso-8859-1")):
        return raw.decode("ascii"), ""
    codec = charset(label) if label else None
    if codec == "utf-8" or codec is None:
        return _guess(raw, label, thorough)
    if codec.startswith(_SINGLE_BYTE) and not raw.isascii():
        try:
            return raw.decode("utf-8"), f"labelled {label[:40]} but is UTF-8"
        except UnicodeDecodeError:
            pass
        if codec in _WESTERN and (other := another_script(raw)):
            return raw.decode(other, "replace"), f"labelled {label[:40]} but is {other}"
    try:
        return raw.decode(codec), ""
    except (UnicodeError, ValueError):
        pass
    try:
        if not raw.isascii():
            return raw.decode("utf-8"), f"labelled {label[:40]} but is UTF-8"
    except UnicodeDecodeError:
        pass
    if codec == "utf-7":
        return _by_line(raw, codec), f"some lines are not {label[:40]}"
    try:
        return raw.decode(codec, "replace"), f"some bytes are not {label[:40]}"
    except (UnicodeError, ValueError):
        return raw.decode("cp1252", "replace"), f"not readable as {label[:40]}"


def _by_line(raw: bytes, codec: str) -> str:
    """Text of which some lines are in a charset and the others plain: UTF-7 beside a signature in base64."""
    lines = []
    for line in raw.split(b"\n"):
        try:
            lines.append(line.decode(codec))
        except UnicodeError:
            lines.append(line.decode("ascii", "replace"))
    return "\n".join(lines)


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _guess(raw: bytes, label: str, thorough: bool) -> tuple[str, str]:
    """Read bytes whose label says nothing, or says UTF-8 or ASCII."""
    known = label.lower() in ("", "utf-8", "utf8", "us-ascii", "ascii") or charset(label) == "utf-8"
    unknown = "" if known else f"unknown charset {label[:40]!r}"
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            return raw.decode(codec, "replace"), unknown
    if b"\x1b$" in raw or b"\x1b(J" in raw:
        try:
            return raw.decode("iso2022_jp_ext"), "read as ISO-2022-JP, which it did not say"
        except UnicodeDecodeError:
            pass
    try:
        return raw.decode("utf-8"), unknown
    except UnicodeDecodeError as trouble:
        broken = trouble
    if label and charset(label) == "utf-8" and _mostly_utf8(raw, broken):
        return raw.decode("utf-8", "replace"), "some bytes are not UTF-8"
    codec = likeliest(raw, thorough)
    return raw.decode(codec, "replace"), f"charset guessed{f' (labelled {label[:40]!r})' if label else ''}: {codec}"


def _mostly_utf8(raw: bytes, broken: UnicodeDecodeError) -> bool:
    """Whether one stray byte or a cut end spoils otherwise good UTF-8, so that the rest is to be kept as it is."""
    text = raw.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(1 for letter in text[:20_000] if letter > "\x7f") - bad
    return good > 2 * bad or (good > 0 and bad == 1 and broken.end >= len(raw) - 1)


def clean(text: str) -> str:
    """Text without NUL, controls, non-characters and lone surrogates; every line end is one ``\\n``."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text.encode("ascii").translate(None, _CONTROLS).decode("ascii")
    if text.startswith("\ufeff"):
        text = text[1:]
    return _JUNK.sub("", _SURROGATES.sub("\ufffd", text))


def one_line(text: str, length: int = 1_000) -> str:
    """Text as one line that cannot inject: no breaks, no controls, no directional overrides; cut at ``length``."""
    if len(text) > 4 * length:
        text = text[: 4 * length]
    if not text.isascii():
        text = _TURNS.sub("", _SURROGATES.sub("\ufffd", text))
        text = _JUNK.sub(" ", text)
    elif text.isprintable() and "  " not in text:
        return text.strip()[:length].rstrip()
    return _BREAKS.sub(" ", text).strip()[:length].rstrip()
