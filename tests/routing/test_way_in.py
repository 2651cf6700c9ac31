"""From accept to the log, on a real store."""

from __future__ import annotations

import functools

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from msgserver.connector import TemporaryFailure
from msgserver.message import Address, Arrival, Part, Report, ReportState
from msgserver.records import HUB, DeliveryState, Draft, EntityKind, Raw, Rule, Settlement
from msgserver.routing import reader as reading
from msgserver.routing import recorder
from msgserver.routing.journalling import journalled
from msgserver.store import deliveries, journal, people, rules, subscriptions
from msgserver.store.door import Busy, DiskFull, StoreError
from msgserver.workers.pool import WorkersUnavailable
from tests.routing.conftest import ANA, SIGNER, WayIn, journal_row_of

async_test = pytest_twisted.ensureDeferred

BOUNCE = b"""From: MAILER-DAEMON@there.example
To: hub@hub.example
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; there.example

Final-Recipient: rfc822; ana@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such person

--b
Content-Type: message/rfc822

Message-ID: <d1.x@hub.example>
Subject: Hello

--b--
"""


async def until(true, seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if true():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("it did not become so in time")


def text(n: int | str, words: str = "we need water", sender: Address = ANA, **more: object) -> Arrival:
    return Arrival(wire_id=f"w{n}", sender=sender, text=words, **more)  # type: ignore[arg-type]


def mail(
    n: int | str, body: str = "hello", subject: str = "Hello", to: str = "hub@hub.example", **headers: str
) -> Arrival:
    lines = {
        "From": "Ana <ana@example.org>",
        "To": to,
        "Subject": subject,
        "Message-ID": f"<m{n}@example.org>",
        **headers,
    }
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return Arrival(
        wire_id=f"m{n}",
        sender=Address("mailto", "bounces@example.org"),
        recipients=(Address.parse(to),),
        media_type="message/rfc822",
        raw=f"{head}\r\n{body}\r\n".encode(),
    )


@async_test
async def test_what_is_accepted_is_journalled_and_becomes_a_message(way_in: WayIn):
    accepted = await way_in.router.accept("modem1", text(1))
    assert not accepted.duplicate
    await way_in.read()
    assert await way_in.rows("SELECT raw_id, connector, sender, body FROM msg_log") == [
        (accepted.raw_id, "modem1", "sms:+15551234", "we need water")
    ]
    assert await way_in.rows("SELECT state, outcome, outcome_id FROM msg_raw") == [("read", "message", 1)]
    topics = [topic for topic, _ in way_in.rung]
    assert topics[:1] == ["raw"]
    assert {"message", "ticket"} <= set(topics)


@async_test
async def test_the_same_again_is_a_duplicate_and_read_once(way_in: WayIn):
    first = await way_in.router.accept("modem1", text(1))
    again = await way_in.router.accept("modem1", text(1))
    assert again.duplicate
    assert again.raw_id == first.raw_id
    assert not (await way_in.router.accept("modem2", text(1))).duplicate
    await way_in.read()
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(2,)]


@async_test
async def test_a_mail_is_read_by_a_worker(way_in: WayIn):
    await way_in.router.accept("mail", mail(1, "the river rises", "Flood"))
    await way_in.read()
    assert await way_in.rows("SELECT subject, sender, sender_name, wire_message_id FROM msg_log") == [
        ("Flood", "mailto:ana@example.org", "Ana", "m1@example.org")
    ]


@async_test
async def test_order_is_kept_for_each_sender(way_in: WayIn):
    arrivals = [mail(n, f"body {n}") for n in range(150)]
    await gatherResults([Deferred.fromCoroutine(way_in.router.accept("mail", one)) for one in arrivals])
    await way_in.read()
    bodies = await way_in.rows("SELECT body FROM msg_log ORDER BY id")
    assert [body.strip() for (body,) in bodies] == [f"body {n}" for n in range(150)]
    assert max(way_in.workers.batches) <= reading.GROUP_MAILS
    assert len(way_in.workers.batches) < 20


@async_test
async def test_a_mail_that_takes_long_keeps_back_its_sender_only(way_in: WayIn):
    slow = way_in.workers.held = []
    await way_in.router.accept("mail", mail("slow", "slow"))
    await until(lambda: slow)
    assert len(slow) == 1
    way_in.workers.held = None
    await way_in.router.accept("mail", mail("other", "other", From="bob@example.org"))
    await way_in.router.accept("mail", mail("same", "same"))
    await way_in.router.accept("modem1", text(1, "short"))
    while ("short",) not in await way_in.rows("SELECT body FROM msg_log"):
        await deferLater(reactor, 0.01)
    slow[0].callback(None)
    await way_in.read()
    bodies = [body.strip() for (body,) in await way_in.rows("SELECT body FROM msg_log ORDER BY id")]
    assert bodies.index("slow") < bodies.index("same")


@async_test
async def test_poison_is_set_aside_with_its_reason_and_the_next_go_on(way_in: WayIn):
    arrivals = [mail(1), mail(2, "poison"), mail(3)]
    await gatherResults([Deferred.fromCoroutine(way_in.router.accept("mail", one)) for one in arrivals])
    await way_in.read()
    assert await way_in.rows("SELECT wire_id, state, reason FROM msg_raw ORDER BY id") == [
        ("m1", "read", ""),
        ("m2", "unreadable", "its reader died"),
        ("m3", "read", ""),
    ]


@async_test
async def test_what_no_one_reads_is_unreadable(way_in: WayIn):
    await way_in.router.accept("hook", Arrival(wire_id="1", sender=None, media_type="application/x-what", raw=b"?"))
    await way_in.read()
    assert await way_in.rows("SELECT state, reason FROM msg_raw") == [
        ("unreadable", "nothing here reads application/x-what")
    ]


@async_test
async def test_while_there_are_no_workers_mail_waits(way_in: WayIn):
    way_in.workers.failures.append(WorkersUnavailable("no process"))
    await way_in.router.accept("mail", mail(1))
    await way_in.read()
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(1,)]


@async_test
async def test_large_bytes_lie_outside_the_database(way_in: WayIn, tmp_path):
    body = "line of text\r\n" * 40_000
    accepted = await way_in.router.accept("mail", mail(1, body))
    await way_in.read()
    ((blob, size),) = await way_in.rows("SELECT blob, size FROM msg_raw WHERE id = :id", id=accepted.raw_id)
    assert await way_in.rows("SELECT raw FROM msg_raw_bytes") == []
    assert size == len(mail(1, body).raw)
    assert (tmp_path / "blobs" / blob[:2] / blob).read_bytes() == mail(1, body).raw
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(1,)]


# --- the way back ----------


@async_test
async def test_what_was_received_and_not_read_is_read_at_the_start(store, tmp_path):
    for n in range(200):
        await store.batch(journal.journal, journal_row_of(n))
    way = WayIn(store, tmp_path)
    way.reader.start()
    await way.router.accept("modem1", text("new", "the newest"))
    await way.read()
    bodies = [body for (body,) in await way.rows("SELECT body FROM msg_log ORDER BY id")]
    assert bodies == [*(f"text {n}" for n in range(200)), "the newest"]
    await way.reader.stop()


@async_test
async def test_the_order_is_kept_while_the_reader_turns_from_the_journal_to_memory(store, tmp_path):
    for n in range(70):
        await store.batch(journal.journal, journal_row_of(n))
    way = WayIn(store, tmp_path)
    way.reader.start()
    for n in range(100):
        await way.router.accept("modem1", text(f"new{n}", f"new {n}"))
    await way.read()
    bodies = [body for (body,) in await way.rows("SELECT body FROM msg_log ORDER BY id")]
    assert bodies == [*(f"text {n}" for n in range(70)), *(f"new {n}" for n in range(100))]
    await way.reader.stop()


@async_test
async def test_a_part_that_is_read_twice_stays_where_it_is(way_in: WayIn):
    for index in (1, 2):
        await way_in.router.accept("modem1", text(index, f"{index}", part=Part("r", index, 2)))
    await way_in.read()
    ((envelope,),) = await way_in.rows("SELECT envelope FROM msg_raw WHERE wire_id = 'w1'")
    raw = Raw(id=1, connector="modem1", wire_id="w1", envelope=envelope.encode(), raw=b"", blob="", received_at=1.0)
    await way_in.recorder.record([(journalled(raw, b""), None)])
    assert await way_in.rows("SELECT outcome, outcome_id FROM msg_raw ORDER BY id") == [("part", 1), ("message", 1)]


@async_test
async def test_more_than_fits_into_memory_is_found_in_the_journal(way_in: WayIn, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 3_000)
    await way_in.settled()
    arrivals = [mail(n, f"body {n} " + "x" * 500) for n in range(100)]
    await gatherResults([Deferred.fromCoroutine(way_in.router.accept("mail", one)) for one in arrivals])
    await way_in.read()
    bodies = await way_in.rows("SELECT body FROM msg_log ORDER BY id")
    assert [body.split()[1] for (body,) in bodies] == [str(n) for n in range(100)]


@async_test
async def test_what_cannot_be_read_back_is_unreadable_and_blocks_nobody(store, tmp_path):
    await store.batch(journal.journal, journal_row_of(1))
    await store.batch(journal.journal, journal_row_of(2))
    way = WayIn(store, tmp_path)
    await way.run("UPDATE msg_raw SET envelope = 'not json' WHERE wire_id = 'w1'")
    way.reader.start()
    await way.read()
    assert await way.rows("SELECT state FROM msg_raw ORDER BY id") == [("unreadable",), ("read",)]
    await way.reader.stop()


# --- the bound ----------


@async_test
async def test_accept_waits_while_too_much_is_unread(way_in: WayIn, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 5)
    way_in.workers.held = []
    await way_in.settled()
    accepting = [Deferred.fromCoroutine(way_in.router.accept("mail", mail(n))) for n in range(20)]
    await until(lambda: sum(one.called for one in accepting) >= 5)
    await deferLater(reactor, 0.1)
    ((journalled,),) = await way_in.rows("SELECT count(*) FROM msg_raw")
    assert journalled == 5
    way_in.workers.release()
    await gatherResults(accepting)
    await way_in.read()
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(20,)]


@async_test
async def test_mail_that_nobody_reads_keeps_no_text_back(way_in: WayIn, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 5)
    way_in.workers.held = []
    await way_in.settled()
    accepting = [Deferred.fromCoroutine(way_in.router.accept("mail", mail(n))) for n in range(8)]
    await until(lambda: sum(one.called for one in accepting) >= 5)
    assert not all(one.called for one in accepting)
    for n in range(12):
        await way_in.router.accept("modem1", text(n))
    assert await way_in.rows("SELECT count(*) FROM msg_raw WHERE connector = 'modem1'") == [(12,)]
    way_in.workers.release()
    await gatherResults(accepting)
    await way_in.read()


@async_test
async def test_mail_that_is_being_journalled_keeps_no_text_back_and_lets_the_next_in_when_it_is(
    way_in: WayIn, monkeypatch
):
    monkeypatch.setattr(reading, "MOST_ROWS", 5)
    batch, slow = way_in.store.batch, []

    async def slowly(unit, item):
        if unit is journal.journal and item.connector == "mail":
            slow.append(Deferred())
            await slow[-1]
        return await batch(unit, item)

    monkeypatch.setattr(way_in.store, "batch", slowly)
    way_in.workers.held = []
    await way_in.settled()
    accepting = [Deferred.fromCoroutine(way_in.router.accept("mail", mail(n))) for n in range(8)]
    assert len(slow) == 5
    await way_in.router.accept("modem1", text(1))
    slow[0].errback(Busy("x"))
    with pytest.raises(TemporaryFailure):
        await accepting.pop(0)
    assert len(slow) == 6  # nothing was read, and there is room all the same
    slow[1].callback(None)
    await accepting.pop(0)
    assert len(slow) == 6  # what is journalled takes up as much room as before
    way_in.workers.release()
    for n in range(2, 8):
        await until(lambda n=n: len(slow) > n)
        slow[n].callback(None)
    await gatherResults(accepting)
    await way_in.read()
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(8,)]


@pytest.mark.parametrize(
    ("error", "words"),
    [(Busy("x"), "cannot store"), (DiskFull("x"), "disk is full"), (StoreError("x"), "cannot store")],
)
@async_test
async def test_what_the_store_cannot_take_is_a_temporary_failure(way_in: WayIn, monkeypatch, error, words):
    async def refuse(unit, item):
        raise error

    monkeypatch.setattr(way_in.store, "batch", refuse)
    with pytest.raises(TemporaryFailure, match=words):
        await way_in.router.accept("modem1", text(1))
    with pytest.raises(TemporaryFailure):
        await way_in.router.report("modem1", Report(state=ReportState.DELIVERED, wire_id="1"))


@async_test
async def test_a_busy_store_only_delays_the_recording(way_in: WayIn, monkeypatch):
    batch, refused = way_in.store.batch, []

    async def sometimes(unit, item):
        if unit.__name__ == "record" and len(refused) < 3:
            refused.append(item)
            raise Busy("busy")
        return await batch(unit, item)

    monkeypatch.setattr(way_in.store, "batch", sometimes)
    await way_in.router.accept("modem1", text(1))
    await way_in.read()
    assert len(refused) == 3
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(1,)]


@async_test
async def test_what_can_never_be_recorded_is_set_aside_after_three_tries(way_in: WayIn, monkeypatch):
    write, tries = recorder.record, []

    @functools.wraps(write)
    def cursed(tx, plans):
        if any(plan.body == "cursed" for plan in plans):
            tries.append(len(plans))
            raise RuntimeError("it is cursed")
        return write(tx, plans)

    monkeypatch.setattr(recorder, "record", cursed)
    for n, words in enumerate(("one", "cursed", "three")):
        await way_in.router.accept("modem1", text(n, words))
    await way_in.read()
    assert tries.count(1) == 3
    states = await way_in.rows("SELECT state, reason FROM msg_raw ORDER BY id")
    assert states[0] == states[2] == ("read", "")
    assert states[1] == ("unreadable", "it could not be recorded after 3 tries: it is cursed")


# --- what becomes of it ----------


@async_test
async def test_rules_tag_and_a_change_of_rules_is_obeyed_at_once(way_in: WayIn):
    await way_in.router.accept("modem1", text(1))
    await way_in.read()
    await way_in.store.write(
        rules.create_rule, HUB, Rule(id=0, name="Water", position=0, words=("water",), resource="incident"), 1.0
    )
    await way_in.router.accept("modem1", text(2))
    await way_in.read()
    assert await way_in.rows("SELECT message_id, resource, why FROM msg_tag") == [
        (2, "incident", 'rule "Water": word "water"')
    ]


@async_test
async def test_a_token_brings_a_mail_to_its_ticket(way_in: WayIn):
    await way_in.router.accept("mail", mail(1))
    await way_in.read()
    to = f"hub+{SIGNER.sign(1)}@hub.example"
    await way_in.router.accept("mail", mail(2, to=to, From="bob@example.org", subject="other"))
    await way_in.router.accept("mail", mail(3, to="hub+1.aaaaaaaaaa@hub.example", From="eve@example.org"))
    await way_in.read()
    assert await way_in.rows("SELECT ticket_id, number FROM msg_log ORDER BY id") == [(1, 1), (1, 2), (2, 1)]


@async_test
async def test_parts_are_joined_in_any_order(way_in: WayIn):
    for n, index in enumerate((3, 1, 2)):
        words = ("Hello ", "big ", "world")[index - 1]
        await way_in.router.accept("modem1", text(n, words, part=Part("ref7", index, 3)))
        await way_in.read()
    assert await way_in.rows("SELECT body FROM msg_log") == [("Hello big world",)]
    assert await way_in.rows("SELECT outcome, outcome_id FROM msg_raw ORDER BY id") == [
        ("part", 1),
        ("part", 1),
        ("message", 1),
    ]


@async_test
async def test_parts_that_come_all_at_once_become_one_message(way_in: WayIn):
    arrivals = [text(index, f"{index}", part=Part("r", index, 4)) for index in (2, 4, 1, 3)]
    await gatherResults([Deferred.fromCoroutine(way_in.router.accept("modem1", one)) for one in arrivals])
    await way_in.read()
    assert await way_in.rows("SELECT body FROM msg_log") == [("1234",)]
    assert await way_in.rows("SELECT DISTINCT outcome_id FROM msg_raw") == [(1,)]


@async_test
async def test_parts_of_different_senders_and_numbers_used_again_do_not_mix(way_in: WayIn):
    bob = Address("sms", "+1999")
    for n, (sender, index, words) in enumerate([(ANA, 1, "a1"), (bob, 2, "b2"), (ANA, 2, "a2"), (bob, 1, "b1")]):
        await way_in.router.accept("modem1", text(n, words, sender, part=Part("7", index, 2)))
    for index in (1, 2):
        await way_in.router.accept("modem1", text(f"again{index}", f"c{index}", part=Part("7", index, 2)))
    await way_in.read()
    assert [body for (body,) in await way_in.rows("SELECT body FROM msg_log ORDER BY id")] == ["a1a2", "b1b2", "c1c2"]


@async_test
async def test_mail_from_nobody_is_a_robots(way_in: WayIn):
    arrival = mail(1)
    facts = {"helo": "there.example"}
    await way_in.router.accept(
        "mail",
        Arrival(
            wire_id="1",
            sender=None,
            recipients=arrival.recipients,
            media_type="message/rfc822",
            raw=arrival.raw,
            facts=facts,
        ),
    )
    await way_in.read()
    assert await way_in.rows("SELECT robot FROM msg_log") == [("null reverse-path",)]


@async_test
async def test_stop_from_a_robot_is_not_obeyed(way_in: WayIn):
    await way_in.router.accept("mail", mail(1, "STOP", Auto_Submitted="auto-replied"))
    await way_in.router.accept("mail", mail(2, "stop\r\n\r\n-- \r\nAna", From="Bo <bo@example.org>"))
    await way_in.read()
    assert await way_in.rows("SELECT address FROM suppression") == [("mailto:bo@example.org",)]


@async_test
async def test_a_bounce_is_a_report_on_what_was_sent(way_in: WayIn):
    await way_in.router.accept("mail", mail(1))
    await way_in.read()
    await way_in.desk.write(HUB, Draft(uid="11111111-2222", ticket_id=1, text="An answer"))
    (claimed,) = await way_in.store.write(deliveries.claim, "mail", "here", 10, reactor.seconds())
    await way_in.store.batch(
        deliveries.settle,
        Settlement(
            delivery_id=claimed.id,
            attempt=claimed.attempt,
            state=DeliveryState.SENT,
            wire_ids=("d1.x@hub.example",),
            at=reactor.seconds(),
        ),
    )
    await way_in.router.accept("mail", Arrival(wire_id="b", sender=None, media_type="message/rfc822", raw=BOUNCE))
    await way_in.read()
    ((state, reason),) = await way_in.rows("SELECT state, reason FROM msg_delivery_status")
    assert state == "failed"
    assert "no such person" in reason
    assert await way_in.rows("SELECT outcome FROM msg_raw WHERE wire_id = 'b'") == [("report",)]
    assert await way_in.rows("SELECT count(*) FROM msg_log WHERE direction = 'in'") == [(1,)]


@pytest.mark.parametrize(("mark", "copies"), [("", 1), ("hub.example", 0), ("another.example", 0)])
@async_test
async def test_what_a_hub_copied_is_copied_to_nobody_again(way_in: WayIn, mark, copies):
    rule = Rule(id=0, name="Water", position=0, words=("water",), resource="incident")
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    bo = await way_in.store.write(people.create_entity, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
    await way_in.store.write(people.add_contact, HUB, bo.id, Address("mailto", "bo@example.org"), 1.0)
    await way_in.store.write(subscriptions.subscribe, HUB, bo.id, "incident", "", 1.0)
    await way_in.router.accept("mail", mail(1, "water", **({"X_Msgserver_Loop": mark} if mark else {})))
    await way_in.read()
    assert await way_in.rows("SELECT count(*) FROM msg_tag") == [(1,)]
    assert await way_in.rows("SELECT count(*) FROM msg_delivery_status") == [(copies,)]


@async_test
async def test_our_own_mail_coming_back_is_logged_and_marked(way_in: WayIn):
    await way_in.router.accept("mail", mail(1, X_Msgserver_Loop="hub.example"))
    await way_in.read()
    ((robot, trouble),) = await way_in.rows("SELECT robot, trouble FROM msg_log")
    assert robot == "our own message"
    assert "copied to nobody" in trouble
