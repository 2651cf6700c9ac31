"""Messages in the words of other channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.rendering import (
    SHORT_DIGEST,
    Item,
    Rendered,
    Words,
    as_mail,
    as_text,
    bare_subject,
    consent_question,
    digest,
    mail_subject,
    shortened,
)

COPY = Words(
    subject="Re: Road closed", text="The bridge is down.\n\nOn Monday Bo wrote:\n> ?", quoted_from=21,
    sender_name="Ana", channel="mail", ticket=42, copy=True, why="you follow Roads",
)  # fmt: skip


def test_a_copy_as_chat():
    assert as_text(COPY) == Rendered("", "#42 Ana (mail): Road closed\n\nThe bridge is down.")


def test_a_copy_as_text_message():
    assert as_text(COPY, 160).text == "#42 Ana: Road closed: The bridge is down."
    assert as_text(COPY, 30).text == "#42 Ana: Road closed: The…"


def test_a_copy_as_mail():
    said = as_mail(COPY)
    assert said.subject == "[#42] Road closed"
    assert said.text.endswith("> ?\n\n-- \nFrom Ana by mail · Ref #42 · you follow Roads")
    assert said.html == ""


def test_an_answer_is_its_text():
    answer = Words(subject="Road closed", text="Thanks, a team is coming.", ticket=42)
    assert as_text(answer).text == "Thanks, a team is coming."
    assert as_text(answer, 10).text == "Thanks, a team is coming.", "what a person wrote is cut by nobody"
    assert as_mail(answer) == Rendered("Re: [#42] Road closed", "Thanks, a team is coming.\n\n-- \nRef #42")


def test_the_footer_in_html_is_escaped():
    said = as_mail(Words(text="x", html="<p>x</p>", sender_name="<b>", copy=True, ticket=1))
    assert said.html.startswith("<p>x</p>")
    assert "From &lt;b&gt;" in said.html


@pytest.mark.parametrize(
    ("subject", "bare"),
    [
        ("Re: Re: [#42] AW: SV: Hello", "Hello"),
        ("RE[2]: Hello", "Hello"),
        ("[#1] [#2] Re: [#3]", ""),
        ("Regarding: this", "Regarding: this"),
        ("Fwd: Re: this", "Fwd: Re: this"),
        ("回复：你好", "你好"),
        ("a\r\nBcc: evil", "a Bcc: evil"),
    ],
)
def test_bare_subject(subject, bare):
    assert bare_subject(subject) == bare


@given(st.text(max_size=300), st.integers(0, 9999) | st.none(), st.booleans())
def test_a_subject_is_tagged_once_however_often_it_is_made(subject, ticket, reply):
    once = mail_subject(subject, ticket, reply)
    assert mail_subject(once, ticket, reply) == once
    assert "\n" not in once
    assert "\r" not in once
    if ticket is not None:
        assert once.count(f"[#{ticket}]") == 1


@given(st.text(max_size=200), st.integers(0, 100))
def test_shortened_keeps_to_its_limit(text, limit):
    short = shortened(text, limit)
    assert len(short) <= limit or short == text
    if len(text) <= limit:
        assert short == text


def test_a_letter_keeps_its_marks():
    assert shortened("e\u0301" * 10, 6) == "e\u0301e\u0301…"


ITEMS = [
    Item(ticket=n, who=f"Ana {n}", subject=f"Road {n} closed", text="The bridge is down. " * 60, when="14.11. 22:13",
         channel="modem1", why="you subscribed to Roads")
    for n in range(1, 6)
]  # fmt: skip


def test_a_digest_by_mail_tells_each_message_with_its_context():
    said = digest(ITEMS, 3, "Desk", short=False)
    assert said.subject == "Desk: 8 messages"
    assert said.text.startswith("#1 Ana 1, modem1, 14.11. 22:13\nRoad 1 closed\nThe bridge is down.")
    assert said.text.count("(you subscribed to Roads)") == 5
    assert said.text.endswith("... and 3 more")
    assert len(said.text) < 5 * 800


@given(st.lists(st.text(max_size=80), min_size=1, max_size=30), st.integers(0, 500))
def test_a_digest_as_text_message_keeps_to_its_parts_and_counts_the_rest(subjects, more):
    items = [Item(ticket=n, who="Ana", subject=subject, text=subject) for n, subject in enumerate(subjects)]
    text = digest(items, more, "Desk", short=True).text
    assert len(text) <= SHORT_DIGEST + 12
    assert text.splitlines()[0].startswith(f"Desk: {len(items) + more} message")
    lines = text.count("#")
    assert lines >= 1
    if more or "more" in text.splitlines()[-1]:
        assert text.splitlines()[-1].startswith("+")


def test_the_question_fits_a_text_message():
    text = consent_question("Relief desk", "Ana", "Floods in the north")
    assert len(text) <= 160
    assert "YES" in text
    assert "STOP" in text
