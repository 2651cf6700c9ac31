"""The channels: how each is, in words, and holding one back for a while."""

from __future__ import annotations

from msgserver.records import Viewer
from msgserver.store import connectors
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page


def look(tx: Tx, viewer: Viewer) -> Around:
    """The channels are what stands around every page."""
    return around(tx, viewer)


async def channels(ask: Ask) -> Answer:
    """A card a channel."""
    here = await ask.store.read(look, ask.viewer)
    return desk_page(ask, "channels.html", here, "channels", rows=here.channels)


async def pause(ask: Ask) -> Answer:
    """Let nothing leave by it until somebody resumes it; what waits is kept."""
    return await _set(ask, paused=True)


async def resume(ask: Ask) -> Answer:
    """Let it go on."""
    return await _set(ask, paused=False)


async def _set(ask: Ask, *, paused: bool) -> Answer:
    name = ask.part["name"]
    if await ask.store.write(connectors.set_paused, ask.viewer, name, paused, ask.at) is None:
        raise not_found("channel")
    ask.house.bus.ring("connector", [name])
    return see_other(f"/channels?said={'paused' if paused else 'resumed'}#{name}")
