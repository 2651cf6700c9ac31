"""Answering on a ticket, and the notes that stay inside."""

from __future__ import annotations

from msgserver.formats.marks import as_html, unmarked
from msgserver.records import Draft
from msgserver.store import tickets
from msgserver.store.edits import Refused, Stale
from msgserver.web.ask import Answer, Ask, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages import counting
from msgserver.web.pages.compose import once
from msgserver.web.pages.preview import Preview
from msgserver.web.pages.ticket import address, show
from msgserver.web.words import sentence


async def answer(ask: Ask) -> Answer:
    """Send an answer the way the question came, or to another of the asker's addresses.

    Where somebody answered meanwhile nothing is sent: both are shown, the words kept.
    """
    words = ask.form("text").strip()
    rich = bool(ask.form("rich"))
    if ask.form("plain"):
        return await show(ask, kept=counting.plainer(words), rich=rich)
    if ask.form("preview"):
        html = as_html(words) if rich else unmarked(words)
        return await show(ask, kept=words, rich=rich, preview=Preview(html, words, bool(ask.files)))
    to = address(ask.form("to"))
    if not words and not ask.files:
        wrong = _("There are no words to send. Write something, or attach a file.")
        return await show(ask, status=422, wrong=wrong)
    draft = Draft(
        uid=once(ask),
        ticket_id=ask.part["ticket"],
        answers=ask.form.number("answers"),
        to=(to,) if to is not None else (),
        text=words,
        html=as_html(words) if rich else "",
        attachments=ask.files,
        expected_version=ask.form.number("version"),
    )
    try:
        counting.refuse_too_long(ask, words, [ask.form("to") or ask.form("asks")])
        recorded = await ask.house.desk.write(ask.viewer, draft)
    except Stale:
        wrong = _("Something new came while you wrote, and nothing was sent. Read it above; your words are kept below.")
        return await show(ask, status=409, wrong=wrong, kept=words, rich=rich, stale=True)
    except Refused as refused:
        return await show(ask, status=422, wrong=sentence(str(refused)), kept=words, rich=rich)
    return see_other(f"/tickets/{recorded.ticket_id}?said=sent#m{recorded.number}")


async def note(ask: Ask) -> Answer:
    """Keep a note for colleagues."""
    words, ticket_id = ask.form("text").strip(), ask.part["ticket"]
    if not words:
        return await show(ask, status=422, wrong=_("The note is empty; nothing was kept."))
    kept = await ask.store.write(tickets.add_note, ask.viewer, ticket_id, words, ask.at)
    if kept is None:
        raise not_found("conversation")
    ask.house.bus.ring("ticket", [ticket_id])
    return see_other(f"/tickets/{ticket_id}?said=noted#note-{kept.id}")
