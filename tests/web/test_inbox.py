"""The inbox and a conversation, end to end over the real store."""

from __future__ import annotations

from sqlalchemy import Connection

from msgserver.store.views import COUNTED
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Web


def test_the_inbox_shows_what_waits_and_the_page_answers(web: Web) -> None:
    ana = web.signed_in("ana")
    ticket_id = web.store.now(
        conversation, subject="Insulin stock", address="mailto:sunita@clinic.example", last_at=NOW
    )
    web.store.now(
        message, ticket_id, sender="mailto:sunita@clinic.example", sender_name="Dr. Rai", connector="mail",
        subject="Insulin stock", body="Three days left\n<script>alert(1)</script>",
    )  # fmt: skip
    page = ana.get("/")
    assert page.status == 200
    assert "Insulin stock" in page.text
    assert "1 unread" in page.text
    ticket = ana.get(f"/tickets/{ticket_id}")
    assert ticket.status == 200, ticket.text
    assert "Three days left" in ticket.text
    assert "<script>alert(1)</script>" not in ticket.text
    answer = ana.submit(f"/tickets/{ticket_id}", f"/tickets/{ticket_id}/answer", text="We send more today.")
    assert answer.status == 303, answer.text
    after = ana.get(f"/tickets/{ticket_id}?said=sent").text
    assert "We send more today." in after
    assert "waiting to leave" in after


def test_the_empty_pane_says_how_the_desk_stands(web: Web) -> None:
    ana = web.signed_in("ana")
    assert "All clear: nobody is waiting for an answer." in ana.get("/").text
    tickets = [web.store.now(conversation, address=f"mailto:{n}@a.example", last_at=NOW) for n in range(3)]
    for number in tickets:
        web.store.now(message, number, sender="mailto:a@a.example", connector="mail", body="Water")
    words = "3 conversations wait for an answer, and nobody has taken any of them yet. Choose one on the list."
    assert words in ana.get("/").text
    assert f'data-summary="{words}"' in ana.get("/?part=rows").text
    ana.submit(f"/tickets/{tickets[0]}", f"/tickets/{tickets[0]}/take")
    assert "3 conversations wait for an answer; 2 of them nobody has taken yet." in ana.get("/").text


def test_where_counting_stops_the_page_says_so(web: Web) -> None:
    ana = web.signed_in("ana")

    def fill(tx: Connection, many: int) -> None:
        for n in range(many):
            conversation(tx, address=f"mailto:{n}@a.example", last_at=NOW)

    web.store.now(fill, COUNTED - 1)
    assert f'<span class="n">{COUNTED - 1}</span>' in ana.get("/").text
    web.store.now(fill, 2)
    assert f'<span class="n">{COUNTED}+</span>' in ana.get("/").text
    assert f'data-counted="{COUNTED}"' in ana.get("/").text
