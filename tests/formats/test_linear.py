import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.linear import LONGEST, Patterns, mistake


def found(text: str, *patterns: str) -> list[tuple[int, str]]:
    return [(hit.place, hit.text) for hit in Patterns(patterns).search(text)]


def test_a_pattern_finds_its_text_whatever_the_case():
    assert found("No Water here", r"wat\w+") == [(0, "Water")]
    assert found("пришла ВОДА", "вода") == [(0, "ВОДА")]
    assert found("nothing", r"wat\w+") == []


def test_each_of_many_patterns_finds_its_own():
    assert found("2 tents, 12 blankets", r"\d+ tents", "fire", r"\d+ blankets") == [(0, "2 tents"), (2, "12 blankets")]
    thousand = [rf"code{n}\b" for n in range(1000)]
    assert found("see code77 and code999", *thousand) == [(77, "code77"), (999, "code999")]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}", r"([a-zA-Z]+)*\d", "(a?){200}a{200}b"])
def test_no_pattern_and_text_take_long_together(pattern: str):
    since = time.process_time()
    Patterns([pattern, "x" + pattern]).search("a" * 100_000 + "!")
    assert time.process_time() - since < 1


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", "missing"),
        (r"(a)\1", "escape"),
        ("(?=a)", "invalid"),
        ("a*", "every message"),
        ("x" * (LONGEST + 1), "characters"),
        ("((a{100}){100}){100}", "repetition"),
    ],
)
def test_what_cannot_be_a_pattern_is_told_in_words(pattern: str, words: str):
    assert words in mistake(pattern)


def test_a_broken_pattern_among_others_keeps_none_of_them_from_matching():
    assert found("fire and water", "(", "fire", "water") == [(1, "fire"), (2, "water")]
    assert found("fire", "(") == []


@given(st.text(max_size=60), st.text(max_size=200))
def test_whatever_the_pattern_it_is_refused_or_it_runs(pattern: str, text: str):
    if not mistake(pattern):
        assert Patterns([pattern, "x"]).search(text) is not None
