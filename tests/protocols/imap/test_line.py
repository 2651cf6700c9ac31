"""One connection, byte by byte, with servers that do not mean well."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from msgserver.protocols.imap.line import LINES, Line, LineLost, Refused, Response, in_words


class Wire(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Talk:
    """A line whose far side is written here."""

    def __init__(self, greeted: bool = True) -> None:
        self.clock = Clock()
        self.transport = Wire()
        self.line = Line(self.clock, 60.0)
        self.line.makeConnection(self.transport)
        self.heard: list[Response] = []
        self.results: list[Any] = []
        if greeted:
            self.hear(b"* OK ready\r\n")

    def hear(self, data: bytes) -> None:
        self.line.dataReceived(data)
        if self.transport.aborted:
            self.lose(ConnectionDone())

    def lose(self, reason: Exception) -> None:
        if not self.line.ended.called:
            self.line.connectionLost(Failure(reason))

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self.transport.aborted:
            self.lose(ConnectionDone())

    def ask(self, words: bytes = b"NOOP", **how: Any) -> None:
        self._watch(self.line.ask(words, self.heard.append, **how))

    def idle(self, longest: float = 1500.0) -> Deferred[Any]:
        return self._watch(self.line.idle(longest))

    def _watch(self, coroutine: Any) -> Deferred[Any]:
        asking = Deferred.fromCoroutine(coroutine)
        asking.addBoth(lambda result: self.results.append(getattr(result, "value", result)))
        return asking

    def said(self) -> bytes:
        said = self.transport.value()
        self.transport.clear()
        return said

    @property
    def why(self) -> str:
        (result,) = self.results
        assert isinstance(result, LineLost), result
        return str(result)


def test_a_command_its_responses_and_its_end() -> None:
    talk = Talk()
    talk.ask(b"SELECT X")
    assert talk.said() == b"0001 SELECT X\r\n"
    talk.hear(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n0001 ok [READ-WRITE] opened\r\n")
    assert [one.text for one in talk.heard] == [b"3 EXISTS", b"OK [UIDVALIDITY 7] valid"]
    assert talk.results == ["opened"]
    assert talk.clock.getDelayedCalls() == []


@pytest.mark.parametrize("code", ["NO", "BAD", "no"])
def test_no_is_told_in_the_servers_words(code: str) -> None:
    talk = Talk()
    talk.ask()
    talk.hear(f"0001 {code} [TRYCREATE] no such \x07 folder\r\n".encode())
    (no,) = talk.results
    assert isinstance(no, Refused)
    assert (str(no), no.code) == ("no such   folder", "TRYCREATE")
    assert talk.clock.getDelayedCalls() == []


BODY = bytes(range(256)) + b"\r\n0001 OK not yet\r\n* BYE {9}\r\n"
ANSWER = b"* 1 FETCH (UID 4 BODY[] {%d}\r\n%b FLAGS ({3}\r\na{1 {0}\r\n))\r\n* OK {5}\r\n0001 OK done\r\n" % (
    len(BODY),
    BODY,
)


@given(st.lists(st.integers(1, 60), max_size=30))
def test_octets_come_as_they_were_sent_however_they_are_cut(cuts: list[int]) -> None:
    talk = Talk()
    talk.ask(room=1000)
    rest = ANSWER
    for cut in cuts:
        talk.hear(rest[:cut])
        rest = rest[cut:]
    talk.hear(rest)
    fetch, prose = talk.heard
    assert fetch.literals == (BODY, b"a{1", b"")
    assert fetch.text == b"1 FETCH (UID 4 BODY[] {%d} FLAGS ({3} {0}))" % len(BODY)
    assert prose.text == b"OK {5}"
    assert talk.results == ["done"]


def test_a_literal_that_nobody_asked_for_ends_it_before_it_comes() -> None:
    talk = Talk()
    talk.ask(room=1000)
    talk.hear(b"* 1 FETCH (UID 1 BODY[] {9999999999}\r\nxxxx")
    assert talk.why == "it sends 9999999999 octets that nobody asked for"
    assert talk.clock.getDelayedCalls() == []
    stray = Talk()
    stray.hear(b"* LIST () {70000}\r\n")
    assert stray.transport.aborted


def test_many_literals_together_are_bounded_too() -> None:
    talk = Talk()
    talk.ask()
    talk.hear((b"* 1 FETCH (X {1000}\r\n" + b"x" * 1000 + b")\r\n") * 66)
    assert "nobody asked for" in talk.why
    tiny = Talk()
    tiny.ask()
    tiny.hear(b"* 1 FETCH (" + b"{1}\r\nx" * 200)
    assert "nobody asked for" in tiny.why


def test_a_line_without_end_ends_it() -> None:
    talk = Talk()
    talk.ask()
    for _ in range(5):
        if not talk.results:
            talk.hear(b"* OK " + b"x" * 20_000)
    assert talk.why == "it sends a line without end"


def test_answers_without_end_end_it() -> None:
    talk = Talk()
    talk.ask()
    for _ in range(LINES // 1000 + 1):
        if not talk.results:
            talk.hear(b"* 1 EXISTS\r\n" * 1000)
    assert talk.why == "it sends answers without end"
    stray = Talk()
    for _ in range(LINES // 1000 + 1):
        stray.hear(b"* 1 EXISTS\r\n" * 1000)
    assert stray.transport.aborted


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"0002 OK done\r\n", "an answer that belongs to no question"),
        (b"0001 PERHAPS\r\n", "an answer that belongs to no question"),
        (b"\r\n", "an answer that belongs to no question"),
        (b"\xff\x00\xfe\r\n", "an answer that belongs to no question"),
        (b"+ go on\r\n", "it asks for more where there is no more"),
    ],
)
def test_what_is_no_answer_ends_it(answer: bytes, words: str) -> None:
    talk = Talk()
    talk.ask()
    talk.hear(answer)
    assert talk.why == words
    talk.ask()
    assert isinstance(talk.results[1], LineLost)


def test_silence_ends_it_and_slowness_does_not_unless_it_lasts() -> None:
    talk = Talk()
    talk.ask()
    talk.wait(59)
    assert not talk.results
    talk.wait(1)
    assert talk.why == "no answer within 60 s"
    slow = Talk()
    slow.ask(room=600_000)  # so 660 s
    slow.hear(b"* 1 FETCH (UID 1 BODY[] {600000}\r\n")
    for _ in range(13):
        slow.wait(50)
        assert not slow.results
        slow.hear(b"x")
    slow.wait(10)
    assert slow.results
    assert slow.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"* BYE too many of you\r\n", "turned away: too many of you"),
        (b"220 mail ESMTP\r\n", "what answers there is no IMAP server"),
        (b"\r\n", "what answers there is no IMAP server"),
        (b"* NO\r\n", "what answers there is no IMAP server"),
        (b"x" * 70_000, "it sends a line without end"),
        (b"* OK {99999999}\r\n", ""),
        (b"* PREAUTH come in\r\n", ""),
    ],
)
def test_greetings(greeting: bytes, words: str) -> None:
    talk = Talk(greeted=False)
    talk.line.greeted.addBoth(lambda result: talk.results.append(getattr(result, "value", result)))
    talk.hear(greeting)
    if words:
        assert talk.why == words
    else:
        assert talk.results == [greeting.rstrip()]
    assert talk.clock.getDelayedCalls() == []


def test_no_greeting() -> None:
    talk = Talk(greeted=False)
    talk.line.greeted.addBoth(lambda result: talk.results.append(getattr(result, "value", result)))
    talk.wait(60)
    assert talk.why == "no answer within 60 s"


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
def test_a_line_that_ends_says_why(reason: Exception) -> None:
    talk = Talk()
    talk.ask()
    talk.hear(b"* 1 FETCH (BODY[] {50}\r\nhalf a mail")
    talk.lose(reason)
    assert talk.why
    assert talk.line.gone
    goodbye = Talk()
    goodbye.ask()
    goodbye.hear(b"* BYE going to sleep\r\n")
    goodbye.lose(ConnectionDone())
    assert goodbye.why == "the server said goodbye: going to sleep"


def test_waiting_for_mail() -> None:
    talk = Talk()
    talk.idle()
    assert talk.said() == b"0001 IDLE\r\n"
    talk.hear(b"+ idling\r\n")
    talk.wait(1000)  # nothing is owed while it waits
    talk.hear(b"* OK still here\r\n* 2 EXPUNGE\r\n")
    assert talk.said() == b""
    talk.hear(b"* 12 EXISTS\r\n* 1 RECENT\r\n* 13 EXISTS\r\n")
    assert talk.said() == b"DONE\r\n"
    assert not talk.results
    talk.hear(b"0001 OK done\r\n")
    assert talk.results == [None]
    assert talk.clock.getDelayedCalls() == []


def test_waiting_is_given_up_in_time_and_the_answer_to_that_is_owed() -> None:
    talk = Talk()
    talk.idle(1500.0)
    talk.hear(b"+ idling\r\n")
    talk.said()
    talk.wait(1500)
    assert talk.said() == b"DONE\r\n"
    talk.wait(60)
    assert talk.why == "no answer within 60 s"


def test_waiting_needs_leave() -> None:
    talk = Talk()
    talk.idle()
    talk.said()
    talk.hear(b"* 12 EXISTS\r\n")
    assert talk.said() == b""  # DONE before the + would be a command
    talk.hear(b"+ idling\r\n")
    assert talk.said() == b"DONE\r\n"
    refused = Talk()
    refused.idle()
    refused.hear(b"0001 BAD what?\r\n")
    assert isinstance(refused.results[0], Refused)
    silent = Talk()
    silent.idle()
    silent.wait(60)
    assert silent.why == "no answer within 60 s"
    lost = Talk()
    lost.idle()
    lost.hear(b"+ idling\r\n")
    lost.lose(ConnectionLost())
    assert lost.why
    for talk in (refused, silent, lost):
        assert talk.clock.getDelayedCalls() == []


def test_waiting_can_be_called_off() -> None:
    talk = Talk()
    waiting = talk.idle()
    talk.hear(b"+ idling\r\n")
    talk.said()
    waiting.cancel()
    talk.line.goodbye()
    assert talk.said() == b"DONE\r\nBYE LOGOUT\r\n"
    talk.hear(b"* 13 EXISTS\r\n0001 OK done\r\n* BYE\r\nBYE OK\r\n")
    talk.lose(ConnectionDone())
    assert talk.clock.getDelayedCalls() == []


@given(st.binary(max_size=300))
def test_any_bytes_at_all(data: bytes) -> None:
    talk = Talk()
    talk.ask()
    talk.hear(data)
    talk.lose(ConnectionDone())
    assert len(talk.results) == 1
    assert talk.clock.getDelayedCalls() == []


@given(st.binary(max_size=900))
def test_a_servers_words_are_one_printable_line(said: bytes) -> None:
    words = in_words(said)
    assert words.isprintable()
    assert len(words) <= 300
