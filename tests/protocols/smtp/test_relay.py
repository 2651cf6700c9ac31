"""The client's side of SMTP against smarthosts that misbehave at every verb (F9), and the pool of connections."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from msgserver.connector import NotConnected, PermanentFailure, SendFailure, TemporaryFailure, Unknown
from msgserver.protocols.smtp.client import Connection, Gone, Timeouts
from msgserver.protocols.smtp.letter import Letter
from msgserver.settings import Secret
from msgserver.wire.dots import stuff
from tests.protocols.smtp.scripted import Road, relay_on

PLAIN = b"Subject: x\n\nhello\n.dot\n"
BODY = stuff(PLAIN)


def letter(mail: bytes = PLAIN, **changes) -> Letter:
    return Letter(b"desk@hub.example", b"ana@there.example", lambda limit: mail, **changes)


class Sending:
    """A send under way and how it ended."""

    def __init__(self, relay, mail=PLAIN, **changes) -> None:
        self.outcome = None
        self.deferred = relay.send(letter(mail, **changes))
        self.deferred.addCallbacks(lambda reply: setattr(self, "outcome", reply), self._failed)

    def _failed(self, failure):
        self.outcome = failure.value


def send(road: Road, relay, seconds: float = 2000.0, **changes):
    sending = Sending(relay, **changes)
    road.run()
    if sending.outcome is None:
        road.run(seconds)
    return sending.outcome


# -- eight verbs, eight misbehaviours


def flood(host) -> None:
    host.transport.write(b"250-and on and on\r\n" * 10_000)


MOODS = {
    "4xx": lambda host: host.write("450 4.7.1 later"),
    "5xx": lambda host: host.write("550 5.3.0 never"),
    "421": lambda host: (host.write("421 4.3.2 closing"), host.transport.loseConnection()),
    "drop": lambda host: host.transport.loseConnection(),
    "silent": lambda host: None,
    "flood": flood,
    "garbage": lambda host: host.transport.write(b"\xff\xfe{}\r\n"),
    "endless": lambda host: host.transport.write(b"250 " + b"x" * 100_000),
}
OPENING = {"GREETING", "EHLO", "AUTH"}


def expected(verb: str, mood: str) -> type:
    if verb == "QUIT":
        return object
    if verb in OPENING:
        # A refused EHLO is followed by HELO (RFC 5321 section 3.2).
        return object if verb == "EHLO" and mood in ("4xx", "5xx") else NotConnected
    if mood == "5xx":
        return PermanentFailure
    if mood in ("4xx", "421"):
        return TemporaryFailure
    return Unknown if verb == "DOT" else TemporaryFailure


@pytest.mark.parametrize("offers", [("PIPELINING", "AUTH PLAIN"), ("AUTH LOGIN PLAIN",)])
@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DOT", "QUIT"])
@pytest.mark.parametrize("mood", sorted(MOODS))
def test_misbehaviour(verb, mood, offers):
    road = Road(Clock(), {verb: MOODS[mood]}, offers)
    login = {"relay_user": "hub", "relay_password": Secret("x")} if verb == "AUTH" else {}
    relay = relay_on(road, **login)
    if verb in OPENING:
        road.run(400)
    outcome = send(road, relay)
    kind = expected(verb, mood)
    if kind is object:
        assert outcome.code == 250, outcome
        assert road.mails == [b"Subject: x\r\n\r\nhello\r\n..dot\r\n"]
    else:
        assert type(outcome) is kind, outcome
        assert str(outcome)
        assert len(str(outcome)) < 700
        assert len(road.mails) == (1 if verb == "DOT" else 0)
    stopping = Deferred.fromCoroutine(relay.stop())
    road.run(20)
    assert stopping.called
    assert road.clock.getDelayedCalls() == []


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DOT"])
def test_answers_may_come_byte_by_byte(verb):
    good = {"GREETING": b"220 hi\r\n", "EHLO": b"250-x\r\n250 PIPELINING\r\n"}.get(verb, b"250 2.0.0 ok\r\n")
    waiting = []
    road = Road(Clock(), {verb: waiting.append}, offers=())
    relay = relay_on(road)

    def drip_all():
        while waiting:
            host = waiting.pop()
            for at in range(len(good)):
                host.transport.write(good[at : at + 1])
                road.run()

    drip_all()
    sending = Sending(relay)
    road.run()
    drip_all()
    assert sending.outcome.code == 250


# -- what an answer means


@pytest.mark.parametrize(
    ("verb", "words", "kind", "bad"),
    [
        ("RCPT", "550 5.1.1 unknown", PermanentFailure, True),
        ("RCPT", "550 No such user", PermanentFailure, True),
        ("RCPT", "550-No such user\r\n550 here", PermanentFailure, True),
        ("RCPT", "553 bad address", PermanentFailure, True),
        ("RCPT", "550 5.7.1 relaying denied", PermanentFailure, False),
        ("RCPT", "552 5.2.2 mailbox full", PermanentFailure, False),
        ("RCPT", "554 no", PermanentFailure, False),
        ("RCPT", "452 4.2.2 full", TemporaryFailure, None),
        ("MAIL", "550 5.1.8 bad sender", PermanentFailure, False),
        ("MAIL", "530 5.7.0 log in first", TemporaryFailure, None),
        ("MAIL", "552 5.3.4 too big", PermanentFailure, False),
        ("DATA", "554 5.5.1 no valid recipients", PermanentFailure, False),
        ("DOT", "550 5.1.1 unknown after all", PermanentFailure, True),
        ("DOT", "554 5.7.1 spam", PermanentFailure, False),
        ("DOT", "452 4.3.1 disk full", TemporaryFailure, None),
        ("DOT", "354 what?", Unknown, None),
    ],
)
@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
def test_verdicts(verb, words, kind, bad, offers):
    road = Road(Clock(), {verb: lambda host: host.write(words)}, offers)
    relay = relay_on(road)
    outcome = send(road, relay)
    assert type(outcome) is kind
    assert words[:3] in str(outcome)
    if bad is not None:
        assert outcome.bad_address is bad


def test_a_refusal_does_not_spoil_the_connection():
    moods = {"RCPT": lambda host: host.write("550 5.1.1 nobody")}
    road = Road(Clock(), moods)
    moods["DATA"] = lambda host: host.write("503 5.5.1 no recipients")
    relay = relay_on(road)
    assert isinstance(send(road, relay), PermanentFailure)
    moods.clear()
    assert send(road, relay).code == 250
    assert len(road.hosts) == 1
    assert "RSET" in road.hosts[0].lines


def test_a_host_that_asks_for_a_mail_it_refused_gets_none():
    road = Road(Clock(), {"RCPT": lambda host: host.write("550 5.1.1 nobody")})
    relay = relay_on(road)
    assert isinstance(send(road, relay), PermanentFailure)
    assert road.mails == []
    assert relay.open_connections == 0


def test_pipelined_commands_go_in_one_write():
    road = Road(Clock())
    relay = relay_on(road)
    assert send(road, relay).words == "250 2.0.0 queued as 7"
    assert road.hosts[0].lines == [
        "EHLO hub.example",
        f"MAIL FROM:<desk@hub.example> SIZE={len(BODY) - 3}",
        "RCPT TO:<ana@there.example>",
        "DATA",
    ]


def test_the_next_mails_commands_go_right_behind_the_dot():
    """RFC 2920 section 3.1: a mail costs one write and one wait."""
    road = Road(Clock())
    relay = relay_on(road, connections=1)
    said: list[bytes] = []
    sendings = [Sending(relay) for _ in range(3)]
    transport = road.pumps[0].clientIO
    written, transport.write = transport.write, lambda words: (said.append(words), written(words))
    road.run()
    road.run()
    assert [sending.outcome.code for sending in sendings] == [250] * 3
    assert [words.count(b"MAIL FROM") for words in said] == [1, 1, 0]
    assert said[0].startswith(BODY)
    assert said[0].endswith(b"DATA\r\n")
    assert said[-1] == BODY


def test_a_connection_lost_behind_the_dot_leaves_one_unknown_and_carries_the_next_elsewhere():
    road = Road(Clock(), {"DOT": lambda host: (road.moods.clear(), host.transport.loseConnection())})
    relay = relay_on(road, connections=1)
    first, second = Sending(relay), Sending(relay)
    road.run()
    assert isinstance(first.outcome, Unknown)
    road.run(1.0)
    assert second.outcome.code == 250
    assert len(road.hosts) == 2


def test_what_is_refused_behind_a_dot_harms_neither_neighbour():
    road = Road(Clock())
    refuse = iter([False, True, False])
    road.moods["RCPT"] = lambda host: host.write("550 5.1.1 nobody" if next(refuse) else "250 ok")
    relay = relay_on(road, connections=1)
    numbers = iter([354, 503, 354])

    def data(host):
        code = next(numbers)
        host._in_body = code == 354
        host.write(f"{code} so")

    road.moods["DATA"] = data
    sendings = [Sending(relay) for _ in range(3)]
    road.run()
    road.run()
    assert [type(one.outcome).__name__ for one in sendings] == ["Reply", "PermanentFailure", "Reply"]
    assert len(road.hosts) == 1
    assert road.hosts[0].lines.count("RSET") == 1
    assert len(road.mails) == 2


def test_one_that_stands_behind_another_is_given_up_alone():
    road = Road(Clock(), {"DOT": lambda host: None})
    relay = relay_on(road, connections=1)
    first, second, third = Sending(relay), Sending(relay), Sending(relay)
    road.run()
    second.deferred.cancel()
    third.deferred.cancel()
    assert type(second.outcome) is TemporaryFailure
    assert type(third.outcome) is TemporaryFailure
    road.moods.clear()
    road.hosts[0].write("250 ok")
    road.run()
    assert first.outcome.code == 250
    assert len(road.mails) == 1  # the second was begun, and its body must not come
    assert relay.open_connections == 0


@pytest.mark.parametrize(("words", "kind"), [("552 5.3.4 big", PermanentFailure), ("250 fine", TemporaryFailure)])
def test_a_host_that_answers_before_a_large_mail_is_whole(words, kind):
    road = Road(Clock(), offers=("PIPELINING",))
    road.moods["DATA"] = lambda host: (host.write("354 go"), host.write(words))
    relay = relay_on(road)
    outcome = send(road, relay, mail=b"x\n" * 300_000)
    assert type(outcome) is kind
    assert words in str(outcome)
    assert road.mails == []


def test_addresses_beyond_ascii_need_smtputf8():
    road = Road(Clock())
    assert isinstance(send(road, relay_on(road), utf8=True), PermanentFailure)
    road = Road(Clock(), offers=("SMTPUTF8",))
    assert send(road, relay_on(road), utf8=True).code == 250
    assert "MAIL FROM:<desk@hub.example> SMTPUTF8" in road.hosts[0].lines


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 300_000, 1_000_000])
def test_no_dot_is_lost_at_the_border_of_two_pieces(size):
    """W7: the stock client let a body end itself and run commands."""
    message = (b"a" * (size - 1) + b"\n.\nMAIL FROM:<evil@x>\n") * 2
    road = Road(Clock(), offers=("PIPELINING",))
    relay = relay_on(road)
    assert send(road, relay, mail=message).code == 250
    (mail,) = road.mails
    assert mail == message.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
    assert len(road.hosts[0].lines) == 4


# -- connections


def test_a_host_that_is_away_is_tried_again():
    road = Road(Clock())
    road.closed = True
    relay = relay_on(road)
    assert not relay.able
    assert "tcp:127.0.0.1:25" in relay.words
    assert "retry in" in relay.words
    assert isinstance(send(road, relay), NotConnected)
    road.closed = False
    road.run(90)
    assert relay.able
    assert relay.words == "sends through tcp:127.0.0.1:25"
    assert send(road, relay).code == 250


def test_unused_connections_are_closed():
    road = Road(Clock())
    relay = relay_on(road, keep=30.0)
    assert send(road, relay).code == 250
    assert relay.open_connections == 1
    road.run(20)
    assert send(road, relay).code == 250
    road.run(20)
    assert relay.open_connections == 1
    road.run(30)
    assert relay.open_connections == 0
    assert road.hosts[0].lines[-1] == "QUIT"
    assert relay.able
    assert road.clock.getDelayedCalls() == []


def test_a_connection_that_was_closed_meanwhile_costs_no_mail():
    road = Road(Clock())
    relay = relay_on(road)
    assert send(road, relay).code == 250
    road.moods["MAIL"] = lambda host: (road.moods.clear(), host.transport.loseConnection())
    assert send(road, relay).code == 250
    assert len(road.hosts) == 2
    assert len(road.mails) == 2


def test_parallel_sends_use_parallel_connections_up_to_the_limit():
    road = Road(Clock(), {"DOT": lambda host: None})
    relay = relay_on(road, connections=2)
    sendings = [Sending(relay) for _ in range(4)]
    road.run()
    assert relay.open_connections == 2
    del road.moods["DOT"]
    for host in road.hosts:
        host.write("250 ok")
    road.run()
    assert [sending.outcome.code for sending in sendings] == [250] * 4
    assert len(road.hosts) == 2


def test_a_host_that_takes_fewer_connections_is_used_with_fewer():
    road = Road(Clock(), {"DOT": lambda host: None})
    relay = relay_on(road, connections=3)
    first = Sending(relay)
    road.run()
    road.moods["GREETING"] = lambda host: (host.write("421 4.7.0 too many"), host.transport.loseConnection())
    others = [Sending(relay) for _ in range(3)]
    road.run()
    assert relay.able
    assert relay.open_connections == 1
    del road.moods["DOT"]
    road.hosts[0].write("250 ok")
    road.run()
    assert [sending.outcome.code for sending in [first, *others]] == [250] * 4
    del road.moods["GREETING"]
    Deferred.fromCoroutine(relay.stop())
    road.run()
    assert road.clock.getDelayedCalls() == []


def test_a_refused_login_is_not_repeated_soon():
    road = Road(Clock(), {"AUTH": lambda host: host.write("535 5.7.8 wrong")}, ("AUTH PLAIN",))
    relay = relay_on(road, relay_user="hub", relay_password=Secret("x"))
    assert "the login was refused: 535" in relay.words
    road.run(250)
    assert len(road.hosts) == 1
    road.moods.clear()
    road.run(100)
    assert relay.able


def test_an_answer_nobody_asked_for_ends_the_connection():
    road = Road(Clock())
    relay = relay_on(road)
    assert send(road, relay).code == 250
    road.hosts[0].write("250 surprise")
    road.run()
    assert relay.open_connections == 0
    assert send(road, relay).code == 250


def test_a_cancelled_send_gives_its_connection_up():
    road = Road(Clock(), {"DOT": lambda host: None})
    relay = relay_on(road, connections=1)
    sending = Sending(relay)
    road.run()
    sending.deferred.cancel()
    road.run()
    assert isinstance(sending.outcome, CancelledError | SendFailure)
    assert relay.open_connections == 0
    road.moods.clear()
    assert send(road, relay).code == 250


def test_stopping_lets_a_mail_end():
    road = Road(Clock(), {"DOT": lambda host: None})
    relay = relay_on(road)
    sending = Sending(relay)
    road.run()
    stopping = Deferred.fromCoroutine(relay.stop())
    road.run()
    assert not stopping.called
    road.hosts[0].write("250 ok")
    road.run()
    assert sending.outcome.code == 250
    assert stopping.called
    assert isinstance(send(road, relay), NotConnected)
    assert road.clock.getDelayedCalls() == []


def test_stopping_does_not_wait_for_ever():
    road = Road(Clock(), {"DOT": lambda host: None})
    relay = relay_on(road)
    sending = Sending(relay)
    road.run()
    stopping = Deferred.fromCoroutine(relay.stop())
    road.run(20)
    assert stopping.called
    assert isinstance(sending.outcome, Unknown)


def test_a_password_is_not_sent_in_clear():
    """T5: but to this machine itself."""
    login = {"relay_user": "hub", "relay_password": Secret("s3cret")}
    far = Road(Clock(), offers=("AUTH PLAIN",), peer="192.0.2.1")
    relay = relay_on(far, **login)
    assert not relay.able
    assert "not sent without TLS" in relay.words
    assert far.hosts[0].lines == ["EHLO hub.example"]
    near = Road(Clock(), offers=("AUTH PLAIN",), peer="127.0.0.1")
    assert relay_on(near, **login).able
    assert near.hosts[0].lines[1] == "AUTH PLAIN AGh1YgBzM2NyZXQ="


def test_starttls_that_is_asked_for_and_not_offered_fails_closed(certificate):
    """T5: somebody on the way may have taken the offer out."""
    road = Road(Clock())
    relay = relay_on(road, relay_tls="starttls", relay_ca=certificate)
    assert not relay.able
    assert "it offers no STARTTLS" in relay.words
    assert isinstance(send(road, relay), NotConnected)
    assert road.hosts[0].lines == ["EHLO hub.example"]


def test_a_million_lines_are_not_kept():
    connection = Connection(Clock(), Timeouts())
    wire = StringTransport()
    wire.abortConnection = wire.loseConnection
    connection.makeConnection(wire)
    greeting = Deferred.fromCoroutine(connection.greet("hub.example"))
    failures = []
    greeting.addErrback(lambda failure: failures.append(failure.value))
    for _ in range(1000):
        connection.dataReceived(b"220-hello\r\n" * 1000)
    assert isinstance(failures[0], Gone)
    assert wire.disconnecting
    assert len(connection._lines) <= 200
