"""The short way for gateways' calls: the same as the long way, or not taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface import implementer

from msgserver.connector import IHTTPConnector
from msgserver.web import quick
from msgserver.wire.webhook import Call, Refused, Reply, Webhook
from tests.web.conftest import Web, read_answer

BODY = b"id=1&from=15551234&text=hi"
PLAIN = (
    b"POST /in/hook/secret?a=b HTTP/1.1\r\nHost: hub.example\r\nX-Twilio-Signature:  abc= \r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
GET = b"GET /in/hook?from=1&text=a%20b HTTP/1.1\r\nHost: hub.example\r\nConnection: keep-alive\r\n\r\n"


@implementer(IHTTPConnector)
class Hook:
    """A connector that keeps what it is asked, and answers when it is told to."""

    def __init__(self, web: Web) -> None:
        self.calls: list[Call] = []
        self.held: list[Deferred[None]] | None = None
        self.resource = Webhook("hook", ("GET", "POST"), self.take)
        self.resource.open = True
        web.house.connectors["hook"] = self

    async def take(self, call: Call) -> Reply:
        self.calls.append(call)
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        if b"refuse" in call.query:
            raise Refused(403, "not you")
        return Reply(body=b"<Response/>", media_type="text/xml", headers=(("X-More", "a\r\nX-Evil: 1"),))


def long_way(wire: bytes) -> bytes:
    """The same call, so written that it goes the long way."""
    return wire.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nExpect: nothing\r\n", 1)


@pytest.mark.parametrize("wire", [PLAIN, GET, PLAIN.replace(b"/secret?a=b", b"/in-hand/..?refuse")])
def test_both_ways_hand_on_the_same_and_answer_the_same(web: Web, wire: bytes) -> None:
    hook = Hook(web)
    answers = []
    for sent in (wire, long_way(wire)):
        channel, transport = web.connect()
        channel.dataReceived(sent)
        answer, rest = read_answer(transport.value())
        assert rest == b""
        assert not transport.disconnecting
        answers.append(answer)
    short, long = hook.calls
    headers = {name: value for name, value in long.headers.items() if name != "expect"}
    assert short == Call(
        method=long.method, path=long.path, query=long.query, headers=headers, body=long.body, peer=long.peer
    )
    assert answers[0].status == answers[1].status
    assert answers[0].body == answers[1].body
    kept = {name: value for name, value in answers[1].headers.items() if name not in ("server", "date")}
    assert {name: value for name, value in answers[0].headers.items() if name != "date"} == kept
    assert answers[0].header("date")
    assert "x-evil" not in answers[0].headers
    assert web.site.channels


@pytest.mark.parametrize(
    "wire",
    [
        PLAIN[:-1],
        PLAIN + b"x",
        PLAIN + PLAIN,
        PLAIN.replace(b"POST", b"PUT"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"/in/hook", b"/in/h%6fok"),
        PLAIN.replace(b"/in/hook", b"/in//hook"),
        PLAIN.replace(b"/in/hook", b"/static"),
        PLAIN.replace(b"secret", b"s\xc3\xa9cret"),
        PLAIN.replace(b"Content-Length: 26\r\n", b""),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: +26"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nContent-Length: 26"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nTransfer-Encoding: chunked"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nTransfer-Encoding : chunked"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\n folded"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nExpect: 100-continue"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nConnection: close"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nUpgrade: h2c"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nno colon"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nX: a\nY: b"),
        PLAIN.replace(b"Content-Length: 26", b"Content-Length: 26\r\nX: a\x00b"),
        PLAIN.replace(b"Host: hub.example\r\n", b""),
        PLAIN.replace(b"\r\n", b"\n"),
        b"POST /in/hook HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"GET /in/hook HTTP/1.1\r\nHost: a\r\n\r\nbody",
    ],
    ids=range(25),
)
def test_whatever_is_unusual_goes_the_long_way(wire: bytes) -> None:
    assert quick.read(wire, "192.0.2.1") is None


@given(st.binary(max_size=40), st.integers(0, 200))
def test_nothing_breaks_it(noise: bytes, at: int) -> None:
    found = quick.read(PLAIN[:at] + noise + PLAIN[at:], "192.0.2.1")
    assert found is None or found.connector


def test_what_comes_while_a_call_is_answered_waits_its_turn(web: Web) -> None:
    hook = Hook(web)
    hook.held = []
    channel, transport = web.connect()
    channel.dataReceived(PLAIN)
    channel.dataReceived(GET[:20])
    channel.dataReceived(GET[20:])
    assert transport.value() == b""
    assert len(hook.calls) == 1
    hook.held[0].callback(None)
    first, rest = read_answer(transport.value())
    assert (first.status, rest) == (200, b"")
    hook.held[1].callback(None)
    _, rest = read_answer(transport.value())
    second, rest = read_answer(rest)
    assert (second.status, rest) == (200, b"")
    assert [call.method for call in hook.calls] == ["POST", "GET"]


def test_one_that_sends_on_and_on_is_held_back(web: Web) -> None:
    hook = Hook(web)
    hook.held = []
    channel, transport = web.connect()
    channel.dataReceived(PLAIN)
    channel.dataReceived(b"G" * 20_000)
    assert transport.producerState == "paused"
    hook.held[0].callback(None)
    assert transport.producerState == "producing"


def test_who_has_gone_is_answered_no_more_and_the_idle_are_sent_away(web: Web) -> None:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    hook = Hook(web)
    hook.held = []
    channel, transport = web.connect()
    channel.dataReceived(PLAIN)
    web.clock.advance(300)  # a commit that takes long is no reason to hang up
    assert not transport.disconnecting
    channel.connectionLost(Failure(ConnectionDone()))
    hook.held[0].callback(None)
    assert transport.value() == b""
    other, wire = web.connect()
    hook.held = None
    other.dataReceived(PLAIN)
    assert wire.value().startswith(b"HTTP/1.1 200 OK\r\n")
    web.clock.advance(61)
    assert wire.disconnecting


def test_a_closed_hook_and_another_method_are_told_by_the_long_way(web: Web) -> None:
    hook = Hook(web)
    hook.resource.open = False
    channel, transport = web.connect()
    channel.dataReceived(PLAIN)
    assert read_answer(transport.value())[0].status == 503
    hook.resource = Webhook("hook", ("GET",), hook.take)
    hook.resource.open = True
    channel, transport = web.connect()
    channel.dataReceived(PLAIN)
    assert read_answer(transport.value())[0].status == 405
    assert hook.calls == []


def test_behind_a_proxy_the_one_it_saw_is_the_caller(make_web: Any) -> None:
    web = make_web(proxies=["192.0.2.0/24"])
    hook = Hook(web)
    wire = PLAIN.replace(b"Host:", b"X-Forwarded-For: 203.0.113.9\r\nHost:")
    for sent in (wire, long_way(wire)):
        channel, _ = web.connect()
        channel.dataReceived(sent)
    assert [call.peer for call in hook.calls] == ["203.0.113.9", "203.0.113.9"]
