"""A record filled in from a message."""

from __future__ import annotations

import pytest

from msgserver.formats.filling import LONGEST_NAME, filled
from msgserver.records import Field

CONTACT = Field(name="contact", label="Contact", kind="contact")
PHONES = Field(name="phones", label="Phone numbers")
SECOND = Field(name="other", label="Other contact", kind="contact")


def test_subject_words_sender_numbers_and_position() -> None:
    body = "Bridge is gone at 34.5553, 69.2075.\nCall Rai +93 70 123 4567\n\nOn Monday Ana wrote:\n> where?\n"
    made = filled((CONTACT, PHONES), "Re: AW: Bridge down", body, "mailto:rai@ngo.example")
    assert made.name == "Bridge down"
    assert made.comments == "Bridge is gone at 34.5553, 69.2075.\nCall Rai +93 70 123 4567"
    assert made.fields == {"contact": "mailto:rai@ngo.example", "phones": "+93701234567"}
    assert (made.latitude, made.longitude) == (34.5553, 69.2075)


def test_without_a_subject_the_first_line_is_the_name() -> None:
    assert filled((), "", "\n  Need 40 tents \nby tonight", "").name == "Need 40 tents"
    long = filled((), "", "water " * 60, "")
    assert len(long.name) <= LONGEST_NAME + 1
    assert long.name.endswith("water…")


def test_the_sender_is_never_lost_and_not_named_twice() -> None:
    assert filled((), "x", "words", "sms:+93701234567").comments == "words\n\nsms:+93701234567"
    twice = filled((CONTACT, SECOND, PHONES), "x", "I am +93 70 123 4567", "sms:+93701234567")
    assert twice.fields == {"contact": "sms:+93701234567"}
    other = filled((CONTACT, SECOND), "x", "ask 070 765 4321", "mailto:a@b.example", "AF")
    assert other.fields == {"contact": "mailto:a@b.example", "other": "sms:+93707654321"}


@pytest.mark.parametrize("text", ["", "> only quoted", "\x00", "💧" * 300, "٣٤٫٥٥٥٣، ٦٩٫٢٠٧٥"])
def test_any_text_gives_a_form(text: str) -> None:
    made = filled((CONTACT,), text, text, "")
    assert len(made.name) <= LONGEST_NAME + 1
