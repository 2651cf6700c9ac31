import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.tokens import joined
from msgserver.message import Address
from msgserver.records import Priority, Rule, RuleSet
from msgserver.routing.parser import Decision, Words, compile_rules, matches, parse

ANA = Address("sms", "+15551234")


def decide(
    text: str, *rules: Rule, subject: str = "", sender: Address | None = ANA, connector: str = "modem1"
) -> Decision:
    compiled = compile_rules(RuleSet(7, rules))
    return parse(Words(joined(subject), joined(text), sender, connector), compiled)


def tag(n: int, **conditions: object) -> Rule:
    return Rule(id=n, name=f"r{n}", position=n, resource="incident", record=f"u{n}", **conditions)  # type: ignore[arg-type]


def records(decision: Decision) -> list[str]:
    return [tag.record for tag in decision.tags]


def test_a_word_is_found_whatever_its_case_and_not_inside_another():
    rule = tag(1, words=("water",))
    assert records(decide("No WATER here!", rule)) == ["u1"]
    assert records(decide("the waterfall", rule)) == []


def test_a_phrase_is_found_as_its_words_in_a_row():
    rule = tag(1, words=("clean water",))
    assert records(decide("we need clean, water", rule)) == ["u1"]
    assert records(decide("clean the water", rule)) == []


def test_words_of_any_script_are_found():
    assert records(decide("دخلت المِياهُ البيت", tag(1, words=("المياه",)))) == ["u1"]
    assert records(decide("今天大洪水来了", tag(1, words=("洪水",)))) == ["u1"]
    assert records(decide("今天大雨来了", tag(1, words=("洪水",)))) == []
    assert records(decide("今天大水来了", tag(1, words=("水",)))) == ["u1"]
    assert records(decide("ÇA MONTE: L'EAU", tag(1, words=("eau",)))) == ["u1"]
    assert records(decide("пришла ВОДА", tag(1, words=("вода",)))) == ["u1"]


def test_the_why_is_in_words_a_person_understands():
    (found,) = decide("no water", tag(3, words=("fire", "water"), connector="modem1")).tags
    assert found.why == 'rule "r3": word "water", came by modem1'
    assert found.rule_id == 3


def test_a_prefix_is_the_first_word_only():
    rule = tag(1, prefix="report")
    assert records(decide("REPORT three wounded", rule)) == ["u1"]
    assert records(decide("I report three wounded", rule)) == []
    assert records(decide("three", rule, subject="Report")) == ["u1"]


def test_every_named_condition_must_hold():
    rule = tag(1, words=("water",), prefix="need", sender="sms:+1555*", connector="modem1")
    assert records(decide("need water", rule)) == ["u1"]
    assert records(decide("water need", rule)) == []
    assert records(decide("need water", rule, sender=Address("sms", "+1666"))) == []
    assert records(decide("need water", rule, connector="modem2")) == []
    assert records(decide("need water", rule, sender=None)) == []


def test_senders_and_connectors_alone_match_too():
    assert records(decide("x", tag(1, sender="+15551234"))) == ["u1"]
    assert records(decide("x", tag(1, sender="sms:+15551234"))) == ["u1"]
    assert records(decide("x", tag(1, sender="+1666"))) == []
    assert records(decide("x", tag(1, sender="*1234"))) == ["u1"]
    assert records(decide("x", tag(1, connector="modem1"))) == ["u1"]
    assert records(decide("x", tag(1, connector="mail"))) == []


def test_a_rule_without_conditions_or_switched_off_never_matches():
    assert decide("water", tag(1), tag(2, words=("water",), active=False), tag(3, words=("...",))) == Decision()


def test_the_most_specific_decides_what_only_one_can():
    general = Rule(id=1, name="any", position=1, words=("water",), priority=Priority.LOW, actionable=False)
    special = Rule(id=2, name="phrase", position=2, words=("rising water",), priority=Priority.HIGH)
    narrow = Rule(id=3, name="narrow", position=3, words=("water",), connector="modem1", priority=Priority.URGENT)
    assert decide("rising water", general, special).priority is Priority.HIGH
    assert decide("rising water", general, special, narrow).priority is Priority.URGENT
    assert decide("rising water", general, special, narrow).actionable is False
    assert decide("dry", general).priority is Priority.NORMAL


def test_all_rules_that_match_tag_and_stop_ends_it():
    assert records(decide("fire and water", tag(1, words=("fire",)), tag(2, words=("water",)))) == ["u1", "u2"]
    assert records(decide("fire and water", tag(1, words=("fire",), stop=True), tag(2, words=("water",)))) == ["u1"]


def test_routes_are_kept_once():
    rules = [Rule(id=i, name="x", position=i, words=(word,), entity_id=9) for i, word in enumerate(("a", "b"))]
    assert decide("a b", *rules).routes == (9,)


class Uncut(str):
    __slots__ = ()

    def split(self, *args, **named):
        raise AssertionError("nobody asked for its words")


def test_words_that_no_rule_looks_at_are_not_cut():
    words = Words(Uncut("a subject"), Uncut("some text"), ANA, "modem1", "some text #boat")
    rules = (tag(1, sender="sms:*"), tag(2, hashtags=("boat",)), tag(3, pattern="some"))
    assert sorted(records(parse(words, compile_rules(RuleSet(1, rules))))) == ["boat", "u1", "u2", "u3"]
    with pytest.raises(AssertionError):
        parse(words, compile_rules(RuleSet(1, (tag(1, words=("text",)),))))


def test_a_thousand_rules_cost_less_than_a_millisecond():
    rules = [tag(i, words=(f"word{i}", f"two words{i}"), priority=Priority.LOW) for i in range(500)]
    rules += [tag(i, sender=f"*@host{i}.example") for i in range(500, 1000)]
    compiled = compile_rules(RuleSet(1, tuple(rules)))
    words = Words(joined("a subject"), joined("some text " * 80 + "word77"), Address("mailto", "a@b.example"), "mail")
    best = min(_timed(lambda: parse(words, compiled)) for _ in range(20))
    assert records(parse(words, compiled)) == ["u77"]
    assert best < 0.001


def _timed(act) -> float:
    begun = time.process_time()
    act()
    return time.process_time() - begun


def test_patterns_with_many_stars_do_not_backtrack():
    address = Address("mailto", "a" * 300 + "@x")
    assert _timed(lambda: matches("*a*a*a*a*a*a*a*a*a*a*a*b", address)) < 1
    assert matches("*a*a*@x", address)


def test_stars_in_front_and_inside_match_as_rules():
    assert records(decide("x", tag(1, sender="*@un.example"), sender=Address("mailto", "ana@un.example"))) == ["u1"]
    assert records(decide("x", tag(1, sender="*@un.example"), sender=Address("mailto", "ana@un.example.evil"))) == []
    assert records(decide("x", tag(1, sender="ana*@un.example"), sender=Address("mailto", "ana.b@un.example"))) == [
        "u1"
    ]
    assert records(decide("x", tag(1, sender="*"), sender=Address("mailto", "a@b"))) == ["u1"]


@given(st.text(), st.text(), st.text(), st.text())
def test_parsing_is_total(word: str, prefix: str, sender: str, text: str):
    decide(text, tag(1, words=(word,)), tag(2, prefix=prefix), tag(3, sender=sender), subject=text)


@given(st.lists(st.text(alphabet="ab*", max_size=5), max_size=3), st.text(alphabet="ab", max_size=8))
def test_the_star_means_what_fnmatch_says(pieces: list[str], value: str):
    from fnmatch import fnmatchcase

    pattern = "".join(pieces)
    if value:
        assert matches(pattern, Address("x", value)) == (
            fnmatchcase(value, pattern) or fnmatchcase(f"x:{value}", pattern)
        )
