"""Feeds and exports: the messages about a record or type, or that a search finds, for programs that look often.

A feed reader cannot sign in. It is given a key (made on one's own page, ended there, good for feeds alone) as the
password of HTTP Basic (RFC 7617), any name with it; programs may send a token as the API takes it, browsers their
session. What is shown is what that user may see, and what has not changed is not sent again (RFC 9110 section 13).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from msgserver.formats import feed as formats
from msgserver.formats.feed import Feed, Item
from msgserver.records import Message, ResourceRecord, ResourceType, Tag, Viewer
from msgserver.store import messages, resource_types, resources, saved, tagged
from msgserver.store.messages import ENTITY
from msgserver.store.tagged import Shown
from msgserver.web.ask import Answer, Ask, Tx, not_found
from msgserver.web.language import _
from msgserver.web.words import iso_time, spoken_address, tag_place

ITEMS = 50
EXPORTED = 200  # records of one export; the next ones follow by ``after``
KEPT = 2_000  # feeds whose last change is remembered

_FORMS: dict[str, tuple[str, Callable[[Feed], bytes]]] = {
    "atom": ("application/atom+xml; charset=utf-8", formats.atom),
    "rss": ("application/rss+xml; charset=utf-8", formats.rss),
}
_EXPORTS = {"json": "application/json", "xml": "application/xml; charset=utf-8"}


class Seen:
    """When each feed last changed, for readers that ask by time: the moment at which it was first found so.

    A time out of the messages would not do: taking a tag off changes a feed as well.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], tuple[str, int]] = OrderedDict()

    def since(self, viewer: Viewer, place: str, mark: str, now: float) -> int:
        """Since when (POSIX seconds) a feed has been as its ``mark`` says."""
        key = (viewer.user_id, place)
        known = self._known.get(key)
        if known is None or known[0] != mark:
            known = (mark, int(now) if known is None else max(int(now), known[1] + 1))
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return known[1]


def unchanged(ask: Ask, tag: str, since: int) -> bool:
    """Whether the reader has this already (RFC 9110 section 13.2.2)."""
    if (known := ask.headers.get("if-none-match")) is not None:
        return known.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in known.split(",")}
    try:
        return parsedate_to_datetime(ask.headers.get("if-modified-since", "")).timestamp() >= since
    except (TypeError, ValueError):
        return False


def _give(ask: Ask, content: Any, media_type: str, write: Callable[[], bytes]) -> Answer:
    """Answer with it, or that nothing has changed; it is only written out where it has."""
    mark = hashlib.sha256(msgspec.json.encode((media_type, content))).hexdigest()[:32]
    place = f"{ask.path}?{urlencode([(name, ask.query(name)) for name in ask.query.names()])}"
    since, tag = ask.site.feeds.since(ask.viewer, place, mark, ask.at), f'"{mark}"'
    headers = [("ETag", tag), ("Cache-Control", "private, no-cache"), ("Vary", "Authorization, Cookie")]
    if since <= ask.at:
        headers.append(("Last-Modified", formatdate(since, usegmt=True)))
    if unchanged(ask, tag, since):
        return Answer(status=304, headers=tuple(headers))
    return Answer(body=write(), media_type=media_type, headers=tuple(headers))


# Items -----------------------------------------------------------------------------------------------------------


class _Maker(msgspec.Struct, frozen=True):
    """Makes items; ``url`` is the site's address."""

    url: str
    hub: str

    def message(self, m: Message, tags: Iterable[Tag]) -> Item:
        """A message, linked to its conversation and to what it is about."""
        tags = list(tags)
        who = m.sender_name or spoken_address(m.sender) or self.hub
        place = f"/tickets/{m.ticket_id}?view=all#m{m.number}" if m.ticket_id is not None else f"/trace/{m.id}"
        about = [tag for tag in tags if tag.resource != ENTITY]
        return Item(
            id=_name(self.url, m.uid, f"/messages/{m.id}"),
            title=formats.heading(m.subject or m.body, _("No text.")),
            link=self.url + place,
            text=m.body,
            at=m.received_at,
            changed=max([m.received_at, m.verified_at or 0.0, *(tag.created_at for tag in tags)]),
            author=who,
            tags=tuple(tag.name or tag.record or tag.resource for tag in about),
            related=tuple((tag.name, self.url + tag_place(tag.resource, tag.record)) for tag in about),
        )

    def record(self, r: ResourceRecord, kind: ResourceType) -> Item:
        """A record, linked to its page."""
        said = [f"{field.label}: {r.fields[field.name]}" for field in kind.fields if r.fields.get(field.name)]
        lines = [f"{_('Status')}: {r.status}"] if r.status else []
        return Item(
            id=_name(self.url, r.uid, f"/resources/{quote(r.resource)}/{quote(r.uid)}"),
            title=f"{kind.label}: {r.name}",
            link=f"{self.url}/resources/{quote(r.resource)}/{quote(r.uid)}",
            text="\n\n".join(filter(None, ("\n".join(lines + said), r.comments))),
            at=r.created_at,
            changed=r.changed_at,
            tags=(kind.label,),
        )


def _name(url: str, uid: str, place: str) -> str:
    try:
        return UUID(uid).urn
    except ValueError:
        return url + place


def _maker(ask: Ask) -> _Maker:
    return _Maker(ask.house.config.web.url.rstrip("/"), ask.house.config.hub.name)


def _verified(ask: Ask) -> bool:
    return ask.query("verified").lower() in ("1", "yes", "true")


def _items(tx: Tx, viewer: Viewer, make: _Maker, found: Iterable[Message]) -> list[Item]:
    listed = list(found)
    tags = messages.tags(tx, viewer, [one.id for one in listed])
    return [make.message(one, tags.get(one.id, ())) for one in listed]


def _feed(ask: Ask, title: str, place: str, items: list[Item]) -> Answer:
    media_type, write = _FORMS[ask.part["form"]]
    named = [(name, ask.query(name)) for name in ("q", "verified") if ask.query(name)]
    url = _maker(ask).url
    own = f"{url}{quote(ask.path)}{'?' + urlencode(named) if named else ''}"
    title = f"{title} · {ask.house.config.hub.name}"
    made = Feed(title=title, link=url + place, own=own, items=tuple(items))
    return _give(ask, made, media_type, lambda: write(made))


def _form(ask: Ask, *forms: Any) -> None:
    if not any(ask.part["form"] in known for known in forms):
        raise not_found("feed")


# The log and saved searches ---------------------------------------------------------------------------------------


def look_at_log(tx: Tx, viewer: Viewer, make: _Maker, query: str, verified: bool) -> list[Item]:
    """The newest messages that a search finds, spam left out."""
    page = messages.log(tx, viewer, query, "", ITEMS, whole=True, verified=verified, spam=False)
    return _items(tx, viewer, make, page.items)


async def log(ask: Ask) -> Answer:
    """The log, or with ``?q=`` what a search finds in it."""
    _form(ask, _FORMS)
    query = ask.query("q")[:500].strip()
    items = await ask.store.read(look_at_log, ask.viewer, _maker(ask), query, _verified(ask))
    place = f"/log?{urlencode({'q': query})}" if query else "/log"
    return _feed(ask, query or _("Log"), place, items)


async def search(ask: Ask) -> Answer:
    """A saved search, one's own or everybody's."""
    _form(ask, _FORMS)
    view = await ask.store.read(saved.saved, ask.viewer, ask.part["view"])
    if view is None:
        raise not_found("saved search")
    items = await ask.store.read(look_at_log, ask.viewer, _maker(ask), view.query, _verified(ask))
    return _feed(ask, view.name, f"/log?{urlencode({'q': view.query})}", items)


# Types and records ------------------------------------------------------------------------------------------------


def look_at_type(
    tx: Tx, viewer: Viewer, make: _Maker, name: str, verified: bool
) -> tuple[ResourceType, list[Item]] | None:
    """A type's records and the messages about them, what changed last first."""
    kind = resource_types.type_of(tx, viewer, name)
    if kind is None:
        return None
    shown = Shown.VERIFIED if verified else Shown.ALL
    found = tagged.of_type(tx, viewer, name, shown, "", ITEMS, whole=True)
    items = _items(tx, viewer, make, found.items)
    items += [make.record(one, kind) for one in resources.recent(tx, viewer, name, ITEMS)]
    return kind, sorted(items, key=lambda item: item.changed, reverse=True)[:ITEMS]


async def of_type(ask: Ask) -> Answer:
    """The records of a type with the messages about them: as a feed, or exported."""
    _form(ask, _FORMS, _EXPORTS)
    name = ask.part["type"]
    if ask.part["form"] in _EXPORTS:
        return await _export(ask, name, "")
    seen = await ask.store.read(look_at_type, ask.viewer, _maker(ask), name, _verified(ask))
    if seen is None:
        raise not_found("resource type")
    kind, items = seen
    return _feed(ask, kind.label, f"/resources/{quote(name)}", items)


def look_at_record(
    tx: Tx, viewer: Viewer, make: _Maker, resource: str, uid: str, verified: bool
) -> tuple[str, list[Item]] | None:
    """A record (of ours or not) and the messages about it."""
    found = resources.record(tx, viewer, uid)
    if resource == ENTITY or (found is not None and found.resource != resource):
        return None
    if found is None and not tagged.known(tx, viewer, resource, uid):
        return None
    kind = resource_types.type_of(tx, viewer, resource) or ResourceType(name=resource, label=resource)
    shown = Shown.VERIFIED if verified else Shown.ALL
    page = tagged.of_record(tx, viewer, resource, uid, shown, "", ITEMS, whole=True, spam=False)
    items = _items(tx, viewer, make, page.items)
    if found is not None:
        items = sorted([*items, make.record(found, kind)], key=lambda item: item.changed, reverse=True)
    return (found.name if found is not None else uid), items


async def of_record(ask: Ask) -> Answer:
    """One record with the messages about it: as a feed, or exported."""
    _form(ask, _FORMS, _EXPORTS)
    resource, uid = ask.part["type"], ask.part["uid"]
    if ask.part["form"] in _EXPORTS:
        return await _export(ask, resource, uid)
    seen = await ask.store.read(look_at_record, ask.viewer, _maker(ask), resource, uid, _verified(ask))
    if seen is None:
        raise not_found("record")
    return _feed(ask, seen[0], f"/resources/{quote(resource)}/{quote(uid)}", seen[1])


# Export -----------------------------------------------------------------------------------------------------------


def exported(
    tx: Tx, viewer: Viewer, url: str, resource: str, uid: str, verified: bool, after: str
) -> dict[str, Any] | None:
    """Records of a type (or one of them) with their newest messages as linked items."""
    kind = resource_types.type_of(tx, viewer, resource)
    if kind is None:
        return None
    one = resources.record(tx, viewer, uid) if uid else None
    if uid and (one is None or one.resource != resource):
        return None
    page = resources.records(tx, viewer, resource, "", after, EXPORTED) if one is None else None
    found = page.items if page is not None else (one,)
    uids = [each.uid for each in found if each is not None]
    counts = resources.message_counts(tx, viewer, resource, uids)
    listed = [_exported(tx, viewer, url, each, counts.get(each.uid, (0, 0)), verified) for each in found if each]
    following = page.next if page is not None else ""
    here = f"{url}/feeds/records/{quote(resource)}"
    return {"type": resource, "label": kind.label, "records": listed} | (
        {"next": f"{here}/{{form}}?{urlencode({'after': following})}"} if following else {}
    )


def _exported(
    tx: Tx, viewer: Viewer, url: str, r: ResourceRecord, counts: tuple[int, int], verified: bool
) -> dict[str, Any]:
    parent = resources.record_by_id(tx, viewer, r.parent_id) if r.parent_id is not None else None
    shown = Shown.VERIFIED if verified else Shown.ALL
    page = tagged.of_record(tx, viewer, r.resource, r.uid, shown, "", ITEMS, whole=True, spam=False)
    tags = messages.tags(tx, viewer, [m.id for m in page.items])
    place = f"{url}/resources/{quote(r.resource)}/{quote(r.uid)}"
    return {
        "uid": r.uid, "resource": r.resource, "href": place, "name": r.name, "code": r.code, "status": r.status,
        "comments": r.comments, "aliases": r.aliases, "fields": r.fields, "url": r.url, "latitude": r.latitude,
        "longitude": r.longitude, "parent": parent.uid if parent is not None else None,
        "created_at": iso_time(r.created_at), "changed_at": iso_time(r.changed_at), "unread": counts[0],
        "read": counts[1], "more": f"{place}#messages" if page.next else None,
        "messages": [_linked(url, m, tags.get(m.id, [])) for m in page.items],
    }  # fmt: skip


def _linked(url: str, m: Message, tags: list[Tag]) -> dict[str, Any]:
    place = f"/tickets/{m.ticket_id}?view=all#m{m.number}" if m.ticket_id is not None else f"/trace/{m.id}"
    return {
        "uid": m.uid, "href": url + place, "api": f"{url}/api/v1/messages/{m.id}", "direction": m.direction.value,
        "sender": m.sender, "sender_name": m.sender_name, "subject": m.subject, "text": m.body,
        "received_at": iso_time(m.received_at), "verified": m.verified,
        "tags": [{"resource": tag.resource, "record": tag.record, "name": tag.name} for tag in tags],
    }  # fmt: skip


async def _export(ask: Ask, resource: str, uid: str) -> Answer:
    found = await ask.store.read(
        exported, ask.viewer, _maker(ask).url, resource, uid, _verified(ask), ask.query("after")
    )
    if found is None:
        raise not_found("record" if uid else "resource type")
    form = ask.part["form"]
    if "next" in found:
        found["next"] = found["next"].replace("{form}", form)
    if form == "json":
        return _give(ask, found, _EXPORTS[form], lambda: msgspec.json.encode(found))
    return _give(ask, found, _EXPORTS[form], lambda: formats.xml("export", found))
