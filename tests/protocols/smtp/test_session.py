"""The server's side of SMTP, byte by byte: the grammar, the order of answers, and the end of a mail."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import globalLogPublisher

from msgserver.connector import TemporaryFailure
from msgserver.message import Address
from tests.fakes import FakeHub
from tests.protocols.smtp.talk import DATA, EHLO, MAIL, RCPT, START, Talk, codes


def test_the_greeting_and_what_is_offered():
    talk = Talk(hostname="mx.hub.example")
    assert talk.greeting == b"220 mx.hub.example ESMTP\r\n"
    assert talk.say(EHLO).replace(b"\r\n", b"|") == (
        b"250-mx.hub.example|250-PIPELINING|250-SIZE 26214400|250-8BITMIME|250-SMTPUTF8|"
        b"250-ENHANCEDSTATUSCODES|250 HELP|"
    )
    assert talk.say(b"HELO x\r\n") == b"250 mx.hub.example\r\n"


def test_a_mail_goes_in_whole():
    talk = Talk()
    assert talk.codes(EHLO + MAIL + b"RCPT TO:<Desk+t1@HUB.example>\r\n" + RCPT + DATA) == [250, 250, 250, 250, 354]
    assert talk.codes(b"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n") == [250, 221]
    (arrival,) = talk.hub.arrivals
    assert arrival.raw == b"Subject: x\r\n\r\n.dot\r\n"
    assert arrival.sender == Address("mailto", "ana@there.example")
    assert arrival.recipients == (Address("mailto", "desk+t1@hub.example"), Address("mailto", "desk@hub.example"))
    assert arrival.media_type == "message/rfc822"
    assert arrival.text is None
    assert arrival.facts == {"peer": "192.0.2.7", "helo": "there.example", "by": "hub.example", "protocol": "ESMTP"}
    assert talk.closed


def test_an_empty_reverse_path_is_nobody():
    talk = Talk()
    talk.say(EHLO + b"MAIL FROM:<>\r\n" + RCPT + DATA + b"x\r\n.\r\n")
    assert talk.hub.arrivals[0].sender is None


def test_the_same_mail_has_the_same_wire_id_and_another_has_not():
    def wire_id(start: bytes, body: bytes) -> str:
        talk = Talk()
        talk.say(start + body)
        return talk.hub.arrivals[0].wire_id

    first = wire_id(START, b"x\r\n.\r\n")
    assert first == wire_id(START, b"x\r\n.\r\n")
    others = [
        wire_id(START, b"y\r\n.\r\n"),
        wire_id(EHLO + b"MAIL FROM:<>\r\n" + RCPT + DATA, b"x\r\n.\r\n"),
        wire_id(EHLO + MAIL + RCPT + b"RCPT TO:<b@hub.example>\r\n" + DATA, b"x\r\n.\r\n"),
    ]
    assert len({first, *others}) == 4


# -- the acknowledgement


def test_250_comes_after_the_commit_and_not_before():
    hub = FakeHub()
    hub.hold()
    talk = Talk(hub)
    assert talk.codes(START + b"x\r\n.\r\n") == [250, 250, 250, 354]
    assert talk.said() == b""
    hub.release()
    assert codes(talk.said()) == [250]


def test_commands_that_come_while_a_mail_is_stored_wait_their_turn():
    """W11: answers keep the order of the commands."""
    hub = FakeHub()
    hub.hold()
    talk = Talk(hub)
    talk.say(START + b"one\r\n.\r\n" + MAIL + b"RCPT TO:<no@elsewhere>\r\n" + RCPT)
    assert talk.say(DATA + b"two\r\n.\r\nNOOP\r\n") == b""
    hub.release()
    assert codes(talk.said()) == [250, 250, 550, 250, 354, 250, 250]
    assert talk.raws == [b"one\r\n", b"two\r\n"]


@pytest.mark.parametrize(
    ("failure", "reply"),
    [
        (TemporaryFailure("busy"), b"451 4.3.0 "),
        (TemporaryFailure("The hub's disk is full"), b"452 4.3.1 "),
        (OSError(errno.ENOSPC, "No space left on device"), b"452 4.3.1 "),
        (RuntimeError("a bug"), b"451 4.3.0 "),
        (ValueError("another"), b"451 4.3.0 "),
    ],
)
def test_our_own_fault_is_never_a_bounce(failure, reply):
    """W4: whatever goes wrong here, the far side keeps the mail and comes again."""
    hub = FakeHub()
    hub.failures.append(failure)
    talk = Talk(hub)
    talk.say(START)
    assert talk.say(b"x\r\n.\r\n").startswith(reply)
    assert talk.codes(MAIL + RCPT + DATA + b"x\r\n.\r\n") == [250, 250, 354, 250]


def test_a_house_that_takes_too_long_is_temporary_and_its_late_answer_is_not_said_twice():
    hub = FakeHub()
    hub.hold()
    talk = Talk(hub)
    talk.say(START + b"x\r\n.\r\n" + b"NOOP\r\n")
    talk.clock.pump([1.0] * 24)
    assert talk.said() == b""
    talk.clock.pump([1.0] * 2)
    assert codes(talk.said()) == [451, 250]
    hub.release()
    assert talk.said() == b""
    assert len(hub.arrivals) == 1  # it was stored all the same: the repeat is recognised by its wire_id
    assert talk.codes(MAIL + RCPT + DATA + b"x\r\n.\r\n") == [250, 250, 354, 250]
    assert len(hub.arrivals) == 1


def test_a_far_side_that_hangs_up_while_its_mail_is_stored_does_no_harm():
    hub = FakeHub()
    hub.hold()
    talk = Talk(hub)
    talk.say(START + b"x\r\n.\r\n")
    talk.session.connectionLost()
    hub.release()
    assert len(hub.arrivals) == 1


# -- the end of a mail

NOT_AN_END = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\x00\r\n",
    b"\r\n\x00.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\n\r\n.\r\r\n",
    b"\r\n..\r\n",
    b"\r\n. \r\n",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\x85.\x85",
]


@pytest.mark.parametrize("policy", ["reject", "normalise"])
@pytest.mark.parametrize("ending", NOT_AN_END)
def test_smuggling(ending, policy):
    """T1: only CR LF dot CR LF ends a mail, however the bytes are cut."""
    smuggled = b"MAIL FROM:<admin@hub.example>\r\n" + RCPT + DATA + b"forged\r\n"
    stream = START + b"first" + ending + smuggled + b".\r\n"
    cuts = [None, 1, 2, 3, 5, 7]
    for step in cuts:
        talk = Talk(bare_newlines=policy)
        answers = talk.codes(stream, step)
        bare = ending.replace(b"\r\n", b"").count(b"\r") + ending.replace(b"\r\n", b"").count(b"\n")
        refused = bare and policy == "reject"
        assert answers == [250, 250, 250, 354, 550 if refused else 250]
        assert len(talk.hub.arrivals) == (0 if refused else 1)
        for raw in talk.raws:
            assert b"forged" in raw
            assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")


@pytest.mark.parametrize("body", [b"", b"x\r\n", b".x\r\n", b"..\r\n", b"\r\n", b"a\r\n.b\r\n\r\n", b".\r\n.\r\n"])
def test_the_end_is_found_at_every_cut(body):
    stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in body.splitlines(keepends=True))
    tail = stuffed + b".\r\nNOOP\r\n"
    for cut in range(len(tail) + 1):
        talk = Talk()
        talk.say(START)
        assert codes(talk.say(tail[:cut]) + talk.say(tail[cut:])) == [250, 250]
        assert talk.raws == [body]


def test_a_very_long_line_stays_mail():
    """W1: the stock server ran the rest of such a body as commands."""
    line = b"x" * 1_000_000 + b"\r\n"
    attack = line + MAIL + RCPT + DATA
    talk = Talk()
    talk.say(START)
    assert talk.codes(attack + b".\r\n", 16_384) == [250]
    assert talk.raws == [attack]


# -- sizes


@pytest.mark.parametrize("step", [None, 1000, 1])
@pytest.mark.parametrize("fill", [b"x\r\n", b"..\r\n"[1:] + b""])
def test_the_size_limit_is_exact(fill, step):
    """T2: dots that only transport added do not count."""
    limit = 3000
    for size in (limit - 1, limit, limit + 1):
        body = (fill * (limit // 3))[: size - 2].rstrip(b"\r\n").ljust(size - 2, b"y") + b"\r\n"
        stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in body.splitlines(keepends=True))
        talk = Talk(limits={"size": limit, "errors": 5})
        talk.say(START)
        assert talk.codes(stuffed + b".\r\nNOOP\r\n", step) == [250 if size <= limit else 552, 250]
        assert talk.raws == ([body] if size <= limit else [])


def test_a_declared_size_is_refused_before_the_mail():
    talk = Talk(limits={"size": 1000})
    assert talk.codes(EHLO + b"MAIL FROM:<a@b> SIZE=99999999999\r\nMAIL FROM:<a@b> SIZE=1001\r\n") == [250, 552, 552]
    assert talk.codes(b"MAIL FROM:<a@b> SIZE=1000 BODY=8BITMIME\r\n") == [250]


def test_a_mail_far_too_big_is_not_kept_and_ends_the_session():
    talk = Talk(limits={"size": 100_000})
    talk.say(START)
    for _ in range(30):
        talk.say(b"x" * 40_000)
        assert talk.gate.budget.taken <= 140_000
    assert talk.said() == b""
    assert talk.codes(b"x" * 100_000) == [552]
    assert talk.closed


def test_mails_under_way_share_a_budget():
    """T2: many half mails cannot fill the memory; the one too many is told to come again."""
    first = Talk(limits={"size": 1000, "memory": 2000})
    others = [Talk(gate=first.gate) for _ in range(3)]
    for talk in [first, *others]:
        talk.say(START)
        talk.say(b"y" * 900)
    assert first.gate.budget.taken <= 2000
    assert [talk.codes(b"\r\n.\r\n") for talk in [first, *others]] == [[250], [250], [452], [452]]
    assert first.gate.budget.taken == 0


def test_a_lost_connection_gives_its_bytes_back():
    talk = Talk()
    talk.say(START + b"x" * 5000)
    assert talk.gate.budget.taken == 5000
    talk.session.connectionLost()
    assert talk.gate.budget.taken == 0


def test_bytes_without_a_line_end_are_bounded():
    """W2."""
    talk = Talk()
    talk.say(b"x" * 4000)
    assert not talk.closed
    assert talk.codes(b"x" * 200) == [421]
    assert talk.closed


def test_memory_is_bounded_while_a_mail_is_stored():
    hub = FakeHub()
    hub.hold()
    talk = Talk(hub)
    talk.say(START + b"x\r\n.\r\n")
    talk.say(b"NOOP\r\n" * 11_000)
    assert talk.wire.producerState == "paused"
    hub.release()
    assert talk.wire.producerState == "producing"


# -- the dialogue


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"NOOP", 250), (b"NOOP x", 250), (b"noop", 250), (b"RSET", 250), (b"VRFY ana", 252), (b"HELP", 214),
        (b"EXPN list", 502), (b"MAIL FROM:<a@b>", 503), (b"RCPT TO:<desk@hub.example>", 503), (b"DATA", 503),
        (b"EHLO", 501), (b"EHLO a b", 501), (b"WIBBLE", 500), (b"", 500), (b"\xff\xfe", 500), (b"NOOP\0", 500),
        (b"NOOPX", 500), (b"STARTTLS", 500), (b"AUTH PLAIN AGEAYg==", 502), (b"NO\rOP", 500),
    ],
)  # fmt: skip
def test_single_commands(line, code):
    """W10 among them: any byte has an answer."""
    talk = Talk()
    assert talk.codes(line + b"\r\n") == [code]


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        (b"FROM:<a@b>", b"250 2.1.0"), (b"from: <a@b>", b"250"), (b"FROM:<>", b"250"),
        (b"FROM:<a.b+c=d@b-c.d>", b"250"),
        (b'FROM:<"a.b"@b>', b"250"), (b"FROM:<a@[127.0.0.1]>", b"250"), (b"FROM:a@b", b"501"), (b"TO:<a@b>", b"501"),
        (b"FROM:<a@b> BODY=8BITMIME", b"250"), (b"FROM:<a@b> SIZE=5 SMTPUTF8", b"250"), (b"FROM:<a@b> X=1", b"555"),
        (b"FROM:<a@b> SIZE=x", b"501"), (b"FROM:<a@b> RET=HDRS", b"555"), (b"FROM:<a>", b"553 5.1.7"),
        (b"FROM:<\xc3\xbc@b.c>", b"553 5.6.7"), (b"FROM:<\xc3\xbc@b.c> SMTPUTF8", b"250"),
        (b"FROM:<\xfc@b.c> SMTPUTF8", b"553"), (b"FROM:<a@b>x<c@d>", b"555"), (b"FROM:<" + b"a" * 400 + b"@b>", b"553"),
    ],
)  # fmt: skip
def test_reverse_paths(argument, reply):
    talk = Talk()
    talk.say(EHLO)
    assert talk.say(b"MAIL " + argument + b"\r\n").startswith(reply)


@pytest.mark.parametrize(
    "path",
    [
        b"a@elsewhere.example", b"desk%elsewhere.example@hub.example", b"@hub.example:a@elsewhere.example",
        b'"a@elsewhere.example"@hub.example', b"elsewhere.example!a@hub.example", b"a@[127.0.0.1]", b"a@hub.example.",
        b"a@hub.example.elsewhere", b"a@xhub.example", b"@hub.example:desk@hub.example", b"a%b@elsewhere.example",
        b"a@localhost",
    ],
)  # fmt: skip
def test_no_relay(path):
    """T6: twelve classic probes, none taken."""
    talk = Talk()
    talk.say(EHLO + MAIL)
    assert talk.say(b"RCPT TO:<" + path + b">\r\n").startswith((b"550 5.7.1 ", b"553 5.1.3 "))
    assert talk.codes(DATA) == [503]


def test_only_addresses_that_exist_are_taken():
    """T10: refused in the session, so that nothing has to be bounced."""
    talk = Talk(addresses=["desk", "Ana"])
    talk.say(EHLO + MAIL)
    for local, code in [(b"desk", 250), (b"DESK+x.y", 250), (b"ana", 250), (b"postmaster", 250), (b"bob", 550)]:
        assert talk.codes(b"RCPT TO:<" + local + b"@hub.example>\r\n") == [code], local
    assert talk.say(b"RCPT TO:<bob@hub.example>\r\n").startswith(b"550 5.1.1 ")
    assert talk.codes(b"RCPT TO:<Postmaster>\r\n") == [250]


def test_a_domain_beyond_ascii_is_ours_in_both_spellings():
    talk = Talk(domains=["köln.example"], hostname="mx.example")
    talk.say(EHLO + b"MAIL FROM:<a@b> SMTPUTF8\r\n")
    assert talk.codes("RCPT TO:<jürgen@köln.example>\r\n".encode()) == [250]
    assert talk.codes(b"RCPT TO:<desk@xn--kln-sna.example>\r\n") == [250]


def test_recipients_are_limited():
    """W5."""
    talk = Talk(limits={"recipients": 3, "idle_commands": 1000})
    talk.say(EHLO + MAIL)
    many = b"".join(b"RCPT TO:<r%d@hub.example>\r\n" % n for n in range(6))
    assert talk.codes(many + b"RCPT TO:<r0@hub.example>\r\n") == [250] * 3 + [452] * 3 + [250]
    assert talk.codes(DATA + b"x\r\n.\r\n") == [354, 250]
    assert talk.codes(MAIL + many.replace(b"<r", b"<s") * 10)[-1] == 421


def test_errors_and_idle_commands_are_limited():
    """W5, T4."""
    talk = Talk()
    assert talk.codes(b"WIBBLE\r\n" * 100) == [500] * 20 + [421]
    assert talk.closed
    talk = Talk()
    assert talk.codes(b"RSET\r\n" * 100_000) == [250] * 100 + [421]
    assert talk.closed
    talk = Talk()
    assert talk.codes(EHLO * 1000)[-1] == 421
    talk = Talk()
    talk.say(EHLO + MAIL)
    assert talk.codes(b"RCPT TO:<x@elsewhere>\r\n" * 50) == [550] * 20 + [421]


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"CONNECT a:25 HTTP/1.1", b"Host: x"])
def test_browsers_are_sent_away(line):
    """T4."""
    talk = Talk()
    assert talk.codes(line + b"\r\nMAIL FROM:<a@b>\r\n") == [521]
    assert talk.closed


def test_chunks_that_were_not_offered_do_not_run_as_commands():
    talk = Talk()
    assert talk.codes(EHLO + MAIL + RCPT + b"BDAT 100 LAST\r\nMAIL FROM:<x@y>\r\n")[-1] == 502
    assert talk.closed


def test_a_body_behind_a_refused_data_does_not_run_as_commands():
    talk = Talk()
    assert talk.codes(EHLO + MAIL + b"RCPT TO:<x@elsewhere>\r\n" + DATA + MAIL) == [250, 250, 550, 554]
    assert talk.closed


@pytest.mark.parametrize("line", [b"NOOP\n", b"\n"])
def test_commands_end_in_crlf(line):
    talk = Talk()
    assert talk.codes(line) == [500]


def test_rset_and_ehlo_forget_the_mail():
    for forget in (b"RSET\r\n", EHLO):
        talk = Talk()
        talk.say(EHLO + MAIL + RCPT + forget)
        assert talk.codes(DATA) == [503]
        assert talk.codes(MAIL + MAIL) == [250, 503]


# -- anything at all


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([EHLO, MAIL, RCPT, DATA, b"x\r\n.\r\n", b"STARTTLS\r\n", b"AUTH LOGIN\r\n", b"\r\n"]),
            st.binary(max_size=60),
            st.binary(max_size=20).map(lambda noise: b"MAIL FROM:<" + noise + b">\r\n"),
            st.binary(max_size=20).map(lambda noise: b"RCPT TO:<" + noise + b"@hub.example>\r\n"),
            st.binary(max_size=20).map(lambda noise: b"EHLO " + noise + b"\r\n"),
        ),
        max_size=12,
    ),
    st.integers(1, 50),
)  # fmt: skip
def test_any_bytes_are_survived(pieces, step):
    failures = []

    def watch(event):
        if event.get("log_failure") is not None:
            failures.append(event)

    globalLogPublisher.addObserver(watch)
    try:
        talk = Talk()
        stream = b"".join(pieces)
        answers = talk.say(stream, step)
        assert all(line[:3].isdigit() for line in answers.split(b"\r\n")[:-1])
        whole = Talk()
        said = whole.say(stream)
        # Only where bytes follow a refused DATA does it matter whether they came with it or later.
        assert said == answers or b"554 5.5.1 No recipient" in said
        assert whole.raws == talk.raws or b"554 5.5.1 No recipient" in said
    finally:
        globalLogPublisher.removeObserver(watch)
    assert not failures
