"""Making and changing a record: the form, filled in from a message where it was routed from one (MISSION M7)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from msgserver.formats.extract import positions
from msgserver.formats.fields import LONGEST
from msgserver.formats.filling import filled
from msgserver.records import Message, ResourceRecord, ResourceType, Viewer
from msgserver.routing.by_hand import tag
from msgserver.routing.may import Act, require
from msgserver.store import messages, resource_types, resources, users
from msgserver.store.edits import Refused, Stale
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.resources import choose
from msgserver.web.pages.routing import DONE, finish, remembered
from msgserver.web.words import sentence

PLAIN = ("name", "code", "status", "comments", "url")
FIELD = "f-"  # before a field's name in the form


def look(
    tx: Tx, viewer: Viewer, resource: str, uid: str, message_id: int | None
) -> tuple[Around, ResourceType, ResourceRecord | None, ResourceRecord | None, Message | None, list[str], bool] | None:
    """The type, the record and its parent where there is one, the message it is made from, the statuses in use."""
    kind = resource_types.type_of(tx, viewer, resource)
    found = resources.record(tx, viewer, uid) if uid else None
    if kind is None or (found is not None and found.resource != resource):
        return None
    parent = resources.record_by_id(tx, viewer, found.parent_id) if found is not None and found.parent_id else None
    message = messages.message(tx, viewer, message_id) if message_id is not None else None
    done = remembered(users.settings(tx, viewer.user_id))
    return around(tx, viewer), kind, found, parent, message, resources.statuses(tx, resource), done


async def new(ask: Ask) -> Answer:
    """An empty form, or one filled in from ``?message=``; ``?uid=`` takes in what another application calls so."""
    return await _show(ask, ask.query("type"), "", ask.query.number("message"))


async def edit(ask: Ask) -> Answer:
    """The form with what the record says now."""
    return await _show(ask, ask.part["type"], ask.part["uid"], None)


async def _show(
    ask: Ask, resource: str, uid: str, message_id: int | None, *, wrong: str = "", status: int = 200
) -> Answer:
    seen = await ask.store.read(look, ask.viewer, resource, uid, message_id)
    if seen is None or (uid and seen[2] is None):
        raise not_found("record" if uid else "resource type")
    here, kind, found, parent, message, statuses, done = seen
    if wrong:
        values: Mapping[str, str] = {name: ask.form(name) for name in ask.form.names()}
    elif found is not None:
        values = _of_record(found, parent)
    elif message is not None:
        values = _of_message(kind, message, ask.house.config.hub.region)
    else:
        values = {name: ask.query(name)[:200] for name in ("name", "parent")}
    named = found.name if found is not None else kind.label
    return desk_page(
        ask, "record_form.html", here, "resources", status=status, wrong=wrong, kind=kind, found=found,
        message=message, values=values, statuses=statuses, named=named, done=done, field=FIELD, longest=LONGEST,
        uid=ask.form("uid") or ask.query("uid")[:200] or ("" if found else str(uuid.uuid4())),
    )  # fmt: skip


def _of_record(found: ResourceRecord, parent: ResourceRecord | None) -> dict[str, str]:
    values = {name: str(getattr(found, name)) for name in PLAIN}
    values |= {FIELD + name: words for name, words in found.fields.items()}
    values |= {"aliases": "\n".join(found.aliases), "version": str(found.version)}
    if found.latitude is not None and found.longitude is not None:
        values["position"] = f"{found.latitude}, {found.longitude}"
    if parent is not None:
        values["parent"] = parent.code or parent.uid
    return values


def _of_message(kind: ResourceType, message: Message, region: str) -> dict[str, str]:
    made = filled(kind.fields, message.subject, message.body, message.sender, region)
    values = {"name": made.name, "comments": made.comments}
    values |= {FIELD + name: words for name, words in made.fields.items()}
    if made.latitude is not None:
        values["position"] = f"{made.latitude}, {made.longitude}"
    return values


def content(tx: Tx, actor: Viewer, form: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, as the store takes it.

    Raises:
        Refused: the position is none, or no record or more than one is meant by what it shall belong to.
    """
    said: dict[str, Any] = {name: form.get(name, "") for name in PLAIN}
    said["aliases"] = [line for line in form.get("aliases", "").splitlines() if line.strip()]
    said["fields"] = {name.removeprefix(FIELD): words for name, words in form.items() if name.startswith(FIELD)}
    where = form.get("position", "").strip()
    found = positions(where) or positions(f"geo:{where.replace(' ', '')}")
    if where and not found:
        raise Refused(_("Nothing was saved: write the position as in 34.5553, 69.2075 or 34°33′19″N 69°12′27″E."))
    said["latitude"], said["longitude"] = (found[0].latitude, found[0].longitude) if where else (None, None)
    above = form.get("parent", "").strip()
    meant = choose(tx, actor, above) if above else []
    if above and len(meant) != 1:
        which = ", ".join(f"{one.name} ({one.code or one.uid})" for one in meant[:5]) or _("none")
        raise Refused(_("Nothing was saved: it shall belong to “%s”; found: %s. Write a code.") % (above[:60], which))
    said["parent_id"] = meant[0].id if meant else None
    return said


def make_it(tx: Tx, actor: Viewer, resource: str, uid: str, form: Mapping[str, str], now: float) -> ResourceRecord:
    """A new record out of a form."""
    return resources.create_record(tx, actor, uid, resource, content(tx, actor, form), now)


def change_it(
    tx: Tx, actor: Viewer, resource: str, uid: str, form: Mapping[str, str], version: int | None, now: float
) -> ResourceRecord | None:
    """A record as the form has it now; None where there is none of this type."""
    found = resources.record(tx, actor, uid)
    if found is None or found.resource != resource:
        return None
    return resources.update_record(tx, actor, uid, content(tx, actor, form), now, version)


def _form(ask: Ask) -> dict[str, str]:
    return {name: ask.form(name) for name in ask.form.names()}


async def add(ask: Ask) -> Answer:
    """Keep a new record; the message that it was made from is tagged with it."""
    resource, message_id = ask.part["type"], ask.form.number("message")
    require(ask.viewer, Act.RECORD, resource)
    uid = ask.form("uid").strip() or str(uuid.uuid4())
    try:
        made = await ask.store.write(make_it, ask.viewer, resource, uid, _form(ask), ask.at)
    except Refused as refused:
        return await _show(ask, resource, "", message_id, wrong=sentence(str(refused)), status=422)
    said = "created"
    if message_id is not None:
        kept = await tag(ask.house.store, ask.house.bus, ask.viewer, message_id, resource, made.uid, ask.at)
        if kept is not None:
            await finish(ask, message_id, DONE in ask.form)
            said = "routed"
    return see_other(f"/resources/{resource}/{made.uid}?{urlencode({'said': said})}")


async def change(ask: Ask) -> Answer:
    """Keep what was changed, unless somebody else changed it meanwhile."""
    resource, uid = ask.part["type"], ask.part["uid"]
    require(ask.viewer, Act.RECORD, resource, uid)
    version = ask.form.number("version")
    try:
        made = await ask.store.write(change_it, ask.viewer, resource, uid, _form(ask), version, ask.at)
    except Refused as refused:
        return await _show(ask, resource, uid, None, wrong=sentence(str(refused)), status=422)
    except Stale:
        wrong = _("Somebody changed this record while you wrote, and nothing was saved. Your words are kept below; "
                  "look at the record in another window, then save again.")  # fmt: skip
        return await _show(ask, resource, uid, None, wrong=wrong, status=409)
    if made is None:
        raise not_found("record")
    return see_other(f"/resources/{resource}/{uid}?said=saved")
