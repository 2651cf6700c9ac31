"""What pages and programs do alike at a station that people work: find it, take from its queue, say what came of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgserver.connector import IStation, SendFailure
from msgserver.message import Heard
from msgserver.records import DeliveryState
from msgserver.store import station as kept
from msgserver.store.station import Queued
from msgserver.web.ask import Ask, Refusal, not_found
from msgserver.web.language import _

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3])[:.h]?([0-5][0-9])")
OPEN = (DeliveryState.PENDING, DeliveryState.CLAIMED, DeliveryState.UNKNOWN)


def names(house: Any) -> tuple[str, ...]:
    """The stations that this process runs."""
    return tuple(name for name, connector in house.connectors.items() if IStation.providedBy(connector))


def find(ask: Ask) -> Any:
    """The station that the path names.

    Raises:
        Refusal: there is none, or another process of the hub runs it.
    """
    connector = ask.house.connectors.get(ask.part["name"])
    if connector is None or not IStation.providedBy(connector):
        raise not_found("station")
    return connector


async def one(ask: Ask, delivery_id: int) -> Queued:
    """A text of the station's that is still open.

    Raises:
        Refusal: there is none, or it has ended.
    """
    row: Queued | None = await ask.store.read(kept.queued, ask.viewer, ask.part["name"], delivery_id)
    if row is None:
        raise not_found("delivery")
    if row.state not in OPEN:
        raise Refusal(
            409, _("This has ended already: %s.") % row.state.value, _("Nothing was changed. Look at the queue again.")
        )
    return row


async def take(ask: Ask, delivery_id: int) -> None:
    """Take a text to pass it on.

    Raises:
        Refusal: somebody was faster, or it has ended.
    """
    station, row = find(ask), await one(ask, delivery_id)
    held = station.taken.get(row.ref)
    if held is not None and held.who == ask.viewer.name:
        return
    if await done(station.take(ask.viewer.name, row.ref)) is None:
        who = held.who if held is not None else _("somebody else")
        raise Refusal(
            409,
            _("It cannot be taken: %s has it, or the station is paused.") % who,
            _("Nothing was changed. Look at the queue again."),
        )
    ring(ask, row)


async def ended(ask: Ask, delivery_id: int, act: str, words: str = "") -> None:
    """Say what came of a text: ``delivered``, ``failed`` or ``put_back``.

    Raises:
        Refusal: it has ended already, or is not taken.
    """
    station, row = find(ask), await one(ask, delivery_id)
    if row.state is DeliveryState.PENDING or (act == "put_back" and row.ref not in station.taken):
        raise Refusal(
            409, _("Nobody has taken it."), _("Nothing was changed. Take it first, then say what came of it.")
        )
    more = () if act == "put_back" else (words,)
    await done(getattr(station, act)(ask.viewer.name, row.ref, *more))
    ring(ask, row)


async def log(ask: Ask, heard: Heard) -> None:
    """Write down what was heard.

    Raises:
        Refusal: something in it cannot be.
    """
    try:
        await done(find(ask).heard(ask.viewer.name, heard))
    except ValueError as error:
        raise Refusal(422, _("It could not be logged: %s.") % error, _("Nothing was written down; mend it.")) from None


async def done(act: Awaitable[Any]) -> Any:
    """The station's answer; where nothing could be written down it is told as a refusal.

    Raises:
        Refusal: 503.
    """
    try:
        return await act
    except SendFailure as failure:
        refusal = Refusal(503, _("It could not be written down: %s.") % str(failure).rstrip("."), _("Say it again."))
        refusal.headers = (("Retry-After", "30"),)
        raise refusal from None


def ring(ask: Ask, row: Queued) -> None:
    """Let the pages that show it know."""
    ask.house.bus.ring("delivery", [ask.part["name"]])
    if row.ticket_id is not None:
        ask.house.bus.ring("ticket", [row.ticket_id])


def time_heard(words: str, now: float) -> float:
    """When something was heard: ``14:05`` is the last time it was five past two here, empty is now.

    Raises:
        Refusal: it is no time, or lies ahead.
    """
    words = words.strip()
    if not words:
        return now
    clock = _CLOCK.fullmatch(words)
    try:
        if clock is not None:
            today = datetime.fromtimestamp(now, UTC).astimezone()
            at = today.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            if at.timestamp() > now + 60:
                at -= timedelta(days=1)
        else:
            at = datetime.fromisoformat(words).astimezone()
        heard = at.timestamp()
    except (ValueError, OverflowError):
        raise Refusal(
            422, _("“%s” is no time. Write 14:05, or 2026-11-24 14:05.") % words[:40], _("Nothing was written down.")
        ) from None
    if heard > now + 60:
        raise Refusal(422, _("This time has not come yet."), _("Nothing was written down."))
    return min(heard, now)
