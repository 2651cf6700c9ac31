"""Counting stanzas: what is confirmed, what is asked, what is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from msgserver.connector import Unknown
from msgserver.protocols.xmpp.tally import Incoming, Outgoing


@given(st.permutations(range(1, 12)))
def test_h_is_the_longest_run_without_a_gap(order: list[int]) -> None:
    incoming, done = Incoming(), set()
    for _ in order:
        incoming.arrived()
    for number in order:
        incoming.done(number)
        incoming.done(number)
        done.add(number)
        run = next(n for n in range(12) if n + 1 not in done)
        assert incoming.h == run


class Book:
    def __init__(self, listening: bool = True) -> None:
        self.clock = Clock()
        self.asked = 0
        self.dead = 0
        self.listening = listening
        self.outgoing = Outgoing(self.clock, self._ask, self._given_up, 20)

    def _ask(self) -> None:
        self.asked += 1

    def _given_up(self) -> bool:
        self.dead += 1
        return self.listening

    def send(self) -> Deferred[None]:
        self.outgoing.sent()
        return self.outgoing.confirmation()


def test_one_question_for_a_burst_and_the_next_for_the_rest() -> None:
    book = Book()
    first = [book.send() for _ in range(5)]
    assert book.asked == 0
    book.clock.advance(0)
    assert book.asked == 1
    late = book.send()
    book.clock.advance(1)
    assert book.asked == 1
    book.outgoing.confirmed(5)
    assert all(one.called for one in first)
    assert not late.called
    book.clock.advance(0)
    assert book.asked == 2
    book.outgoing.confirmed(6)
    assert late.called
    assert book.clock.getDelayedCalls() == []


def test_no_answer_is_noticed_once() -> None:
    book = Book()
    book.send().addErrback(lambda _: None)
    book.clock.advance(0)
    book.clock.advance(19.9)
    assert book.dead == 0
    book.clock.advance(0.2)
    assert book.dead == 1
    assert book.clock.getDelayedCalls() == []


def test_no_answer_while_we_do_not_listen_waits_on() -> None:
    book = Book(listening=False)
    waiting = book.send()
    book.clock.advance(0)
    book.clock.advance(20)
    book.listening = True
    book.outgoing.confirmed(1)
    assert waiting.called
    assert book.clock.getDelayedCalls() == []


def test_what_the_line_took_with_it_is_unknown() -> None:
    book = Book()
    confirmed, lost, cancelled = book.send(), book.send(), book.send()
    book.clock.advance(0)
    book.outgoing.confirmed(1)
    cancelled.addErrback(lambda _: None)
    cancelled.cancel()
    book.outgoing.lost(Unknown("gone"))
    assert confirmed.called
    lost.addErrback(lambda failure: failure.trap(Unknown))
    assert lost.called
    assert book.outgoing.unconfirmed == 0
    assert book.clock.getDelayedCalls() == []


def test_more_confirmed_than_sent_is_nonsense() -> None:
    book = Book()
    book.outgoing.sent()
    with pytest.raises(ValueError, match="confirmed"):
        book.outgoing.confirmed(2)
