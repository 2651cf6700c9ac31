"""SUBSCRIBE, UNSUBSCRIBE and SUBS, from accept to what leaves, on a real store."""

from __future__ import annotations

import pytest
import pytest_twisted

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role, Rule
from msgserver.store import people, resources, rules, users
from tests.routing.conftest import ANA, WayIn
from tests.routing.test_optout import send
from tests.routing.test_way_in import mail

async_test = pytest_twisted.ensureDeferred
OUT = "SELECT body FROM msg_log WHERE direction = 'out' ORDER BY id"
GOT = "Test desk: you get messages about {0}. UNSUBSCRIBE {0} ends this, STOP ends all."
SUBS = (
    "SELECT e.name, s.resource, s.record <> '', s.channel, s.asked_at IS NULL FROM pe_subscription s"
    " JOIN pe_entity e ON e.id = s.pr_pe_id ORDER BY s.id"
)


@pytest.fixture
def opened(way_in: WayIn) -> WayIn:
    """A desk on which anybody may subscribe to incidents."""
    way_in.desk._open_topics = ("incident",)
    return way_in


async def incident(way: WayIn, code: str, name: str) -> str:
    made = await way.store.write(
        resources.create_record, HUB, f"uid-{code}", "incident", {"name": name, "code": code}, 1.0
    )
    return made.uid


async def out(way: WayIn) -> list[str]:
    return [body for (body,) in await way.rows(OUT)]


@async_test
async def test_whoever_asks_for_an_open_topic_gets_it_until_he_ends_it(opened: WayIn):
    await incident(opened, "FLOOD-12", "Flood in the north")
    await send(opened, "SUBSCRIBE flood-12", "subs", "Unsubscribe FLOOD IN THE NORTH", "SUBS")
    assert await out(opened) == [
        GOT.format("Flood in the north"),
        "Test desk: you get Flood in the north. STOP ends all.",
        "Test desk: no more messages about Flood in the north.",
        "Test desk: you have no subscriptions.",
    ]
    assert await opened.rows(SUBS) == []
    assert await opened.rows("SELECT address, verified_at IS NOT NULL FROM pe_contact") == [(str(ANA), 1)]
    acts = await opened.rows("SELECT act FROM audit WHERE act IN ('introduce', 'subscribe', 'unsubscribe') ORDER BY id")
    assert acts == [("introduce",), ("subscribe",), ("unsubscribe",)]


@async_test
async def test_copies_come_of_what_was_asked_for(opened: WayIn):
    uid = await incident(opened, "FLOOD-12", "Flood in the north")
    rule = Rule(id=0, name="dam", position=0, words=("dam",), resource="incident", record=uid)
    await opened.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(opened, "SUBSCRIBE FLOOD-12")
    await send(opened, "the dam breaks", sender=Address("sms", "+1999"))
    copies = await opened.rows("SELECT address, why FROM msg_delivery_status WHERE subscription_id IS NOT NULL")
    assert copies == [(str(ANA), "you subscribed to Flood in the north")]


@async_test
async def test_what_is_not_open_is_not_to_be_had_and_a_hint_comes_once_a_day(way_in: WayIn):
    await incident(way_in, "SECRET", "Safe houses")
    await send(way_in, "SUBSCRIBE SECRET", "SUBSCRIBE incident", "SUBSCRIBE nothing")
    assert await out(way_in) == []  # nothing is open here: there is nothing to hint at
    assert await way_in.rows(SUBS) == []
    assert await way_in.rows("SELECT count(*) FROM pe_entity") == [(0,)]
    way_in.desk._open_topics = ("location",)
    await send(way_in, "SUBSCRIBE SECRET", "SUBSCRIBE nothing")
    assert await out(way_in) == ['Test desk: there is no topic "SECRET" to subscribe to. Topics: Location.']
    assert await way_in.rows(SUBS) == []


@async_test
async def test_of_several_of_one_name_none_is_taken(opened: WayIn):
    for code in ("F1", "F2"):
        await incident(opened, code, "Flood")
    await send(opened, "SUBSCRIBE flood")
    assert await out(opened) == ['Test desk: several are called "flood": F1, F2. Nothing was changed.']
    await send(opened, "SUBSCRIBE incident")
    assert [(resource, one) for _, resource, one, *_ in await opened.rows(SUBS)] == [("incident", 0)]


@async_test
async def test_a_colleague_may_have_what_he_may_see_and_no_more(way_in: WayIn):
    seen, hidden = await incident(way_in, "SEEN", "Seen"), await incident(way_in, "HIDDEN", "Hidden")
    entity = await way_in.store.write(people.create_entity, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
    await way_in.store.write(people.add_contact, HUB, entity.id, ANA, 1.0, True)
    await way_in.store.write(
        users.create_user, HUB, "bo", "x", (Grant(Role.READER, "incident", seen),), 1.0, entity_id=entity.id
    )
    await send(way_in, "SUBSCRIBE HIDDEN", "SUBSCRIBE SEEN")
    assert await way_in.rows("SELECT record FROM pe_subscription") == [(seen,)]
    assert hidden not in str(await out(way_in))


@async_test
async def test_a_mail_takes_a_yes_from_its_sender(opened: WayIn):
    await incident(opened, "FLOOD-12", "Flood in the north")
    await opened.router.accept("mail", mail(1, "SUBSCRIBE FLOOD-12"))
    await opened.read()
    [(_, _, _, channel, agreed)] = await opened.rows(SUBS)
    assert (channel, agreed) == ("mailto", 0)
    assert await out(opened) == ["Test desk: you asked for messages about Flood in the north. Reply YES to get them."]
    assert await opened.rows("SELECT verified_at FROM pe_contact") == [(None,)]
    await opened.router.accept("mail", mail(2, "UNSUBSCRIBE FLOOD-12"))  # anybody can write that
    await opened.read()
    assert len(await opened.rows(SUBS)) == 1


@async_test
async def test_no_rule_sees_it_and_stop_is_thought_better_of(opened: WayIn):
    await incident(opened, "FLOOD-12", "Flood in the north")
    rule = Rule(id=0, name="flood", position=0, words=("flood",), resource="incident")
    await opened.store.write(rules.create_rule, HUB, rule, 1.0)
    await send(opened, "STOP", "SUBSCRIBE FLOOD-12")
    assert await opened.rows("SELECT * FROM msg_tag WHERE resource = 'incident'") == []
    assert await opened.rows("SELECT * FROM suppression") == []
    assert len(await opened.rows(SUBS)) == 1


@async_test
async def test_nobody_has_more_than_so_many(opened: WayIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("msgserver.store.self_service.MOST", 1)
    for code in ("A1", "A2"):
        await incident(opened, code, code)
    await send(opened, "SUBSCRIBE A1", "SUBSCRIBE A2")
    assert len(await opened.rows(SUBS)) == 1
    assert "which is all that one may ask for" in (await out(opened))[-1]


@async_test
async def test_a_word_for_a_sender_cannot_ask(opened: WayIn):
    await incident(opened, "A1", "A1")
    await send(opened, "SUBSCRIBE A1", sender=Address("sms", "BANK"))
    assert await opened.rows(SUBS) == []
    assert await opened.rows("SELECT count(*) FROM msg_log") == [(1,)]
