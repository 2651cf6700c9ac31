"""What a server says of mails, read."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.mime import read_mail
from msgserver.message import Address
from msgserver.protocols.imap.arrivals import Cursor, head_only, recipients, whole
from msgserver.protocols.imap.folder import Entry, fetched, named, number, uid_set
from msgserver.protocols.imap.line import Response

FACTS = {"folder": "INBOX", "uid": "4", "uidvalidity": "7", "internaldate": ""}


@pytest.mark.parametrize(
    ("text", "literals", "values"),
    [
        (b"12 FETCH (UID 4 RFC822.SIZE 99)", (), {b"UID": b"4", b"RFC822.SIZE": b"99"}),
        (b"12 fetch (uid 4 flags (\\Seen (x)) body[] nil)", (), {b"UID": b"4", b"FLAGS": None, b"BODY[]": None}),
        (b'1 FETCH (BODY[] "a \\"b\\\\" UID 4)', (), {b"BODY[]": b'a "b\\', b"UID": b"4"}),
        (b"1 FETCH (BODY[HEADER]<0> {3} UID 4)", (b"a)\n",), {b"BODY[HEADER]<0>": b"a)\n", b"UID": b"4"}),
        (b"1 FETCH (FLAGS ({1} x) BODY[] {2})", (b"q", b"zz"), {b"FLAGS": None, b"BODY[]": b"zz"}),
        (b"1 FETCH (BODY[] {3})", (), {b"BODY[]": None}),
        (b"1 FETCH (UID", (), {}),
        (b"1 FETCH UID 4", (), {}),
        (b"3 EXISTS", (), {}),
    ],
)
def test_a_fetch_response(text: bytes, literals: tuple[bytes, ...], values: dict[bytes, bytes | None]) -> None:
    assert fetched(Response(text, literals)) == values


@given(st.binary(max_size=200), st.lists(st.binary(max_size=5), max_size=3))
def test_any_response_is_read_somehow(tail: bytes, literals: list[bytes]) -> None:
    assert isinstance(fetched(Response(b"1 FETCH (" + tail, tuple(literals))), dict)


def test_a_hostile_response_takes_no_time() -> None:
    for tail in (b"(" * 65_000, b'"' + b"\\" * 65_000, b"BODY[" * 13_000, b" " * 65_000 + b"{", b"a[" + b"x" * 65_000):
        assert len(fetched(Response(b"1 FETCH (" + tail))) <= 1


@pytest.mark.parametrize(("word", "value"), [(b"12", 12), (b"-1", None), (b"", None), (b"9" * 13, None), (None, None)])
def test_numbers(word: bytes | None, value: int | None) -> None:
    assert number(word) == value


@given(st.sets(st.integers(1, 40), max_size=40))
def test_a_set_names_exactly_its_uids(uids: set[int]) -> None:
    read: set[int] = set()
    for one in uid_set(uids).decode().split(","):
        if one:
            low, _, high = one.partition(":")
            read |= set(range(int(low), int(high or low) + 1))
    assert read == uids


def test_a_folders_name() -> None:
    assert named("INBOX") == b'"INBOX"'
    assert named('Bücher & "x\\y"') == b'"B&APw-cher &- \\"x\\\\y\\""'


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.lists(st.integers(0, 2**32), max_size=9).map(tuple))
def test_the_place_is_kept(validity: int, uid: int, unmarked: tuple[int, ...]) -> None:
    cursor = Cursor(validity, uid, unmarked)
    assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("kept", [None, b"", b"\xff", b"[]", b'{"uid": "x"}'])
def test_an_unknown_place_is_the_beginning(kept: bytes | None) -> None:
    assert Cursor.decode(kept) == Cursor()


def test_the_list_of_what_waits_to_be_marked_is_bounded() -> None:
    cursor = Cursor(7)
    for uid in range(1, 2_101):
        cursor = cursor.past(uid, marked=True)
    assert cursor.unmarked == tuple(range(101, 2_101))
    assert cursor.past(2_101, marked=False).unmarked == cursor.unmarked


def test_a_mail_is_named_by_its_octets() -> None:
    assert whole(b"a mail", FACTS).wire_id == hashlib.sha256(b"a mail").hexdigest()
    assert whole(b"a mail", {**FACTS, "uid": "99"}).wire_id == whole(b"a mail", FACTS).wire_id


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (
            b"Delivered-To: help+42@Hub.example\r\nTo: x@y.example\r\n\r\nDelivered-To: b@c.example",
            "help+42@hub.example",
        ),
        (b"To: x@y.example\r\n\r\nDelivered-To: b@c.example\r\n", ""),
        (b"Delivered-To: <a@b.example>\nX-Original-To: A@b.example\n\n", "a@b.example"),
        (b"Delivered-To: not an address\r\n\r\n", ""),
        (b"Delivered-To: \xff\xfe@x\r\n\r\n", ""),
        (b"Delivered-To: nobody\r\n\r\n", ""),
    ],
)
def test_whom_it_was_delivered_for(head: bytes, found: str) -> None:
    assert recipients(head) == ((Address("mailto", found),) if found else ())


HEAD = b"From: ana@field.example\r\nSubject: Maps\r\nContent-Type: multipart/mixed;\r\n boundary=b\r\n\r\n"


def test_a_header_alone_reads_as_what_it_is() -> None:
    arrival = head_only(HEAD, Entry(4, 40_000_000), 26_214_400, FACTS)
    reading = read_mail(arrival.raw)
    assert reading.subject == "Maps"
    assert str(reading.sender) == "mailto:ana@field.example"
    assert "38.1 MB" in reading.text
    assert "25.0 MB" in reading.text
    assert "INBOX" in reading.text
    assert b"X-Left-Out-Content-Type: multipart/mixed;\r\n boundary=b\r\n" in arrival.raw
    assert head_only(HEAD, Entry(9, 40_000_000), 1, {**FACTS, "uid": "9"}).wire_id == arrival.wire_id
    assert head_only(HEAD, Entry(4, 40_000_001), 1, FACTS).wire_id != arrival.wire_id


@pytest.mark.parametrize("head", [b"", b"\r\n", b"X-Long: " + b"x" * 99_992, b"A: b\r\n" * 16_667])
def test_a_header_that_was_cut_or_is_none(head: bytes) -> None:
    reading = read_mail(head_only(head, Entry(4, 40_000_000), 26_214_400, FACTS).raw)
    assert "too large" in reading.text
