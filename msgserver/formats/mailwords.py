"""Words as mail writes them: encoded words, names, folded lines, transfer encodings (RFC 2045, 2047, 2231)."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from urllib.parse import quote

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!#$&+^_`{}~.-]{1,60}\Z")
_PLAIN = b"\t\n" + bytes(range(0x20, 0x7F))
_TRAILING = re.compile(rb"[ \t](?=\n|\Z)")
_ASCII = bytes(range(128))
_LINE = 76
_LONGEST_LINE = 998  # RFC 5322 section 2.1.1
_WORD_BYTES = 42  # of UTF-8 in one encoded word: 56 of base64 and 12 around it


def one_line(words: str) -> str:
    """Control characters and line breaks of any kind become a space."""
    return _BREAKS.sub(" ", words)


def encoded_words(words: str, used: int = 0) -> str:
    """RFC 2047, folded; ``used`` characters stand on the line already. No character is cut in two."""
    room = _WORD_BYTES if used < 6 else max(6, min(_WORD_BYTES, (_LINE - 12 - used) // 4 * 3))
    pieces: list[bytes] = []
    piece = b""
    for character in words:
        one = character.encode("utf-8")
        if len(piece) + len(one) > room:
            pieces.append(piece)
            piece, room = b"", _WORD_BYTES
        piece += one
    pieces.append(piece)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(part).decode('ascii')}?=" for part in pieces)


def unstructured(words: str, used: int, longest_word: int = 60) -> str:
    """A header's value on lines of at most 76 characters where its words allow; encoded where it must be."""
    words = one_line(words)
    parts = words.split(" ")
    plain = words.isascii() and "=?" not in words and words == words.strip(" ")
    if plain and used + len(words) <= _LINE:
        return words
    if not plain or "" in parts or max(map(len, parts)) > longest_word:
        return encoded_words(words, used) if words.strip(" ") else ""
    lines, line = [], parts[0]
    for part in parts[1:]:
        if used + len(line) + 1 + len(part) > _LINE:
            lines.append(line)
            line, used = part, 1
        else:
            line += " " + part
    return "\r\n ".join([*lines, line])


@lru_cache(256)
def display_name(words: str, used: int) -> str:
    """A phrase before an address: as it is, quoted, or encoded (RFC 5322 section 3.4, RFC 2047 section 5)."""
    words = one_line(words).strip()[:200].strip()
    if not words.isascii() or "=?" in words or len(words) > 50:
        return encoded_words(words, used)
    if not words or _ATOMS.match(words):
        return words
    escaped = words.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def file_name(name: str) -> str:
    """The ``filename`` parameter, with the semicolon before it; "" where there is no name (RFC 2183, 2231)."""
    name = one_line(name).strip()
    if not name:
        return ""
    if _TOKEN.match(name):
        return f'; filename="{name}"'
    coded = quote(name.encode("utf-8"), safe="")
    if len(coded) <= 50:
        return f";\r\n filename*=utf-8''{coded}"
    pieces = re.findall(r"(?:%..|[^%]){1,18}", coded)
    first, *rest = pieces
    lines = [f";\r\n filename*0*=utf-8''{first}"]
    lines += [f";\r\n filename*{n}*={piece}" for n, piece in enumerate(rest, 1)]
    return "".join(lines)


def encoded_body(text: str) -> tuple[str, bytes]:
    """A text as (Content-Transfer-Encoding, bytes): as it is where seven bits and short lines carry it.

    Line ends of any kind become CR LF, and one is added at the end of an unencoded text that has none.
    """
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace")
    plain = not content.translate(None, _PLAIN) and not _TRAILING.search(content)
    if plain and max(map(len, content.split(b"\n"))) <= _LONGEST_LINE:
        if content and not content.endswith(b"\n"):
            content += b"\n"
        return "7bit", content.replace(b"\n", b"\r\n")
    if 6 * len(content.translate(None, _ASCII)) > len(content):
        return "base64", base64_lines(content.replace(b"\n", b"\r\n"))
    return "quoted-printable", binascii.b2a_qp(content, istext=True).replace(b"\n", b"\r\n")


def base64_lines(content: bytes) -> bytes:
    """Base64 in lines of 76 characters, each ended by CR LF."""
    whole = binascii.b2a_base64(content, newline=False)
    return b"".join([whole[at : at + 76] + b"\r\n" for at in range(0, len(whole), 76)])
