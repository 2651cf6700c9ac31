"""Who may come in and how long each may stay (W6, T3), and the end of it all."""

from __future__ import annotations

import pytest

from msgserver.protocols.smtp.gate import Gate
from tests.fakes import FakeHub
from tests.protocols.smtp.talk import EHLO, START, Talk, codes


def after(talk: Talk, seconds: float) -> list[int]:
    for _ in range(int(seconds)):
        talk.clock.advance(1.0)
    return codes(talk.said())


def test_silence_ends_a_session():
    talk = Talk()
    assert after(talk, 290) == []
    talk.say(b"NOOP\r\n")
    assert after(talk, 290) == []
    assert after(talk, 20) == [421]
    assert talk.closed


def test_a_session_may_not_last_for_ever():
    talk = Talk()
    for _ in range(8):
        after(talk, 100)
        assert talk.codes(b"NOOP\r\n") == [250]
    assert after(talk, 101) == [421]


def test_a_body_has_to_keep_up():
    """T3: a byte now and then holds a connection for half a minute, not for ever."""
    talk = Talk()
    talk.say(START)
    for _ in range(30):
        talk.say(b"x")
        assert after(talk, 1) == []
    assert after(talk, 2) == [421]
    assert talk.gate.budget.taken == 0


def test_a_slow_but_steady_body_is_welcome():
    talk = Talk()
    talk.say(START)
    for _ in range(200):
        talk.say(b"x" * 598 + b"\r\n")
        assert after(talk, 1) == []
    assert talk.codes(b".\r\n") == [250]


def test_idle_sessions_leave_sooner_in_a_crowd():
    first = Talk(limits={"connections": 4, "per_ip": 10})
    others = [Talk(gate=first.gate) for _ in range(2)]
    assert after(first, 35) == [421]
    assert codes(others[0].said()) == [421]


def test_who_reads_no_goodbye_is_cut_off():
    talk = Talk()
    after(talk, 301)
    assert talk.wire.disconnecting
    assert not talk.wire.aborted
    after(talk, 11)
    assert talk.wire.aborted


def test_connections_are_counted_by_address():
    first = Talk(limits={"per_ip": 2, "connections": 5}, peer="192.0.2.1")
    gate = first.gate
    assert Talk(gate=gate, peer="192.0.2.1").greeting.startswith(b"220")
    third = Talk(gate=gate, peer="192.0.2.1")
    assert codes(third.greeting) == [421]
    assert third.closed
    assert Talk(gate=gate, peer="192.0.2.2").greeting.startswith(b"220")
    first.session.connectionLost()
    assert Talk(gate=gate, peer="192.0.2.1").greeting.startswith(b"220")
    assert Talk(gate=gate, peer="127.0.0.1").greeting.startswith(b"220")
    assert Talk(gate=gate, peer="127.0.0.1").greeting.startswith(b"220")
    assert codes(Talk(gate=gate, peer="127.0.0.1").greeting) == [421]  # five in all


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("::1", "::1", False),
    ],
)
def test_an_ipv6_network_is_one_address(one, other, same):
    first = Talk(limits={"per_ip": 1}, peer=one)
    assert codes(Talk(gate=first.gate, peer=other).greeting) == ([421] if same else [220])


def test_nothing_is_left_scheduled_when_all_are_gone():
    talk = Talk()
    talk.session.connectionLost()
    after(talk, 2)
    assert talk.clock.getDelayedCalls() == []


def test_a_slow_reader_is_asked_nothing_more():
    talk = Talk()
    talk.session.pauseProducing()
    assert talk.say(EHLO) == b""
    talk.session.resumeProducing()
    assert codes(talk.said()) == [250]


# -- stopping


def stop(gate: Gate) -> list[bool]:
    done = []
    gate.drain().addCallback(lambda _: done.append(True))
    return done


def test_stopping_says_goodbye_and_lets_a_mail_end():
    hub = FakeHub()
    hub.hold()
    storing = Talk(hub)
    idle = Talk(gate=storing.gate)
    sending = Talk(gate=storing.gate)
    storing.say(START + b"x\r\n.\r\n")
    sending.say(START + b"half")
    done = stop(storing.gate)
    assert codes(idle.said()) == [421]
    assert idle.closed
    assert codes(Talk(gate=storing.gate).greeting) == [421]
    idle.session.connectionLost()
    assert not storing.closed
    hub.release()
    assert codes(storing.said()) == [250, 421]
    storing.session.connectionLost()
    assert sending.codes(b"\r\n.\r\n") == [250, 421]
    assert not done
    sending.session.connectionLost()
    assert done
    assert storing.clock.getDelayedCalls() == []


def test_stopping_does_not_wait_for_ever():
    talk = Talk()
    talk.say(START + b"half")
    done = stop(talk.gate)
    talk.clock.pump([1.0] * 11)
    assert talk.wire.aborted
    talk.session.connectionLost()
    assert done
    assert talk.clock.getDelayedCalls() == []


def test_stopping_an_empty_house_is_done_at_once():
    talk = Talk()
    talk.session.connectionLost()
    assert stop(talk.gate)
    assert talk.clock.getDelayedCalls() == []
