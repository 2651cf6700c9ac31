from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.phones import e164, known_region, read_address, ways_to_write


@pytest.mark.parametrize(
    ("words", "region", "number"),
    [
        ("+93 70 123 4567", "", "+93701234567"),
        ("070 123 4567", "AF", "+93701234567"),
        ("0093 70 123 4567", "AF", "+93701234567"),
        ("+44 (0)20 7946 0018", "", "+442079460018"),
        ("(020) 7946 0018", "GB", "+442079460018"),
        ("+٩٣٧٠١٢٣٤٥٦٧", "", "+93701234567"),
        ("1234", "AF", "1234"),
        ("BANK", "AF", "BANK"),
        ("*123#", "AF", "*123#"),
    ],
)
def test_numbers_get_one_form(words: str, region: str, number: str) -> None:
    assert e164(words, region) == number


@pytest.mark.parametrize(
    ("words", "region", "why"),
    [
        ("070 123 4567", "", "names no country"),
        ("+1", "", "not a phone number"),
        ("+93 70", "", "too short"),
        ("070 123 4567 890 123", "AF", "too long"),
        ("+999 123 456 789", "", "not a phone number"),
    ],
)
def test_what_cannot_be_a_number_is_said(words: str, region: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        e164(words, region)


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("070 123 4567", "sms:+93701234567"),
        ("sms:0701234567", "sms:+93701234567"),
        ("\u202a+93 70 123 4567\u202c", "sms:+93701234567"),
        ("Ana@Example.org", "mailto:ana@example.org"),
        ("xmpp:Ana@Example.org/phone", "xmpp:ana@example.org"),
        ("loop:any thing", None),
        ("nobody", None),
    ],
)
def test_addresses_as_they_are_typed(words: str, address: str | None) -> None:
    if address is None:
        with pytest.raises(ValueError):
            read_address(words, "AF")
    else:
        assert str(read_address(words, "AF")) == address


def test_a_number_is_found_as_it_is_dialled() -> None:
    assert ways_to_write("+93701234567") == ("93701234567", "701234567", "0701234567")
    assert ways_to_write("1234") == ("1234",)


def test_regions() -> None:
    assert known_region("AF")
    assert not known_region("af")


@given(st.text(max_size=40))
def test_any_words_are_read_or_refused(words: str) -> None:
    try:
        found = read_address(words, "AF")
    except ValueError:
        return
    assert found.value
    assert read_address(str(found), "AF") == found
