"""How one message came and went: the arrival, what it became and why, each delivery with the far side's own words."""

from __future__ import annotations

from typing import Any

import msgspec

from msgserver.records import Viewer
from msgserver.store import trace as kept_trace
from msgserver.web.ask import Answer, Ask, Tx, not_found
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page

_SHOWN = 400  # characters of one fact


class _Envelope(msgspec.Struct, frozen=True):
    facts: dict[str, Any] = {}


def look(tx: Tx, viewer: Viewer, message_id: int) -> tuple[Around, kept_trace.Trace] | None:
    """The trace and what stands around the page."""
    found = kept_trace.trace(tx, viewer, message_id)
    return None if found is None else (around(tx, viewer), found)


def facts(came: kept_trace.Came | None) -> dict[str, str]:
    """What the session knew when it came, for people."""
    if came is None:
        return {}
    try:
        known = msgspec.json.decode(came.envelope, type=_Envelope).facts
    except msgspec.DecodeError:
        known = {}
    told = {_("by"): came.connector, _("its name there"): came.wire_id, _("bytes"): f"{came.size:,}"}
    return told | {name: str(value)[:_SHOWN] for name, value in sorted(known.items()) if value not in ("", None)}


async def trace(ask: Ask) -> Answer:
    """Everything that is known of a message."""
    seen = await ask.store.read(look, ask.viewer, ask.part["message"])
    if seen is None:
        raise not_found("message")
    here, found = seen
    return desk_page(ask, "trace.html", here, "log", trace=found, facts=facts(found.came))
