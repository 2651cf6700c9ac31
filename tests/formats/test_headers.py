"""Header fields as found in mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.headers import date, ids, parameters, people, split_head, words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?a=0d=0aBcc:_evil@x?=", "a Bcc: evil@x"),
        ("=?utf-8?b?w6k=?= =?utf-8?q?=C3=A9?=", "éé"),
        ("=?utf-8?b?w6k=?= and =?utf-8?q?=C3=A9?=", "é and é"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),  # cut inside a character
        ("=?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?=", "テスト"),
        ("=?utf-8*en?q?hello?=", "hello"),
        ("=?utf-8?q?what??=", "what?"),
        ("=?utf-8?q?a b?=", "a b"),
        ("=?x-nope?q?caf=E9?=", "café"),
        ("=?utf-8?q?=00=E2=80=AEx?=", "x"),
        ("=?utf-8?b?!!!?=", ""),
        ("=?utf-8?q?a", "=?utf-8?q?a"),
        ("caf\udce9", "café"),
        ("a\x00b\u2028c\x85d", "a b c d"),
        ("\ud800", "\ufffd"),
    ],
)
def test_words(value, said):
    assert words(value) == said


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("ana@x.org", [("", "ana@x.org")]),
        ("<ana@x.org>", [("", "ana@x.org")]),
        ('"Ana, B." <ana@x.org>', [("Ana, B.", "ana@x.org")]),
        ('"Ana \\"B\\"" <ana@x.org>, bo@x.org', [('Ana "B"', "ana@x.org"), ("", "bo@x.org")]),
        ("ana@x.org (Ana B)", [("Ana B", "ana@x.org")]),
        ("desk: ana@x.org, Bo <bo@x.org>;", [("", "ana@x.org"), ("Bo", "bo@x.org")]),
        ("undisclosed-recipients:;", []),
        ("Ana <ana@x.org", [("Ana", "ana@x.org")]),
        ("a@[", [("", "a@[")]),
        ("=?utf-8?q?Jos=C3=A9?= <j@x.org>", [("José", "j@x.org")]),
        ("'ana@x.org' <ana@x.org>", [("'ana@x.org'", "ana@x.org")]),
        ("mailto:ana@x.org", [("", "ana@x.org")]),
        ("<@relay:ana@x.org>", [("", "ana@x.org")]),
        ("nobody", []),
        ("", []),
    ],
)
def test_people(value, found):
    assert [(name, address.value) for name, address in people(value, 10)] == found


@given(st.text(max_size=300))
def test_people_of_anything(value):
    for name, address in people(value, 5):
        assert "\n" not in name
        assert "@" in address.value


@pytest.mark.parametrize(
    ("value", "kind", "names"),
    [
        ("text/plain; charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ('TEXT/Plain;charset="UTF-8" ; x = "a;b\\"c"', "text/plain", {"charset": "UTF-8", "x": 'a;b"c'}),
        ("attachment; filename*=utf-8'en'%e2%82%ac.txt", "attachment", {"filename": "€.txt"}),
        ("attachment; filename*0=a; filename*1=b.txt", "attachment", {"filename": "ab.txt"}),
        ("attachment; filename=a b.txt; size=3", "attachment", {"filename": "a b.txt", "size": "3"}),
        ("text/plain; charset=us-ascii (plain)", "text/plain", {"charset": "us-ascii"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("", "", {}),
    ],
)
def test_parameters(value, kind, names):
    assert parameters(value) == (kind, names)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("Mon, 3 Nov 2025 10:00:00 +0000", 1762164000.0),
        ("3 Nov 2025 10:00 GMT", 1762164000.0),
        ("Mon, 03 Nov 2025 05:00:00 EST", 1762164000.0),
        ("Mon, 3 Nov 2025 15:30:00 +0530 (IST)", 1762164000.0),
        ("Mon Nov  3 10:00:00 2025", 1762164000.0),
        ("Monday, 03-Nov-25 10:00:00 GMT", 1762164000.0),
        ("2025-11-03T10:00:00Z", 1762164000.0),
        ("Mon, 3 Nov 1925 10:00:00 +0000", None),
        ("Mon, 33 Nov 2025 10:00:00 +0000", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(value, at):
    assert date(value) == at


def test_ids():
    assert ids("<a@b> <c@d>\t<a@b>") == ("a@b", "c@d")
    assert ids("<a\n b@c>") == ("ab@c",)
    assert ids("a@b") == ("a@b",)
    assert ids("Ana's message of Monday") == ()
    assert ids("".join(f"<{n}@x>" for n in range(10)), 3) == ("0@x", "8@x", "9@x")


def test_a_header_block_without_its_empty_line():
    raw = b"Subject: a\r\nno field\r\nmore"
    fields, body, trouble = split_head(raw, 0, len(raw), 1_000)
    assert (fields, raw[body:]) == ({"subject": ["a"]}, b"no field\r\nmore")
    assert trouble


def test_an_envelope_line_is_passed_over():
    raw = b"From ana Mon Nov 3 2025\nSubject: a\n\nx"
    assert split_head(raw, 0, len(raw), 1_000)[0] == {"subject": ["a"]}
