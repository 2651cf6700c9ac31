"""The chat connector against a real Prosody, with slixmpp as the person at the other end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import ReportState
from msgserver.protocols.xmpp import Settings
from msgserver.protocols.xmpp.connector import XMPPConnector
from msgserver.settings import Secret
from tests.fakes import FakeHub
from tests.peers.prosody import MakeProsody, Person, Prosody
from tests.protocols.xmpp.conftest import envelope, settings_of, until
from tests.protocols.xmpp.proxy import Proxy

pytestmark = pytest.mark.peer
Run = Callable[[Settings], XMPPConnector]
ProxyTo = Callable[[int], Proxy]
HUB = "hub@xmpp.test"


@pytest.fixture
def ana(prosody: Prosody) -> Iterator[Person]:
    person = prosody.person("ana")
    yield person
    person.leave()


async def up(chat: XMPPConnector, *people: Person) -> None:
    await until(lambda: chat.status.able and all(one.saw("ready") for one in people), "all are signed in")


@pytest_twisted.ensureDeferred
async def test_in_and_out_with_receipts_both_ways(prosody: Prosody, ana: Person, hub: FakeHub, run: Run) -> None:
    chat = run(settings_of(prosody))
    await up(chat, ana)
    assert chat.status.words == "connected as hub@xmpp.test"

    ana.do("say", to=HUB, body="Which road is open?", id="question-0001")
    await until(lambda: ana.saw("received", of="question-0001"), "Ana has a receipt")
    (arrival,) = hub.arrivals
    assert (arrival.text, str(arrival.sender)) == ("Which road is open?", "xmpp:ana@xmpp.test")
    assert arrival.facts["resource"] == "phone"

    receipt = await chat.send(envelope())
    assert not receipt.final
    await until(lambda: hub.reports, "the receipt of Ana's client is reported")
    (report,) = hub.reports
    assert (report.state, report.ref, report.wire_id) == (ReportState.DELIVERED, "d1", receipt.wire_ids[0])
    await until(
        lambda: ana.saw("message", body="The water truck comes at 9.", id=receipt.wire_ids[0]), "Ana has seen it"
    )


@pytest_twisted.ensureDeferred
async def test_no_receipt_until_the_house_has_it(prosody: Prosody, ana: Person, hub: FakeHub, run: Run) -> None:
    chat = run(settings_of(prosody))
    await up(chat, ana)
    hub.hold()
    ana.do("say", to=HUB, body="help", id="question-0002")
    ana.do("ping", to=HUB + "/hub")
    await until(lambda: hub.waiting and ana.saw("pong"), "the hub is being asked, and answers other things")
    assert not ana.saw("received")
    hub.release()
    await until(lambda: ana.saw("received", of="question-0002"), "the receipt")


@pytest_twisted.ensureDeferred
async def test_a_house_that_cannot_store_is_asked_again(prosody: Prosody, ana: Person, hub: FakeHub, run: Run) -> None:
    chat = run(settings_of(prosody))
    await up(chat, ana)
    hub.failures.append(TemporaryFailure("the disk is full"))
    ana.do("say", to=HUB, body="first", id="question-0003")
    ana.do("say", to=HUB, body="second", id="question-0004")
    await until(lambda: ana.saw("received", of="question-0004"), "both receipts")
    assert [arrival.text for arrival in hub.arrivals] == ["first", "second"]


@pytest_twisted.ensureDeferred
async def test_what_was_not_committed_comes_again_after_a_restart(
    make_prosody: MakeProsody, hub: FakeHub, run: Run
) -> None:
    server = make_prosody()
    ana = server.person("ana")
    chat = run(settings_of(server))
    await up(chat, ana)
    hub.failures.append(TemporaryFailure("the disk is full"))
    ana.do("say", to=HUB, body="do not lose me", id="question-0005")
    await until(lambda: not hub.failures, "the hub was asked once")
    await chat.stopService()
    assert hub.arrivals == []

    again = run(settings_of(server))
    await until(lambda: ana.saw("received", of="question-0005"), "the server gave it again, and Ana has a receipt")
    assert [arrival.text for arrival in hub.arrivals] == ["do not lose me"]
    assert again.status.able


@pytest_twisted.ensureDeferred
async def test_said_while_the_hub_was_away(make_prosody: MakeProsody, hub: FakeHub, run: Run) -> None:
    server = make_prosody()
    server.account("hub")
    ana = server.person("ana")
    await until(lambda: ana.saw("ready"), "Ana is signed in")
    for number in range(60):
        ana.do("say", to=HUB, body=f"message {number}", id=f"offline-{number:04}")
    ana.do("ping", to=server.domain)
    await until(lambda: ana.saw("pong"), "the server has them all")
    run(settings_of(server))
    await until(lambda: ana.saw("received", of="offline-0059"), "all have come")
    assert [arrival.text for arrival in hub.arrivals] == [f"message {number}" for number in range(60)]
    assert all(arrival.sent_at is not None for arrival in hub.arrivals)


@pytest_twisted.ensureDeferred
async def test_somebody_who_does_not_exist(prosody: Prosody, run: Run) -> None:
    chat = run(settings_of(prosody))
    await up(chat)
    with pytest.raises(PermanentFailure, match="service unavailable"):
        await chat.send(envelope("nobody@xmpp.test"))
    with pytest.raises(PermanentFailure) as caught:
        await chat.send(envelope("two@at@signs"))
    assert caught.value.bad_address


@pytest_twisted.ensureDeferred
async def test_many_at_once_and_no_harm_from_any_text(prosody: Prosody, ana: Person, hub: FakeHub, run: Run) -> None:
    chat = run(settings_of(prosody))
    await up(chat, ana)
    texts = [f"no. {number} \x00\x0b\ud800 ]]> <b>&amp;" for number in range(64)]
    receipts = [Deferred.fromCoroutine(chat.send(envelope(text=t, ref=f"m{n}"))) for n, t in enumerate(texts)]
    for one in receipts:
        await one
    await until(lambda: len(hub.reports) == 64 and len(ana.saw("message")) >= 64, "every receipt")
    bodies = [one["body"] for one in ana.saw("message")]
    assert bodies == [f"no. {number} \ufffd\ufffd\ufffd ]]> <b>&amp;" for number in range(64)]


@pytest_twisted.ensureDeferred
async def test_added_as_a_contact_and_asked_about_itself(prosody: Prosody, ana: Person, run: Run) -> None:
    chat = run(settings_of(prosody))
    await up(chat, ana)
    ana.do("add", to=HUB)
    await until(lambda: ana.saw("subscribed", sender=HUB) and ana.saw("subscribe", sender=HUB), "both ways")
    ana.do("disco", to=HUB + "/hub")
    await until(lambda: ana.saw("disco"), "an answer")
    (about,) = ana.saw("disco")
    assert about["identities"] == [["client", "bot"]]
    assert about["software"] == "msgserver"
    assert {"urn:xmpp:receipts", "urn:xmpp:ping"} <= set(about["features"])


@pytest_twisted.ensureDeferred
async def test_a_stanza_that_is_too_large_switches_nobody_off(
    prosody: Prosody, ana: Person, hub: FakeHub, run: Run
) -> None:
    chat = run(settings_of(prosody))
    await up(chat, ana)
    flat = "<x xmlns='urn:x'>" + "<y/>" * 6000 + "</x>"
    deep = "<x xmlns='urn:x'>" * 1500 + "</x>" * 1500
    for number, inside in enumerate((flat, deep)):
        ana.do("raw", xml=f"<message to='{HUB}' type='chat' id='big-{number}'>{inside}<body>hello</body></message>")
        await until(lambda n=number: ana.saw("error", id=f"big-{n}"), "Ana is told")  # type: ignore[misc]
    ana.do("say", to=HUB, body="still there?", id="question-0006")
    await until(lambda: ana.saw("received", of="question-0006"), "the hub still listens")
    assert "policy-violation" in ana.saw("error")[0]["xml"]
    assert [arrival.text for arrival in hub.arrivals] == ["still there?"]


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_tried_seldom(prosody: Prosody, hub: FakeHub, run: Run) -> None:
    chat = run(settings_of(prosody, password=Secret("not the password")))
    await until(lambda: "retry" in chat.status.words, "the server says no")
    assert chat.status.words.startswith("password refused: check connector.chat.password")
    seconds = int(chat.status.words.split()[-2])
    assert 24 <= seconds <= 36
    with pytest.raises(NotConnected, match="password refused"):
        await chat.send(envelope())
    assert hub.changes >= 2


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_nobody_trusts(prosody: Prosody, run: Run) -> None:
    chat = run(settings_of(prosody, ca_file=None))
    await until(lambda: "retry" in chat.status.words, "the certificate is refused")
    assert "certificate that is not trusted: check connector.chat.ca_file" in chat.status.words


@pytest_twisted.ensureDeferred
async def test_encryption_is_not_given_up(make_prosody: MakeProsody, run: Run) -> None:
    server = make_prosody(tls=False)
    chat = run(settings_of(server, tls="required"))
    await until(lambda: "retry" in chat.status.words, "no encryption, no login")
    assert 'offers no encryption, and connector.chat.tls is "required"' in chat.status.words


@pytest_twisted.ensureDeferred
async def test_a_server_without_stream_management(make_prosody: MakeProsody, hub: FakeHub, run: Run) -> None:
    server = make_prosody(tls=False, managed=False)
    ana = server.person("ana")
    chat = run(settings_of(server))
    await up(chat, ana)
    receipts = [await chat.send(envelope(ref=f"r{number}", text=str(number))) for number in range(3)]
    assert len({receipt.wire_ids for receipt in receipts}) == 3
    ana.do("say", to=HUB, body="hello", id="question-0007")
    await until(lambda: len(hub.reports) == 3 and ana.saw("received"), "receipts both ways")


@pytest_twisted.ensureDeferred
async def test_a_server_killed_and_started_again(make_prosody: MakeProsody, run: Run) -> None:
    server = make_prosody()
    chat = run(settings_of(server))
    await up(chat)
    server.kill()
    await until(lambda: not chat.status.able, "the cut is noticed")
    assert "closed the line: retry in 2 s" in chat.status.words
    with pytest.raises(NotConnected):
        await chat.send(envelope())
    server.start()
    await until(lambda: chat.status.able, "it is back")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("managed", [True, False])
async def test_not_confirmed_when_the_line_breaks(
    make_prosody: MakeProsody, proxy_to: ProxyTo, run: Run, managed: bool
) -> None:
    server = make_prosody(tls=False, managed=managed)
    ana = server.person("ana")
    proxy = proxy_to(server.port)
    chat = run(settings_of(server, connect=f"tcp:127.0.0.1:{proxy.port}"))
    await up(chat, ana)
    proxy.silent_in = True
    sending = Deferred.fromCoroutine(chat.send(envelope()))
    await until(lambda: ana.saw("message"), "it arrived all the same")
    assert not sending.called
    proxy.cut()
    with pytest.raises(Unknown, match="line broke"):
        await sending
    proxy.silent_in = False
    await until(lambda: chat.status.able, "it is back")
    again = await chat.send(envelope())
    await until(lambda: len(ana.saw("message")) == 2, "the repeat")
    assert {one["id"] for one in ana.saw("message")} == set(again.wire_ids)


@pytest_twisted.ensureDeferred
async def test_a_black_hole_is_noticed(prosody: Prosody, proxy_to: ProxyTo, run: Run) -> None:
    proxy = proxy_to(prosody.port)
    quick = {"ping_every": 2.0, "ping_timeout": 2.0}
    chat = run(settings_of(prosody, user="hole", connect=f"tcp:127.0.0.1:{proxy.port}", **quick))
    await up(chat)
    proxy.silent_in = proxy.silent_out = True
    sending = Deferred.fromCoroutine(chat.send(envelope()))
    await until(lambda: not chat.status.able, "nobody answers")
    assert f"no answer from 127.0.0.1:{proxy.port}: retry in" in chat.status.words
    with pytest.raises(Unknown):
        await sending
    proxy.silent_in = proxy.silent_out = False
    await until(lambda: chat.status.able, "it is back")


@pytest_twisted.ensureDeferred
async def test_a_second_hub_with_the_same_name(make_prosody: MakeProsody, hub: FakeHub, run: Run) -> None:
    server = make_prosody(tls=False)
    first = run(settings_of(server))
    await up(first)
    second = run(settings_of(server))
    await until(lambda: not first.status.able, "the first is put out")
    assert "another program has logged in as hub@xmpp.test" in first.status.words
    await up(second)


@pytest_twisted.ensureDeferred
async def test_nobody_there_at_all(prosody: Prosody, free_port: Callable[[], int], run: Run) -> None:
    port = free_port()
    chat = run(settings_of(prosody, connect=f"tcp:127.0.0.1:{port}"))
    await until(lambda: "retry" in chat.status.words, "it is told")
    assert f"127.0.0.1:{port}" in chat.status.words
