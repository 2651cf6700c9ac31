"""STOP, START, HELP and the replies of rules, from accept to what leaves, on a real store."""

from __future__ import annotations

import pytest_twisted
from twisted.internet import reactor

from msgserver.message import Address
from msgserver.records import HUB, Draft, EntityKind, Find, Rule
from msgserver.routing import recorder
from msgserver.store import claiming, membership, people, resources, rules, subscriptions
from tests.patience import stay_within_a_day
from tests.routing.conftest import ANA, WayIn
from tests.routing.test_way_in import mail, text

async_test = pytest_twisted.ensureDeferred
OUT = "SELECT cause, body FROM msg_log WHERE direction = 'out' ORDER BY id"


async def send(way: WayIn, *words: str, sender: Address = ANA) -> None:
    for each in words:
        (count,) = (await way.rows("SELECT count(*) FROM msg_raw"))[0]
        await way.router.accept("modem1", text(f"{count}", each, sender))
        await way.read()


@async_test
async def test_stop_is_confirmed_once_and_then_there_is_nothing(way_in: WayIn):
    await send(way_in, "STOP", "stop", "STOP please", "HELP", "arrêt")
    assert await way_in.rows(OUT) == [
        ("opt-out", "Test desk: you will get no more messages from us. Reply START to get them again.")
    ]
    assert await way_in.rows("SELECT address, why FROM suppression") == [(str(ANA), "said 'STOP'")]
    assert await way_in.rows("SELECT state FROM msg_delivery_status") == [("pending",)]
    await send(way_in, "START", "START", "help")
    assert [cause for cause, _ in await way_in.rows(OUT)] == ["opt-out", "opt-out", "help"]
    assert await way_in.rows("SELECT address FROM suppression") == []
    acts = await way_in.rows("SELECT act FROM audit WHERE object LIKE 'address/%'")
    assert acts == [("stop address",), ("allow address",)]


@async_test
async def test_stop_wins_over_every_rule_and_longer_words_go_to_a_person(way_in: WayIn):
    for words in (("stop",), ("end",)):
        rule = Rule(id=0, name="w", position=0, words=words, resource="incident", reply="thanks")
        await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(way_in, "END")
    assert await way_in.rows("SELECT * FROM msg_tag") == []
    assert [cause for cause, _ in await way_in.rows(OUT)] == ["opt-out"]
    bo = Address("sms", "+1999")
    await send(way_in, "stop the trucks at the bridge", sender=bo)
    assert await way_in.rows("SELECT resource, record, why FROM msg_tag WHERE message_id = 3 ORDER BY resource") == [
        ("incident", "", 'rule "w": word "stop"'),
        ("tag", "opt-out?", "it begins like STOP but says more: do they want no more messages?"),
    ]
    assert await way_in.rows("SELECT actionable FROM msg_log WHERE id = 3") == [(1,)]
    assert await way_in.rows("SELECT address FROM suppression") == [(str(ANA),)]


@async_test
async def test_stop_between_planning_and_sending_wins(way_in: WayIn):
    """THREATS F18."""
    store = way_in.store
    now = reactor.seconds()
    group = await store.write(people.create_entity, HUB, "u1", EntityKind.GROUP, "Camp", now)
    person = await store.write(people.create_entity, HUB, "u2", EntityKind.PERSON, "Ana", now)
    await store.write(people.add_contact, HUB, person.id, ANA, now)
    await store.write(membership.add_member, HUB, group.id, person.id, now)
    await store.write(subscriptions.subscribe, HUB, group.id, "incident", "", now)
    rule = Rule(id=0, name="w", position=0, words=("water",), resource="incident")
    await store.write(rules.create_rule, HUB, rule, now)
    await way_in.run(
        "INSERT INTO connector_status (name, schemes, since, seen_at) VALUES ('modem1', '[\"sms\"]', 0, 0)"
    )
    await send(way_in, "water!", sender=Address("sms", "+1999"))
    await way_in.desk.write(HUB, Draft(uid="d1", entities=(group.id,), text="alert"))
    assert await way_in.rows("SELECT address, state FROM msg_delivery_status") == [(str(ANA), "pending")] * 2
    await send(way_in, "Stop")
    claimed = await store.write(claiming.claim, "modem1", "n1", 10, reactor.seconds() + 1)
    assert [(one.address, one.body[:9]) for one in claimed] == [(str(ANA), "Test desk")]  # the confirmation alone
    assert await way_in.rows("SELECT state FROM msg_delivery_status ORDER BY id") == [
        ("suppressed",),
        ("suppressed",),
        ("claimed",),
    ]
    await send(way_in, "more water", sender=Address("sms", "+1999"))
    assert (await way_in.rows("SELECT state FROM msg_delivery_status ORDER BY id"))[-1] == ("suppressed",)


@async_test
async def test_help_says_who_it_is_in_the_senders_language_and_robots_get_nothing(way_in: WayIn):
    rule = Rule(id=0, name="cry", position=0, words=("help",), resource="incident", reply="we see it")
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(way_in, "HELP", "help")
    assert await way_in.rows(OUT) == [
        ("help", "Test desk. Messages come when there is news. Reply STOP to end them."),
        ("rule/1", "we see it"),
    ]
    assert len(await way_in.rows("SELECT * FROM msg_tag WHERE rule_id = 1")) == 2  # somebody may be in need
    await way_in.router.accept("mail", mail(1, "HELP", Auto_Submitted="auto-replied"))
    await way_in.router.accept("mail", mail(2, "STOP", List_Id="<a.example>"))
    await send(way_in, "HELP", sender=Address("sms", "BANK"))
    assert len(await way_in.rows(OUT)) == 2
    assert await way_in.rows("SELECT * FROM suppression") == []
    person = await way_in.store.write(people.create_entity, HUB, "u1", EntityKind.PERSON, "Zoé", 1.0, language="fr")
    await way_in.store.write(people.add_contact, HUB, person.id, Address("sms", "+33600000000"), 1.0)
    await send(way_in, "STOP", sender=Address("sms", "+33600000000"))
    assert (await way_in.rows(OUT))[-1][1].startswith("Test desk : vous ne recevrez plus")


@async_test
async def test_a_mail_may_say_it_in_its_subject_alone(way_in: WayIn):
    await way_in.router.accept("mail", mail(1, "", subject="unsubscribe"))
    await way_in.router.accept("mail", mail(2, "the bridge is gone", subject="Stop", From="Bo <bo@example.org>"))
    await way_in.read()
    assert await way_in.rows("SELECT address FROM suppression") == [("mailto:ana@example.org",)]


@async_test
async def test_who_turns_it_round_without_end_is_obeyed_and_no_longer_answered(way_in: WayIn):
    for _ in range(8):
        await send(way_in, "STOP", "START")
    assert len(await way_in.rows(OUT)) == 10
    assert await way_in.rows("SELECT * FROM suppression") == []


@async_test
async def test_a_stop_counts_even_where_its_message_cannot_be_kept(way_in: WayIn, monkeypatch):
    def broken(*args: object) -> None:
        raise RuntimeError("poison")

    monkeypatch.setattr(recorder, "record_and_answer", broken)
    await send(way_in, "STOP")
    assert await way_in.rows("SELECT state FROM msg_raw") == [("unreadable",)]
    assert await way_in.rows("SELECT address FROM suppression") == [(str(ANA),)]


@async_test
async def test_a_rule_replies_once_a_day_to_each_sender_with_its_gaps_filled(way_in: WayIn):
    rule = Rule(
        id=0, name="r", position=0, prefix="report", reply="Thank you {name}, this is {hub} {ticket} {unknown} {name",
        resource="incident",
    )  # fmt: skip
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(way_in, "REPORT water", "report fire")
    assert await way_in.rows(OUT) == [("rule/1", "Thank you, this is Test desk #1 {unknown} {name")]
    await way_in.run("UPDATE answered SET at = at - 86401")
    await send(way_in, "REPORT again")
    assert len(await way_in.rows(OUT)) == 2


@async_test
async def test_a_rule_verifies_assigns_counts_and_is_remembered(way_in: WayIn):
    stay_within_a_day(30)
    await way_in.run("INSERT INTO auth_user (name, active, created_at) VALUES ('ana', true, 0), ('gone', false, 0)")
    rule = Rule(
        id=0, name="trusted", position=0, sender="sms:+1555*", verified=True, assign=(1, 2), priority=3, actionable=True
    )
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(way_in, "one", "two")
    assert await way_in.rows("SELECT verified, actionable, decided FROM msg_log LIMIT 1") == [
        ('rule "trusted"', 1, '["rule \\"trusted\\": sender sms:+1555*"]')
    ]
    assert await way_in.rows("SELECT ticket_id, user_id FROM ticket_assignee") == [(1, 1)]
    assert await way_in.rows("SELECT rule_id, hits FROM rule_hit") == [(1, 2)]
    now = reactor.seconds()
    assert await way_in.store.read(rules.hits, now) == {1: 2}
    assert await way_in.store.read(rules.hits, now + 6 * 86400) == {1: 2}
    assert await way_in.store.read(rules.hits, now + 7 * 86400) == {}
    assert await way_in.store.write(rules.forget_hits, now + 7 * 86400) == 1


@async_test
async def test_records_are_known_by_name_and_code_as_soon_as_they_are_made(way_in: WayIn):
    rule = Rule(id=0, name="flood", position=0, prefix="FLOOD", find=Find.PREFIX, resource="location")
    await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(way_in, "FLOOD site12 water rises")
    made = {"name": "Riverside School", "code": "site12"}
    now = reactor.seconds()
    await way_in.store.write(resources.create_record, HUB, "u-12", "location", made, now)
    await send(way_in, "FLOOD site12 water rises", "all well @SITE12", "flood riverside school")
    await way_in.store.write(resources.update_record, HUB, "u-12", {"code": "site13"}, now)
    await send(way_in, "at @site12", "at @site13")
    await way_in.store.write(resources.remove_record, HUB, "u-12", now)
    await send(way_in, "at @site13 again")
    assert await way_in.rows("SELECT message_id, resource, record, confidence FROM msg_tag ORDER BY id") == [
        (1, "location", "", 0.5),
        (2, "location", "u-12", 1.0),
        (3, "location", "u-12", 1.0),
        (4, "location", "u-12", 1.0),
        (6, "location", "u-12", 1.0),
    ]


@async_test
async def test_many_records_are_read_at_once_and_changed_one_by_one(way_in: WayIn):
    await way_in.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " INSERT INTO resource_record (uid, resource, name, code, created_at, changed_at)"
        " SELECT 'u' || i, 'location', 'Place ' || i, 'p' || i, 1, CASE i WHEN 1 THEN 9000 ELSE 1 END FROM n"
    )
    first = await way_in.rules.current()
    assert len(first.names) == 2000
    await way_in.store.write(resources.update_record, HUB, "u7", {"name": "Elsewhere"}, 9999.0)
    second = await way_in.rules.fresh()
    assert second.names is first.names
    assert second.names.following(("elsewhere",), 0, "location")[0].uid == "u7"
    await way_in.store.write(resources.remove_record, HUB, "u8", 9999.0)
    third = await way_in.rules.fresh()
    assert len(third.names) == 1999
    assert third.names.coded("p8") == []
