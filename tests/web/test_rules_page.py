"""The pages about rules: all a rule can say by a form, its order, versions, and the box in which a text is tried."""

from __future__ import annotations

import re

import pytest

from msgserver.records import HUB, EntityKind, Role, Rule
from msgserver.routing.plugins import PluginState
from msgserver.store import people, resources, rules
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Browser, Web

FULL = {
    "name": "Tents", "words": "tent, shelter، خيمة", "stem": "english", "prefix": "need", "hashtags": "#camp, relief",
    "pattern": "[0-9]+ tents", "sender": "sms:+93*", "connector": "sms:", "from": "18:30", "until": "6:00", "day": "5",
    "holds": "phone", "doubted": "yes", "resource": "location", "find": "prefix", "entity": "1", "priority": "3",
    "actionable": "yes", "reply": "Thank you {name}", "assign": "1", "verified": "yes", "spam": "yes", "stop": "yes",
    "off": "yes",
}  # fmt: skip


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana", role=Role.ADMINISTRATOR)


def saved(web: Web) -> list[Rule]:
    kept: list[Rule] = web.store.now(rules.rules)
    return kept


def test_the_form_says_all_that_a_rule_can_say(web: Web, ana: Browser) -> None:
    web.store.now(people.create_entity, HUB, "u", EntityKind.GROUP, "Camp committee", NOW)
    answer = ana.submit("/rules/new", "/rules", **FULL)
    assert (answer.status, answer.header("location")) == (303, "/rules?said=added")
    (rule,) = saved(web)
    assert rule.words == ("tent", "shelter", "خيمة")
    assert (rule.from_minute, rule.until_minute, rule.days, rule.hashtags) == (1110, 360, (5,), ("camp", "relief"))
    assert (rule.verified, rule.assign, rule.active, rule.priority, rule.find.value) == (True, (1,), False, 3, "prefix")
    assert rule.reply == "Thank you {name}"
    page = ana.get("/rules").text
    for words in (
        "Tents",
        "خيمة",
        "18:30 – 06:00",
        "Camp committee",
        "a phone number",
        "any of the words",
        "Urgent",
        "off",
    ):
        assert words in page, words
    again = ana.get("/rules/1").text
    fields = dict(re.findall(r'<input (?:id="\w+" )?name="(\w+)" value="([^"]*)"', again))
    assert fields["words"] == "tent, shelter, خيمة"
    ticked = set(re.findall(r'name="(\w+)" value="\w+" checked', again))
    assert ticked == {"day", "holds", "doubted", "assign", "verified", "spam", "stop", "off"}
    assert ana.submit("/rules/1", "/rules/1", **FULL).status == 303
    assert saved(web) == [rule]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"from": "noon"}, "no time of day"), ({"pattern": "(a"}, "pattern is not understood"),
        ({"words": ""}, "say when"),
        ({"tag": ""}, "say what"), ({"find": "name", "resource": "location", "record": "x"}, "not both"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_and_words_are_kept(web: Web, ana: Browser, wrong: dict[str, str], words: str) -> None:
    sent = {"name": "My rule", "words": "water", "tag": "flood"} | wrong
    answer = ana.submit("/rules/new", "/rules", **sent)
    assert answer.status == 422
    assert words in answer.text
    assert "Nothing was saved" in answer.text
    assert 'role="alert"' in answer.text
    if "from" not in wrong:
        assert 'value="My rule"' in answer.text
    assert saved(web) == []


def test_a_rule_that_tags_with_a_word_or_with_the_hashtags_it_finds_stays_so(web: Web, ana: Browser) -> None:
    ana.submit("/rules/new", "/rules", words="water", tag="Flood")
    ana.submit("/rules/1", "/rules/1", words="water", tag="flood", resource="tag")
    assert (saved(web)[0].resource, saved(web)[0].record) == ("tag", "flood")
    ana.submit("/rules/1", "/rules/1", hashtags="*", tag="", resource="tag", priority="2")
    assert (saved(web)[0].resource, saved(web)[0].record, saved(web)[0].hashtags) == ("tag", "", ("*",))


def test_order_on_and_off_removal_and_undo(web: Web, ana: Browser) -> None:
    for words in ("one", "two", "three"):
        assert ana.submit("/rules/new", "/rules", words=words, tag=words).status == 303
    assert ana.submit("/rules", "/rules/3/move", by="up").status == 303
    assert ana.submit("/rules", "/rules/1/move", by="down").status == 303
    assert [rule.name for rule in saved(web)] == ["three", "one", "two"]
    ana.submit("/rules", "/rules/1/switch", to="off")
    assert [rule.active for rule in saved(web)] == [True, False, True]
    ana.submit("/rules/1", "/rules/1", words="uno", tag="one", name="one", off="yes")
    page = ana.get("/rules/1").text
    assert "Version 2" in page
    assert "ana" in page
    assert ana.submit("/rules/1", "/rules/1/undo").status == 303
    assert saved(web)[1].words == ("one",)
    assert ana.submit("/rules/1", "/rules/1/restore", version="3").status == 303
    assert saved(web)[1].words == ("uno",)
    ana.submit("/rules", "/rules/1/remove")
    assert len(saved(web)) == 2
    assert "Bring it back" in ana.get("/rules").text
    ana.submit("/rules", "/rules/1/undo")
    assert len(saved(web)) == 3
    for act in ("/move", "/switch", "/remove", "/undo", "/restore", ""):
        path = f"/rules/99{act}"
        token = ana.get("/rules").text.split('name="csrf" value="')[1].split('"')[0]
        assert ana.post(path, csrf=token, by="up", version="1").status == 404, path


def test_two_who_change_one_rule(web: Web, ana: Browser) -> None:
    ana.submit("/rules/new", "/rules", words="one", tag="one")
    ana.submit("/rules/1", "/rules/1", words="two", tag="one")
    answer = ana.submit("/rules/1", "/rules/1", words="three", tag="one", version="1")
    assert answer.status == 409
    assert "Nothing was saved" in answer.text
    assert 'value="three"' in answer.text
    assert saved(web)[0].words == ("two",)


def test_a_text_is_tried_and_nothing_happens(web: Web, ana: Browser) -> None:
    ana.submit("/rules/new", "/rules", words="water", tag="flood", priority="2", name="Flood", reply="We come")
    page = ana.submit("/rules", "/rules/test", try_text="Water at 34.5281, 69.1723", try_sender="+93701234567").text
    for words in (
        "This would happen",
        "flood",
        "rule &#34;Flood&#34;: word &#34;water&#34;",
        "High",
        "34.5281",
        "We come",
    ):
        assert words in page, words
    assert "No rule acts on it" in ana.submit("/rules", "/rules/test", try_text="dry").text
    assert "Reply START" in ana.submit("/rules", "/rules/test", try_text="stop").text
    assert ana.submit("/rules", "/rules/test", try_text="x", try_sender="nobody").status == 422
    assert web.store.now(lambda tx: tx.exec_driver_sql("select count(*) from rule_hit").scalar()) == 0


def test_a_wording_is_tried_before_it_is_saved(web: Web, ana: Browser) -> None:
    page = ana.submit("/rules/new", "/rules", words="fire", tag="fire", act="try", try_text="Fire!").text
    assert "This would happen" in page
    assert 'value="fire"' in page
    assert saved(web) == []
    ana.submit("/rules/new", "/rules", words="fire", tag="fire")
    page = ana.submit("/rules/1", "/rules/1", words="smoke", tag="fire", act="try", try_text="smoke").text
    assert "word &#34;smoke&#34;" in page
    assert saved(web)[0].words == ("fire",)


def test_reserved_words_hits_and_plug_ins_are_shown(web: Web, ana: Browser) -> None:
    ana.submit("/rules/new", "/rules", words="stop, water", tag="x")
    web.store.now(lambda tx: tx.exec_driver_sql(f"insert into rule_hit values (1, {int(NOW // 86400)}, 12)") and None)
    web.house.plugins.states = lambda: [PluginState("floods", "floods.py", False, "rests for 60 s more", 9, 3)]
    page = ana.get("/rules").text
    assert "wants no more messages" in page
    assert "12 messages in 7 days" in page
    assert "rests for 60 s more" in page
    assert "wants no more messages" in ana.get("/rules/1").text


def test_what_the_rules_made_of_a_message_is_shown_with_how_sure_it_is(web: Web, ana: Browser) -> None:
    ticket_id = web.store.now(conversation)
    message_id = web.store.now(message, ticket_id, tags=("tag/flood",))
    web.store.now(
        lambda tx: tx.exec_driver_sql("update msg_tag set confidence = 0.8, why = 'it speaks of York'") and None
    )
    web.store.now(lambda tx: tx.exec_driver_sql("update msg_log set decided = '[\"rule of thumb\"]'") and None)
    assert "it speaks of York (80 % sure)" in " ".join(ana.get(f"/tickets/{ticket_id}").text.split())
    trace = ana.get(f"/trace/{message_id}").text
    assert "rule of thumb" in trace
    assert "(80 % sure)" in trace


def test_types_of_ones_own_can_be_chosen(web: Web, ana: Browser) -> None:
    page = ana.get("/rules/new").text
    assert '<option value="location">' in page
    assert '<option value="sms:">' in page
    assert '<option value="modem1">' in page


def test_a_record_and_a_receiver_are_written_as_people_call_them(web: Web, ana: Browser) -> None:
    """A code kept as if it were a uid would file messages under a record that nobody ever sees."""
    school = web.store.now(
        resources.create_record, HUB, "0b-1", "location", {"name": "Green School", "code": "SITE12"}, NOW
    )
    team = web.store.now(people.create_entity, HUB, "u", EntityKind.GROUP, "Shelter team", NOW)
    sent = {"words": "roof", "resource": "location"}
    assert ana.submit("/rules/new", "/rules", **sent, record="site12", to="shelter team").status == 303
    (rule,) = saved(web)
    assert (rule.record, rule.entity_id) == (school.uid, team.id)
    shown = ana.get("/rules").text
    assert "location/Green School" in shown
    assert "another application" not in shown
    form = ana.get("/rules/1").text
    assert 'name="record" value="SITE12"' in form
    assert 'name="to" value="Shelter team"' in form
    tried = ana.submit("/rules/new", "/rules", **sent, record="Green School", act="try", try_text="the roof").text
    assert "location/Green School" in tried


def test_names_of_several_or_nobody_are_said(web: Web, ana: Browser) -> None:
    for uid, name in (("a", "Green School"), ("b", "Green Hospital")):
        web.store.now(resources.create_record, HUB, uid, "location", {"name": name}, NOW)
        web.store.now(people.create_entity, HUB, uid, EntityKind.GROUP, name, NOW)
    sent = {"words": "roof", "resource": "location"}
    several = ana.submit("/rules/new", "/rules", **sent, record="green")
    assert several.status == 422
    assert "may be Green Hospital (b), Green School (a). Write which one is meant." in several.text
    assert 'name="record" value="green"' in several.text
    assert (
        "may be Green Hospital, Green School. Write the whole name"
        in ana.submit("/rules/new", "/rules", **sent, to="green").text
    )
    assert "nobody is called “Zed”" in ana.submit("/rules/new", "/rules", **sent, to="Zed").text
    assert saved(web) == []
    assert ana.submit("/rules/new", "/rules", **sent, record="their-17").status == 303
    assert "under one of another application" in ana.get("/rules").text
