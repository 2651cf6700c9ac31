import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.sms import (
    GSM7,
    UCS2,
    Alphabet,
    choose,
    decode,
    encode,
    graphemes,
    lacking,
    measure,
    split,
    substitute,
)

GSM_TEXT = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡AZÄÖÑÜ§¿azäöñüà^{}\\[~]|€"


@pytest.mark.parametrize(
    ("text", "parts", "units"),
    [
        ("", 1, 0),
        ("a" * 160, 1, 160),
        ("a" * 161, 2, 161),
        ("a" * 306, 2, 306),
        ("a" * 307, 3, 307),
        ("€" * 80, 1, 160),
        ("a" + "€" * 80, 2, 161),
        ("я" * 70, 1, 70),
        ("я" * 71, 2, 71),
        ("я" * 134, 2, 134),
        ("я" * 135, 3, 135),
        ("😀" * 35, 1, 70),
        ("😀" * 36, 2, 72),
    ],
)
def test_counts_parts_and_units(text, parts, units):
    counted = measure(text)
    assert (counted.parts, counted.units) == (parts, units)


def test_every_gsm_character_survives():
    assert decode(encode(GSM_TEXT, GSM7), GSM7) == GSM_TEXT
    assert not lacking(GSM_TEXT)


def test_no_escape_pair_is_cut():
    parts = split("a" * 152 + "€" + "b" * 20)
    assert parts[0].text == "a" * 152
    assert parts[1].text.startswith("€")


def test_no_surrogate_pair_is_cut():
    parts = split("я" * 66 + "😀" + "я" * 10)
    assert [len(part.units) // 2 for part in parts] == [66, 12]
    assert parts[1].text.startswith("😀")


@pytest.mark.parametrize("grapheme", ["👨‍👩‍👧‍👦", "🇦🇫", "👍🏽", "नि", "g̈", "1️⃣"])
def test_a_grapheme_stays_whole_across_the_cut(grapheme):
    parts = split("я" * 66 + grapheme + "я" * 20)
    assert any(grapheme in part.text for part in parts)
    assert list(graphemes("a" + grapheme + "b")) == ["a", grapheme, "b"]


def test_flags_pair_up():
    assert list(graphemes("🇦🇫🇫🇷🇩")) == ["🇦🇫", "🇫🇷", "🇩"]


def test_a_grapheme_longer_than_a_part_is_cut_after_all():
    monster = "e" + "\u0301" * 300
    parts = split(monster)
    assert "".join(part.text for part in parts) == unicodedata.normalize("NFC", monster)
    assert all(len(part.units) <= 134 for part in parts)


def test_names_what_forces_unicode_and_offers_a_plain_text():
    counted = measure("Don’t cross — the bridge is “gone”… café ś")
    assert counted.alphabet == UCS2
    assert counted.forced_by == ("’", "—", "“", "”", "…", "ś")
    assert counted.substitute == 'Don\'t cross - the bridge is "gone"... café s'
    assert measure("вода’").substitute is None


def test_substitution_leaves_what_it_cannot_replace():
    assert substitute("вода – ok") == "вода - ok"


def test_a_national_table_is_used_only_where_allowed():
    text = "Şehir çöktü, yol kapalı ğ"
    assert choose(text) == UCS2
    assert choose(text, ["turkish"]) in (Alphabet(False, 0, 1), Alphabet(False, 1, 0), Alphabet(False, 1, 1))
    assert Alphabet(False, 0, 1).capacity(concatenated=False) == 155
    assert Alphabet(False, 0, 1).capacity(concatenated=True) == 149
    assert Alphabet(False, 1, 1).capacity(concatenated=True) == 146
    assert GSM7.capacity(concatenated=True, reference_bits=16) == 152
    assert UCS2.capacity(concatenated=True, reference_bits=16) == 66


def test_an_alphabet_says_what_it_lacks():
    with pytest.raises(ValueError, match="GSM-7 has no 'я'"):
        encode("я", GSM7)


@given(st.text(max_size=400))
def test_parts_join_to_the_text_and_fit(text):
    parts = split(text)
    composed = unicodedata.normalize("NFC", text)
    assert "".join(part.text for part in parts) == composed
    ucs2 = bool(lacking(composed))
    alphabet = UCS2 if ucs2 else GSM7
    room = alphabet.capacity(len(parts) > 1) * (2 if ucs2 else 1)
    assert all(len(part.units) <= room for part in parts)
    for part in parts:
        if not any(0xD800 <= ord(character) <= 0xDFFF for character in part.text):
            assert decode(part.units, alphabet) == part.text


@given(st.binary(max_size=160))
def test_any_units_decode(units):
    assert isinstance(decode(units, UCS2), str)
    assert isinstance(decode(bytes(unit & 0x7F for unit in units), GSM7), str)
