from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats import fields
from msgserver.records import Field

BEDS = Field(name="beds", label="Beds", kind="number", required=True)
OPEN = Field(name="open", label="Open", kind="yes/no")
SINCE = Field(name="since", label="Since", kind="date")
WATER = Field(name="water", label="Water", kind="choice", choices=("tank", "tap"))
WHO = Field(name="who", label="Contact", kind="contact")
SHELTER = (BEDS, OPEN, SINCE, WATER, WHO)


@pytest.mark.parametrize(
    ("field", "typed", "kept"),
    [
        (BEDS, " 12 ", "12"),
        (BEDS, "1,5", "1.5"),
        (BEDS, "1,000,000", "1000000"),
        (BEDS, "٤٢", "42"),
        (BEDS, "-0.50", "-0.5"),
        (OPEN, "Yes", "yes"),
        (OPEN, "0", "no"),
        (SINCE, "2026-11-30", "2026-11-30"),
        (WATER, "tap", "tap"),
        (WHO, "070 123 4567", "sms:+93701234567"),
        (OPEN, "  ", ""),
    ],
)
def test_values_get_one_form(field: Field, typed: str, kept: str) -> None:
    assert fields.value(field, typed, "AF") == kept


@pytest.mark.parametrize(
    ("field", "typed", "why"),
    [
        (BEDS, "", "filled in"),
        (BEDS, "many", "not a number"),
        (BEDS, "1e400", "not a number"),
        (OPEN, "perhaps", "neither yes nor no"),
        (SINCE, "30.11.2026", "write it as in"),
        (WATER, "well", "none of tank, tap"),
        (WHO, "nobody", "not an address"),
        (WATER, "x" * 3000, "longer than"),
    ],
)
def test_what_cannot_be_is_said(field: Field, typed: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        fields.value(field, typed)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="Beds: must be filled in; Open: 'x' is neither"):
        fields.checked(SHELTER, {"open": "x"})
    with pytest.raises(ValueError, match="no field 'beers'"):
        fields.checked(SHELTER, {"beds": "1", "beers": "2"})


def test_what_is_not_named_stays_and_empty_clears() -> None:
    before = {"beds": "3", "water": "tap", "former": "kept"}
    assert fields.checked(SHELTER, {"water": "", "open": "yes"}, before) == {
        "beds": "3",
        "open": "yes",
        "former": "kept",
    }
    assert fields.checked((), {"anything": "goes"}) == {"anything": "goes"}


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ((Field(name="Beds", label="Beds"),), "small letters"),
        ((BEDS, BEDS), "two fields named beds"),
        ((Field(name="beds", label=" "),), "needs a label"),
        ((Field(name="beds", label="Beds", kind="colour"),), "none of text"),
        ((Field(name="beds", label="Beds", kind="choice"),), "between what"),
        (SHELTER, ""),
    ],
)
def test_mistakes_in_a_shape(shape: tuple[Field, ...], why: str) -> None:
    found = fields.mistake(shape)
    assert why in found if why else found == ""


def test_names_made_of_labels() -> None:
    assert fields.name_for("Beds (free)") == "beds_free"
    assert fields.name_for("اسم") == ""


@given(st.text(max_size=60))
def test_numbers_are_kept_as_numbers_or_refused(words: str) -> None:
    try:
        kept = fields.number(words)
    except ValueError:
        return
    assert Decimal(kept).is_finite()
    assert fields.number(kept) == kept
