"""The further conditions and actions of rules: endings, hashtags, patterns, hours, records by what they are called."""

import time
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.tokens import joined
from msgserver.message import Address
from msgserver.records import Find, Named, Priority, Rule, RuleSet
from msgserver.routing.decision import Decision, Suggestion, Words
from msgserver.routing.names import Names, ready
from msgserver.routing.parser import compile_rules, parse

ANA = Address("sms", "+15551234")
MONDAY_NOON = 1_699_876_800.0  # Monday 13 November 2023, 12:00 UTC
SITES = (
    Named("u-12", "site", "Riverside School", "site12", ("school by the river",)),
    Named("u-13", "site", "Camp Nord", "site13"),
    Named("l-1", "location", "Springfield"),
    Named("l-2", "location", "Springfield", aliases=("Springfield North",)),
    Named("l-3", "location", "New York"),
    Named("l-4", "location", "York"),
    Named("l-5", "location", "北京"),
    Named("l-6", "location", "Ur", "ur"),
    Named("l-7", "location", "القاهرة", aliases=("Cairo", "Le Caire")),
)


def decide(
    text: str,
    *rules: Rule,
    subject: str = "",
    sender: Address | None = ANA,
    at: float = MONDAY_NOON,
    trust: str = "",
    robot: str = "",
    records: tuple[Named, ...] = SITES,
    suggestions: tuple[Suggestion, ...] = (),
) -> Decision:
    compiled = compile_rules(RuleSet(7, rules), Names(records), ZoneInfo("Asia/Kabul"))
    words = Words(joined(subject), joined(text), sender, "modem1", f"{subject}\n{text}", at, trust, robot)
    return parse(words, compiled, suggestions)


def rule(n: int = 1, **named: object) -> Rule:
    return Rule(**{"id": n, "name": f"r{n}", "position": n, "resource": "incident", "record": f"u{n}"} | named)  # type: ignore[arg-type]


def tags(decision: Decision) -> list[tuple[str, str]]:
    return [(tag.resource, tag.record) for tag in decision.tags]


HIT = [("incident", "u1")]


def test_other_endings_are_found_where_a_rule_says_so_and_are_less_sure():
    (found,) = decide("we need TENTS", rule(words=("tent",), stem="english")).tags
    assert (found.confidence, found.why) == (0.9, 'rule "r1": word "tent" (as "tents")')
    (found,) = decide("a tent please", rule(words=("tents", "tent"), stem="english")).tags
    assert found.why == 'rule "r1": word "tents" (as "tent")'
    assert decide("we need tents", rule(words=("tent",))).tags == ()
    assert tags(decide("des inondations partout", rule(words=("inondation",), stem="french"))) == HIT
    assert decide("a tent", rule(words=("tent",), stem="english")).tags[0].confidence == 1.0


def test_a_hashtag_of_a_rule_in_any_script_and_not_the_bare_word():
    assert ("incident", "u1") in tags(decide("help #Flood now", rule(hashtags=("#flood",))))
    assert tags(decide("help flood now", rule(hashtags=("flood",)))) == []
    assert ("incident", "u1") in tags(decide("#洪水!", rule(hashtags=("洪水",))))
    both = rule(hashtags=("flood",), words=("boat",))
    assert ("incident", "u1") in tags(decide("boat #flood", both))
    assert ("incident", "u1") not in tags(decide("boat", both))
    assert ("incident", "u1") not in tags(decide("#flood", both))


def test_hashtags_become_tags_by_themselves_but_not_those_of_robots():
    assert tags(decide("#Flood #water #42")) == [("tag", "flood"), ("tag", "water")]
    assert decide("#flood").tags[0].why == "hashtag #flood"
    assert tags(decide("#flood", robot="a mailing list")) == []
    assert tags(decide("buy #pills", rule(words=("buy",), spam=True, resource="", record=""))) == []
    assert tags(decide("#flood #x", rule(words=("flood",), stop=True))) == HIT
    assert len(decide(" ".join(f"#t{n}" for n in range(50))).tags) == 10


def test_any_hashtag_of_a_rule_that_tags_with_it():
    routed = rule(hashtags=("*",), resource="tag", record="", entity_id=9)
    decision = decide("#flood #fire", routed)
    assert (tags(decision), decision.routes) == ([("tag", "flood"), ("tag", "fire")], (9,))
    assert decide("nothing", routed).routes == ()


def test_a_code_is_the_record_that_has_it_or_those_few():
    (found,) = decide("all well @SITE12.").tags
    assert (found.resource, found.record, found.why) == ("site", "u-12", "it names @site12")
    assert decide("mail me at ana@site12").tags == ()
    twins = tuple(Named(f"t{n}", "site", f"T{n}", "twin") for n in range(2))
    assert [(tag.record, tag.confidence) for tag in decide("@twin", records=twins).tags] == [("t0", 0.5), ("t1", 0.5)]
    many = tuple(Named(f"t{n}", "site", f"T{n}", "twin") for n in range(4))
    assert decide("@twin", records=many).tags == ()


def test_what_follows_the_first_word_is_a_record_of_the_type():
    report = rule(prefix="FLOOD", resource="site", record="", find=Find.PREFIX)
    (found,) = decide("flood site12 water is rising", report).tags
    assert (found.record, found.why) == ("u-12", 'rule "r1": first word "FLOOD", then "site12"')
    assert tags(decide("Flood: camp nord, boats needed", report)) == [("site", "u-13")]
    assert tags(decide("flood school by the river", report)) == [("site", "u-12")]
    assert tags(decide("flood new york", report)) == [("site", "")]  # a location is no site
    (none,) = decide("flood site99 help", report).tags
    assert (none.record, none.confidence) == ("", 0.5)
    assert "no site is called what follows" in none.why
    assert tags(decide("water", report, subject="Flood site12")) == [("site", "u-12")]


def test_records_are_found_by_name_in_running_text_the_longest_meant():
    places = rule(resource="location", record="", find=Find.NAME)
    (found,) = decide("the bridge in New  York fell", places).tags
    assert (found.record, found.confidence, found.why) == ("l-3", 0.8, 'rule "r1": it speaks of "New York"')
    assert tags(decide("road to york", places)) == [("location", "l-4")]
    assert [(tag.record, tag.confidence) for tag in decide("fire in Springfield", places).tags] == [
        ("l-1", 0.5),
        ("l-2", 0.5),
    ]
    assert tags(decide("fire in springfield north", places)) == [("location", "l-2")]
    assert tags(decide("我在北京市", places)) == [("location", "l-5")]
    assert tags(decide("نحن في القاهرة", places)) == [("location", "l-7")]
    assert tags(decide("au Caire: le caire", places)) == [("location", "l-7")]
    assert tags(decide("ur the best", places)) == []  # two letters are too few for running text
    assert tags(decide("Riverside School", places)) == []  # of another type
    needs = rule(resource="location", record="", find=Find.NAME, words=("fire",))
    assert tags(decide("fire in York", needs)) == [("location", "l-4")]
    assert tags(decide("water in York", needs)) == []
    assert tags(decide("fire", needs)) == []


def test_names_change_record_by_record():
    names = Names(SITES)
    names.put(ready(Named("u-13", "site", "Camp South", "site14", version=2)))
    names.remove("l-4")
    names.remove("not there")
    assert names.coded("site13") == []
    assert names.coded("site14") == [("site", "u-13")]
    assert names.following(("camp", "nord"), 0, "site") == []
    assert [call.uid for call in names.following(("camp", "south"), 0, "site")] == ["u-13"]
    assert names.spoken_of(("york",), frozenset({"location"})) == []
    assert (len(names), names.versions["u-13"]) == (len(SITES) - 1, 2)
    for uid in list(names.versions):
        names.remove(uid)
    assert names.spoken_of(("new", "york"), frozenset({"location"})) == []


def test_a_pattern_alone_and_beside_others():
    wanted = rule(pattern=r"\b\d+ (tents|blankets)\b")
    (found,) = decide("send 20 Blankets", wanted).tags
    assert found.why == 'rule "r1": pattern found "20 Blankets"'
    assert decide("send blankets", wanted).tags == ()
    assert tags(decide("x", wanted, subject="3 tents")) == HIT
    both = rule(pattern=r"\d+ tents", words=("send",))
    assert tags(decide("send 20 tents", both)) == HIT
    assert tags(decide("send tents", both)) == tags(decide("20 tents", both)) == []


def test_no_pattern_makes_a_message_slow():
    """THREATS T33."""
    evil = [rule(n, pattern=pattern) for n, pattern in enumerate(("(a+)+$", "(a|aa)+$", r"(\w+\s?)*!", "(.*a){15}"), 1)]
    compiled = compile_rules(RuleSet(1, tuple(evil)))
    text = "a" * 100_000 + "!"
    since = time.process_time()
    parse(Words("", joined(text), ANA, "m", text), compiled)
    assert time.process_time() - since < 0.5


def test_hours_and_days_are_the_hubs_own():
    # Noon UTC on Monday is 16:30 in Kabul.
    assert tags(decide("x", rule(from_minute=16 * 60, until_minute=17 * 60))) == HIT
    assert tags(decide("x", rule(from_minute=12 * 60, until_minute=13 * 60))) == []
    assert tags(decide("x", rule(days=(0,)))) == HIT
    assert tags(decide("x", rule(days=(1, 6)))) == []
    night = rule(from_minute=22 * 60, until_minute=6 * 60, days=(0,))
    assert tags(decide("x", night, at=MONDAY_NOON + 7 * 3600)) == HIT  # 23:30 on Monday
    assert tags(decide("x", night, at=MONDAY_NOON + 12 * 3600)) == HIT  # 04:30 on Tuesday: Monday's night
    assert tags(decide("x", night, at=MONDAY_NOON - 12 * 3600)) == []  # 04:30 on Monday: Sunday's night
    assert decide("water", rule(words=("water",), days=(0,))).tags[0].why == 'rule "r1": word "water", came at 16:30'


def test_verified_only_where_the_sender_is_proven():
    trusted = rule(sender="*", verified=True)
    assert decide("x", trusted).verified == 'rule "r1"'
    mail = Address("mailto", "ana@ngo.example")
    forged = decide("x", trusted, sender=mail)
    assert forged.verified == ""
    assert "nothing proves" in forged.why[0]
    assert decide("x", trusted, sender=mail, trust="logged in as ana").verified == 'rule "r1"'


def test_assignees_and_replies_of_all_rules_that_match():
    decision = decide(
        "water",
        rule(1, words=("water",), assign=(3, 4), reply="Noted."),
        rule(2, sender="*", assign=(4, 5), reply="Hi."),
    )
    assert decision.assign == (3, 4, 5)
    assert decision.replies == ((1, "Noted."), (2, "Hi."))
    assert [match.rule_id for match in decision.matches] == [1, 2]


def test_what_plugins_suggest_comes_after_the_rules_and_not_after_a_stop():
    idea = Suggestion(
        parser="weather",
        tags=(("incident", "storm"),),
        routes=(8,),
        priority=Priority.URGENT,
        why="wind",
        confidence=0.7,
    )
    decision = decide("water", rule(words=("water",), priority=Priority.HIGH), suggestions=(idea,))
    assert tags(decision) == [*HIT, ("incident", "storm")]
    assert decision.tags[1].why == 'parser "weather": wind'
    assert (decision.tags[1].confidence, decision.priority, decision.routes) == (0.7, Priority.HIGH, (8,))
    assert tags(decide("water", rule(words=("water",), stop=True), suggestions=(idea,))) == HIT


TEXTS = st.text(st.sampled_from("#@ aАя北12٣floodsite."), max_size=60)


@given(TEXTS, st.integers(0, 2**33))
def test_whatever_comes_there_is_a_decision(text: str, at: int):
    everything = (
        rule(1, words=("flood", "北"), stem="english"),
        rule(2, prefix="a", resource="site", record="", find=Find.PREFIX),
        rule(3, resource="location", record="", find=Find.NAME),
        rule(4, hashtags=("*",), resource="tag", record=""),
        rule(5, pattern="(a+)+1", days=(1, 2), from_minute=5),
    )
    for tag in decide(text, *everything, at=float(at)).tags:
        assert tag.why
        assert 0 < tag.confidence <= 1


def test_a_text_that_names_a_position_or_a_number():
    where, call = rule(1, holds=("position",)), rule(2, holds=("phone",))
    (found,) = decide("water at 34.5281, 69.1723 now", where, call).tags
    assert (found.record, found.why) == ("u1", 'rule "r1": it names the position 34.5281, 69.1723')
    for text in ("34°31'41\"N 69°10'20\"E", "geo:34.5,69.17", "https://maps.google.com/?q=34.528,69.172"):
        assert tags(decide(text, where, call)) == HIT, text
    (found,) = decide("call +93 70 123 4567", where, call).tags
    assert (found.record, found.why) == ("u2", 'rule "r2": it names the number +93701234567')
    both = rule(words=("tents",), holds=("position", "phone"))
    assert tags(decide("tents at 34.5281, 69.1723, call +93 70 123 4567", both)) == HIT
    assert tags(decide("tents at 34.5281, 69.1723", both)) == []


def test_a_rule_may_name_a_channel_by_its_kind():
    assert tags(decide("x", rule(connector="sms:"))) == HIT
    assert decide("x", rule(connector="sms:")).tags[0].why == 'rule "r1": came by sms'
    assert tags(decide("x", rule(connector="sms:"), sender=Address("mailto", "a@b"))) == []
    assert tags(decide("x", rule(connector="sms:"), sender=None)) == []
