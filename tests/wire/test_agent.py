"""The HTTP client against far sides on loopback that behave as they should, or not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, ssl
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport

from msgserver.wire.agent import KEEP, LARGEST, HttpAgent, NoAnswer, NothingSent, Request
from msgserver.wire.reach import is_public
from tests.patience import let_run_out
from tests.peers.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Far(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.factory.heard += data
        self.factory.act(self, data)


class FarFactory(Factory):
    """A server that does to each piece of bytes what the test says, and keeps what it heard."""

    protocol = Far
    noisy = False

    def __init__(self, act: Callable[[Any, bytes], None]) -> None:
        self.act = act
        self.heard = b""
        self.lines: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        line = super().buildProtocol(addr)
        self.lines.append(line)
        return line


class Place:
    """A far side and an agent that may reach it."""

    def __init__(self, act: Callable[[Any, bytes], None], **settings: Any) -> None:
        self.far = FarFactory(act)
        self.port = reactor.listenTCP(0, self.far, interface="127.0.0.1")
        self.agent = HttpAgent(reactor, **{"allow_private": True, **settings})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port.getHost().port}/send"

    async def ask(self, request: Request | None = None, deadline: float = 120.0) -> Any:
        return await self.agent.ask(request or Request("POST", self.url, (), b"a=1"), deadline)

    async def close(self) -> None:
        await self.agent.close()
        for line in self.far.lines:
            if line.transport is not None:
                line.transport.abortConnection()
        await maybeDeferred(self.port.stopListening)
        await deferLater(reactor, 0, lambda: None)


@pytest.fixture
def place():
    made: list[Place] = []

    def make(act: Callable[[Any, bytes], None], **settings: Any) -> Place:
        made.append(Place(act, **settings))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(each.close()))


def says(*pieces: bytes, then: str = "") -> Callable[[Any, bytes], None]:
    def act(line: Any, data: bytes) -> None:
        for piece in pieces:
            line.transport.write(piece)
        if then:
            getattr(line.transport, then)()

    return act


@pytest_twisted.ensureDeferred
async def test_an_answer_comes_back_and_the_connection_is_kept(place):
    here = place(
        says(b"HTTP/1.1 202 Accepted\r\nX-One: a\r\nx-one: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    )
    for _ in range(3):
        answer = await here.ask(Request("POST", here.url, (("Content-Type", "text/plain"),), b"a&b=\xc3\xa9"))
    assert (answer.status, answer.headers["x-one"], answer.body, answer.json()) == (202, "b", b"{}", {})
    assert abs(answer.at - reactor.seconds()) < 120
    assert len(here.far.lines) == 1
    head, _, body = here.far.heard.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /send HTTP/1.1\r\n")
    assert b"Content-Length: 6" in head
    assert body.startswith(b"a&b=\xc3\xa9")


@pytest_twisted.ensureDeferred
async def test_a_header_cannot_break_its_line(place):
    here = place(says(OK))
    await here.ask(Request("GET", here.url, (("X-Key", "a\r\nX-Evil: 1\nb"),)))
    assert b"\r\nX-Evil" not in here.far.heard
    assert b"\nb" not in here.far.heard
    with pytest.raises(ValueError):
        await here.ask(Request("GET", here.url + "?a b\r\nX: 1"))
    with pytest.raises(ValueError):
        await here.ask(Request("GET /x HTTP/1.1\r\nX:", here.url))


@pytest_twisted.ensureDeferred
async def test_redirects_are_answers(place):
    here = place(says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    answer = await here.ask()
    assert answer.status == 302
    assert here.far.heard.count(b"POST ") == 1


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (says(), "nothing within"),
        (says(then="loseConnection"), "may or may not"),
        (says(then="abortConnection"), "may or may not"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", then="loseConnection"), "broke off"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", b"x" * (LARGEST + 1)), "longer than"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40001\r\n", b"x" * 0x40001), "longer than"),
        (says(b"220 smtp.example ESMTP\r\n"), "may or may not"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), "nothing within"),
        (says(b"X" * 100_000), "may or may not"),
    ],
    ids=["silent", "closed", "reset", "half", "too long", "too long in chunks", "not HTTP", "no body", "no line"],
)
@pytest_twisted.ensureDeferred
async def test_what_went_out_without_an_answer_is_unknown(place, act, words):
    here = place(act)
    asking = Deferred.fromCoroutine(here.ask(deadline=900.0))
    if words == "nothing within":
        while not here.far.heard:
            await deferLater(reactor, 0.01, lambda: None)
        let_run_out(900.0)
    with pytest.raises(NoAnswer, match=words):
        await asking
    assert here.far.heard.count(b"POST ") == 1


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_one_however_it_ends(place):
    here = place(says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nno", then="loseConnection"))
    answer = await here.ask()
    assert (answer.status, answer.body) == (403, b"no")


@pytest_twisted.ensureDeferred
async def test_an_answer_that_ends_with_the_connection_is_whole(place):
    here = place(says(b"HTTP/1.0 200 OK\r\n\r\nwhole", then="loseConnection"))
    assert (await here.ask()).body == b"whole"


@pytest_twisted.ensureDeferred
async def test_without_a_connection_nothing_was_sent(place):
    here = place(says(OK))
    request = Request("POST", here.url, (), b"x")
    await here.port.stopListening()
    with pytest.raises(NothingSent, match=r"no connection to 127\.0\.0\.1:\d+: Connection was refused"):
        await here.ask(request)
    with pytest.raises(NothingSent, match="has no address"):
        await here.agent.ask(Request("GET", "http://no-such-host.invalid/"), 120.0)


@pytest_twisted.ensureDeferred
async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(place):
    here = place(says(OK))
    assert (await here.ask()).status == 200
    (line,) = here.far.lines
    # Closed there, and the reactor here has not had its turn to see it.
    line.transport.socket.shutdown(socket.SHUT_RDWR)
    assert (await here.ask()).status == 200
    assert len(here.far.lines) == 2
    assert here.far.heard.count(b"POST ") == 2


@pytest_twisted.ensureDeferred
async def test_stopping_gives_up_what_is_under_way(place):
    here = place(says())
    asking = Deferred.fromCoroutine(here.ask())
    while not here.far.heard:
        await deferLater(reactor, 0.01, lambda: None)
    await here.agent.close()
    with pytest.raises(NoAnswer):
        await asking


@pytest_twisted.ensureDeferred
async def test_no_more_requests_at_once_than_allowed_and_the_rest_wait_their_turn(place):
    here = place(says(), connections=2)
    asking = [Deferred.fromCoroutine(here.ask()) for _ in range(5)]
    while here.far.heard.count(b"POST ") < 2:
        await deferLater(reactor, 0.01, lambda: None)
    await deferLater(reactor, 0.02, lambda: None)
    assert here.far.heard.count(b"POST ") == 2
    asking[3].cancel()
    with pytest.raises(NothingSent):
        await asking[3]
    for line in here.far.lines:
        line.transport.write(OK)
    while here.far.heard.count(b"POST ") < 4:
        await deferLater(reactor, 0.01, lambda: None)
    for line in here.far.lines:
        line.transport.write(OK)
    assert len(here.far.lines) == 2
    assert [(await each).status for n, each in enumerate(asking) if n != 3] == [200] * 4


@pytest_twisted.ensureDeferred
async def test_stopping_sends_nothing_of_what_waited_for_its_turn(place):
    here = place(says(), connections=1)
    asking = [Deferred.fromCoroutine(here.ask()) for _ in range(3)]
    while not here.far.heard:
        await deferLater(reactor, 0.01, lambda: None)
    await here.agent.close()
    kinds = []
    for each in asking:
        try:
            await each
        except (NoAnswer, NothingSent) as failure:
            kinds.append(type(failure))
    assert kinds == [NoAnswer, NothingSent, NothingSent]
    assert here.far.heard.count(b"POST ") == 1


@pytest_twisted.ensureDeferred
async def test_kept_connections_are_let_go_after_a_while():
    clock = MemoryReactorClock()
    agent = HttpAgent(clock, allow_private=True)
    asking = Deferred.fromCoroutine(agent.ask(Request("GET", "http://192.0.2.1/"), 30.0))
    host, port, factory = clock.tcpClients[0][:3]
    line = factory.buildProtocol(IPv4Address("TCP", host, port))
    transport = StringTransport()
    transport.setTcpNoDelay = lambda on: None
    transport.abortConnection = transport.loseConnection
    line.makeConnection(transport)
    assert transport.value().startswith(b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n")
    line.dataReceived(OK)
    assert (await asking).status == 200
    clock.advance(KEEP - 0.1)
    assert not transport.disconnecting
    clock.advance(0.2)
    assert transport.disconnecting
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_a_rare_question_is_asked_over_a_connection_of_its_own(place):
    here = place(says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok"))
    request = Request("POST", here.url, (("X-Key", "1"),), b"a=1")
    for _ in range(2):
        answer = await here.agent.ask_once(request, 120.0)
    assert (answer.status, answer.headers["x-a"], answer.body) == (302, "b", b"ok")
    assert len(here.far.lines) == 2
    assert here.far.heard.count(b"a=1") == 2
    there = place(says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LARGEST + 1)))
    with pytest.raises(NoAnswer, match="longer than"):
        await there.agent.ask_once(Request("GET", there.url), 120.0)
    silent = place(says())
    with pytest.raises(NoAnswer):
        await silent.agent.ask_once(Request("GET", silent.url), 0.2)
    inside = place(says(OK), allow_private=False)
    with pytest.raises(NothingSent, match="set allow_private"):
        await inside.agent.ask_once(Request("GET", inside.url), 120.0)


@pytest_twisted.ensureDeferred
async def test_being_cancelled_before_there_is_a_line_sent_nothing():
    clock = MemoryReactorClock()
    agent = HttpAgent(clock, allow_private=True)
    asking = Deferred.fromCoroutine(agent.ask(Request("GET", "http://192.0.2.1/"), 30.0))
    assert len(clock.tcpClients) == 1
    asking.cancel()
    with pytest.raises((NothingSent, CancelledError)):
        await asking
    assert clock.getDelayedCalls() == []


def test_connections_are_kept_for_less_than_many_servers_do():
    assert KEEP < 5.0


# TLS


@pytest_twisted.ensureDeferred
async def test_tls_is_verified_before_anything_is_sent(tmp_path):
    for name in ("ours", "strangers"):
        (tmp_path / name).mkdir()
    ours, strangers = Authority(tmp_path / "ours"), Authority(tmp_path / "strangers")
    certificate, key = ours.sign("127.0.0.1")
    wrong_name, wrong_key = ours.sign("elsewhere.example")
    far = FarFactory(says(OK))
    ports = [
        reactor.listenSSL(0, far, ssl.DefaultOpenSSLContextFactory(str(k), str(c)), interface="127.0.0.1")
        for c, k in ((certificate, key), (wrong_name, wrong_key))
    ]
    plain = reactor.listenTCP(0, far, interface="127.0.0.1")
    good, bad = (f"https://127.0.0.1:{port.getHost().port}/" for port in ports)
    agents = [HttpAgent(reactor, allow_private=True, authorities=str(a.ca)) for a in (ours, strangers)]
    try:
        for _ in range(2):
            assert (await agents[0].ask(Request("POST", good, (), b"x"), 120.0)).status == 200
        assert len(far.lines) == 1
        heard = far.heard
        for agent, url in ((agents[1], good), (agents[0], bad)):
            with pytest.raises(NothingSent, match="no TLS with"):
                await agent.ask(Request("POST", url, (), b"secret"), 120.0)
        with pytest.raises(NothingSent, match="no TLS with"):
            await agents[0].ask(Request("POST", f"https://127.0.0.1:{plain.getHost().port}/", (), b"secret"), 120.0)
        assert b"secret" not in far.heard[len(heard) :]
    finally:
        for agent in agents:
            await agent.close()
        for line in far.lines:
            line.transport.loseConnection()
        for port in (*ports, plain):
            await port.stopListening()
        await deferLater(reactor, 0, lambda: None)


# Where it may lead


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
        "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2001:db8::1", "::127.0.0.1",
    ],
)  # fmt: skip
def test_private_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0", "localhost", "[::1]",
        "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1",
        "0177.0.0.1", "0x7f.0x0.0x0.0x1", "127.0.1", "0.0.0.0", "[::]", "[64:ff9b::7f00:1]", "[fd00::1]",
        "[2002:7f00:1::]", "[::127.0.0.1]", "LOCALHOST", "172.16.0.1", "192.168.0.1", "100.64.0.1", "2852039166",
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_no_spelling_leads_inside(place, host):
    here = place(says(OK), allow_private=False)
    port = here.port.getHost().port
    with pytest.raises(NothingSent, match=r"private network: set allow_private|has no address"):
        await here.agent.ask(Request("GET", f"http://{host}:{port}/"), 120.0)
    assert here.far.lines == []


class Names:
    """A name server that answers differently each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, **_: Any) -> Any:
        receiver.resolutionBegan(None)
        for address in self.answers.pop(0):
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()


def asked_of(*answers: list[str]) -> tuple[MemoryReactorClock, list[Any]]:
    clock = MemoryReactorClock()
    clock.nameResolver = Names(*answers)
    outcome: list[Any] = []
    agent = HttpAgent(clock)
    asking = Deferred.fromCoroutine(agent.ask(Request("GET", "http://rebind.example/"), 30.0))
    asking.addBoth(outcome.append)
    return clock, outcome


def test_the_address_that_was_checked_is_the_one_connected_to():
    clock, _ = asked_of(["8.8.8.8"], ["127.0.0.1"])
    assert [client[:2] for client in clock.tcpClients] == [("8.8.8.8", 80)]


def test_of_several_addresses_only_the_public_are_used():
    clock, _ = asked_of(["127.0.0.1", "10.0.0.1", "8.8.8.8"])
    assert [client[:2] for client in clock.tcpClients] == [("8.8.8.8", 80)]


def test_a_name_that_leads_inside_is_refused():
    clock, outcome = asked_of(["127.0.0.1", "fd00::1"])
    assert clock.tcpClients == []
    assert "private network" in str(outcome[0].value)
    assert clock.getDelayedCalls() == []
