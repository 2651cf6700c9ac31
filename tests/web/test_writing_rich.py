"""Rich text by hand: light marks in an answer, and more for those with e-mail in a new message."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from tests.peers.hub import HubProcess
from tests.peers.mail import SMTPSink
from tests.store.desk import conversation, message
from tests.web.conftest import Browser, Web
from tests.web.test_api import Program
from tests.web.test_main_job import send, sign_in

NEW = "/messages/new"
WORDS = "**Leave** now:\n\n- the school\n- the bridge"


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana")


def asked_by_mail(web: Web) -> str:
    ticket_id: int = web.store.now(conversation, subject="Road", address="mailto:rai@clinic.example")
    web.store.now(message, ticket_id, sender="mailto:rai@clinic.example", connector="mail", body="Is it open?")
    return f"/tickets/{ticket_id}"


def sent(web: Web) -> list[tuple[Any, ...]]:
    rows = text("SELECT body, html FROM msg_log WHERE direction = 'out' ORDER BY id")
    return web.store.now(lambda tx: [tuple(row) for row in tx.execute(rows)])


def test_an_answer_with_marks_is_sent_as_both(web: Web, ana: Browser) -> None:
    page = asked_by_mail(web)
    assert "Rich text" in ana.get(page).text
    assert ana.submit(page, f"{page}/answer", text=WORDS, rich="1").status == 303
    assert ana.submit(page, f"{page}/answer", text=WORDS).status == 303
    [(body, html), plain] = sent(web)
    assert body == WORDS.replace("\n", "\r\n") or body == WORDS
    assert html.startswith('<p dir="auto"><strong>Leave</strong> now:</p>')
    assert html.count("<li") == 2
    assert plain == (body, "")
    shown = ana.get(page).text
    assert "As it was laid out" in shown
    number = re.search(r'src="(/messages/\d+/html)"', shown)
    assert number is not None
    framed = ana.get(number[1])
    assert "<strong>Leave</strong>" in framed.text
    assert "default-src 'none'" in framed.header("content-security-policy")


def test_a_preview_sends_nothing_and_keeps_words_and_choice(web: Web, ana: Browser) -> None:
    page = asked_by_mail(web)
    shown = ana.submit(page, f"{page}/answer", text=f"{WORDS} <script>alert(1)</script>", rich="1", preview="1")
    assert shown.status == 200
    assert "<strong>Leave</strong>" in shown.text
    assert "&lt;script&gt;alert(1)" in shown.text
    assert "<script>alert(1)" not in shown.text
    assert re.search(r'name="rich"[^>]*checked', shown.text)
    assert "**Leave** now:" in shown.text
    assert sent(web) == []


def test_a_refused_answer_keeps_the_choice(web: Web, ana: Browser) -> None:
    page = asked_by_mail(web)
    refused = ana.submit(page, f"{page}/answer", text=WORDS, rich="1", version="99")
    assert refused.status == 409
    assert re.search(r'name="rich"[^>]*checked', refused.text)


def test_where_nobody_has_mail_there_is_no_such_choice(web: Web, ana: Browser) -> None:
    ticket_id = web.store.now(conversation, subject="", address="sms:+93701234567")
    web.store.now(message, ticket_id, sender="sms:+93701234567", connector="modem1", body="Water")
    assert "Rich text" not in ana.get(f"/tickets/{ticket_id}").text


def test_a_short_text_for_everybody_and_more_for_those_with_mail(web: Web, ana: Browser) -> None:
    made = ana.submit(NEW, NEW, to="a@x.example, +93701234567", text="Leave <now>.", more="## Where to\n\n- the school")
    assert made.status == 303
    [(body, html)] = sent(web)
    assert body == "Leave <now>."
    assert html == (
        '<p dir="auto">Leave &lt;now&gt;.</p><h2 dir="auto">Where to</h2>\n<ul dir="auto">\n'
        '<li dir="auto">the school</li>\n</ul>'
    )
    assert ana.get("/?view=all&q=school").text.count("<li data-id=") == 1  # what only mail says is found too


def test_more_alone_goes_to_mail_alone(web: Web, ana: Browser) -> None:
    assert ana.submit(NEW, NEW, to="a@x.example", text="", more="**Leave**").status == 303
    assert sent(web) == [("**Leave**", '<p dir="auto"><strong>Leave</strong></p>')]
    refused = ana.submit(NEW, NEW, to="a@x.example, +93701234567", text="", more="**Leave**")
    assert refused.status == 422
    assert "Those without e-mail would get nothing" in refused.text
    assert "**Leave**</textarea>" in refused.text
    refused = ana.submit(NEW, NEW, to="+93701234567", text="Leave", more="**Leave**")
    assert refused.status == 422
    assert "None of these is an e-mail address" in refused.text
    assert len(sent(web)) == 1


def test_a_new_message_is_previewed_too(web: Web, ana: Browser) -> None:
    shown = ana.submit(NEW, NEW, to="a@x.example", text="Short", more="**Long**", preview="1")
    assert shown.status == 200
    assert '<p dir="auto">Short</p><p dir="auto"><strong>Long</strong></p>' in shown.text
    assert '<details class="more" open>' in shown.text
    assert sent(web) == []


def test_the_fragment_is_what_the_script_shows(ana: Browser) -> None:
    token = re.search(r'name="csrf" value="([^"]*)"', ana.get(NEW).text)
    assert token is not None

    def preview(**fields: str) -> str:
        body = urlencode({"csrf": token[1], **fields}).encode()
        return ana.send("POST", "/messages/preview", body, {"Content-Type": "application/x-www-form-urlencoded"}).text

    assert "<strong>a</strong>" in preview(text="**a**", rich="1")
    assert "**a**" in preview(text="**a**", more="<b>")
    assert "&lt;b&gt;" in preview(text="**a**", more="<b>")


def test_html_alone_by_the_api_is_readable_without_it(web: Web) -> None:
    api = Program(web)
    made = api("POST", "/messages", {"to": ["sms:+93701234567"], "html": "<p>Leave <b>now</b></p>"})
    assert made.status == 201, made.text
    assert sent(web) == [("Leave now", "<p>Leave <b>now</b></p>")]


@pytest.mark.peer
def test_a_rich_answer_in_a_browser_and_in_the_mail_that_arrives(
    make_hub: Callable[..., HubProcess], page: Page, swaks: Callable[..., str], smtp_sink: SMTPSink
) -> None:
    hub = make_hub(relay_port=smtp_sink.port)
    hub.start()
    hub.token()
    sign_in(hub, page)
    send(swaks, hub, "The road", "Is it open?")
    page.get_by_role("link", name=re.compile("The road")).click()
    expect(page.get_by_role("button", name="Preview")).to_be_hidden()
    page.get_by_label("Answer", exact=True).fill(WORDS)
    page.get_by_label("Rich text").check()
    page.reload()  # the draft keeps the words and the choice
    expect(page.get_by_label("Answer", exact=True)).to_have_value(WORDS)
    expect(page.get_by_label("Rich text")).to_be_checked()
    page.get_by_role("button", name="Preview").click()
    preview = page.get_by_role("region", name="Preview")
    expect(preview.locator("strong")).to_have_text("Leave")
    expect(preview.locator("li")).to_have_count(2)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("status")).to_be_visible()
    mail = smtp_sink.wait_for(1)[0].message
    assert mail.get_content_type() == "multipart/alternative"
    plain, html = mail.iter_parts()
    assert plain.get_content().replace("\r\n", "\n").startswith(WORDS + "\n\n-- \nRef #1")
    assert "<strong>Leave</strong>" in html.get_content()
    assert html.get_content().count("<li") == 2
    page.get_by_text("As it was laid out").click()
    expect(page.frame_locator("iframe").locator("strong")).to_have_text("Leave")
