"""What messages are about: resource types with their fields, records with a stable uid, and their message counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from msgserver.formats.search import KEYWORD
from msgserver.formats.tokens import fold
from msgserver.records import Field, ResourceRecord, ResourceType, Viewer
from msgserver.store import audit, counting, visible
from msgserver.store.bulk import clean, encode
from msgserver.store.edits import Refused, Stale
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import resource_record, resource_type
from msgserver.store.search import escape
from msgserver.store.upsert import insert_new, put

BUILT_IN = (
    ResourceType(name="incident", label="Incident", built_in=True),
    ResourceType(name="project", label="Project", built_in=True),
    ResourceType(name="location", label="Location", built_in=True),
    ResourceType(name="organisation", label="Organisation", built_in=True),
    ResourceType(name="request", label="Request", built_in=True),
    ResourceType(name=KEYWORD, label="Tag", built_in=True),
)
_CHANGEABLE = frozenset(
    {"name", "code", "comments", "status", "fields", "aliases", "url", "latitude", "longitude", "parent_id"}
)
_COLUMNS = [resource_record.c[name] for name in ResourceRecord.__struct_fields__]
_fields = msgspec.json.Decoder(tuple[Field, ...])
_strings = msgspec.json.Decoder(tuple[str, ...])
_values = msgspec.json.Decoder(dict[str, str])


# --- types ----------


def seed(tx: Connection) -> None:
    """See that the built-in types are there; what an administrator made of them stays."""
    rows = [{"name": one.name, "label": one.label, "fields": "[]", "built_in": True} for one in BUILT_IN]
    insert_new(tx, resource_type, rows)


def types(tx: Connection, viewer: Viewer) -> list[ResourceType]:
    """The types of which the viewer may see something, by label."""
    named = {grant.resource for grant in viewer.grants}
    return [
        ResourceType(name=row.name, label=row.label, fields=_fields.decode(row.fields), built_in=bool(row.built_in))
        for row in tx.execute(select(resource_type).order_by(resource_type.c.label, resource_type.c.name))
        if visible.whole_log(viewer) or row.name in named
    ]


def type_of(tx: Connection, viewer: Viewer, name: str) -> ResourceType | None:
    """One type."""
    return next((one for one in types(tx, viewer) if one.name == name), None)


def put_type(tx: Connection, actor: Viewer, one: ResourceType, now: float) -> ResourceType:
    """Add a type, or give one another label and other fields.

    Raises:
        Refused: its name cannot be one.
    """
    allowed = one.name[:1].isalpha() and one.name.isascii() and one.name.replace("_", "").replace("-", "").isalnum()
    if not allowed or one.name != one.name.lower() or len(one.name) > 40 or not one.label.strip():
        raise Refused("Nothing was saved: give the type a label, and a name of small letters and digits.")
    content = {"label": one.label.strip()[:100], "fields": msgspec.json.encode(one.fields).decode()}
    put(tx, resource_type, {"name": one.name}, content, built_in=False)
    audit.note(tx, actor, "resource type", f"resource/{one.name}", {"label": one.label}, now)
    found = tx.execute(select(resource_type).where(resource_type.c.name == one.name)).one()
    return msgspec.structs.replace(one, label=found.label, built_in=bool(found.built_in))


def remove_type(tx: Connection, actor: Viewer, name: str, now: float) -> bool:
    """Take away a type that has no records.

    Raises:
        Refused: it has records, or it is built in.
    """
    found = tx.execute(select(resource_type).where(resource_type.c.name == name)).one_or_none()
    if found is None:
        return False
    if found.built_in:
        raise Refused(f"{found.label} was kept: it is built in.")
    if tx.scalar(select(resource_record.c.id).where(resource_record.c.resource == name).limit(1)) is not None:
        raise Refused(f"{found.label} was kept: it has records. Remove these first.")
    tx.execute(delete(resource_type).where(resource_type.c.name == name))
    audit.note(tx, actor, "remove resource type", f"resource/{name}", {}, now)
    return True


# --- records ----------


def _record(row: Any) -> ResourceRecord:
    values = {name: getattr(row, name) for name in ResourceRecord.__struct_fields__}
    values["fields"] = _values.decode(row.fields)
    values["aliases"] = _strings.decode(row.aliases)
    return ResourceRecord(**values)


def records(
    tx: Connection,
    viewer: Viewer,
    resource: str = "",
    query: str = "",
    cursor_word: str = "",
    limit: int = 50,
    code: str = "",
) -> Page[ResourceRecord]:
    """Records that may be seen, by name; ``query`` finds the beginning of a word of the name, or a code."""
    row = resource_record.c
    rows = select(*_COLUMNS, row.name_folded).where(visible.records(viewer))
    if resource:
        rows = rows.where(row.resource == resource)
    if code:
        rows = rows.where(row.code == code)
    if query.strip():
        rows = rows.where(_named_like(query))
    after = position(cursor_word, str, int)
    if after is not None:
        name, last = after
        rows = rows.where(row.name_folded >= name, or_(row.name_folded > name, row.id > last))
    limit = size(limit)
    found = list(tx.execute(rows.order_by(row.name_folded, row.id).limit(limit + 1)))
    following = cursor(found[limit - 1].name_folded, found[limit - 1].id) if len(found) > limit else ""
    return Page(tuple(_record(one) for one in found[:limit]), following)


def _named_like(query: str) -> ColumnElement[bool]:
    row = resource_record.c
    ways: list[ColumnElement[bool]] = [func.lower(row.code).like(f"{escape(query.strip().lower())}%", escape="/")]
    if folded := escape(fold(query)):
        ways += [row.name_folded.like(f"{folded}%", escape="/"), row.name_folded.like(f"% {folded}%", escape="/")]
    return or_(*ways)


def complete(tx: Connection, viewer: Viewer, query: str, resource: str = "", limit: int = 10) -> list[ResourceRecord]:
    """What somebody may mean who types this."""
    return list(records(tx, viewer, resource, query, limit=limit).items)


def record(tx: Connection, viewer: Viewer, uid: str) -> ResourceRecord | None:
    """One record by its uid; None where there is none or the viewer may not see it."""
    rows = select(*_COLUMNS).where(resource_record.c.uid == uid, visible.records(viewer))
    row = tx.execute(rows).one_or_none()
    return None if row is None else _record(row)


def record_by_id(tx: Connection, viewer: Viewer, record_id: int) -> ResourceRecord | None:
    """One record by its number."""
    rows = select(*_COLUMNS).where(resource_record.c.id == record_id, visible.records(viewer))
    row = tx.execute(rows).one_or_none()
    return None if row is None else _record(row)


def _content(changes: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {
        key: clean(value) if isinstance(value, str) else value for key, value in changes.items() if key in _CHANGEABLE
    }
    if "name" in content:
        content["name"] = " ".join(str(content["name"]).split())[:200]
        content["name_folded"] = fold(content["name"])
        if not content["name"]:
            raise Refused("Nothing was saved: give a name.")
    if "fields" in content:
        fields = {clean(str(key)): clean(str(value)) for key, value in content["fields"].items()}
        content["fields"] = msgspec.json.encode(fields).decode()
    if "aliases" in content:
        content["aliases"] = encode([str(alias) for alias in content["aliases"]])
    return content


def create_record(
    tx: Connection, actor: Viewer, uid: str, resource: str, content: dict[str, Any], now: float
) -> ResourceRecord:
    """A new record. ``content``: name, code, comments, status, fields, aliases, url, latitude, longitude, parent_id.

    Raises:
        Refused: there is no such type, the name is missing, or the uid is taken.
    """
    if tx.scalar(select(resource_type.c.name).where(resource_type.c.name == resource)) is None:
        raise Refused(f"Nothing was saved: there is no resource type {resource!r}.")
    if tx.scalar(select(resource_record.c.id).where(resource_record.c.uid == uid)) is not None:
        raise Refused("Nothing was saved: this has been saved before.")
    row = _content({"name": ""} | content) | {"uid": uid, "resource": resource, "created_by": actor.user_id or None}
    made = insert(resource_record).values(created_at=now, changed_at=now, **row).returning(*_COLUMNS)
    one = _record(tx.execute(made).one())
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
    """Change a record; None where the actor may not see it.

    Raises:
        Stale: it is not at ``expected_version`` any more; carries the record.
        Refused: the name is empty.
    """
    before = record(tx, actor, uid)
    if before is None:
        return None
    changed = update(resource_record).where(resource_record.c.uid == uid)
    if expected_version is not None:
        changed = changed.where(resource_record.c.version == expected_version)
    values = _content(changes) | {"version": resource_record.c.version + 1, "changed_at": now}
    row = tx.execute(changed.values(**values).returning(*_COLUMNS)).one_or_none()
    if row is None:
        raise Stale(record(tx, actor, uid))
    audit.note(tx, actor, "change record", f"{before.resource}/{uid}", {"fields": sorted(changes)}, now)
    return _record(row)


def remove_record(tx: Connection, actor: Viewer, uid: str, now: float) -> bool:
    """Take a record away; the tags of its messages stay."""
    before = record(tx, actor, uid)
    if before is None:
        return False
    tx.execute(update(resource_record).where(resource_record.c.parent_id == before.id).values(parent_id=None))
    tx.execute(delete(resource_record).where(resource_record.c.uid == uid))
    audit.note(tx, actor, "remove record", f"{before.resource}/{uid}", {"name": before.name}, now)
    return True


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
