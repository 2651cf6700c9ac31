"""Mail as it was laid out: in a frame that runs nothing and asks nobody for anything (THREATS T13)."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from playwright.sync_api import Page, expect

from msgserver.formats.safe_html import safe_html
from msgserver.message import Attachment
from msgserver.records import Plan
from msgserver.store.recording import record
from tests.peers.hub import HubProcess
from tests.web.conftest import NOW, Web

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f000500"
    "01ffa07d2a1c0000000049454e44ae426082"
)
HTML = """<p style="color:#900">The <b>map</b>:</p><img src="cid:map%40x" alt="map" width="40" height="40">
<img src="https://tracker.example/p.gif?u=1" alt="their logo"><a href="https://example.org/plan">plan</a>
<script>document.body.innerHTML='owned'</script>"""


def mail(web: Web, html: str = HTML, files: tuple[Attachment, ...] = ()) -> int:
    plan = Plan(
        raw_id=0,
        uid="00000000-0000-4000-8000-00000000aaaa",
        connector="mail",
        received_at=NOW,
        sender=None,
        subject='<b>Map</b> & "plan"',
        body="The map",
        html=safe_html(html),
        attachments=files,
    )
    (made,) = web.store.now(record, [plan])
    return made.message_id


MAP = Attachment("map.png", "image/png", PIXEL, "map@x", True)


def test_the_frame_has_its_walls(web: Web) -> None:
    number = mail(web, files=(MAP,))
    ana = web.signed_in("ana")
    answer = ana.get(f"/messages/{number}/html")
    policy = answer.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert answer.header("x-frame-options") == "SAMEORIGIN"
    assert answer.header("referrer-policy") == "no-referrer"
    assert "data:image/png;base64," in answer.text
    assert "<script" not in answer.text
    assert ' src="https://tracker' not in answer.text
    assert "<title>&lt;b&gt;Map&lt;/b&gt; &amp; &quot;plan&quot;</title>" in answer.text


def test_pictures_from_elsewhere_are_fetched_when_a_person_says_so(web: Web) -> None:
    number = mail(web)
    ana = web.signed_in("ana")
    answer = ana.get(f"/messages/{number}/html?pictures=yes")
    assert 'src="https://tracker.example/p.gif?u=1"' in answer.text
    assert "img-src data: http: https:;" in answer.header("content-security-policy")


@pytest.mark.parametrize(
    "content",
    [b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", b"<html>", b"", b"BM123"],
)
def test_only_pictures_stand_in_the_page_whatever_their_type_says(web: Web, content: bytes) -> None:
    number = mail(web, files=(Attachment("map.png", "image/png", content, "map@x", True),))
    ana = web.signed_in("ana")
    assert "data:" not in (ana.get(f"/messages/{number}/html")).text


def test_without_html_and_for_strangers_there_is_no_such_page(web: Web) -> None:
    number = mail(web, html="")
    ana = web.signed_in("ana")
    assert (ana.get(f"/messages/{number}/html")).status == 404
    assert (ana.get("/messages/999/html")).status == 404


@pytest.mark.peer
def test_a_browser_shows_it_and_asks_nobody(make_hub: Callable[..., HubProcess], page: Page) -> None:
    hub = make_hub()
    hub.start()
    hub.token()
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "Ana <ana@clinic.example>", "desk@hub.example", "Map"
    letter.set_content("The map is below.")
    letter.add_alternative(
        HTML
        + """<style>@import "https://tracker.example/s.css"; body{background:url(https://tracker.example/b.png)}</style>
        <link rel=stylesheet href=https://tracker.example/l.css><iframe src=https://tracker.example/f></iframe>
        <div style="background:url(https://tracker.example/d.png)">x</div><video poster=https://tracker.example/v.png>
        <svg onload="parent.document.title='owned'"><image href="https://tracker.example/i.svg"/></svg>
        <form action=https://tracker.example/><input name=password autofocus></form>
        <meta http-equiv=refresh content="0;url=https://tracker.example/m"><base href=https://tracker.example/>""",
        subtype="html",
    )
    letter.get_payload()[1].add_related(PIXEL, "image", "png", cid="<map@x>", filename="map.png")
    with smtplib.SMTP("127.0.0.1", hub.smtp_port) as smtp:
        smtp.send_message(letter)

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{hub.url}/login")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("a long enough pass phrase")
    page.get_by_role("button", name="Sign in").click()
    page.locator(".row", has_text="Map").click()
    expect(page.locator(".thread")).to_contain_text("The map is below.")
    page.get_by_text("As it was laid out").click()
    inside = page.frame_locator("iframe")
    expect(inside.get_by_text("The map:")).to_be_visible()
    expect(inside.get_by_alt_text("map", exact=True)).to_have_js_property("naturalWidth", 1)
    expect(inside.locator("body")).not_to_contain_text("owned")
    expect(page).not_to_have_title("owned")
    page.wait_for_timeout(500)
    strange = [url for url in asked if not url.startswith((hub.url, "data:"))]
    assert strange == []
    page.route("https://tracker.example/**", lambda route: route.fulfill(body=PIXEL, content_type="image/png"))
    page.get_by_role("link", name="Fetch them").click()
    expect(inside.get_by_alt_text("their logo")).to_have_js_property("naturalWidth", 1)
    assert [url for url in asked if not url.startswith((hub.url, "data:"))] == ["https://tracker.example/p.gif?u=1"]
