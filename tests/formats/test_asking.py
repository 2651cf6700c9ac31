"""SUBSCRIBE x and the like out of a text, and what is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats import asking
from msgserver.formats.asking import Asked, Verb, asked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SUBSCRIBE flood-12", Asked(Verb.SUBSCRIBE, "flood-12")),
        ("  subscribe:  North bridge. \r\n", Asked(Verb.SUBSCRIBE, "North bridge")),
        ("Subscribe", Asked(Verb.SUBSCRIBE)),
        ("Unsubscribe warning!", Asked(Verb.UNSUBSCRIBE, "warning")),
        ("UNSUBSCRIBE", None),  # that is STOP
        ("Subs", Asked(Verb.SUBS)),
        ("subs are here", None),
        ("please subscribe me to floods", None),
        ("subscribe to what\nI told you yesterday", None),
        ("subscribe " + "x" * 200, None),
        ("", None),
    ],
)
def test_what_is_asked_for(text, found):
    assert asked(text) == found


@given(st.text(max_size=300), st.text(max_size=300), st.lists(st.text(max_size=100), max_size=20))
def test_every_answer_is_one_line_of_one_text(hub, what, topics):
    answers = [say(hub, what) for say in (asking.got, asking.to_confirm, asking.ended)]
    answers += [asking.has(hub, topics), asking.unknown(hub, what, topics), asking.several(hub, what, topics)]
    for words in answers:
        assert len(words) <= 160
        assert "\n" not in words
