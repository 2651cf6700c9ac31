"""A station that people work, for programs: its queue, what came of each text, and what was heard."""

from __future__ import annotations

from typing import Any

from msgserver.message import Heard
from msgserver.records import Priority
from msgserver.store import station as kept
from msgserver.store.station import Queued
from msgserver.web import station as work
from msgserver.web.api.giving import NOTHING, give, give_all, new_uid
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import QueuedShape
from msgserver.web.api.taken import NewHeard, NotPassed, ReadBack
from msgserver.web.ask import Answer, Ask, Refusal


async def queue(ask: Ask) -> Answer:
    """What is to be passed on, the most urgent first; before it what is taken, and what nobody said the end of."""
    station = work.find(ask)
    found = await ask.store.read(kept.queue, ask.viewer, station.name, ask.at)
    return give_all((*found.open, *found.waiting), lambda row: _shape(station, row))


async def take(ask: Ask) -> Answer:
    """Take a text to pass it on; 409 where somebody else has it."""
    await work.take(ask, ask.part["delivery"])
    return await _show(ask)


async def delivered(ask: Ask) -> Answer:
    """It was passed on."""
    await work.ended(ask, ask.part["delivery"], "delivered", taken(ask, ReadBack).by.strip())
    return await _show(ask)


async def failed(ask: Ask) -> Answer:
    """It could not be passed on."""
    await work.ended(ask, ask.part["delivery"], "failed", taken(ask, NotPassed).why.strip())
    return await _show(ask)


async def back(ask: Ask) -> Answer:
    """Back into the queue, for somebody else."""
    await work.ended(ask, ask.part["delivery"], "put_back")
    return await _show(ask)


async def heard(ask: Ask) -> Answer:
    """Log what was heard; with the same Idempotency-Key it is logged once."""
    told = taken(ask, NewHeard)
    if told.at is not None and told.at > ask.at + 60:
        raise Refusal(422, "The time in at has not come yet.", "Nothing was written down.")
    await work.log(
        ask,
        Heard(
            name=new_uid(ask),
            sender=told.sender,
            text=told.text,
            scheme=told.scheme,
            to=told.to,
            net=told.net,
            at=told.at if told.at is not None else ask.at,
        ),
    )
    return NOTHING


async def _show(ask: Ask) -> Answer:
    station = work.find(ask)
    row = await ask.store.read(kept.queued, ask.viewer, station.name, ask.part["delivery"])
    assert row is not None
    return give(_shape(station, row))


def _shape(station: Any, row: Queued) -> QueuedShape:
    held = station.taken.get(row.ref)
    return QueuedShape(
        delivery=row.id,
        state=row.state.value,
        address=row.address,
        to_name=row.to_name,
        priority=Priority(row.priority).name.lower(),
        text=held.envelope.text if held is not None else row.body,
        ticket=row.ticket_id,
        taken_by=held.who if held is not None else "",
        reason=row.reason,
        due_at=row.due_at,
        expires_at=row.expires,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
