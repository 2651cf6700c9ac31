"""The connector against gateways on loopback."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from msgserver.config import Secret
from msgserver.connector import NotConnected, PermanentFailure, SendFailure, TemporaryFailure, Unknown
from msgserver.message import Address, Envelope, Receipt
from msgserver.protocols.http import Settings, make_connector
from msgserver.protocols.http.profile import load, names
from msgserver.protocols.http.verdicts import AccountRefused
from tests.emulators.gateways import FAULTS, MOODS, Gateway
from tests.fakes import FakeHub
from tests.patience import let_run_out

pytestmark = pytest.mark.slow

PROFILES = names()
OPTIONS: dict[str, Any] = {
    "clickatell_classic": {"api_id": "3141"},
    "generic": {"success": '"ok": true', "id": '"id": "([^"]+)"'},
}
SECRET = "s3cret-word-of-ours"


class Desk:
    def __init__(self, profile: str, **changes: Any) -> None:
        self.gateway = Gateway(profile, reactor)
        self.hub = FakeHub()
        table = {
            "profile": profile,
            "url": self.gateway.url,
            "user": "hub",
            "password": Secret("t0ken"),
            "sender": "+15550100",
            "allow_private": True,
            "callback": "https://hub.example/in/gateway",
            "callback_secret": Secret(SECRET),
            "options": OPTIONS.get(profile, {}),
            "credit_every": 0.0,
        }
        self.connector = make_connector("gateway", Settings(**{**table, **changes}), self.hub, reactor)
        self.connector.startService()

    async def send(self, text: str = "The bridge is open again.", to: str = "+15551234", **fields: Any) -> Any:
        fields = {"ref": "d1.abc", "attempt": 1, "sender": "Desk", **fields}
        return await self.connector.send(Envelope(to=Address("sms", to), text=text, **fields))

    async def outcome(self, *args: Any, **fields: Any) -> Any:
        try:
            return await self.send(*args, **fields)
        except SendFailure as failure:
            return failure

    async def close(self) -> None:
        if self.connector.running:
            await self.connector.stopService()
        await self.gateway.stop()
        await deferLater(reactor, 0, lambda: None)


@pytest.fixture
def desk():
    made: list[Desk] = []

    def make(*args: Any, **changes: Any) -> Desk:
        made.append(Desk(*args, **changes))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(each.close()))


async def until(holds: Any, seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if holds():
            return
        await deferLater(reactor, 0.01, lambda: None)
    pytest.fail("it did not become so in time")


EXPECTED = {
    "takes": Receipt,
    "busy": TemporaryFailure,
    "refuses": PermanentFailure,
    "not ours": AccountRefused,
    "no credit": AccountRefused,
    "forgets": Receipt,
    "all or none": Receipt,
    "silent": Unknown,
    "hangs up": Unknown,
    "resets": Unknown,
    "endless": Unknown,
    "page": PermanentFailure,
    "redirect": AccountRefused,
    "down": TemporaryFailure,
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest_twisted.ensureDeferred
async def test_every_mood_of_every_gateway_ends_as_it_should(desk, profile):
    for mood in (*MOODS[profile], *FAULTS):
        here = desk(profile, deadline=900.0)
        here.gateway.mood = mood
        ending = Deferred.fromCoroutine(here.outcome())
        if mood == "silent":
            await until(lambda here=here: here.gateway.asked)
            let_run_out(900.0)
        outcome = await ending
        assert type(outcome) is EXPECTED[mood], (mood, outcome)
        assert len(here.gateway.asked) == 1, mood
        if isinstance(outcome, Receipt):
            assert not outcome.final
            assert here.connector.status.able
            continue
        assert str(outcome)
        assert "t0ken" not in str(outcome)
        assert here.connector.status.able is not isinstance(outcome, NotConnected), mood
        if isinstance(outcome, AccountRefused):
            assert "retry in" in here.connector.status.words


@pytest_twisted.ensureDeferred
async def test_the_gateways_wish_is_passed_on(desk):
    here = desk("twilio")
    here.gateway.mood = "busy"
    assert (await here.outcome()).retry_after == 7.0
    there = desk("vonage", callback_secret=Secret(SECRET))
    there.gateway.mood = "busy"
    assert (await there.outcome()).retry_after == 0.25


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_sent_never_reaches_the_gateway(desk):
    here = desk("twilio", max_parts=2)
    for text, to in (
        ("x", "BANK"),
        ("x", "+1555;DROP"),
        ("", "+15551234"),
        (" \x00", "+15551234"),
        ("ä" * 307, "+1555"),
    ):
        assert type(await here.outcome(text, to)) is PermanentFailure
    assert here.gateway.raw == b""
    assert isinstance(await here.outcome("ä" * 306), Receipt)


@pytest_twisted.ensureDeferred
async def test_text_cannot_become_anything_else_on_the_wire(desk):
    for profile in ("kannel", "clickatell", "twilio", "generic"):
        here = desk(profile)
        text = "a&to=+19005550000\r\nHost: evil.example\r\n\r\nPOST /evil HTTP/1.1\r\n\ud83d half"
        assert isinstance(await here.outcome(text), Receipt), profile
        (asked,) = here.gateway.asked
        assert here.gateway.raw.count(b"HTTP/1.1\r\n") == 1
        assert b"\r\nHost: evil" not in here.gateway.raw
        assert asked.headers["host"].startswith("127.0.0.1")
        sent_to = asked.fields.get("to") or asked.fields.get("To")
        assert "1900" not in sent_to


@pytest_twisted.ensureDeferred
async def test_the_account_at_fault_makes_all_wait_until_it_is_mended(desk, monkeypatch):
    monkeypatch.setattr("msgserver.protocols.http.connector.BackOff.next", lambda self: 900.0)
    here = desk("clickatell_classic")
    here.gateway.mood = "no credit"
    outcomes = await DeferredList([Deferred.fromCoroutine(here.outcome()) for _ in range(3)])
    assert {type(outcome) for _, outcome in outcomes} == {AccountRefused}
    assert "No Credit Left" in here.connector.status.words
    assert type(await here.outcome()) is NotConnected
    assert len(here.gateway.asked) == 3
    here.gateway.mood = "takes"
    let_run_out(900.0)
    await until(lambda: here.connector.status.able)
    assert isinstance(await here.outcome(), Receipt)


@pytest_twisted.ensureDeferred
async def test_no_line_is_said_in_words(desk):
    here = desk("generic")
    await here.gateway.stop()
    outcome = await here.outcome()
    assert type(outcome) is NotConnected
    assert "no connection to 127.0.0.1" in here.connector.status.words
    there = desk("generic", allow_private=False)
    assert "set allow_private = true" in str(await there.outcome())


@pytest.mark.parametrize("profile", [name for name in PROFILES if load(name).batch_request])
@pytest_twisted.ensureDeferred
async def test_texts_given_at_once_travel_together_and_end_apart(desk, profile):
    here = desk(profile)
    numbers = ["+15551001", "+15551002", "+15551000", "+15551004"]
    sends = [Deferred.fromCoroutine(here.outcome(to=number)) for number in numbers]
    outcomes = [outcome for _, outcome in await DeferredList(sends)]
    assert len(here.gateway.asked) == 1
    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt, PermanentFailure, Receipt]
    assert outcomes[2].bad_address or profile == "messagebird"
    ids = [outcome.wire_ids for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len(set(ids)) == (1 if profile == "messagebird" else 3)
    here.gateway.mood = "resets"
    sends = [Deferred.fromCoroutine(here.outcome(to=number)) for number in numbers]
    assert {type(outcome) for _, outcome in await DeferredList(sends)} == {Unknown}


@pytest_twisted.ensureDeferred
async def test_a_request_that_is_refused_as_a_whole_is_asked_again_each_by_itself(desk):
    here = desk("clickatell")
    here.gateway.mood = "all or none"
    numbers = ["+15551001", "+15551002", "+15551003"]
    sends = [Deferred.fromCoroutine(here.outcome(to=number)) for number in numbers]
    assert [type(outcome) for _, outcome in await DeferredList(sends)] == [Receipt] * 3
    assert [asked.fields["to"] for asked in here.gateway.asked] == [
        "15551001,15551002,15551003",
        *(number.removeprefix("+") for number in numbers),
    ]
    assert here.connector.status.able


@pytest_twisted.ensureDeferred
async def test_the_same_number_twice_is_two_requests(desk):
    here = desk("clickatell")
    sends = [Deferred.fromCoroutine(here.outcome(to=number)) for number in ("+15551001", "+15551002", "+15551001")]
    outcomes = [outcome for _, outcome in await DeferredList(sends)]
    assert len({outcome.wire_ids for outcome in outcomes}) == 3
    assert [asked.fields["to"] for asked in here.gateway.asked] == ["15551001,15551002", "15551001"]


@pytest_twisted.ensureDeferred
async def test_a_number_of_which_the_answer_says_nothing_is_unknown(desk):
    here = desk("clickatell_classic")
    here.gateway.mood = "forgets"
    sends = [Deferred.fromCoroutine(here.outcome(to=number)) for number in ("+15551001", "+15551002")]
    assert [type(outcome) for _, outcome in await DeferredList(sends)] == [Receipt, Unknown]


@pytest_twisted.ensureDeferred
async def test_the_rate_is_kept(desk):
    here = desk("twilio", rate=3.0, rate_seconds=0.2)
    begun = reactor.seconds()
    await DeferredList([Deferred.fromCoroutine(here.send()) for _ in range(7)])
    assert reactor.seconds() - begun > 0.39
    assert here.connector.limits.rate == 15.0


@pytest_twisted.ensureDeferred
async def test_stopping_tells_what_went_out_from_what_did_not(desk):
    here = desk("twilio", rate=1.0, rate_seconds=60.0)
    here.gateway.mood = "silent"
    sends = [Deferred.fromCoroutine(here.outcome()) for _ in range(2)]
    await until(lambda: here.gateway.asked)
    await here.connector.stopService()
    assert [type(outcome) for _, outcome in await DeferredList(sends)] == [Unknown, NotConnected]
    assert "stopped" in here.connector.status.words
    batch = desk("clickatell")
    sending = Deferred.fromCoroutine(batch.outcome())
    await batch.connector.stopService()
    assert type(await sending) is NotConnected
    assert batch.gateway.raw == b""


@pytest.mark.parametrize("profile", [name for name in PROFILES if load(name).credit])
@pytest_twisted.ensureDeferred
async def test_the_credit_is_shown(desk, profile):
    here = desk(profile, credit_every=3600.0)
    await until(lambda: "credit" in here.connector.status.gauges)
    credit = str(here.connector.status.gauges["credit"])
    assert any(digit.isdigit() for digit in credit)
    assert "not known" not in credit
    assert here.gateway.asked == []


@pytest_twisted.ensureDeferred
async def test_without_a_callback_a_receipt_is_final_and_no_call_is_taken(desk):
    here = desk("twilio", callback="", callback_secret=None)
    assert (await here.send()).final
    assert "StatusCallback" not in here.gateway.asked[0].fields
    assert not here.connector.resource.open
    assert "receives nothing" in here.connector.status.words


@pytest_twisted.ensureDeferred
async def test_a_hundred_times_the_same_call_is_one_text():
    from treq.testing import StubTreq

    hub = FakeHub()
    table = {"profile": "kannel", "user": "u", "password": Secret("p"), "callback": "https://hub.example/in/k"}
    connector = make_connector("k", Settings(**table, callback_secret=Secret(SECRET)), hub, reactor)
    connector.startService()
    treq: Any = StubTreq(connector.resource)
    hub.hold()
    url = f"http://hub/{SECRET}?from=15551234&text=hi&id=1"
    codes: list[int] = []
    for _ in range(100):
        treq.get(url).addCallback(lambda answer: codes.append(answer.code))
    treq.flush()
    assert codes == []
    hub.release()
    treq.flush()
    assert codes == [200] * 100
    assert len(hub.arrivals) == 1
    await connector.stopService()


@pytest_twisted.ensureDeferred
async def test_only_listed_addresses_may_call():
    from msgserver.protocols.http.intake import Intake
    from msgserver.wire.webhook import Call, Refused

    table = {"profile": "kannel", "user": "u", "password": Secret("p"), "callback": "https://hub.example/in/k"}
    connector = make_connector(
        "k", Settings(**table, allow_from=["203.0.113.0/24", "2001:db8::/32"]), FakeHub(), reactor
    )
    intake = Intake(connector.account, load("kannel"), FakeHub(), reactor)
    call = {"method": "GET", "query": b"from=15551234&text=hi&id=1"}
    for peer in ("203.0.113.7", "::ffff:203.0.113.7", "2001:db8::5"):
        await intake.take(Call(peer=peer, **call))
    for peer in ("203.0.114.7", "", "nonsense", "127.0.0.1"):
        with pytest.raises(Refused):
            await intake.take(Call(peer=peer, **call))
