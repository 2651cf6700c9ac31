"""What comes in, on a line in memory: committed before it is acknowledged, bounded, answered."""

from __future__ import annotations

import re

import pytest
from twisted.internet.error import ConnectionLost

from msgserver.connector import TemporaryFailure
from msgserver.message import ReportState
from msgserver.protocols.xmpp.intake import ROOM
from tests.protocols.xmpp.fake_server import Server, sending, sent_id, stop


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


def test_a_receipt_and_words_in_one_stanza() -> None:
    server = Server()
    server.log_in()
    sending(server)
    stanza_id = sent_id(server)
    server.hub.hold()
    server.say(
        f"<message from='ana@xmpp.test/phone' id='q-00000001'><received xmlns='urn:xmpp:receipts' id='{stanza_id}'/>"
        "<body>Thank you</body></message><r xmlns='urn:xmpp:sm:3'/>"
    )
    assert "h='0'" in server.said()
    server.hub.release()
    assert [report.state for report in server.hub.reports] == [ReportState.DELIVERED]
    assert [arrival.text for arrival in server.hub.arrivals] == ["Thank you"]
    server.say("<r xmlns='urn:xmpp:sm:3'/>")
    assert "h='1'" in server.said()
    server.lose(ConnectionLost())
    stop(server)


@pytest.mark.parametrize("managed", [True, False])
def test_what_is_not_committed_when_the_hub_stops(managed: bool) -> None:
    server = Server()
    server.log_in(managed=managed)
    server.hub.failures.append(TemporaryFailure("the disk is full"))
    server.message()
    stopped = server.chat.stopService()
    server.message("too late", stanza_id="q-00000002")
    written = server.said()
    assert ("<a xmlns='urn:xmpp:sm:3' h='0'/>" in written) is managed  # the server keeps both
    assert written.count("<resource-constraint ") == (0 if managed else 2)  # or the sender hears of it
    server.lose()
    assert stopped.called
    assert server.hub.arrivals == []
    assert server.reactor.getDelayedCalls() == []
