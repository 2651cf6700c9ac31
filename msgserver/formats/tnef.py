"""What Outlook put into a winmail.dat: files, and the words where the mail has none (TNEF, MS-OXTNEF). Pure.

Nothing is unpacked but what lies there as it is: texts that exist as compressed RTF alone stay where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from msgserver.formats.text import clean, decode

_SIGNATURE = b"\x78\x9f\x3e\x22"
_MESSAGE, _ATTACHMENT = 1, 2
_SUBJECT, _BODY, _CODEPAGE, _PROPERTIES = 0x00018004, 0x0002800C, 0x00069007, 0x00069003
_NEXT, _TITLE, _DATA, _ATTACHED = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
# MAPI properties (MS-OXPROPS)
_TEXT, _HTML, _LONG_NAME, _NAME, _CONTENT, _TYPE, _CID = 0x1000, 0x1013, 0x3707, 0x3704, 0x3701, 0x370E, 0x3712
_WANTED = frozenset((_TEXT, _HTML, _LONG_NAME, _NAME, _CONTENT, _TYPE, _CID))
_SIZES = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_STRING8, _UNICODE, _OBJECT, _BINARY = 0x1E, 0x1F, 0x0D, 0x102
_MANY = 0x1000
_MOST_FILES = 500
_MOST_PROPERTIES = 5_000
_DEEPEST = 3


class File(msgspec.Struct, frozen=True):
    """One of the files; ``name`` as its sender wrote it."""

    name: str
    content: bytes
    media_type: str = ""
    content_id: str = ""


class Winmail(msgspec.Struct, frozen=True):
    """All that was found."""

    subject: str = ""
    text: str = ""
    html: str = ""
    files: tuple[File, ...] = ()
    inside: tuple[Winmail, ...] = ()  # messages that were attached to it


def read_winmail(raw: bytes, depth: int = 0) -> Winmail | None:
    """Open a winmail.dat; None where it is none. What is cut off at its end is left out."""
    if not raw.startswith(_SIGNATURE):
        return None
    subject, text, label = b"", b"", ""
    properties: dict[int, bytes | str] = {}
    files: list[dict[int, bytes | str]] = []
    for level, name, content in _attributes(raw):
        if level == _MESSAGE:
            if name == _SUBJECT:
                subject = content
            elif name == _BODY:
                text = content
            elif name == _CODEPAGE and len(content) >= 4:
                label = f"cp{struct.unpack_from('<I', content)[0]}"
            elif name == _PROPERTIES:
                properties = _properties(content, label)
        elif level == _ATTACHMENT and len(files) <= _MOST_FILES:
            if name == _NEXT:
                files.append({})
            elif files and name == _TITLE:
                files[-1].setdefault(_NAME, _text(content, label))
            elif files and name == _DATA:
                files[-1].setdefault(_CONTENT, content)
            elif files and name == _ATTACHED:
                files[-1].update(_properties(content, label))
    found, inside = [], []
    for one in files[:_MOST_FILES]:
        content = _bytes(one.get(_CONTENT))
        title = _string(one.get(_LONG_NAME)) or _string(one.get(_NAME))
        message = read_winmail(content, depth + 1) if depth < _DEEPEST else None
        if message is not None:
            inside.append(message)
        elif content or title:
            found.append(File(title, content, _string(one.get(_TYPE)), _string(one.get(_CID)).strip("<> ")))
    return Winmail(
        subject=_text(subject, label),
        text=_string(properties.get(_TEXT)) or _text(text, label),
        html=_text(_bytes(properties.get(_HTML)), label) or _string(properties.get(_HTML)),
        files=tuple(found),
        inside=tuple(inside),
    )


def _attributes(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Level, name and content of each attribute, in order."""
    at = 6  # signature and key
    while at + 9 <= len(raw):
        level, name, length = struct.unpack_from("<BII", raw, at)
        at += 9
        if level not in (_MESSAGE, _ATTACHMENT) or at + length > len(raw):
            return
        yield level, name, raw[at : at + length]
        at += length + 2  # the checksum proves nothing about who wrote it


def _properties(raw: bytes, label: str) -> dict[int, bytes | str]:
    """The MAPI properties that are wanted, the first value of each; as many as can be read."""
    found: dict[int, bytes | str] = {}
    try:
        (count,) = struct.unpack_from("<I", raw)
        at = 4
        for _ in range(min(count, _MOST_PROPERTIES)):
            kind, name = struct.unpack_from("<HH", raw, at)
            at = _past_name(raw, at + 4) if name >= 0x8000 else at + 4
            many, kind = bool(kind & _MANY), kind & ~_MANY
            if kind in (_STRING8, _UNICODE, _OBJECT, _BINARY):
                (values,) = struct.unpack_from("<I", raw, at)
                at += 4
                for place in range(values):
                    (length,) = struct.unpack_from("<I", raw, at)
                    value = raw[at + 4 : at + 4 + length]
                    at += 4 + (length + 3) // 4 * 4
                    if place == 0 and name in _WANTED:
                        found[name] = _value(kind, value, label)
                    if at > len(raw):
                        return found
            elif kind in _SIZES:
                values = 1
                if many:
                    (values,) = struct.unpack_from("<I", raw, at)
                    at += 4
                at += values * _SIZES[kind]
            else:
                return found
    except struct.error:
        pass
    return found


def _past_name(raw: bytes, at: int) -> int:
    """Behind a property's name: a GUID, and a number or words."""
    (kind, length) = struct.unpack_from("<II", raw, at + 16)
    return at + 24 + ((length + 3) // 4 * 4 if kind == 1 else 0)


def _value(kind: int, value: bytes, label: str) -> bytes | str:
    if kind == _UNICODE:
        return clean(value.decode("utf-16-le", "replace")).rstrip("\0")
    if kind == _OBJECT:
        return value[16:]  # behind the name of the interface that it is for
    return _text(value, label) if kind == _STRING8 else value


def _text(value: bytes, label: str) -> str:
    return clean(decode(value.rstrip(b"\0"), label)[0])


def _string(value: bytes | str | None) -> str:
    return value if isinstance(value, str) else ""


def _bytes(value: bytes | str | None) -> bytes:
    return value if isinstance(value, bytes) else b""
