"""The chat connector over a line in memory: the life of the line, what goes out, what comes in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Address, Receipt, ReportState
from msgserver.protocols.xmpp.intake import ROOM
from tests.protocols.xmpp.conftest import envelope
from tests.protocols.xmpp.fake_server import SASL, Server

NS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def outcome(deferred: Deferred[Any]) -> Any:
    """What it fired with, result or exception; None where it has not."""
    found: list[Any] = []
    deferred.addBoth(lambda result: found.append(getattr(result, "value", result)))
    return found[0] if found else None


def sending(server: Server, **words: Any) -> Deferred[Receipt]:
    return Deferred.fromCoroutine(server.chat.send(envelope(**words)))


def stop(server: Server) -> None:
    stopped = server.chat.stopService()
    if server.transport.disconnecting:
        server.lose()
    server.reactor.advance(0)
    assert outcome(stopped) is None
    assert stopped.called
    assert server.reactor.getDelayedCalls() == []


# -- the life of the line --------------------------------------------------------------------------------------


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


# -- watching over the line ------------------------------------------------------------------------------------


def ping_id(server: Server) -> str:
    found = re.search(r"<iq[^>]* id='([^']*)'[^>]*><ping ", server.said())
    assert found is not None
    return found[1]


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


# -- out -------------------------------------------------------------------------------------------------------


def test_a_burst_is_confirmed_in_one_go() -> None:
    server = Server()
    server.log_in()
    burst = [sending(server, ref=f"d{number}") for number in range(3)]
    server.reactor.advance(0)
    written = server.said()
    assert written.count("<message ") == 3
    assert written.count("<r xmlns='urn:xmpp:sm:3'/>") == 1
    server.say("<a xmlns='urn:xmpp:sm:3' h='3'/>")  # the presence and two messages
    assert [one.called for one in burst] == [True, True, False]
    server.reactor.advance(0)
    assert "<r xmlns='urn:xmpp:sm:3'/>" in server.said()
    server.say("<a xmlns='urn:xmpp:sm:3' h='4'/>")
    receipt = outcome(burst[2])
    assert isinstance(receipt, Receipt)
    assert receipt.words == "taken by xmpp.test"
    stop(server)


def test_without_stream_management_a_ping_confirms() -> None:
    server = Server()
    server.log_in(managed=False)
    first = sending(server)
    server.reactor.advance(0)
    asked = ping_id(server)
    second = sending(server, ref="d2")
    server.say(f"<iq type='result' id='{asked}' from='xmpp.test'/>")
    assert first.called
    assert not second.called
    server.reactor.advance(0)
    server.say(f"<iq type='error' id='{ping_id(server)}' from='xmpp.test'><error type='cancel'/></iq>")
    assert second.called
    stop(server)


def test_a_server_that_declines_stream_management() -> None:
    server = Server()
    server.chat.startService()
    original = server.say
    server.say = lambda xml: original(
        xml.replace("<enabled xmlns='urn:xmpp:sm:3'/>", "<failed xmlns='urn:xmpp:sm:3'/>")
    )  # type: ignore[method-assign]
    server.log_in()
    first = sending(server)
    server.reactor.advance(0)
    original(f"<iq type='result' id='{ping_id(server)}' from='xmpp.test'/>")
    assert isinstance(outcome(first), Receipt)
    stop(server)


def test_no_confirmation_in_time_is_unknown() -> None:
    server = Server()
    server.log_in()
    waiting = sending(server)
    server.reactor.advance(0)
    server.reactor.advance(20)
    assert server.transport.disconnected
    server.lose(ConnectionLost())
    assert isinstance(outcome(waiting), Unknown)
    assert isinstance(outcome(sending(server)), NotConnected)
    server.reactor.advance(2)
    server.log_in()
    assert "<message" not in server.said()  # nothing was kept for later
    stop(server)


def test_a_send_that_the_lane_gives_up_on_leaves_no_trace() -> None:
    server = Server()
    server.log_in()
    waiting = sending(server)
    server.reactor.advance(0)
    waiting.cancel()
    outcome(waiting)
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>")
    again = sending(server)
    server.reactor.advance(0)
    server.say("<a xmlns='urn:xmpp:sm:3' h='3'/>")
    assert isinstance(outcome(again), Receipt)
    stop(server)


def test_nonsense_from_the_server_ends_the_line() -> None:
    for h in ("99", "-1", "many", ""):
        server = Server()
        server.log_in()
        server.say(f"<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
        assert server.transport.disconnected
        server.lose(ConnectionLost())
        stop(server)


def sent_id(server: Server) -> str:
    found = re.search(r"<message[^>]* id='([^']*)'", server.said())
    assert found is not None
    return found[1]


def bounce(server: Server, stanza_id: str, condition: str, kind: str, sender: str = "ana@xmpp.test") -> None:
    server.say(
        f"<message type='error' id='{stanza_id}' from='{sender}'><error type='{kind}'><{condition} xmlns='{NS}'/>"
        "</error></message>"
    )


@pytest.mark.parametrize(
    ("condition", "kind", "expected", "bad"),
    [
        ("item-not-found", "cancel", PermanentFailure, True),
        ("service-unavailable", "cancel", PermanentFailure, False),
        ("resource-constraint", "wait", TemporaryFailure, False),
    ],
)
def test_sent_back_before_it_was_taken(condition: str, kind: str, expected: type, bad: bool) -> None:
    server = Server()
    server.log_in()
    waiting = sending(server)
    bounce(server, sent_id(server), condition, kind)
    failure = outcome(waiting)
    assert type(failure) is expected
    assert getattr(failure, "bad_address", False) is bad
    assert server.hub.reports == []
    server.reactor.advance(0)
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>")
    stop(server)


def test_sent_back_after_it_was_taken_is_reported() -> None:
    server = Server()
    server.log_in()
    waiting = sending(server)
    server.reactor.advance(0)
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>")
    (stanza_id,) = outcome(waiting).wire_ids
    bounce(server, stanza_id, "recipient-unavailable", "wait", "eve@xmpp.test")  # not she to whom we wrote
    assert server.hub.reports == []
    bounce(server, stanza_id, "remote-server-timeout", "wait", "xmpp.test")
    (report,) = server.hub.reports
    assert (report.state, report.ref, report.wire_id) == (ReportState.FAILED, "d1", stanza_id)
    assert report.recipient == Address.of("xmpp", "ana@xmpp.test")
    assert report.words == "remote server timeout"
    stop(server)


def test_receipts_are_believed_from_the_right_person_only() -> None:
    server = Server()
    server.log_in()
    sending(server)
    stanza_id = sent_id(server)
    for sender in ("eve@xmpp.test/x", "ana@xmpp.test/phone"):
        server.say(f"<message from='{sender}'><received xmlns='urn:xmpp:receipts' id='{stanza_id}'/></message>")
    server.say("<message from='eve@xmpp.test/x'><received xmlns='urn:xmpp:receipts'/></message>")
    assert [report.state for report in server.hub.reports] == [ReportState.DELIVERED]
    assert "<received" not in server.said()  # a receipt is not receipted
    server.lose(ConnectionLost())
    stop(server)


def test_only_the_stanza_that_is_too_long_for_the_server_fails_for_good() -> None:
    server = Server()
    server.log_in()
    small, large = sending(server), sending(server, ref="d2", text="x" * 50_000)
    server.say("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
    server.lose()
    assert isinstance(outcome(small), Unknown)
    assert isinstance(outcome(large), PermanentFailure)
    stop(server)


# -- in --------------------------------------------------------------------------------------------------------


def test_h_counts_what_is_committed() -> None:
    server = Server()
    server.log_in()
    server.hub.hold()
    server.say("<presence from='ana@xmpp.test/phone'/>")
    server.message()
    server.say("<presence from='bob@xmpp.test/phone'/>")
    server.say("<r xmlns='urn:xmpp:sm:3'/>")
    written = server.said()
    assert "<a xmlns='urn:xmpp:sm:3' h='1'/>" in written
    assert "<received" not in written
    server.hub.release()
    server.say("<r xmlns='urn:xmpp:sm:3'/>")
    written = server.said()
    assert "<a xmlns='urn:xmpp:sm:3' h='3'/>" in written
    assert "<received xmlns='urn:xmpp:receipts' id='q-00000001'/>" in written
    stop(server)


def test_what_is_not_conversation_is_left_alone() -> None:
    server = Server()
    server.log_in()
    for attributes in (
        "type='groupchat' from='room@rooms.xmpp.test/ana'",
        "type='headline' from='news@xmpp.test'",
        "type='chat' from='hub@xmpp.test/other'",
        "type='chat'",
        "type='chat' from='xmpp.test'",
        "type='error' from='ana@xmpp.test' id='never-sent'",
    ):
        server.say(f"<message {attributes}><body>not for the log</body></message>")
    assert server.hub.arrivals == []
    assert server.hub.reports == []
    server.say("<r xmlns='urn:xmpp:sm:3'/>")
    assert "h='6'" in server.said()
    stop(server)


def test_a_room_that_is_full_says_so_and_stays_alive() -> None:
    server = Server()
    server.log_in()
    server.hub.failures.extend([TemporaryFailure("the disk is full")] * 40)
    for number in range(ROOM + 1):
        server.message(sender=f"p{number}@xmpp.test/x", stanza_id=f"q-{number:08}")
    assert server.transport.reading  # so that the line is not taken for dead
    written = server.said()
    assert written.count("<resource-constraint ") == 1
    assert f"id='q-{ROOM:08}'" in written
    server.hub.failures.clear()
    server.reactor.advance(2)
    assert len(server.hub.arrivals) == ROOM
    assert server.said().count("<received ") == ROOM
    stop(server)


def test_a_house_that_is_slow_is_not_flooded() -> None:
    server = Server()
    server.log_in()
    server.hub.hold()
    for number in range(520):
        server.message(sender=f"p{number % 40}@xmpp.test/x", stanza_id=f"q-{number:08}")
    assert not server.transport.reading
    server.reactor.advance(60)
    server.reactor.advance(20)
    assert not server.transport.disconnected  # it is we who do not listen
    server.hub.release()
    assert server.transport.reading
    assert len(server.hub.arrivals) == 520
    stop(server)


def test_a_receipt_waits_for_the_next_line() -> None:
    server = Server()
    server.log_in()
    server.hub.hold()
    server.message()
    server.lose(ConnectionLost())
    server.hub.release()
    assert len(server.hub.arrivals) == 1
    server.reactor.advance(2)
    server.log_in()
    server.reactor.advance(0)
    assert "<received xmlns='urn:xmpp:receipts' id='q-00000001'/>" in server.transport.value().decode()
    stop(server)


@pytest.mark.parametrize(("accept", "answers"), [(True, ["subscribed", "subscribe"]), (False, ["unsubscribed"])])
def test_being_added_as_a_contact(accept: bool, answers: list[str]) -> None:
    server = Server(accept_subscriptions=accept)
    server.log_in()
    server.say("<presence type='subscribe' from='ana@xmpp.test/phone'/>")
    assert re.findall(r"<presence to='ana@xmpp.test' type='(\w+)'/>", server.said()) == answers
    server.say("<presence type='unavailable' from='ana@xmpp.test/phone'/>")
    assert server.said() == ""
    stop(server)


def test_questions_are_answered() -> None:
    server = Server()
    server.log_in()
    for inside, expected in (
        ("<ping xmlns='urn:xmpp:ping'/>", "type='result'"),
        ("<query xmlns='jabber:iq:version'/>", "<name>msgserver</name>"),
        ("<query xmlns='http://jabber.org/protocol/disco#info'/>", "category='client'"),
        ("<query xmlns='http://jabber.org/protocol/disco#items'/>", "type='result'"),
        ("<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>", "<service-unavailable "),
        ("<query xmlns='jabber:iq:last'/>", "<service-unavailable "),
    ):
        server.say(f"<iq type='get' from='ana@xmpp.test/phone' to='hub@xmpp.test/hub' id='i1'>{inside}</iq>")
        answer = server.said()
        assert expected in answer
        assert "to='ana@xmpp.test/phone'" in answer
    stop(server)
