"""A station that people work: its queue to read out, and the form to log what was heard."""

from __future__ import annotations

import uuid

from msgserver.message import Heard
from msgserver.records import Viewer
from msgserver.store import station as kept
from msgserver.store.station import Queue
from msgserver.web import station as work
from msgserver.web.ask import Answer, Ask, Refusal, Tx, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.compose import once


def look(tx: Tx, viewer: Viewer, name: str, now: float) -> tuple[Around, Queue]:
    """The queue, and what stands around the page."""
    return around(tx, viewer), kept.queue(tx, viewer, name, now)


async def show(ask: Ask, *, wrong: str = "", status: int = 200) -> Answer:
    """The station's page, with what was written on it."""
    station = work.find(ask)
    here, queue = await ask.store.read(look, ask.viewer, station.name, ask.at)
    return desk_page(
        ask,
        "station.html",
        here,
        "channels",
        status=status,
        wrong=wrong,
        station=station,
        queue=queue,
        taken=station.taken,
        once=ask.form("once") or str(uuid.uuid4()),
    )


async def page(ask: Ask) -> Answer:
    """The queue and the log form."""
    return await show(ask)


async def take(ask: Ask) -> Answer:
    """Take a text to read it out."""
    number = _number(ask)
    await work.take(ask, number)
    return _back(ask, "taken-text", f"d{number}")


async def delivered(ask: Ask) -> Answer:
    """It was passed on and read back."""
    await work.ended(ask, _number(ask), "delivered", ask.form("by").strip()[:100])
    return _back(ask, "passed")


async def failed(ask: Ask) -> Answer:
    """It could not be passed on."""
    why = ask.form("why").strip()[:300]
    if not why:
        return await show(ask, wrong=_("Say why it could not be delivered. Nothing was changed."), status=422)
    await work.ended(ask, _number(ask), "failed", why)
    return _back(ask, "not-passed")


async def back(ask: Ask) -> Answer:
    """Somebody else shall read it out."""
    await work.ended(ask, _number(ask), "put_back")
    return _back(ask, "put-back")


async def heard(ask: Ask) -> Answer:
    """Log what was heard; what is wrong is said beside the words, which stay."""
    sender, text = ask.form("from").strip(), ask.form("text").strip()
    if not sender or not text:
        return await show(ask, wrong=_("Write who said it, and what. Nothing was written down yet."), status=422)
    try:
        await work.log(
            ask,
            Heard(
                name=once(ask),
                sender=sender[:200],
                scheme=ask.form("scheme"),
                to=ask.form("to").strip()[:200],
                net=ask.form("net").strip()[:100],
                text=text,
                at=work.time_heard(ask.form("at"), ask.at),
            ),
        )
    except Refusal as refusal:
        if refusal.status != 422:
            raise
        return await show(ask, wrong=f"{refusal.words} {refusal.hint}", status=422)
    return _back(ask, "logged")


def _number(ask: Ask) -> int:
    return ask.form.number("delivery") or 0


def _back(ask: Ask, said: str, anchor: str = "main") -> Answer:
    return see_other(f"/stations/{ask.part['name']}?said={said}#{anchor}")
