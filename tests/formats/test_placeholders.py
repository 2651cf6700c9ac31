"""Texts with gaps: what fills them, and what an empty one leaves."""

from __future__ import annotations

import pytest

from msgserver.formats.placeholders import fill

KNOWN = {"name": "Ana", "ticket": "#42", "hub": "Relief {name} desk"}


@pytest.mark.parametrize(
    ("text", "with_name", "without"),
    [
        ("Thanks {name}, this is {ticket}.", "Thanks Ana, this is #42.", "Thanks, this is #42."),
        ("{name}, we heard you", "Ana, we heard you", "we heard you"),
        ("Your number: #{ticket}", "Your number: #42", "Your number: #42"),
        ("{hub}: {what} {name}", "Relief {name} desk: {what} Ana", "Relief {name} desk: {what}"),
        ("Cost: #{what}", "Cost: #{what}", "Cost: #{what}"),
        ("  as it stands\n{name}", "  as it stands\nAna", "  as it stands"),
        ("", "", ""),
    ],
)
def test_gaps(text: str, with_name: str, without: str) -> None:
    assert fill(text, KNOWN) == with_name
    assert fill(text, {**KNOWN, "name": ""}) == without
