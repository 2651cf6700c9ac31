"""Questions to the DNS: remembered, bounded, given up while nobody answers; and over a real socket."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock
from twisted.names import dns, error
from twisted.names.server import DNSServerFactory

from msgserver.wire.lookups import Lookups, NoAnswer, possible, system_lookups, system_servers
from tests.peers.zone import listen_twice


class Zone:
    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, str]] = []
        self.answer = lambda name: succeed(([], [], []))
        self.lookups = Lookups(self.ask, self.clock)

    def ask(self, name: str, kind: str):
        self.asked.append((name, kind))
        return self.answer(name)

    def get(self, name: str, kind: str = "TXT"):
        got: list[object] = []
        ensureDeferred(self.lookups.ask(name, kind)).addCallbacks(got.append, lambda failure: got.append(failure.value))
        return got[0] if got else None


def record(payload, ttl: int = 300):
    return dns.RRHeader("x.org", payload.TYPE, ttl=ttl, payload=payload)


@pytest.fixture
def zone() -> Zone:
    return Zone()


def test_records_are_values(zone):
    zone.answer = lambda name: succeed(
        (
            [
                record(dns.Record_TXT(b"v=spf1 ", b"-all")),
                record(dns.Record_A("192.0.2.1")),
                record(dns.Record_AAAA("2001:db8::1")),
                record(dns.Record_MX(10, "mx.x.org")),
                record(dns.Record_PTR("host.x.org")),
                record(dns.Record_CNAME("y.org")),
            ],
            [],
            [],
        )
    )
    assert zone.get("x.org") == (b"v=spf1 -all",)
    assert zone.get("x.org", "A") == ("192.0.2.1",)
    assert zone.get("x.org", "AAAA") == ("2001:db8::1",)
    assert zone.get("x.org", "MX") == ((10, "mx.x.org"),)
    assert zone.get("x.org", "PTR") == ("host.x.org",)


def test_answers_are_remembered_for_their_time_within_bounds(zone):
    zone.answer = lambda name: succeed(([record(dns.Record_TXT(b"a"), ttl=1)], [], []))
    zone.get("X.org.")
    zone.get("x.org")
    assert zone.asked == [("x.org", "TXT")]
    zone.clock.advance(61)  # one second is said; a minute is kept
    zone.get("x.org")
    assert len(zone.asked) == 2


def test_that_there_is_nothing_is_remembered_too(zone):
    zone.answer = lambda name: fail(error.DNSNameError())
    assert zone.get("x.org") == zone.get("x.org") == ()
    assert len(zone.asked) == 1


def test_a_dns_that_is_away_is_not_asked_for_a_while(zone):
    zone.answer = lambda name: fail(error.DNSServerError())
    for number in range(5):
        assert isinstance(zone.get(f"{number}.org"), NoAnswer)
    assert zone.lookups.away
    assert isinstance(zone.get("9.org"), NoAnswer)
    assert len(zone.asked) == 5
    zone.clock.advance(31)
    zone.answer = lambda name: succeed(([record(dns.Record_TXT(b"back"))], [], []))
    assert zone.get("9.org") == (b"back",)


def test_whoever_gives_up_waiting_is_a_strike_and_not_swallowed(zone):
    zone.answer = lambda name: Deferred()
    for number in range(5):
        got: list[object] = []
        waiting = Deferred.fromCoroutine(zone.lookups.ask(f"{number}.org", "TXT"))
        waiting.addErrback(got.append)
        waiting.cancel()
        assert got
    assert zone.lookups.away


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64 + ".org", "a." * 130 + "org", "ü.org"])
def test_what_is_no_name_is_not_asked_for(zone, name):
    assert not possible(name.rstrip("."))
    assert zone.get(name) == ()
    assert zone.asked == []


def test_memory_is_bounded(zone):
    for number in range(6_000):
        zone.get(f"{number}.org")
    assert len(zone.lookups._known) == 5_000


def test_servers_of_the_system(tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("# x\nsearch a\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver\n")
    assert system_servers(str(conf)) == [("192.0.2.1", 53), ("2001:db8::1", 53)]
    assert system_servers(str(tmp_path / "none")) == [("127.0.0.1", 53)]


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_over_a_socket():
    """Against a DNS server of Twisted's; the long record does not fit into a datagram and comes by TCP."""

    class Answers:
        def query(self, query, timeout=None):
            if query.name.name != b"x.org":
                return fail(error.DomainError())
            payload = dns.Record_TXT(b"a" * 200, b"b" * 200, b"c" * 200, b"d" * 200)
            return succeed(([dns.RRHeader(b"x.org", payload.TYPE, ttl=60, payload=payload)], [], []))

    factory = DNSServerFactory(clients=[Answers()])
    tcp, udp = listen_twice(factory, reactor)
    port = tcp.getHost().port
    try:
        lookups = system_lookups(reactor, [f"127.0.0.1:{port}"])
        assert [len(one) for one in await lookups.ask("x.org", "TXT")] == [800]
        assert await lookups.ask("y.org", "TXT") == ()
    finally:
        await udp.stopListening()
        await tcp.stopListening()
