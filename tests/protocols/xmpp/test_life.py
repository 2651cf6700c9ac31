"""The life of the line, in memory: login, back-off, watching, stopping."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionLost

from msgserver.connector import NotConnected
from msgserver.protocols.xmpp import line
from tests.protocols.xmpp.fake_server import SASL, Server, outcome, ping_id, sending, stop


def test_from_nothing_to_connected_and_back() -> None:
    server = Server()
    assert (server.chat.status.able, server.chat.status.words) == (False, "not started")
    server.chat.startService()
    assert server.chat.status.words == "connecting"
    assert isinstance(outcome(sending(server)), NotConnected)
    server.log_in()
    assert server.chat.status.words == "connected as hub@xmpp.test"
    assert server.hub.changes == 2
    stop(server)
    assert "</stream:stream>" in server.said()
    assert server.chat.status.words == "stopped"


def test_a_refused_password_is_tried_less_and_less() -> None:
    server = Server()
    server.chat.startService()
    waits = []
    for _ in range(7):
        server.connect()
        server.features(f"<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>")
        server.say(f"<failure xmlns='{SASL}'><not-authorized/></failure>")
        assert server.transport.disconnected
        server.lose(ConnectionLost())
        assert server.chat.status.words.startswith(
            "password refused: check connector.chat.password and connector.chat.jid: retry in "
        )
        (call,) = server.reactor.getDelayedCalls()
        waits.append(round(call.getTime() - server.reactor.seconds()))
        before = server.attempts
        server.reactor.advance(waits[-1] - 0.5)
        assert server.attempts == before
        server.reactor.advance(1)
    assert waits == [30, 60, 120, 240, 480, 600, 600]
    stop(server)


def test_no_server_is_tried_again_soon_and_then_less() -> None:
    server = Server()
    server.chat.startService()
    waits = []
    for _ in range(8):
        server.refuse()
        (call,) = server.reactor.getDelayedCalls()
        waits.append(round(call.getTime() - server.reactor.seconds()))
        server.reactor.advance(waits[-1])
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120]
    server.log_in()
    server.reactor.advance(61)
    stop(server)


def test_a_line_that_never_lasts_is_not_hammered() -> None:
    server = Server()
    for _ in range(6):
        server.log_in()
        server.reactor.advance(1)
        server.lose(ConnectionLost())
        (call,) = server.reactor.getDelayedCalls()
        wait = call.getTime() - server.reactor.seconds()
        server.reactor.advance(wait)
    assert wait == 64
    stop(server)


def test_a_login_that_hangs_is_given_up() -> None:
    server = Server()
    server.chat.startService()
    server.connect()
    server.reactor.advance(29)
    assert not server.transport.disconnected
    server.reactor.advance(1.1)
    assert server.transport.disconnected
    server.lose(ConnectionLost())
    assert server.chat.status.words == "no answer from 127.0.0.1:5222: retry in 2 s"
    stop(server)


def test_the_password_never_goes_in_clear_to_another_machine() -> None:
    for offer in ("<mechanism>PLAIN</mechanism>", "<mechanism>SCRAM-SHA-1</mechanism>"):
        server = Server(host="192.0.2.7")
        server.chat.startService()
        server.connect()
        server.features(f"<mechanisms xmlns='{SASL}'>{offer}</mechanisms>")
        assert "<auth" not in server.said()
        server.lose(ConnectionLost())
        assert "offers no encryption, and the password is never sent in clear" in server.chat.status.words
        stop(server)


def test_no_way_to_log_in_and_old_ways_are_not_used() -> None:
    for offer in ("", "<auth xmlns='http://jabber.org/features/iq-auth'/>"):
        server = Server()
        server.chat.startService()
        server.connect()
        server.features(offer)
        assert "password" not in server.said()
        server.lose(ConnectionLost())
        assert "offers no way to log in" in server.chat.status.words
        stop(server)


@pytest.mark.parametrize("moment", ["waiting", "connecting", "logging in", "connected"])
def test_stopping_leaves_nothing_and_it_can_start_again(moment: str) -> None:
    server = Server()
    server.chat.startService()
    if moment == "waiting":
        server.refuse()
    elif moment == "logging in":
        server.connect()
    elif moment == "connected":
        server.log_in()
        server.message()
    stop(server)
    assert isinstance(outcome(sending(server)), NotConnected)
    before = server.attempts
    server.chat.startService()
    assert server.attempts == before + 1
    server.log_in()
    stop(server)


def test_a_server_that_does_not_say_goodbye() -> None:
    server = Server()
    server.log_in()
    stopped = server.chat.stopService()
    server.reactor.advance(5.1)
    assert server.transport.disconnected
    server.lose(ConnectionLost())
    assert stopped.called
    assert server.reactor.getDelayedCalls() == []


def test_a_stream_error_says_why() -> None:
    for condition, words in (
        ("conflict", "another program has logged in as hub@xmpp.test: give each its own resource: retry in 30 s"),
        ("system-shutdown", "xmpp.test is shutting down: retry in 2 s"),
        ("host-gone", "xmpp.test ended the line: host gone: retry in 2 s"),
    ):
        server = Server()
        server.log_in()
        server.say(f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
        server.lose()
        assert server.chat.status.words == words
        stop(server)


def test_a_connection_that_never_comes_about() -> None:
    server = Server()
    server.chat.startService()
    server.reactor.advance(15.1)
    assert server.chat.status.words == "no answer from 127.0.0.1:5222: retry in 2 s"
    server.reactor.advance(2)
    server.refuse()
    assert server.chat.status.words == "nobody listens at 127.0.0.1:5222: retry in 4 s"
    stop(server)


@pytest.mark.parametrize("answer", ["type='result'", "type='error'"])
def test_pinged_every_minute_for_as_long_as_it_answers(answer: str) -> None:
    server = Server()
    server.log_in()
    for _ in range(5):
        server.reactor.advance(60)
        server.say(f"<iq {answer} id='{ping_id(server)}' from='xmpp.test' to='hub@xmpp.test/hub'/>")
        server.reactor.advance(20)
        assert not server.transport.disconnected
    stop(server)


def test_a_dead_line_is_noticed() -> None:
    server = Server()
    server.log_in()
    server.reactor.advance(60)
    server.say(f"<iq type='result' id='{ping_id(server)}' from='eve@xmpp.test/x' to='hub@xmpp.test/hub'/>")
    server.reactor.advance(20)
    assert server.transport.disconnected
    server.lose(ConnectionLost())
    assert server.chat.status.words == "no answer from 127.0.0.1:5222: retry in 2 s"
    stop(server)


def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    server = Server()
    server.chat.startService()
    server.connect()
    server.features(
        f"<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
    )
    assert "mechanism='SCRAM-SHA-1'" in server.said()
    server.say(f"<success xmlns='{SASL}'/>")
    assert server.transport.disconnected
    server.lose(ConnectionLost())
    assert "xmpp.test could not prove that it knows the password" in server.chat.status.words
    stop(server)


def test_a_challenge_that_makes_no_sense_ends_the_login() -> None:
    server = Server()
    server.chat.startService()
    server.connect()
    server.features(f"<mechanisms xmlns='{SASL}'><mechanism>SCRAM-SHA-256</mechanism></mechanisms>")
    server.say(f"<challenge xmlns='{SASL}'>AAAA</challenge>")
    assert server.transport.disconnected
    server.lose(ConnectionLost())
    assert "retry in 30 s" in server.chat.status.words
    stop(server)


def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    async def places(settings: object, reactor: Any) -> list[tuple[str, Any]]:
        return [(f"{host}:5222", TCP4ClientEndpoint(reactor, host, 5222)) for host in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(line, "places", places)


def test_the_next_place_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    two_places(monkeypatch)
    server = Server()
    server.chat.startService()
    server.refuse()
    assert [attempt[0] for attempt in server.reactor.tcpClients] == ["127.0.0.2", "127.0.0.1"]
    server.log_in()
    stop(server)


def test_stopping_tries_no_other_place(monkeypatch: pytest.MonkeyPatch) -> None:
    two_places(monkeypatch)
    server = Server()
    server.chat.startService()
    stop(server)
    assert server.attempts == 1
