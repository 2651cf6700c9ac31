"""Live pages: who hears what, and how a stream ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from msgserver.records import Grant, Role
from msgserver.store import users
from msgserver.web import live
from tests.store.desk import conversation, message
from tests.web.conftest import Browser, Web


def listen(browser: Browser) -> Any:
    _channel, transport = browser.send("GET", "/events", raw=True)
    assert transport.value().startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/event-stream" in transport.value()
    transport.clear()
    return transport


def heard(transport: Any) -> list[dict[str, Any]]:
    lines = transport.value().decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def test_a_ring_is_heard_within_a_second_and_carries_ids_only(web: Web) -> None:
    ticket_id = web.store.now(conversation, subject="Insulin")
    web.store.now(message, ticket_id)
    line = listen(web.signed_in("ana"))
    web.bus.ring("ticket", [ticket_id])
    web.clock.advance(0.5)
    assert heard(line) == [{"tickets": [ticket_id], "channels": False}]
    assert b"Insulin" not in line.value()


def test_what_rang_between_page_and_stream_is_told(web: Web) -> None:
    ana = web.signed_in("ana")
    web.bus.ring("ticket", [1])
    web.clock.advance(2)
    written = web.clock.seconds()
    web.clock.advance(0.1)
    web.bus.ring("ticket", [2])
    _channel, transport = ana.send("GET", f"/events?since={written}", raw=True)
    web.clock.advance(1)
    assert heard(transport) == [{"tickets": [2], "channels": False}]
    listen(ana)
    _channel, transport = ana.send("GET", "/events?since=nonsense", raw=True)
    assert transport.value().startswith(b"HTTP/1.1 200 ")


def test_many_rings_are_one_telling(web: Web) -> None:
    tickets = [web.store.now(conversation) for _ in range(5)]
    line = listen(web.signed_in("ana"))
    for _ in range(20):
        web.bus.ring("ticket", tickets)
    web.clock.advance(0.5)
    assert len(heard(line)) == 1
    web.bus.ring("ticket", tickets[:1])
    web.clock.advance(live.APART)
    assert heard(line)[1:] == [{"tickets": tickets[:1], "channels": False}]


def test_nobody_hears_of_what_they_may_not_see(web: Web) -> None:
    mine = web.store.now(conversation)
    web.store.now(message, mine, tags=("site/north",))
    other = web.store.now(conversation)
    web.store.now(message, other, tags=("site/south",))
    line = listen(web.signed_in("scoped", Grant(Role.RESPONDER, "site", "north")))
    web.bus.ring("ticket", [other])
    web.clock.advance(1)
    assert heard(line) == []
    web.bus.ring("ticket", [other, mine])
    web.clock.advance(1)
    assert heard(line) == [{"tickets": [mine], "channels": False}]


def test_rights_are_asked_anew_at_each_telling(web: Web) -> None:
    root = web.user("root", role=Role.ADMINISTRATOR)
    ticket_id = web.store.now(conversation)
    web.store.now(message, ticket_id, tags=("site/south",))
    line = listen(web.signed_in("ben"))
    found = web.store.now(users.find_user, "ben")
    assert found is not None
    web.store.now(users.set_grants, root, found[0].id, [Grant(Role.RESPONDER, "site", "north")], 1.0)
    web.bus.ring("ticket", [ticket_id])
    web.clock.advance(1)
    assert heard(line) == []


def test_signing_out_ends_the_stream(web: Web) -> None:
    ana = web.signed_in("ana")
    line = listen(ana)
    ana.submit("/", "/logout")
    assert line.value().endswith(b"0\r\n\r\n")


def test_a_login_switched_off_ends_the_stream_at_the_next_ring(web: Web) -> None:
    root = web.user("root", role=Role.ADMINISTRATOR)
    line = listen(web.signed_in("ben"))
    found = web.store.now(users.find_user, "ben")
    assert found is not None
    web.store.now(users.set_active, root, found[0].id, False, 1.0)
    web.bus.ring("connector", ["mail"])
    web.clock.advance(1)
    assert heard(line) == []
    assert line.value().endswith(b"0\r\n\r\n")


def test_a_quiet_line_is_pinged(web: Web) -> None:
    line = listen(web.signed_in("ana"))
    web.clock.advance(live.PING)
    assert b": .\n\n" in line.value()


def test_the_number_of_streams_is_bounded(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_EACH", 2)
    ana = web.signed_in("ana")
    for _ in range(2):
        listen(ana)
    _channel, transport = ana.send("GET", "/events", raw=True)
    assert transport.value().startswith(b"HTTP/1.1 503 ")
    listen(web.signed_in("ben"))


def test_a_page_that_closed_is_forgotten(web: Web) -> None:
    ana = web.signed_in("ana")
    channel, _transport = ana.send("GET", "/events", raw=True)
    assert len(web.site.streams) == 1
    channel.connectionLost(Failure(ConnectionLost()))
    assert len(web.site.streams) == 0
    web.bus.ring("ticket", [1])
    web.clock.advance(live.PING)
    assert not [call for call in web.clock.getDelayedCalls() if "Streams" in repr(call.func)]


def test_a_stranger_gets_no_stream(web: Web) -> None:
    _channel, transport = web.browser().send("GET", "/events", raw=True)
    assert transport.value().startswith(b"HTTP/1.1 401 ")


def test_a_page_that_does_not_read_fills_nothing(web: Web) -> None:
    line = listen(web.signed_in("ana"))
    line.producer.pauseProducing()
    for n in range(50):
        web.bus.ring("ticket", [n])
        web.clock.advance(1)
    assert line.value() == b""
    line.producer.resumeProducing()
    assert heard(line) == [{"tickets": [], "channels": True}]
    web.bus.ring("ticket", [7])
    web.clock.advance(1)
    assert heard(line)[1:] == [{"tickets": [7], "channels": False}]
