"""The tokeniser: every script findable, and quick where it matters."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.reading import Reading
from msgserver.formats.tokens import LONGEST, MOST, first, fold, joined, phrase, terms, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("!?-- \n\t", ()),
        ("The Bridge IS out", ("the", "bridge", "is", "out")),
        ("ana.maria@example.org", ("ana", "maria", "example", "org")),
        ("12,000 boats_3", ("12", "000", "boats", "3")),
        ("Água ÇA Straße", ("agua", "ca", "strasse")),
        ("Łódź Ærø", ("lodz", "aero")),
        ("e\u0301a", ("ea",)),
        ("ΣΊΣΥΦΟΣ σίσυφος", ("σισυφοσ", "σισυφοσ")),
        ("мёд МЁД", ("мед", "мед")),
        ("مُدَرِّسَةٌ", ("مدرسه",)),
        ("الأرض إلى آخر ٱلله", ("الارض", "الي", "اخر", "الله")),
        ("مـــاء ٢٣ ۲۳", ("ماء", "23", "23")),
        ("کی كي", ("كي", "كي")),
        ("می\u200cخواهم", ("ميخواهم",)),
        ("שָׁלוֹם", ("שלום",)),
        ("हिन्दी पानी", ("हिन्दी", "पानी")),
        ("東京都", ("東京", "京都", "都")),
        ("水", ("水",)),
        ("abc東京12", ("abc", "東京", "京", "12")),
        ("한국어", ("한국", "국어", "어")),
        ("ﾊﾝｶｸ ハンカク", ("ハン", "ンカ", "カク", "ク", "ハン", "ンカ", "カク", "ク")),
        ("น้ำ", tokens("น้ำ")),
        ("fire🔥here", ("fire", "🔥", "here")),
        ("soft\u00adhyphen", ("softhyphen",)),
        ("a\x00b\ud800c", ("a", "b", "c")),
        ("ﬁne ℡ ²", ("fine", "tel", "2")),
    ],
)
def test_examples(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("water", (("water",), False)),
        ("東京都", (("東京", "京都"), False)),
        ("都", (("都",), True)),
        ("東京 大阪", (("東京", "京", "大阪"), False)),
        ("x 都", (("x", "都"), True)),
        ("京都 都", (("京都", "都", "都"), True)),
        ("??", ((), False)),
    ],
)
def test_phrases(text, expected):
    assert phrase(text) == expected


def stands(part, whole):
    found, beginning = phrase(part)
    text = f" {' '.join(tokens(whole))} "
    return not found or f" {' '.join(found)}{'' if beginning else ' '}" in text


_unspaced = st.text("東京都大阪市水火สวัด日本語ひらカタ", min_size=1, max_size=8)


@given(_unspaced, _unspaced, _unspaced)
def test_any_piece_of_unspaced_text_is_found(before, piece, after):
    assert stands(piece, before + piece + after)


@given(st.text(), st.text(), st.text())
def test_whole_words_are_found(before, piece, after):
    assert stands(piece, f"{before} {piece} {after}")


@given(st.text())
def test_tokens_hold_nothing_a_database_would_cut(text):
    for token in tokens(text):
        assert 0 < len(token) <= LONGEST
        assert token.isprintable() or not token.isascii()
        for sign in token:
            assert (
                (sign.isalnum() and sign == sign.lower()) if sign.isascii() else unicodedata.category(sign)[0] in "LNMS"
            )
        assert not set(token) & set("¹²³")


@given(st.text())
def test_folding_again_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


_pieces = st.one_of(st.text(st.characters(max_codepoint=127)), st.sampled_from(["a" * n for n in (63, 64, 65, 200)]))


@given(st.lists(_pieces, max_size=40).map("".join))
def test_plain_text_is_cut_at_all_that_is_no_letter_or_digit(text):
    words = re.findall("[a-z0-9]+", text.lower())
    assert joined(text) == " ".join(word[:LONGEST] for word in words)


@given(st.lists(st.sampled_from(["a", "water", "é"])), st.integers(0, 40))
def test_the_first_of_joined_tokens(words, most):
    assert first(" ".join(words), most) == " ".join(words[:most])


def test_what_is_quoted_is_not_new():
    assert terms(Reading(subject="A b", text="Yes!")).fresh == "yes"
    answer = terms(Reading(text="Yes!\n> really?", quoted_from=5))
    assert (answer.body, answer.fresh) == ("yes really", "yes")
    assert terms(Reading(text="> really?", quoted_from=0)).fresh == ""


def test_caps():
    assert len(tokens("a " * (MOST + 5))) == MOST
    assert len(tokens("水" * (2 * MOST))) == MOST
    assert tokens("x" * 1000) == ("x" * LONGEST,)
