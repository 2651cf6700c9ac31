"""What messages are about: the resource types, and the records of one with what there is to read about each."""

from __future__ import annotations

import msgspec

from msgserver.records import Entity, ResourceRecord, ResourceType, Subscription, Viewer
from msgserver.store import people, resource_types, resources, subscriptions
from msgserver.store.messages import ENTITY
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx, not_found
from msgserver.web.pages.around import Around, around, desk_page

ROWS = 50


class Listed(msgspec.Struct, frozen=True):
    """A page of a type's records with their messages: unread and read by the viewer, and when the last one came."""

    type: ResourceType
    page: Page[ResourceRecord]
    counts: dict[str, tuple[int, int]]
    last: dict[str, float]
    own: Entity | None
    subscribers: Page[tuple[Subscription, str]]


def look(tx: Tx, viewer: Viewer) -> tuple[Around, list[ResourceType], dict[str, int]]:
    """The types, and how many records each has."""
    return around(tx, viewer), resource_types.types(tx, viewer), resource_types.how_many(tx, viewer)


async def types(ask: Ask) -> Answer:
    """Every type."""
    here, found, counts = await ask.store.read(look, ask.viewer)
    return desk_page(ask, "resources.html", here, "resources", types=found, how_many=counts)


def own(tx: Tx, viewer: Viewer) -> Entity | None:
    """The viewer as a person who can be subscribed."""
    return people.entity(tx, viewer, viewer.entity_id) if viewer.entity_id is not None else None


def look_at_type(
    tx: Tx, viewer: Viewer, name: str, query: str, after: str, hearing: str
) -> tuple[Around, Listed] | None:
    """One page of a type's records."""
    found = resource_types.type_of(tx, viewer, name)
    if found is None or name == ENTITY:
        return None
    page = resources.records(tx, viewer, name, query, after, ROWS)
    uids = [one.uid for one in page.items]
    counts, last = resources.message_counts(tx, viewer, name, uids), resources.last_activity(tx, viewer, name, uids)
    return around(tx, viewer), Listed(
        found, page, counts, last, own(tx, viewer), subscriptions.subscribers(tx, viewer, name, "", hearing)
    )


async def listing(ask: Ask) -> Answer:
    """The records of a type by name, or those that a search finds."""
    query = ask.query("q")[:200].strip()
    after, hearing = ask.query("after"), ask.query("hearing")
    seen = await ask.store.read(look_at_type, ask.viewer, ask.part["type"], query, after, hearing)
    if seen is None:
        raise not_found("resource type")
    here, listed = seen
    return desk_page(ask, "records.html", here, "resources", listed=listed, query=query, schemes=schemes(here))


def schemes(here: Around) -> list[str]:
    """By which kinds of address a copy can go."""
    return sorted({scheme for row in here.channels for scheme in row.schemes})


def choose(tx: Tx, viewer: Viewer, words: str, resource: str = "", limit: int = 10) -> list[ResourceRecord]:
    """The records that somebody may mean: just the one whose uid or code it is, else those with such words."""
    words = words.strip()
    found = resources.record(tx, viewer, words) if words else None
    if found is not None and resource in ("", found.resource):
        return [found]
    near = resources.complete(tx, viewer, words, resource, limit) if words else []
    coded = [one for one in near if one.code and one.code.lower() == words.lower()]
    named = [one for one in near if one.name.lower() == words.lower()]
    return coded if len(coded) == 1 else named if len(named) == 1 and not coded else near
