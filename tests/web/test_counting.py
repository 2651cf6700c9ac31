"""The count of SMS parts beside what is written, and the limit it tells of."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from msgserver.records import Role
from msgserver.web.pages.counting import count, phones
from tests.store.desk import conversation, message
from tests.web.conftest import Browser, Web


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana", role=Role.ADMINISTRATOR)


@pytest.mark.parametrize(
    ("text", "people", "words", "mood"),
    [
        ("a" * 160, 1, "1 part, 0 characters left", ""),
        ("a" * 161, 1, "2 parts, 145 characters left", ""),
        ("a" * 400, 214, "3 parts × 214 people = 642 SMS, 59 characters left", ""),
        ("a" * 500, 1, "4 parts, 112 characters left", "warn"),
        ("a" * 1000, 1, "7 parts, 71 characters left: at most 6 parts can be sent", "hot"),
        ("вода", 2, "1 part × 2 people = 2 SMS, 66 characters left", ""),
    ],
)
def test_parts_people_and_what_is_left(text: str, people: int, words: str, mood: str) -> None:
    said = count(text, people, 3, 6)
    assert said is not None
    assert (said.words, said.mood) == (words, mood)


def test_what_forces_unicode_is_named_and_plain_letters_offered_where_they_save_something() -> None:
    long = count("“Leave now” – " + "a" * 100, 1, 3, 6)
    assert long is not None
    assert long.why == "Unicode because of “ ” –"
    assert long.plain.startswith('"Leave now" - ')
    short = count("now – go", 1, 3, 6)
    assert short is not None
    assert (short.why, short.plain) == ("Unicode because of –", "")
    cyrillic = count("вода " * 40, 1, 3, 6)
    assert cyrillic is not None
    assert cyrillic.plain == ""


def test_nothing_is_said_where_nothing_goes_by_sms() -> None:
    assert count("hello", 0, 3, 6) is None
    assert count("  ", 1, 3, 6) is None


def test_phones_are_found_among_what_is_being_typed() -> None:
    assert phones("ana@example.org, +93 70 123 4567; +93701234567\nBo <+4670123456>, x, @", "") == 2
    assert phones(["sms:+93701234567", "", "xmpp:ana@example.org"]) == 1


def test_the_page_counts_without_a_script_too(ana: Browser) -> None:
    page = ana.submit("/messages/new", "/messages/new", to="+93701234567", text="“x” " * 30, count="1")
    assert page.status == 200
    assert "2 parts, 15 characters left" in page.text
    assert "Use plain letters" in page.text
    plain = ana.submit("/messages/new", "/messages/new", to="+93701234567", text="“x” " * 30, plain="1")
    assert "1 part, 41 characters left" in plain.text
    assert "“" not in re.sub(r"(?s).*<textarea[^>]*>(.*)</textarea>.*", r"\1", plain.text)


def test_the_fragment_is_what_the_script_shows(ana: Browser) -> None:
    def said(to: str, text: str) -> str:
        token = re.search(r'name="csrf" value="([^"]*)"', ana.get("/messages/new").text)
        assert token is not None
        body = urlencode({"csrf": token[1], "to": to, "text": text}).encode()
        answer = ana.send("POST", "/messages/count", body, {"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status == 200
        return answer.text.strip()

    span = '<span class="warn">4 parts × 2 people = 8 SMS, 112 characters left</span>'
    assert said("+93701234567,+93701234568", "x" * 500) == span
    assert said("ana@example.org", "x") == ""
    assert "<b>" not in said("+93701234567", "<b>“" * 60)


def test_too_long_a_text_is_not_sent_and_kept(web: Web, ana: Browser) -> None:
    page = ana.submit("/messages/new", "/messages/new", to="+93701234567", text="x" * 1000)
    assert page.status == 422
    assert "7 parts long; at most 6 can be sent" in page.text
    assert "x" * 1000 in page.text
    mail = ana.submit("/messages/new", "/messages/new", to="ana@example.org", text="x" * 1000)
    assert mail.status == 303


def test_answers_by_sms_are_counted_and_limited(web: Web, ana: Browser) -> None:
    ticket_id: int = web.store.now(conversation, subject="", address="sms:+93701234567")
    web.store.now(message, ticket_id, sender="sms:+93701234567", connector="modem1", body="Water")
    page = f"/tickets/{ticket_id}"
    assert 'data-count="sms:+93701234567"' in ana.get(page).text
    refused = ana.submit(page, f"{page}/answer", text="ж" * 500)
    assert refused.status == 422
    assert "8 parts long" in refused.text
    assert "8 parts, 36 characters left: at most 6" in refused.text
    plain = ana.submit(page, f"{page}/answer", text="now – go", plain="1")
    assert "now - go" in plain.text
    assert ana.submit(page, f"{page}/answer", text="We come").status == 303
