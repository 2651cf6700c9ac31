"""The records of resource types, with a stable uid each: kept, changed, found, and how many messages they have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from msgserver.formats import fields as typed
from msgserver.formats.reserved import Choice, reserved
from msgserver.formats.tokens import fold, tokens
from msgserver.records import ResourceRecord, Viewer
from msgserver.store import audit, counting, named, names, resource_types, visible
from msgserver.store.bulk import clean, encode
from msgserver.store.edits import Refused, Stale
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.people import differ
from msgserver.store.schema import msg_log, msg_tag, resource_record, resource_type

_CHANGEABLE = frozenset(
    {"name", "code", "comments", "status", "fields", "aliases", "url", "latitude", "longitude", "parent_id"}
)
_LONGEST = {"name": 200, "code": 40, "comments": 100_000, "status": 60, "url": 1000}  # characters
_CANDIDATES = 200  # that are looked at for a completion
_DEEPEST = 50  # parents above a record
_COLUMNS = [resource_record.c[name] for name in ResourceRecord.__struct_fields__]
_UID = re.compile(r"[^\s/\x00-\x1f]{1,200}")  # it stands in paths
_strings = msgspec.json.Decoder(tuple[str, ...])
_values = msgspec.json.Decoder(dict[str, str])


def _record(row: Any) -> ResourceRecord:
    values = {name: getattr(row, name) for name in ResourceRecord.__struct_fields__}
    values["fields"] = _values.decode(row.fields)
    values["aliases"] = _strings.decode(row.aliases)
    return ResourceRecord(**values)


# --- finding ----------


def records(
    tx: Connection,
    viewer: Viewer,
    resource: str = "",
    query: str = "",
    cursor_word: str = "",
    limit: int = 50,
    code: str = "",
    parent_id: int | None = None,
) -> Page[ResourceRecord]:
    """Records that may be seen, by name; ``query`` finds the beginnings of words of names, aliases and codes."""
    row = resource_record.c
    rows = select(*_COLUMNS, row.name_folded).where(visible.records(viewer))
    if resource:
        rows = rows.where(row.resource == resource)
    if code:
        rows = rows.where(row.code == code)
    if parent_id is not None:
        rows = rows.where(row.parent_id == parent_id)
    if query.strip():
        rows = rows.where(names.matching(tx, _places(tx, resource), query, row.id))
    after = position(cursor_word, str, int)
    if after is not None:
        name, last = after
        rows = rows.where(row.name_folded >= name, or_(row.name_folded > name, row.id > last))
    limit = size(limit)
    found = list(tx.execute(rows.order_by(row.name_folded, row.id).limit(limit + 1)))
    following = cursor(found[limit - 1].name_folded, found[limit - 1].id) if len(found) > limit else ""
    return Page(tuple(_record(one) for one in found[:limit]), following)


def _places(tx: Connection, resource: str) -> list[str]:
    known = [resource] if resource else list(tx.scalars(select(resource_type.c.name)))
    return [names.place_of(one) for one in known]


def complete(tx: Connection, viewer: Viewer, query: str, resource: str = "", limit: int = 10) -> list[ResourceRecord]:
    """What somebody may mean who types this: that code; names that begin so; names and aliases with such words."""
    row, bare, folded = resource_record.c, clean(query.strip()), fold(query)
    places = _places(tx, resource)
    if not names.asked(query):
        return []
    types = [place.partition("/")[2] for place in places]
    seen = select(*_COLUMNS).where(row.resource.in_(types), visible.records(viewer))
    ways: list[Select[Any]] = [seen.where(row.code.in_([bare, bare.upper(), bare.lower()]))]
    if folded:
        ways.append(seen.where(row.name_folded >= folded, row.name_folded < folded + "\U0010ffff"))
    found: dict[int, ResourceRecord] = {}
    for way in (*ways, None):
        if len(found) < limit:
            if way is None:
                way = seen.where(row.id.in_(names.likely(tx, places, query, _CANDIDATES)))
            for one in tx.execute(way.order_by(row.name_folded, row.id).limit(limit)):
                found.setdefault(one.id, _record(one))
    return list(found.values())[:limit]


def record(tx: Connection, viewer: Viewer, uid: str) -> ResourceRecord | None:
    """One record by its uid; None where there is none or the viewer may not see it."""
    rows = select(*_COLUMNS).where(resource_record.c.uid == uid, visible.records(viewer))
    row = tx.execute(rows).one_or_none()
    return None if row is None else _record(row)


def uid_of(tx: Connection, viewer: Viewer, resource: str, words: str) -> str:
    """The uid of the record that somebody means: by uid, or else by code.

    What names none that the viewer may see comes back as it is: it may live in another application.
    """
    if record(tx, viewer, words) is not None or not tokens(words):
        return words
    row, near = resource_record.c, names.holding(names.place_of(resource), words)
    coded = select(row.uid).where(row.resource == resource, row.id.in_(near), func.lower(row.code) == words.lower())
    return tx.scalar(coded.where(visible.records(viewer)).order_by(row.id).limit(1)) or words


def record_by_id(tx: Connection, viewer: Viewer, record_id: int) -> ResourceRecord | None:
    """One record by its number."""
    rows = select(*_COLUMNS).where(resource_record.c.id == record_id, visible.records(viewer))
    row = tx.execute(rows).one_or_none()
    return None if row is None else _record(row)


def recent(tx: Connection, viewer: Viewer, resource: str, limit: int = 50) -> list[ResourceRecord]:
    """The records of a type that changed last, the latest first."""
    row = resource_record.c
    rows = select(*_COLUMNS).where(row.resource == resource, visible.records(viewer))
    return [_record(one) for one in tx.execute(rows.order_by(row.changed_at.desc(), row.id.desc()).limit(size(limit)))]


def statuses(tx: Connection, resource: str) -> list[str]:
    """The words that records of a type have as status, for whoever types one."""
    row = resource_record.c
    rows = select(row.status).where(row.resource == resource, row.status != "").distinct().limit(50)
    return sorted(tx.scalars(rows))


# --- changing ----------


def _content(changes: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {
        key: clean(value) if isinstance(value, str) else value for key, value in changes.items() if key in _CHANGEABLE
    }
    for key, most in _LONGEST.items():
        if key in content:
            content[key] = content[key].strip()
            if len(content[key]) > most:
                raise Refused(f"Nothing was saved: the {key} is longer than {most} characters.")
    for key in ("name", "code", "status"):
        if key in content:
            content[key] = " ".join(content[key].split())
    if "name" in content:
        content["name_folded"] = fold(content["name"])
        if not content["name"]:
            raise Refused("Nothing was saved: give a name.")
    if content.get("url") and urlsplit(content["url"]).scheme not in ("http", "https"):
        raise Refused("Nothing was saved: the link must begin with https:// or http://.")
    if "aliases" in content:
        aliases = (" ".join(str(alias).split())[:200] for alias in content["aliases"])
        content["aliases"] = encode(list(dict.fromkeys(filter(None, aliases)))[:50])
    return content


def _check_position(content: dict[str, Any], before: ResourceRecord | None) -> None:
    ends = [
        content.get(name, getattr(before, name) if before is not None else None) for name in ("latitude", "longitude")
    ]
    for end, most in zip(ends, (90, 180), strict=True):
        if end is not None and not -most <= end <= most:
            raise Refused("Nothing was saved: a position lies within 90 degrees north or south, 180 east or west.")


def _check_fields(
    tx: Connection, resource: str, content: dict[str, Any], before: dict[str, str] | None, *, new: bool
) -> None:
    if "fields" not in content and not new:
        return
    fields = resource_types.fields_of(tx, resource)
    given = {clean(str(key)): clean(str(value)) for key, value in content.get("fields", {}).items()}
    try:
        content["fields"] = msgspec.json.encode(typed.checked(fields or (), given, before)).decode()
    except ValueError as error:
        raise Refused(f"Nothing was saved: {error}.") from None


_ALONE = {
    Choice.STOP: "whoever texts it asks for no more messages",
    Choice.START: "whoever texts it asks for messages again",
    Choice.HELP: "whoever texts it asks for help",
}


def _check_code(tx: Connection, resource: str, content: dict[str, Any], uid: str) -> None:
    if code := content.get("code"):
        if (means := reserved(code)).choice:
            raise Refused(f"Nothing was saved: {code} is no code: {_ALONE[means.choice]}.")
        row, near = resource_record.c, names.holding(names.place_of(resource), code)
        taken = select(row.name).where(row.id.in_(near), func.lower(row.code) == code.lower(), row.uid != uid)
        if (name := tx.scalar(taken.limit(1))) is not None:
            raise Refused(f"Nothing was saved: the code {code} is that of {name}.")


def _check_parent(tx: Connection, actor: Viewer, content: dict[str, Any], own_id: int | None) -> None:
    above = content.get("parent_id")
    if above is None:
        return
    if record_by_id(tx, actor, above) is None:
        raise Refused("Nothing was saved: what it shall belong to is not there.")
    for _ in range(_DEEPEST):
        if above is None:
            return
        if above == own_id:
            raise Refused("Nothing was saved: it would belong to itself.")
        above = tx.scalar(select(resource_record.c.parent_id).where(resource_record.c.id == above))
    raise Refused(f"Nothing was saved: it would lie more than {_DEEPEST} deep.")


def _index(tx: Connection, one: ResourceRecord) -> None:
    words = names.words_of(one.name, *one.aliases, code=one.code)
    names.put(tx, names.place_of(one.resource), one.id, words)


def create_record(
    tx: Connection, actor: Viewer, uid: str, resource: str, content: dict[str, Any], now: float
) -> ResourceRecord:
    """A new record. ``content``: name, code, comments, status, fields, aliases, url, latitude, longitude, parent_id.

    Raises:
        Refused: there is no such type, the uid or code is taken, or something in it cannot be so.
    """
    if resource_types.fields_of(tx, resource) is None:
        raise Refused(f"Nothing was saved: there is no resource type {resource!r}.")
    if not _UID.fullmatch(uid):
        raise Refused("Nothing was saved: a uid has no gaps, no slash and at most 200 characters.")
    if tx.scalar(select(resource_record.c.id).where(resource_record.c.uid == uid)) is not None:
        raise Refused("Nothing was saved: this has been saved before.")
    values = _content({"name": ""} | content)
    _check_position(values, None)
    _check_fields(tx, resource, values, None, new=True)
    _check_code(tx, resource, values, uid)
    _check_parent(tx, actor, values, None)
    row = values | {"uid": uid, "resource": resource, "created_by": actor.user_id or None}
    made = insert(resource_record).values(created_at=now, changed_at=now, **row).returning(*_COLUMNS)
    one = _record(tx.execute(made).one())
    _index(tx, one)
    named.told(tx)
    audit.note(tx, actor, "create record", f"{resource}/{uid}", {"name": one.name}, now)
    return one


def update_record(
    tx: Connection,
    actor: Viewer,
    uid: str,
    changes: dict[str, Any],
    now: float,
    expected_version: int | None = None,
) -> ResourceRecord | None:
    """Change a record; None where the actor may not see it. ``fields`` names those that change.

    Raises:
        Stale: it is not at ``expected_version`` any more; carries the record.
        Refused: the code is taken, or something in it cannot be so.
    """
    before = record(tx, actor, uid)
    if before is None:
        return None
    values = _content(changes)
    _check_position(values, before)
    _check_fields(tx, before.resource, values, before.fields, new=False)
    _check_code(tx, before.resource, values, uid)
    _check_parent(tx, actor, values, before.id)
    changed = update(resource_record).where(resource_record.c.uid == uid)
    if expected_version is not None:
        changed = changed.where(resource_record.c.version == expected_version)
    values |= {"version": resource_record.c.version + 1, "changed_at": now}
    row = tx.execute(changed.values(**values).returning(*_COLUMNS)).one_or_none()
    if row is None:
        raise Stale(record(tx, actor, uid))
    after = _record(row)
    _index(tx, after)
    if (before.name, before.code, before.aliases) != (after.name, after.code, after.aliases):
        named.told(tx)
    audit.note(tx, actor, "change record", f"{before.resource}/{uid}", {"changes": differ(before, after)}, now)
    return after


def remove_record(tx: Connection, actor: Viewer, uid: str, now: float) -> bool:
    """Take a record away; the tags of its messages stay."""
    before = record(tx, actor, uid)
    if before is None:
        return False
    tx.execute(update(resource_record).where(resource_record.c.parent_id == before.id).values(parent_id=None))
    tx.execute(delete(resource_record).where(resource_record.c.uid == uid))
    names.drop(tx, names.place_of(before.resource), before.id)
    named.told(tx)
    audit.note(tx, actor, "remove record", f"{before.resource}/{uid}", {"name": before.name}, now)
    return True


def history(
    tx: Connection, viewer: Viewer, uid: str, cursor_word: str = "", limit: int = 50
) -> Page[audit.Entry] | None:
    """Who changed what about a record, newest first; None where it may not be seen."""
    one = record(tx, viewer, uid)
    if one is None:
        return None
    return audit.entries(tx, thing=f"{one.resource}/{uid}", cursor_word=cursor_word, limit=limit)


# --- the Messages column ----------


def message_counts(tx: Connection, viewer: Viewer, resource: str, uids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Of each record, how many messages the viewer has yet to read and how many are read: "3 (12)".

    They are those that ``resource:type/uid is:unread`` and ``... is:read`` list. Records without any, and those
    outside the viewer's scopes, are left out.
    """
    if visible.sees_type(viewer, resource):
        return counting.unread_read(tx, viewer, resource, uids)
    granted = {grant.record for grant in viewer.grants if grant.resource == resource}
    return counting.unread_read(tx, viewer, resource, [uid for uid in uids if uid in granted])


def last_activity(tx: Connection, viewer: Viewer, resource: str, uids: Iterable[str]) -> dict[str, float]:
    """When the newest message of each record came; records without any are left out."""
    row = resource_record.c
    newest = (
        select(func.max(msg_tag.c.message_id))
        .where(msg_tag.c.resource == resource, msg_tag.c.record == row.uid)
        .correlate(resource_record)
        .scalar_subquery()
    )
    rows = select(row.uid, msg_log.c.received_at).select_from(resource_record).join(msg_log, msg_log.c.id == newest)
    rows = rows.where(row.resource == resource, row.uid.in_(list(uids)), visible.records(viewer))
    return {one.uid: one.received_at for one in tx.execute(rows)}
