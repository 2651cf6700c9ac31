"""Bytes in the charset they say, or the one they are in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.text import charset, clean, decode, one_line


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("utf-8", "Olá €"), ("UTF8", "Olá"), ("iso-8859-1", "Olá"), ("windows-1252", "“€”"), ("koi8-r", "Привет"),
        ("windows-1251", "Привет"), ("shift_jis", "こんにちは"), ("iso-2022-jp", "こんにちは"),
        ("euc-kr", "안녕하세요"),
        ("gb2312", "你好"), ("big5", "你好"), ("windows-1256", "مرحبا"), ("iso-8859-8-i", "שלום"), ("tis-620", "สวัสดี"),
        ("utf-16", "Olá"), ("utf-7", "Olá"),
    ],
)  # fmt: skip
def test_as_labelled(label, text):
    assert decode(text.encode(charset(label) or ""), label) == (text, "")


@pytest.mark.parametrize(
    "label", ["rot13", "base64", "zlib", "hex", "idna", "punycode", "undefined", "x-nope", "", "é"]
)
def test_what_is_no_charset(label):
    assert charset(label) is None


@pytest.mark.parametrize(
    ("raw", "label", "text"),
    [
        ("Olá".encode(), "iso-8859-1", "Olá"),
        ("Olá".encode(), "us-ascii", "Olá"),
        (b"Ol\xe1", "utf-8", "Olá"),
        (b"Ol\xe1", "", "Olá"),
        (b"\xef\xbb\xbfOl\xc3\xa1", "", "Olá"),
        ("Olá".encode("utf-16"), "", "Olá"),
        ("Привет, как дела у вас сегодня".encode("cp1251"), "", "Привет, как дела у вас сегодня"),
        ("привет, как дела у вас сегодня".encode("koi8-r"), "x-unknown", "привет, как дела у вас сегодня"),
        ("これはテストです。水がたりません".encode("cp932"), "", "これはテストです。水がたりません"),
        ("مرحبا بكم في هذا اليوم".encode("cp1256"), "", "مرحبا بكم في هذا اليوم"),
        ("ยินดีต้อนรับ น้ำท่วมแล้ว".encode("cp874"), "", "ยินดีต้อนรับ น้ำท่วมแล้ว"),
        ("これは".encode("iso2022_jp"), "", "これは"),
    ],
)  # fmt: skip
def test_where_the_label_lies(raw, label, text):
    assert decode(raw, label)[0] == text


def test_one_bad_byte_does_not_spoil_the_rest():
    assert decode("水が足りません".encode() + b"\xff" + "急いで".encode(), "utf-8")[0] == "水が足りません\ufffd急いで"


@given(
    st.binary(max_size=200), st.text(max_size=20) | st.sampled_from(["utf-7", "utf-16", "utf-32", "hz", "iso-2022-kr"])
)
def test_any_bytes_under_any_label(raw, label):
    text = clean(decode(raw, label)[0])
    text.encode("utf-8")
    assert not any(letter in text for letter in "\0\r\x1b\x85\ufffe\ufdd0")


@given(st.text(st.characters(), max_size=200), st.integers(1, 50))
def test_one_line(text, length):
    line = one_line(text, length)
    line.encode("utf-8")
    assert len(line) <= length
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
