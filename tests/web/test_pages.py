"""What people do on the pages, one test an act; no script runs here."""

from __future__ import annotations

import re
import uuid
from urllib.parse import urlencode

import pytest

from msgserver.records import HUB, Role
from msgserver.store import tickets
from tests.store.desk import conversation, message
from tests.web.conftest import PASSWORD, Browser, Web


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana", role=Role.ADMINISTRATOR)


@pytest.fixture
def asked(web: Web) -> int:
    ticket_id: int = web.store.now(conversation, subject="Insulin", address="mailto:rai@clinic.example")
    web.store.now(
        message,
        ticket_id,
        sender="mailto:rai@clinic.example",
        connector="mail",
        subject="Insulin",
        body="Three days left",
    )
    return ticket_id


def state(web: Web, ticket_id: int) -> tickets.Ticket:
    found = web.store.now(tickets.ticket, HUB, ticket_id)
    assert found is not None
    return found


def test_take_give_back_assign(web: Web, ana: Browser, asked: int) -> None:
    ben = web.user("ben")
    page = f"/tickets/{asked}"
    assert "nobody has it yet" in ana.get(page).text
    assert ana.submit(page, f"{page}/take").status == 303
    assert [name for _, name in state(web, asked).assignees] == ["ana"]
    token = hidden(ana, page, "csrf")
    ana.send("POST", f"{page}/assign", urlencode([("csrf", token), ("user", 1), ("user", ben.user_id)]).encode(),
             {"Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
    assert [name for _, name in state(web, asked).assignees] == ["ana", "ben"]
    assert ana.submit(page, f"{page}/drop").status == 303
    assert [name for _, name in state(web, asked).assignees] == ["ben"]


def hidden(browser: Browser, page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', browser.get(page).text)
    assert found is not None
    return found[1]


def test_priority_done_and_open_again(web: Web, ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    ana.submit(page, f"{page}/priority", priority="3")
    assert state(web, asked).priority == 3
    assert ana.submit(page, f"{page}/priority", priority="9").status == 422
    ana.submit(page, f"{page}/done")
    assert state(web, asked).actioned_at is not None
    assert "Insulin" not in ana.get("/").text
    assert "Insulin" in ana.get("/?view=done").text
    ana.submit(page, f"{page}/reopen")
    assert state(web, asked).actioned_at is None


def test_looking_does_not_mark_read_and_the_button_does(web: Web, ana: Browser, asked: int) -> None:
    web.store.now(lambda tx: tx.exec_driver_sql("update auth_user set unread_from = 0"))
    page = f"/tickets/{asked}"
    assert "1 unread" in ana.get("/").text
    ana.get(page)
    assert "1 unread" in ana.get("/").text
    assert ana.submit(page, f"{page}/read").status == 303
    assert "1 unread" not in ana.get("/").text
    assert ana.submit(page, f"{page}/unread").header("location") == "/?said=unread"
    assert "1 unread" in ana.get("/").text


def test_a_note_is_kept_and_never_sent(web: Web, ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    assert ana.submit(page, f"{page}/notes", text="Checked: true.").status == 303
    text = ana.get(page).text
    assert "Checked: true." in text
    assert "Internal" in text
    assert web.store.now(lambda tx: tx.exec_driver_sql("select count(*) from msg_delivery_status").scalar()) == 0
    assert ana.submit(page, f"{page}/notes", text=" ").status == 422


def test_an_answer_sent_twice_goes_out_once(web: Web, ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    html = ana.get(page).text
    form = html[html.index('id="answer"') :]
    fields = {n: re.search(rf'name="{n}" value="([^"]*)"', form)[1] for n in ("csrf", "version", "once", "answers")}  # type: ignore[index]
    first = ana.post(f"{page}/answer", text="We send more.", **fields)
    again = ana.post(f"{page}/answer", text="We send more.", **fields)
    assert first.status == again.status == 303
    assert first.header("location") == again.header("location")
    assert web.store.now(lambda tx: tx.exec_driver_sql("select count(*) from msg_delivery_status").scalar()) == 1


def test_an_answer_that_somebody_overtook_is_held_back_with_its_words(web: Web, ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    html = ana.get(page).text
    form = html[html.index('id="answer"') :]
    fields = {n: re.search(rf'name="{n}" value="([^"]*)"', form)[1] for n in ("csrf", "version", "once", "answers")}  # type: ignore[index]
    ben = web.signed_in("ben")
    ben.submit(page, f"{page}/answer", text="Ben was faster.")
    late = ana.post(f"{page}/answer", text="Ana's own <words>.", **fields)
    assert late.status == 409
    assert "Ben was faster." in late.text
    assert "Ana&#39;s own &lt;words&gt;.</textarea>" in late.text
    assert "Send anyway" in late.text
    form = late.text[late.text.index('id="answer"') :]
    fields = {n: re.search(rf'name="{n}" value="([^"]*)"', form)[1] for n in ("csrf", "version", "once", "answers")}  # type: ignore[index]
    assert ana.post(f"{page}/answer", text="Ana's own <words>.", **fields).status == 303


def test_an_answer_with_a_file(web: Web, ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    csrf = hidden(ana, page, "csrf")
    fields = {"csrf": csrf, "once": str(uuid.uuid4()), "text": "See the list\r\nbelow"}
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    parts.append(
        '--b\r\nContent-Disposition: form-data; name="files"; filename="../l\u00efst.txt"\r\n'
        "Content-Type: text/plain\r\n\r\none\r\ntwo\r\n--b--\r\n"
    )
    body = "".join(parts).encode()
    answer = ana.send("POST", f"{page}/answer", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status == 303, answer.text
    assert "l\u00efst.txt" in ana.get(page).text
    assert ana.get("/attachments/1").body == b"one\r\ntwo"
    body_row = web.store.now(lambda tx: tx.exec_driver_sql("select body from msg_log where direction = 'out'").scalar())
    assert body_row == "See the list\nbelow"


def test_an_unknown_delivery_asks_what_to_do(web: Web, ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    ana.submit(page, f"{page}/answer", text="We send more.")
    web.store.now(lambda tx: tx.exec_driver_sql("update msg_delivery_status set state = 'unknown', attempt = 1"))
    text = ana.get(page).text
    assert "unknown: the line was cut after sending" in text
    assert "Send again" in text
    answer = ana.submit(page, "/deliveries/1/retry")
    assert answer.header("location") == f"{page}?said=retried#m2"
    assert "waiting to leave" in ana.get(page).text or "retrying now" in ana.get(page).text


def test_a_new_message_by_several_channels(web: Web, ana: Browser) -> None:
    to = "Mina <mina@ngo.example>, +93 70 123 4567; xmpp:ben@chat.example"
    answer = ana.submit("/messages/new", "/messages/new", to=to, text="Hello", subject="Tents")
    assert answer.status == 303
    rows = web.store.now(lambda tx: tx.exec_driver_sql("select address, connector from msg_delivery_status").all())
    assert sorted(tuple(row) for row in rows) == [
        ("mailto:mina@ngo.example", "mail"), ("sms:+93701234567", "modem1"), ("xmpp:ben@chat.example", "chat"),
    ]  # fmt: skip
    assert ana.get(answer.header("location").partition("#")[0]).status == 200


@pytest.mark.parametrize("to", ["", "nobody", "mina@ngo.example, what"])
def test_a_wrong_address_keeps_the_words(ana: Browser, to: str) -> None:
    answer = ana.submit("/messages/new", "/messages/new", to=to, text="My long words", subject="S")
    assert answer.status == 422
    assert "My long words</textarea>" in answer.text
    assert 'role="alert"' in answer.text


def test_people_rules_and_subscriptions(web: Web, ana: Browser) -> None:
    assert ana.submit("/people", "/people", name="Mina", addresses="xmpp:mina@chat.example").status == 303
    assert "mina@chat.example" in ana.get("/people").text
    assert ana.submit("/people", "/people/1/contacts", address="+15551234567").status == 303
    assert ana.submit("/people", "/people", name="", addresses="").status == 422
    assert ana.submit("/rules/new", "/rules", words="flood, water rising", tag="Flood", priority="2").status == 303
    assert "water rising" in ana.get("/rules").text
    assert ana.submit("/rules/new", "/rules", words="", tag="").status == 422
    assert ana.submit("/subscriptions", "/subscriptions", entity="1", tag="flood", channel="xmpp").status == 303
    page = ana.get("/subscriptions").text
    assert "Mina" in page
    assert "flood" in page
    assert ana.submit("/subscriptions", "/subscriptions/1/remove").status == 303
    assert ana.submit("/rules", "/rules/1/remove").status == 303


def test_a_message_explains_itself(ana: Browser, asked: int) -> None:
    page = f"/tickets/{asked}"
    ana.submit(page, f"{page}/answer", text="We send more.")
    assert "Goes to nobody" in ana.get("/trace/1").text
    text = ana.get("/trace/2").text
    assert "Written here" in text
    assert "rai@clinic.example" in text
    assert ana.get("/trace/99").status == 404


def test_channels_pause_and_resume(web: Web, ana: Browser) -> None:
    heard: list[object] = []
    web.bus.listen(lambda topic, ids: heard.append((topic, ids)))
    assert "connected" in ana.get("/channels").text
    assert ana.submit("/channels", "/channels/mail/pause").status == 303
    assert "paused" in ana.get("/channels").text
    assert ana.submit("/channels", "/channels/mail/resume").status == 303
    assert heard == [("connector", ("mail",))] * 2


def test_the_log_finds_and_goes_on(web: Web, ana: Browser) -> None:
    for n in range(60):
        web.store.now(message, web.store.now(conversation), body=f"report {n}")
    page = ana.get("/log").text
    assert "report 59" in page
    assert "report 9<" not in page
    older = re.search(r'rel="next" href="([^"]*)"', page)
    assert older is not None
    assert "report 9<" in ana.get(older[1].replace("&amp;", "&")).text
    assert "Nothing found" in ana.get("/log?q=zzz").text


def test_older_conversations_by_key(web: Web, ana: Browser) -> None:
    for n in range(60):
        web.store.now(conversation, subject=f"ticket {n} here", last_at=1e9 + n)
    page = ana.get("/?view=all").text
    assert page.count("<li data-id") == 50
    older = re.search(r'rel="next" href="([^"]*)"', page)
    assert older is not None
    assert ana.get(older[1].replace("&amp;", "&")).text.count("<li data-id") == 10


def test_words_not_understood_are_named(ana: Browser) -> None:
    assert "Not understood" in ana.get("/?view=all&q=foo:bar").text


@pytest.mark.parametrize("path", ["/tickets/999", "/tickets/999/thread", "/attachments/9", "/messages/9/original"])
def test_what_is_not_there_is_404(ana: Browser, path: str) -> None:
    assert ana.get(path).status == 404


def test_users_are_added_and_switched_off(web: Web, ana: Browser) -> None:
    secret = "boats and tents for all"
    assert ana.submit("/users", "/users", name="Ben", role="reader", password="short").status == 422
    assert ana.submit("/users", "/users", name="Ben", role="king", password=secret).status == 422
    assert ana.submit("/users", "/users", name="Ben", role="reader", password=secret).status == 303
    assert ana.submit("/users", "/users", name="ben", role="reader", password=secret).status == 422
    ben = web.browser()
    assert ben.login("Ben", secret).status == 303
    assert ben.get("/rules").status == 403
    assert ben.get("/users").status == 403
    assert ana.submit("/users", "/users/2/role", role="operator").status == 303
    assert ben.get("/rules").status == 200
    assert ana.submit("/users", "/users/2/off").status == 303
    assert ben.get("/").status == 303
    last = ana.submit("/users", "/users/1/off")
    assert last.status == 422
    assert "only administrator" in last.text


def test_a_new_password_ends_the_other_sessions(web: Web, ana: Browser) -> None:
    other = web.browser()
    assert other.login("ana").status == 303
    new = "boats and tents for all"
    assert ana.submit("/me", "/me/password", old="wrong", password=new, again=new).status == 422
    assert ana.submit("/me", "/me/password", old=PASSWORD, password=new, again="other").status == 422
    assert ana.submit("/me", "/me/password", old=PASSWORD, password=new, again=new).status == 303
    assert ana.get("/").status == 200
    assert other.get("/").status == 303
    assert web.browser().login("ana", new).status == 303


def test_signing_out_elsewhere(web: Web, ana: Browser) -> None:
    other = web.browser()
    other.login("ana")
    assert ana.submit("/me", "/me/leave").status == 303
    assert other.get("/").status == 303
    assert ana.get("/me").status == 200


def test_a_token_is_shown_once_and_can_be_ended(web: Web, ana: Browser) -> None:
    shown = ana.submit("/me", "/me/tokens", name="script").text
    key = re.search(r"<code>([\w-]+)</code>", shown)
    assert key is not None
    assert key[1] not in ana.get("/me").text
    bearer = {"Authorization": f"Bearer {key[1]}"}
    assert web.browser().send("GET", "/api/v1/users/me", headers=bearer).json["name"] == "ana"
    assert ana.submit("/me", "/me/tokens/1/revoke").status == 303
    assert web.browser().send("GET", "/api/v1/users/me", headers=bearer).status == 401
