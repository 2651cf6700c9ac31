"""One record: what is known of it, what was changed when, and all messages about it."""

from __future__ import annotations

from typing import Any

import msgspec

from msgserver.records import Entity, Message, ResourceRecord, ResourceType, Subscription, Viewer
from msgserver.store import audit, resource_types, resources, subscriptions, tagged
from msgserver.store.messages import ENTITY
from msgserver.store.paging import Page
from msgserver.store.tagged import Shown
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.resources import own, schemes

ROWS = 30
SHOWN = {Shown.ALL: _("All"), Shown.UNREAD: _("Unread"), Shown.READ: _("Read"), Shown.VERIFIED: _("Verified")}
NAMES = {
    "name": _("Name"),
    "code": _("Code"),
    "comments": _("Comments"),
    "status": _("Status"),
    "aliases": _("Also called"),
    "url": _("Link"),
    "latitude": _("Latitude"),
    "longitude": _("Longitude"),
    "parent_id": _("Belongs to"),
}


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """A record with all that its page shows; ``record`` is None where it lives in another application."""

    uid: str
    type: ResourceType
    record: ResourceRecord | None
    elsewhere: str
    parent: ResourceRecord | None
    below: tuple[ResourceRecord, ...]
    history: tuple[audit.Entry, ...]
    page: Page[Message]
    counts: tuple[int, int]
    tickets: dict[int, tagged.OnTicket]
    subscribers: Page[tuple[Subscription, str]]
    own: Entity | None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.record.name if self.record is not None else self.uid


def look(
    tx: Tx, viewer: Viewer, resource: str, uid: str, shown: Shown, after: str, hearing: str
) -> tuple[Around, Shelf] | None:
    """A record of ours, or one that messages are tagged with; None where it is neither, or not for the viewer."""
    found = resources.record(tx, viewer, uid)
    if resource == ENTITY or (found is not None and found.resource != resource):
        return None
    if found is None and not tagged.known(tx, viewer, resource, uid):
        return None
    kind = resource_types.type_of(tx, viewer, resource) or ResourceType(name=resource, label=resource)
    parent = resources.record_by_id(tx, viewer, found.parent_id) if found and found.parent_id else None
    below = resources.records(tx, viewer, parent_id=found.id, limit=200).items if found else ()
    told = resources.history(tx, viewer, uid, limit=50) if found else None
    page = tagged.of_record(tx, viewer, resource, uid, shown, after, ROWS)
    shelf = Shelf(
        uid=uid,
        type=kind,
        record=found,
        elsewhere=(found.url if found else "") or resource_types.address(kind, uid),
        parent=parent,
        below=below,
        history=told.items if told else (),
        page=page,
        counts=resources.message_counts(tx, viewer, resource, [uid]).get(uid, (0, 0)),
        tickets=tagged.on_tickets(tx, viewer, [one.ticket_id for one in page.items if one.ticket_id]),
        subscribers=subscriptions.subscribers(tx, viewer, resource, uid, hearing),
        own=own(tx, viewer),
    )
    return around(tx, viewer), shelf


async def record(ask: Ask) -> Answer:
    """The record, and below it its messages."""
    word = ask.query("show")
    shown = Shown(word) if word in set(Shown) else Shown.ALL
    after, hearing = ask.query("after"), ask.query("hearing")
    seen = await ask.store.read(look, ask.viewer, ask.part["type"], ask.part["uid"], shown, after, hearing)
    if seen is None:
        raise not_found("record")
    here, shelf = seen
    values: dict[str, Any] = {"shown": shown, "shows": SHOWN, "names": NAMES, "schemes": schemes(here)}
    return desk_page(ask, "record.html", here, "resources", shelf=shelf, **values)


async def remove(ask: Ask) -> Answer:
    """Take it away; the tags of its messages stay, and lead to what is left of it."""
    resource, uid = ask.part["type"], ask.part["uid"]
    if not await ask.store.write(remove_it, ask.viewer, resource, uid, ask.at):
        raise not_found("record")
    return see_other(f"/resources/{resource}?said=removed")


def remove_it(tx: Tx, actor: Viewer, resource: str, uid: str, now: float) -> bool:
    """Take a record of this type away."""
    found = resources.record(tx, actor, uid)
    return found is not None and found.resource == resource and resources.remove_record(tx, actor, uid, now)
