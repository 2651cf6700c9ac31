"""Rules: every condition and action is kept, what cannot be is refused in words, and everything can be taken back."""

import msgspec
import pytest
from sqlalchemy import insert

from msgserver.records import HUB, Find, Holds, Priority, Rule
from msgserver.store import rules
from msgserver.store.edits import Refused
from msgserver.store.schema import rule_hit
from tests.store.desk import user
from tests.store.people import entity

NOW = 1_700_000_000.0
FLOOD = Rule(id=0, name="flood", position=0, words=("water",), resource="incident")


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def test_all_that_a_rule_can_say_is_kept(tx):
    ana, ben = user(tx, "ana"), entity(tx, "Ben")
    said = Rule(
        id=0, name="all", position=4, words=("tent",), stem="english", prefix="need", hashtags=("camp",),
        sender="sms:+93*", connector="sms:", pattern="[0-9]+ tents", holds=(Holds.POSITION, Holds.PHONE),
        from_minute=60, until_minute=30, days=(0, 6), find=Find.PREFIX, resource="location", entity_id=ben,
        priority=Priority.HIGH, actionable=True, verified=True, assign=(ana.user_id,), reply="thanks", spam=True,
        stop=True, active=False,
    )  # fmt: skip
    made = rules.create_rule(tx, HUB, said, NOW)
    (kept,) = rules.rules(tx)
    assert kept == made == msgspec.structs.replace(said, id=made.id)
    assert rules.wordings(tx, made.id)[0].rule == kept


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "name"),
        ({"words": ()}, "when the rule holds"),
        ({"resource": ""}, "what the rule does"),
        ({"resource": "", "record": "x", "spam": True}, "resource type"),
        ({"words": ("...",)}, "neither letters nor digits"),
        ({"prefix": "!"}, "neither letters nor digits"),
        ({"stem": "klingon"}, "known are"),
        ({"pattern": "(a"}, "not understood"),
        ({"pattern": "a*"}, "every message"),
        ({"from_minute": 1441}, "between 00:00 and 24:00"),
        ({"from_minute": 5, "until_minute": 5}, "the same"),
        ({"days": (7,)}, "Monday"),
        ({"find": Find.NAME, "resource": "", "spam": True}, "which resource type"),
        ({"find": Find.PREFIX}, "needs a first word"),
        ({"find": Find.NAME, "record": "u"}, "not both"),
        ({"entity_id": 99}, "no person"),
        ({"assign": (99,)}, "no user"),
        ({"reply": "x" * 1001}, "1000"),
    ],
)
def test_what_no_rule_can_be_is_refused_in_words(tx, changes, words):
    with pytest.raises(Refused, match=words):
        rules.create_rule(tx, HUB, msgspec.structs.replace(FLOOD, **changes), NOW)
    assert rules.rules(tx) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"words": (), "holds": (Holds.PHONE,)}, {"words": (), "days": (1,)}, {"words": (), "hashtags": ("a",)},
        {"words": (), "pattern": "a"}, {"words": (), "find": Find.NAME}, {"resource": "", "reply": "x"},
        {"resource": "", "verified": True},
    ],
)  # fmt: skip
def test_each_of_these_is_enough(tx, changes):
    rules.create_rule(tx, HUB, msgspec.structs.replace(FLOOD, **changes), NOW)


def test_a_change_and_a_removal_are_taken_back_and_a_rule_keeps_its_place(tx):
    first = rules.create_rule(tx, HUB, FLOOD, NOW)
    assert rules.undo(tx, HUB, first.id, NOW) is None
    second = rules.create_rule(tx, HUB, FLOOD, NOW)
    rules.update_rule(tx, HUB, msgspec.structs.replace(first, words=("fire",)), NOW)
    assert rules.move(tx, HUB, first.id, +1, NOW)
    assert [one.id for one in rules.rules(tx)] == [second.id, first.id]
    assert rules.undo(tx, HUB, first.id, NOW).words == ("water",)
    assert [one.id for one in rules.rules(tx)] == [second.id, first.id]
    assert rules.removed(tx) == []
    rules.remove_rule(tx, HUB, first.id, NOW)
    (gone,) = rules.removed(tx)
    assert (gone.rule.id, gone.rule.words) == (first.id, ("water",))
    assert rules.undo(tx, HUB, first.id, NOW).words == ("water",)
    assert rules.removed(tx) == []
    assert rules.undo(tx, HUB, 99, NOW) is None


def test_moving_stops_at_the_ends(tx):
    ids = [rules.create_rule(tx, HUB, FLOOD, NOW).id for _ in range(3)]
    rules.move(tx, HUB, ids[0], -1, NOW)
    rules.move(tx, HUB, ids[2], +1, NOW)
    assert [one.id for one in rules.rules(tx)] == ids
    rules.move(tx, HUB, ids[2], -1, NOW)
    assert [one.id for one in rules.rules(tx)] == [ids[0], ids[2], ids[1]]
    assert not rules.move(tx, HUB, 99, 1, NOW)


def test_hits_are_those_of_seven_days(tx):
    today = int(NOW // 86400)
    rows = [(1, today, 2), (1, today - 6, 3), (1, today - 7, 50), (2, today - 9, 1)]
    tx.execute(insert(rule_hit), [{"rule_id": r, "day": d, "hits": n} for r, d, n in rows])
    assert rules.hits(tx, NOW) == {1: 5}
    assert rules.forget_hits(tx, NOW) == 2
    assert rules.hits(tx, NOW) == {1: 5}
