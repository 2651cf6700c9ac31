"""Mail straight to the hosts of each domain: which they are, in which order, and what is done when one is away."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.names.client import Resolver

from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.protocols.smtp.exchange import Exchange
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.mx import Hosts
from msgserver.protocols.smtp.settings import Settings
from tests.peers.zone import NameServer, Zone
from tests.protocols.smtp.scripted import Road

A, AAAA, MX = dns.Record_A, dns.Record_AAAA, dns.Record_MX


def zone() -> Zone:
    return Zone(
        {
            "there.example": [MX(20, "mx2.there.example"), MX(10, "mx1.there.example")],
            "mx1.there.example": [A("192.0.2.1")],
            "mx2.there.example": [A("192.0.2.2"), AAAA("2001:db8::2")],
            "bare.example": [A("192.0.2.9")],
            "empty.example": [],
            "null.example": [MX(0, "")],
            "lost.example": [MX(10, "nowhere.example")],
            "halflost.example": [MX(5, "nowhere.example"), MX(10, "mx1.there.example")],
            "looped.example": [MX(10, "hub.example"), MX(20, "mx1.there.example")],
            "backup.example": [MX(5, "mx1.there.example"), MX(10, "hub.example"), MX(20, "mx2.there.example")],
            "inside.example": [MX(10, "inside-host.example")],
            "inside-host.example": [A("10.0.0.1")],
            "equal.example": [MX(10, "mx1.there.example"), MX(10, "mx2.there.example")],
        }
    )


def hosts(of: Zone, private=True, ipv6=True, chance=lambda: 0.5) -> Hosts:
    return Hosts(of, "hub.example", private, ipv6, chance)


def found(domain: str, of: Zone | None = None, now: float = 0.0, **changes):
    result = []
    asking = Deferred.fromCoroutine(hosts(of or zone(), **changes).of(domain, now))
    asking.addBoth(result.append)
    outcome = result[0]
    return outcome.value if hasattr(outcome, "value") else [(host.name, *host.addresses) for host in outcome]


def test_the_preferred_host_comes_first_and_ipv4_before_ipv6():
    assert found("there.example") == [
        ("mx1.there.example", "192.0.2.1"),
        ("mx2.there.example", "192.0.2.2", "2001:db8::2"),
    ]
    assert found("there.example", ipv6=False)[1] == ("mx2.there.example", "192.0.2.2")


def test_a_domain_without_mx_is_its_own_host():
    assert found("bare.example") == [("bare.example", "192.0.2.9")]


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("null.example", "null MX"),
        ("nosuch.example", "there is no domain nosuch.example"),
        ("empty.example", "neither MX nor address"),
    ],
)
def test_a_domain_that_takes_no_mail_is_a_bad_address(domain, words):
    outcome = found(domain)
    assert isinstance(outcome, PermanentFailure)
    assert words in str(outcome)
    assert outcome.bad_address


def test_a_host_without_address_is_passed_over():
    assert found("halflost.example") == [("mx1.there.example", "192.0.2.1")]
    outcome = found("lost.example")
    assert isinstance(outcome, TemporaryFailure)
    assert outcome.alone


def test_mail_does_not_come_back_to_ourselves():
    assert isinstance(found("looped.example"), PermanentFailure)
    assert found("backup.example") == [("mx1.there.example", "192.0.2.1")]


def test_private_addresses_are_not_delivered_to_unless_allowed():
    outcome = found("inside.example", private=False)
    assert isinstance(outcome, TemporaryFailure)
    assert "private" in str(outcome)
    assert found("inside.example") == [("inside-host.example", "10.0.0.1")]


def test_hosts_of_equal_preference_take_turns():
    chances = iter([0.9, 0.1])
    assert [host[0] for host in found("equal.example", chance=lambda: next(chances))] == [
        "mx2.there.example",
        "mx1.there.example",
    ]


def test_what_was_found_is_kept_as_long_as_its_records_say():
    here = zone()
    here.records["there.example"] = [MX(10, "mx1.there.example", ttl=100)]
    finder = hosts(here)
    for now, questions in ((0.0, 3), (99.0, 3), (101.0, 6)):
        Deferred.fromCoroutine(finder.of("there.example", now))
        assert len(here.asked) == questions


def test_a_name_server_in_trouble_is_no_verdict():
    here = zone()
    here.broken.add("there.example")
    asking = Deferred.fromCoroutine(hosts(_worded(here)).of("there.example", 0.0))
    outcome = []
    asking.addErrback(lambda failure: outcome.append(failure.value))
    assert isinstance(outcome[0], TemporaryFailure)
    assert outcome[0].alone


def _worded(here: Zone) -> Zone:
    """As a client sees a server that fails."""
    from twisted.internet.defer import fail
    from twisted.names.error import DNSServerError

    here._lookup = lambda *_: fail(DNSServerError())
    return here


# -- a real name server


@pytest_twisted.ensureDeferred
async def test_over_the_wire():
    here = zone()
    server = NameServer(here, reactor)
    try:
        resolver = Resolver(servers=[("127.0.0.1", server.port)], reactor=reactor)
        finder = hosts(resolver)
        taken = await finder.of("there.example", 0.0)
        assert [(host.name, host.addresses) for host in taken] == [
            ("mx1.there.example", ("192.0.2.1",)),
            ("mx2.there.example", ("192.0.2.2", "2001:db8::2")),
        ]
        assert (await finder.of("bare.example", 0.0))[0].addresses == ("192.0.2.9",)
        with pytest.raises(PermanentFailure, match="no domain"):
            await finder.of("nosuch.example", 0.0)
        with pytest.raises(PermanentFailure, match="null MX"):
            await finder.of("null.example", 0.0)
        here.broken.add("there.example")
        with pytest.raises(TemporaryFailure):
            await hosts(resolver).of("there.example", 0.0)
    finally:
        await server.stop()


# -- delivering


class World:
    """Hosts by their addresses."""

    def __init__(self, **settings) -> None:
        self.clock = Clock()
        self.roads = {address: Road(self.clock) for address in ("192.0.2.1", "192.0.2.2", "2001:db8::2", "192.0.2.9")}
        chosen = Settings(**{"relay": "mx", "hostname": "hub.example", "mx": {"private": True}, **settings})
        self.exchange = Exchange(
            "mail", chosen, self.clock, zone(), endpoint=lambda address, port: self.roads[address], chance=lambda: 0.5
        )
        self.exchange.start()

    def run(self, seconds: float = 0.0) -> None:
        for road in self.roads.values():
            road.run()
        while seconds > 0:
            self.clock.advance(min(10.0, seconds))
            seconds -= 10.0
            for road in self.roads.values():
                road.run()

    def send(self, to: str = "ana@there.example", seconds: float = 1500.0):
        outcome = []
        letter = Letter(b"desk@hub.example", to.encode(), lambda limit: b"Subject: x\r\n\r\nhello\r\n")
        sending = self.exchange.send(letter)
        sending.addBoth(outcome.append)
        self.run()
        if not outcome:
            self.run(seconds)
        return getattr(outcome[0], "value", outcome[0])

    def taken(self) -> dict[str, int]:
        return {address: len(road.mails) for address, road in self.roads.items() if road.mails}


def world(**settings) -> World:
    from msgserver.protocols.smtp.settings import MxSettings

    return World(**{"mx": MxSettings(private=True), **settings})


def test_the_first_host_takes_it_and_the_connection_is_kept():
    here = world()
    assert here.send().code == 250
    assert here.send("bo@there.example").code == 250
    assert here.taken() == {"192.0.2.1": 2}
    assert len(here.roads["192.0.2.1"].hosts) == 1
    assert here.send("bo@bare.example").code == 250
    assert here.taken() == {"192.0.2.1": 2, "192.0.2.9": 1}
    assert here.exchange.open_connections == 2


def test_domains_that_share_a_host_share_its_connections():
    here = world()
    here.send()
    here.send("x@halflost.example")
    assert len(here.roads["192.0.2.1"].hosts) == 1


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("mood", ["4xx", "421", "drop", "silent", "closed"])
def test_the_next_host_is_tried_where_the_first_one_is_in_trouble(verb, mood):
    from tests.protocols.smtp.test_relay import MOODS

    here = world()
    first = here.roads["192.0.2.1"]
    if mood == "closed":
        first.closed = True
    else:
        first.moods[verb] = MOODS[mood]
    outcome = here.send()
    if verb == "DOT" and mood in ("drop", "silent"):
        assert isinstance(outcome, Unknown), outcome  # it may have arrived: nobody else gets it
        assert "192.0.2.2" not in here.taken()
    elif verb == "EHLO" and mood == "4xx":
        assert outcome.code == 250  # HELO instead
    else:
        assert outcome.code == 250, outcome
        assert here.taken()["192.0.2.2"] == 1


def test_a_refusal_for_good_ends_it():
    here = world()
    here.roads["192.0.2.1"].moods["RCPT"] = lambda host: host.write("550 5.1.1 nobody")
    outcome = here.send()
    assert isinstance(outcome, PermanentFailure)
    assert outcome.bad_address
    assert here.taken() == {}


def test_a_host_that_greets_with_never_is_passed_over():
    here = world()
    here.roads["192.0.2.1"].moods["GREETING"] = lambda host: host.write("554 no service here")
    assert here.send().code == 250
    assert here.taken() == {"192.0.2.2": 1}


def test_when_all_are_away_it_is_tried_later_and_others_are_not_held_up():
    here = world()
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::2"):
        here.roads[address].closed = True
    outcome = here.send()
    assert type(outcome) is TemporaryFailure
    assert outcome.alone
    assert "nothing listens there" in str(outcome)
    assert here.exchange.able
    assert here.send("x@bare.example").code == 250
    for road in here.roads.values():
        road.closed = False
    here.run(120)
    assert here.send().code == 250


def test_ipv6_is_used_where_ipv4_does_not_answer():
    here = world()
    for address in ("192.0.2.1", "192.0.2.2"):
        here.roads[address].closed = True
    assert here.send().code == 250
    assert here.taken() == {"2001:db8::2": 1}


@pytest.mark.parametrize("policy", ["require", "verify"])
def test_a_domain_that_must_be_encrypted_gets_nothing_in_clear(policy):
    here = world(tls_for={"there.example": policy})
    outcome = here.send()
    assert type(outcome) is TemporaryFailure
    assert "STARTTLS" in str(outcome)
    assert "tls_for" in str(outcome)
    assert here.taken() == {}
    assert here.send("x@bare.example").code == 250
    star = world(tls_for={"*": policy, "bare.example": "none"})
    assert isinstance(star.send(), TemporaryFailure)
    assert star.send("x@bare.example").code == 250


def test_hosts_nobody_needs_are_forgotten():
    here = world(keep=30.0)
    here.send()
    here.send("x@bare.example")
    here.run(60)
    for _ in range(256):
        here.send("x@bare.example", 0)
    assert [key[1] for key in here.exchange._pools] == ["192.0.2.9"]


def test_stopping_ends_it_all():
    here = world()
    here.send()
    Deferred.fromCoroutine(here.exchange.stop())
    here.run(20)
    assert isinstance(here.send(), NotConnected)
    assert here.exchange.open_connections == 0
    assert here.clock.getDelayedCalls() == []
