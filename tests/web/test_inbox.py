"""The inbox and a conversation, end to end over the real store."""

from __future__ import annotations

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
