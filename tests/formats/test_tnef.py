"""winmail.dat: files and words out of Outlook's own format, and whatever else calls itself so."""

from __future__ import annotations

import struct
from base64 import encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.mime import read_mail
from msgserver.formats.tnef import read_winmail

UTF16, BYTES, OBJECT, STRING = 0x1F, 0x102, 0x0D, 0x1E
MESSAGE_OBJECT = bytes.fromhex("0703020000000000c000000000000046")


def attribute(level: int, name: int, content: bytes) -> bytes:
    return struct.pack("<BII", level, name, len(content)) + content + struct.pack("<H", sum(content) & 0xFFFF)


def properties(*rows: tuple[int, int, bytes]) -> bytes:
    out = struct.pack("<I", len(rows))
    for kind, name, value in rows:
        out += struct.pack("<HH", kind, name)
        if name >= 0x8000:
            words = "a name".encode("utf-16-le")
            out += b"g" * 16 + struct.pack("<II", 1, len(words)) + words
        if kind in (UTF16, BYTES, OBJECT, STRING):
            out += struct.pack("<II", 1, len(value)) + value + b"\0" * (-len(value) % 4)
        else:
            out += value
    return out


def text(words: str) -> bytes:
    return f"{words}\0".encode("utf-16-le")


def attachment(title: bytes, content: bytes, *rows: tuple[int, int, bytes]) -> bytes:
    return (
        attribute(2, 0x69002, b"\x01\0" + b"\xff" * 4 + b"\0" * 8)
        + attribute(2, 0x18010, title + b"\0")
        + (attribute(2, 0x6800F, content) if content else b"")
        + attribute(2, 0x69005, properties(*rows))
    )


def winmail(*parts: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x89006, b"\0\0\1\0") + b"".join(parts)


CYRILLIC = attribute(1, 0x69007, struct.pack("<II", 1251, 0))
MAP = attachment(
    b"MAP~1.PNG", b"\x89PNG map", (3, 0x3705, b"\1\0\0\0"), (UTF16, 0x3707, text("карта.png")),
    (UTF16, 0x8001, text("x")), (STRING, 0x370E, b"image/png\0"), (UTF16, 0x3712, text("map@x")),
)  # fmt: skip


def test_files_with_their_long_names_types_and_ids():
    found = read_winmail(winmail(CYRILLIC, attachment("план.doc".encode("cp1251"), b"doc"), MAP))
    assert found is not None
    assert [(one.name, one.content) for one in found.files] == [("план.doc", b"doc"), ("карта.png", b"\x89PNG map")]
    assert (found.files[1].media_type, found.files[1].content_id) == ("image/png", "map@x")


def test_words_of_every_kind():
    body = attribute(1, 0x2800C, "Вода".encode("cp1251") + b"\0")
    html = (BYTES, 0x1013, "<p>Вода</p>".encode("cp1251"))
    found = read_winmail(winmail(CYRILLIC, attribute(1, 0x69003, properties(html)), body))
    assert found is not None
    assert (found.text, found.html) == ("Вода", "<p>Вода</p>")
    found = read_winmail(winmail(attribute(1, 0x69003, properties((UTF16, 0x1000, text("水"))))))
    assert found is not None
    assert found.text == "水"


def mail(raw: bytes, words: str = "See the files.", name: str = "winmail.dat") -> bytes:
    head = "From: a@x.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = f'--b\r\nContent-Type: application/ms-tnef; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    plain = f"--b\r\nContent-Type: text/plain\r\n\r\n{words}\r\n" if words else ""
    return f"{head}{plain}{part}".encode() + encodebytes(raw) + b"--b--\r\n"


def test_a_mail_has_the_files_in_place_of_the_dat():
    evil = attachment(b"../../etc/passwd", b"x", (STRING, 0x370E, b"text/html\r\nX: y\0"))
    reading = read_mail(mail(winmail(MAP, evil, attribute(1, 0x2800C, b"other words\0"))))
    assert reading.text == "See the files."
    assert [(one.name, one.media_type) for one in reading.attachments] == [
        ("карта.png", "image/png"),
        ("passwd", "application/octet-stream"),
    ]
    assert any("winmail.dat" in words for words in reading.trouble)


def test_where_the_mail_has_no_words_those_inside_are_its_words():
    rows = properties((BYTES, 0x1013, b"<p>Come <b>now</b><script>x()</script><img src='cid:map@x'></p>"))
    reading = read_mail(mail(winmail(attribute(1, 0x69003, rows), MAP), words=""))
    assert reading.text.startswith("Come now")
    assert "<b>now</b>" in reading.html
    assert "script" not in reading.html
    assert [one.content_id for one in reading.attachments] == ["map@x"]


def test_a_message_inside_is_shown_below():
    inner = winmail(attribute(1, 0x18004, b"The inner\0"), attribute(1, 0x2800C, b"inner words\0"), MAP)
    reading = read_mail(mail(winmail(attachment(b"msg", b"", (OBJECT, 0x3701, MESSAGE_OBJECT + inner)))))
    assert "Subject: The inner\n\ninner words" in reading.text
    assert [one.name for one in reading.attachments] == ["карта.png"]


@pytest.mark.parametrize("raw", [b"\x78\x9f", b"", b"MZ\x90", b"x" * 100])
def test_what_is_none_stays_as_it_is(raw):
    reading = read_mail(mail(raw))
    assert [(one.name, one.content) for one in reading.attachments] == [("winmail.dat", raw)]
    assert any("could not be read" in words for words in reading.trouble)


def test_whatever_is_cut_off_or_changed_it_ends():
    whole = winmail(CYRILLIC, attribute(1, 0x69003, properties((UTF16, 0x1000, text("水")))), MAP)
    for end in range(len(whole)):
        read_winmail(whole[:end])
        read_winmail(whole[:end] + b"\xff" + whole[end + 1 :])
        read_winmail(whole[:end] + b"\xff" * 4 + whole[end + 4 :])


@given(st.binary())
def test_any_bytes_behind_the_signature_are_taken(raw):
    assert read_winmail(winmail() + raw) is not None
    assert read_winmail(winmail(attribute(1, 0x69003, raw))) is not None


def test_nesting_and_numbers_have_ends():
    inner = winmail(MAP)
    for _ in range(20):
        inner = winmail(attachment(b"m", b"", (OBJECT, 0x3701, MESSAGE_OBJECT + inner)))
    assert read_mail(mail(inner)).subject == "x"
    found = read_winmail(winmail(*[attachment(b"a", b"x")] * 2_000))
    assert found is not None
    assert len(found.files) == 500
    many = struct.pack("<IHHI", 0xFFFFFFFF, 0x1000 | BYTES, 0x1013, 0xFFFFFFFF)
    assert read_winmail(winmail(attribute(1, 0x69003, many))) is not None
