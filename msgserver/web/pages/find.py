"""What somebody may mean who types this: for the script that completes names as they are typed."""

from __future__ import annotations

from typing import Any

import msgspec

from msgserver.records import Entity, Viewer
from msgserver.store import people, resource_types, resources
from msgserver.web.ask import Answer, Ask, Tx
from msgserver.web.pages.routing import channels_of


def look_for_records(tx: Tx, viewer: Viewer, words: str, resource: str) -> list[dict[str, str]]:
    """Records by name, alias and code, with their type."""
    labels = {one.name: one.label for one in resource_types.types(tx, viewer)}
    return [
        {"id": one.uid, "name": one.name, "more": " ".join(filter(None, (labels.get(one.resource), one.code)))}
        for one in resources.complete(tx, viewer, words, resource)
    ]


def look_for_people(tx: Tx, viewer: Viewer, words: str) -> list[tuple[Entity, str]]:
    """People, groups and organisations, with the channels they have."""
    return channels_of(tx, viewer, people.complete(tx, viewer, words))


async def records(ask: Ask) -> Answer:
    """Records; ``?type=`` narrows it."""
    return _give(await ask.store.read(look_for_records, ask.viewer, ask.query("q")[:200], ask.query("type")[:60]))


async def entities(ask: Ask) -> Answer:
    """People, groups and organisations."""
    found = await ask.store.read(look_for_people, ask.viewer, ask.query("q")[:200])
    return _give([{"id": str(one.id), "name": one.name, "more": more} for one, more in found])


def _give(items: list[dict[str, Any]]) -> Answer:
    return Answer(body=msgspec.json.encode(items), media_type="application/json")
