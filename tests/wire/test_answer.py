"""Answers read piece by piece: the same however they are cut, and nothing that breaks the reader."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.wire.answer import LARGEST, AnswerReader, BadAnswer
from msgserver.wire.line import Request, place_of, written


def read(wire: bytes, *, cuts: tuple[int, ...] = (), method: str = "POST", ends: bool = False) -> AnswerReader | None:
    """The reader once the answer is whole; None where it is not."""
    reader = AnswerReader(method)
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(places):
        if start < end and reader.feed(wire[start:end]):
            return reader
    if ends:
        reader.end()
        return reader
    return None


WHOLE = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    (b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", 202, b"", True),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-length: 1, 1\r\n\r\nx", 201, b"x", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n",
     200, b"abcd", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
    (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", 200, b"x", True),
    (b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    # Two ways to end it: the chunks count, and nothing more goes over this connection (request smuggling).
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
     200, b"x", False),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "status", "body", "reusable"), WHOLE, ids=range(len(WHOLE)))
def test_an_answer_is_read(wire, status, body, reusable):
    for cuts in ((), tuple(range(len(wire)))):
        reader = read(wire, cuts=cuts)
        assert reader is not None
        assert (reader.status, reader.body, reader.reusable) == (status, body, reusable)


def test_what_follows_an_answer_makes_its_connection_useless():
    reader = read(WHOLE[0][0] + b"HTTP/1.1 200 OK\r\n")
    assert reader is not None
    assert reader.body == b"ok"
    assert not reader.reusable
    reader = read(WHOLE[3][0] + b"x")
    assert reader is not None
    assert not reader.reusable


def test_an_answer_without_a_length_ends_with_the_connection():
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nwhole", ends=True)
    assert reader is not None
    assert (reader.body, reader.reusable) == (b"whole", False)
    assert reader.headers == {}


def test_of_headers_that_are_alike_the_last_counts():
    reader = read(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nFold: a\r\n\tb\r\nContent-Length: 0\r\n\r\n")
    assert reader is not None
    assert reader.headers == {"x-a": "2", "fold": "a b", "content-length": "0"}


def test_to_a_head_request_there_is_no_body():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", method="HEAD")
    assert reader is not None
    assert reader.body == b""


@pytest.mark.parametrize(
    "wire",
    [
        b"220 smtp.example ESMTP\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 2000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 9000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LARGEST + 1),
    ],
    ids=range(18),
)
def test_nonsense_is_refused_at_once(wire):
    for cuts in ((), tuple(range(0, len(wire), 97))):
        with pytest.raises(BadAnswer):
            read(wire, cuts=cuts)


@pytest.mark.parametrize("wire", [b"", b"HT", b"HTTP/1.1 200 OK\r\n", WHOLE[0][0][:-1], WHOLE[3][0][:-3]])
def test_an_answer_that_breaks_off_is_none(wire):
    with pytest.raises(BadAnswer):
        read(wire, ends=True)


@given(
    st.lists(
        st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"\r\n", b"\n", b"Content-Length: 3", b"Transfer-Encoding: chunked",
                         b"3\r\n", b"abc", b"0\r\n\r\n", b"HTTP/1.1 100\r\n\r\n", b":", b"\xff", b" "])
        | st.binary(max_size=5),
        max_size=12,
    ).map(b"".join),
    st.lists(st.integers(0, 200), max_size=5),
)  # fmt: skip
def test_however_it_is_cut_it_reads_the_same(wire, cuts):
    outcomes = []
    for each in ((), tuple(cuts), tuple(range(len(wire)))):
        try:
            reader = read(wire, cuts=each)
        except BadAnswer:
            outcomes.append("bad")
        else:
            outcomes.append((reader.status, reader.body, reader.headers) if reader is not None else None)
    whole = [one for one in outcomes if isinstance(one, tuple)]
    assert len(whole) in (0, len(outcomes))
    assert all(one == whole[0] for one in whole)


# Requests


@pytest.mark.parametrize(
    ("url", "host", "line"),
    [
        ("http://a.example", b"a.example", b"GET / HTTP/1.1"),
        ("http://a.example?x=1", b"a.example", b"GET /?x=1 HTTP/1.1"),
        ("https://a.example:443/p", b"a.example", b"GET /p HTTP/1.1"),
        ("http://a.example:443/p", b"a.example:443", b"GET /p HTTP/1.1"),
        ("http://[2001:db8::1]:8080/p?q=%20", b"[2001:db8::1]:8080", b"GET /p?q=%20 HTTP/1.1"),
    ],
)
def test_a_request_says_where_it_goes(url, host, line):
    request = Request("GET", url, (("X-Key", "a"),))
    head = written(request, *place_of(request)).split(b"\r\n")
    assert head[0] == line
    assert head[1] == b"Host: " + host
    assert b"X-Key: a" in head
    assert not any(each.lower().startswith(b"content-length") for each in head)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "file:///etc/passwd", "gopher://a/", "http://", "http:///x", "//a/", "http://u:p@a.example/",
        "http://a.example:0/", "http://a.example:99999/", "http://a b/", "http://a.example/\r\nX: 1", "http://a.example/é",
        "http://a.example\\@b.example/", "http://a.example/\x00", "http://[::1/", "http://::1/", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_asked(url):
    with pytest.raises(ValueError):
        place_of(Request("GET", url))


@pytest.mark.parametrize("name", ["X Key", "X:Key", "", "X\r\nY", "é"])
def test_a_header_has_a_name(name):
    request = Request("GET", "http://a.example/", ((name, "a"),))
    with pytest.raises(ValueError):
        written(request, *place_of(request))
