from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.stems import LANGUAGES, stem, stems


def test_plurals_meet_their_singular():
    assert stem("tents", "english") == stem("tent", "english")
    assert stem("inondations", "french") == stem("inondation", "french")
    assert stem("casas", "spanish") == stem("casa", "spanish")
    assert stem("воды", "russian") == stem("вода", "russian")
    assert stem("tent", "english") != stem("tension", "english")


def test_a_language_that_is_not_known_leaves_words_alone():
    assert stems(("tents", "here"), "klingon") == ("tents", "here")


@given(st.text(max_size=70), st.sampled_from(LANGUAGES))
def test_any_word_has_a_stem_in_any_language(word: str, language: str):
    assert bool(stem(word, language)) == bool(word)
