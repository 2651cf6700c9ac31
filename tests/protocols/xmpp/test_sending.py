"""What goes out, on a line in memory: confirmed, sent back, unknown, reported."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionLost

from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Address, Receipt, ReportState
from msgserver.protocols.xmpp import connector
from tests.protocols.xmpp.fake_server import Server, outcome, ping_id, sending, sent_id, stop

NS = "urn:ietf:params:xml:ns:xmpp-stanzas"


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


def test_what_was_sent_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_REMEMBERED", 2)
    server = Server()
    server.log_in()
    ids = []
    for number in range(3):
        sending(server, ref=f"d{number}")
        ids.append(sent_id(server))
    server.reactor.advance(0)
    server.say("<a xmlns='urn:xmpp:sm:3' h='4'/>")
    for stanza_id in ids:  # in the server's own name, so that only memory tells who it is about
        bounce(server, stanza_id, "remote-server-timeout", "wait", "xmpp.test")
    assert [report.ref for report in server.hub.reports] == ["d1", "d2"]
    stop(server)
