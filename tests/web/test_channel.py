"""The HTTP wire: deadlines, limits and framing, on raw bytes (THREATS W12, T3)."""

from __future__ import annotations

import pytest

from msgserver.web.channel import HEADER_DEADLINE, LARGE, PACE, PACE_WINDOW, SMALL
from tests.web.conftest import Web, read_answer

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def wire(web: Web, *pieces: bytes) -> tuple[object, bytes, bool]:
    channel, transport = web.connect()
    for piece in pieces:
        channel.dataReceived(piece)
    return channel, transport.value(), transport.disconnecting


def test_headers_that_drip_are_cut_off_at_the_deadline(web: Web) -> None:
    channel, transport = web.connect()
    channel.dataReceived(b"GET / HTTP/1.1\r\n")
    for _ in range(9):
        web.clock.advance(1)
        channel.dataReceived(b"X: y\r\n")
    assert not transport.value()
    web.clock.advance(HEADER_DEADLINE - 9)
    assert transport.value().startswith(b"HTTP/1.1 408 ")
    web.clock.advance(5)
    assert transport.disconnecting


def test_a_connection_that_says_nothing_is_closed(web: Web) -> None:
    _channel, transport = web.connect()
    web.clock.advance(HEADER_DEADLINE)
    assert transport.disconnecting


def test_the_next_request_on_a_kept_connection_has_its_own_deadline(web: Web) -> None:
    channel, transport = web.connect()
    channel.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    web.clock.advance(30)
    assert not transport.disconnecting
    transport.clear()
    channel.dataReceived(b"GET /healthz HTTP/1.1\r\n")
    web.clock.advance(HEADER_DEADLINE)
    assert transport.value().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips_is_cut_off(web: Web) -> None:
    channel, transport = web.connect()
    channel.dataReceived(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    channel.dataReceived(b"a" * int(PACE * PACE_WINDOW))
    web.clock.advance(PACE_WINDOW)
    assert not transport.value()
    channel.dataReceived(b"a" * int(PACE * PACE_WINDOW - 1))
    web.clock.advance(PACE_WINDOW)
    assert transport.value().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("path", "limit"), [(b"/login", SMALL), (b"/nowhere", SMALL), (b"/in/x", SMALL), (b"/messages/new", LARGE)]
)
def test_a_body_that_says_it_is_too_large_is_refused_before_a_byte_of_it(web: Web, path: bytes, limit: int) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    _channel, said, _closed = wire(web, head % (path, limit + 1))
    assert said.startswith(b"HTTP/1.1 413 ")
    _channel, said, _closed = wire(web, head % (path, limit))
    assert said == b""


def test_a_chunked_body_is_counted(web: Web) -> None:
    channel, transport = web.connect()
    channel.dataReceived(b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    for _ in range(SMALL // 0x10000):
        channel.dataReceived(chunk)
        assert not transport.value()
    channel.dataReceived(chunk)
    channel.dataReceived(chunk)
    channel.dataReceived(b"0\r\n\r\n")
    assert transport.value().startswith(b"HTTP/1.1 413 ")
    assert transport.value().count(b"HTTP/1.1") == 1
    web.clock.advance(5)
    assert transport.disconnecting


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +3\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ],
)
def test_ambiguous_framing_is_refused(web: Web, header: bytes) -> None:
    _channel, said, closed = wire(web, b"POST /login HTTP/1.1\r\nHost: x\r\n" + header + b"\r\nhello")
    assert said.startswith(b"HTTP/1.1 400 ")
    assert closed


def test_two_requests_in_one_packet_get_two_answers(web: Web) -> None:
    _channel, said, _closed = wire(web, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    first, rest = read_answer(said)
    second, rest = read_answer(rest)
    assert (first.status, second.status, rest) == (200, 200, b"")


@pytest.mark.parametrize("split", range(1, 60, 7))
def test_a_request_in_any_pieces_is_the_same_request(web: Web, split: int) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: desk.example\r\nAccept: */*\r\n\r\n"
    _channel, said, _closed = wire(web, request[:split], request[split:])
    assert said.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "DELETE", "BREW"])
def test_a_method_that_a_page_does_not_know_gets_405_and_allow(web: Web, method: str) -> None:
    answer = web.browser().send(method, "/login")
    assert answer.status == 405
    assert answer.header("allow") == "GET, HEAD, POST"


def test_head_is_get_without_the_body(web: Web) -> None:
    answer = web.browser().send("HEAD", "/healthz")
    assert answer.status == 200
    assert answer.header("content-length") == "11"
    assert answer.body == b""


@pytest.mark.parametrize(
    "path", ["/%ff", "/tickets/1%2Fthread", "/tickets/x", "//", "/tickets/99999999999999999999",
     "/%00", "/static/..%2fask.py"]
)  # fmt: skip
def test_odd_paths_lead_nowhere(web: Web, path: str) -> None:
    assert web.browser().get(path).status == 404


def test_there_is_a_limit_to_connections(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgserver.web.channel.CONNECTIONS", 3)
    for _ in range(3):
        web.connect()
    assert web.site.buildProtocol(None) is None
