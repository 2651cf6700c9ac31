"""Light marks as HTML, and the plain text beside it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.html_text import html_to_text
from msgserver.formats.marks import LONGEST, as_html, plain_beside, unmarked


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**bold** and *slanted*", '<p dir="auto"><strong>bold</strong> and <em>slanted</em></p>'),
        ("one\ntwo", '<p dir="auto">one<br>\ntwo</p>'),
        ("- a\n- b", '<ul dir="auto">\n<li dir="auto">a</li>\n<li dir="auto">b</li>\n</ul>'),
        ("3. a", '<ol start="3" dir="auto">\n<li dir="auto">a</li>\n</ol>'),
        ("# Roads", '<h1 dir="auto">Roads</h1>'),
        ("**خبر**", '<p dir="auto"><strong>خبر</strong></p>'),
        ("2 * 3 * 4, a_b_c, 5 ** 2", '<p dir="auto">2 * 3 * 4, a_b_c, 5 ** 2</p>'),
        ("Bo\n-- \nDesk", '<p dir="auto">Bo<br>\n--<br>\nDesk</p>'),  # a signature, no heading
        ("    far in", '<p dir="auto">far in</p>'),
        ("| a | b |\n|---|---|", '<p dir="auto">| a | b |<br>\n|---|---|</p>'),
    ],
)
def test_marks(text, html):
    assert as_html(text) == html


def test_links_written_out_and_plain_ones():
    assert 'href="https://a.example/plan"' in as_html("[the plan](https://a.example/plan)")
    said = as_html("See https://a.example/x_y_z(1), or “http://b.example/?q=1&r=2”.")
    assert re.findall(r'href="([^"]*)"', said) == ["https://a.example/x_y_z(1", "http://b.example/?q=1&amp;r=2"]
    assert said.count("<a ") == as_html("[https://a.example](https://a.example)").count("<a ") + 1


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
        "[x](data:text/html,<script>)", "![x](https://tracker.example/p.gif)", "<javascript:alert(1)>",
        '[x](https://a.example "onmouseover=alert(1)")', "&lt;script&gt;", "[x]: javascript:alert(1)\n[x]",
    ],
)  # fmt: skip
def test_nothing_in_it_does_anything(text):
    said = as_html(text)
    assert "<script" not in said
    assert "<img" not in said
    assert not re.search(r'(?i)href="(?!https?:|mailto:)', said)
    assert not re.search(r"(?i)<[a-z][^>]*\son", said)


@given(st.text())
def test_any_text_is_harmless_html_with_all_its_words(text):
    said = as_html(text)
    assert set(re.findall(r"<([a-z0-9]+)", said)) <= {
        *("p", "br", "strong", "em", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "a")
    }
    assert plain_beside(text, said) in (text, html_to_text(said).strip("\n"))


def test_beyond_the_limit_it_stays_as_it_is():
    said = as_html("**x** <b>\n\n" * LONGEST)
    assert "<strong>" not in said
    assert said.startswith('<p dir="auto">**x** &lt;b&gt;</p>') or said == ""


def test_unmarked_text_keeps_every_sign_and_line():
    assert unmarked("a < b\n**c**\n\n\n d ") == '<p dir="auto">a &lt; b<br>**c**</p><p dir="auto"> d</p>'
    assert unmarked(" \n ") == ""


def test_the_plain_text_beside_it_says_as_much():
    typed = "**Leave now**: see https://a.example/x\n\n- north\n- south"
    assert plain_beside(typed, as_html(typed)) == typed
    more = unmarked("Leave now.") + as_html("## Where to\n\n- the school")
    assert plain_beside("Leave now.", more) == "Leave now.\n\nWhere to\n\n- the school"
    assert plain_beside("", "<p>Leave</p>") == "Leave"
    assert plain_beside("Leave now.", "<p>Something else altogether</p>") == "Leave now."
    assert plain_beside("Leave now.", "") == "Leave now."
