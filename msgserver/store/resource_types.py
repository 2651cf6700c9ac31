"""What messages can be about: the built-in resource types and those that administrators define, with their fields."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from sqlalchemy import Connection, delete, func, select

from msgserver.formats import fields as typed
from msgserver.formats.search import KEYWORD
from msgserver.records import Field, ResourceType, Viewer
from msgserver.store import audit, visible
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused
from msgserver.store.schema import resource_record, resource_type
from msgserver.store.upsert import insert_new, put

_CONTACT = Field(name="contact", label="Contact", kind="contact")
_PHONES = Field(name="phones", label="Phone numbers")
_MANY = Field(name="people", label="People affected", kind="number")
_QUANTITY = Field(name="quantity", label="Quantity", kind="number")


def _date(name: str, label: str) -> Field:
    return Field(name=name, label=label, kind="date")


_FIELDS = {
    "incident": (_CONTACT, _PHONES, _date("began", "Began"), _MANY),
    "project": (_CONTACT, _PHONES, _date("begins", "Begins"), _date("ends", "Ends")),
    "location": (_CONTACT, _PHONES, Field(name="population", label="Population", kind="number")),
    "organisation": (_CONTACT, _PHONES),
    "request": (_CONTACT, _PHONES, _QUANTITY, _date("needed_by", "Needed by")),
    KEYWORD: (),
}
BUILT_IN = tuple(
    ResourceType(name=name, label="Tag" if name == KEYWORD else name.capitalize(), fields=fields, built_in=True)
    for name, fields in _FIELDS.items()
)
RESERVED = frozenset({"entity"})  # tags of this kind say to whom a message was routed (store.forwarding)
PLACE = "{uid}"  # stands for a record's uid in a type's url
_fields = msgspec.json.Decoder(tuple[Field, ...])


def seed(tx: Connection) -> None:
    """See that the built-in types are there; what an administrator made of them stays."""
    rows = [
        {"name": one.name, "label": one.label, "fields": msgspec.json.encode(one.fields).decode(), "built_in": True}
        for one in BUILT_IN
    ]
    insert_new(tx, resource_type, rows)


def types(tx: Connection, viewer: Viewer) -> list[ResourceType]:
    """The types of which the viewer may see something, by label."""
    named = {grant.resource for grant in viewer.grants}
    return [
        _type(row)
        for row in tx.execute(select(resource_type).order_by(resource_type.c.label, resource_type.c.name))
        if visible.whole_log(viewer) or row.name in named
    ]


def _type(row: Any) -> ResourceType:
    fields = _fields.decode(row.fields)
    return ResourceType(name=row.name, label=row.label, fields=fields, url=row.url, built_in=bool(row.built_in))


def address(one: ResourceType | None, uid: str) -> str:
    """Where another application shows a record of a type; empty where nobody has said."""
    return one.url.replace(PLACE, quote(uid, safe="")) if one is not None and one.url else ""


def how_many(tx: Connection, viewer: Viewer) -> dict[str, int]:
    """Of each type, how many of its records the viewer may see; types without any are left out."""
    rows = select(resource_record.c.resource, func.count()).where(visible.records(viewer))
    return {row[0]: row[1] for row in tx.execute(rows.group_by(resource_record.c.resource))}


def type_of(tx: Connection, viewer: Viewer, name: str) -> ResourceType | None:
    """One type."""
    return next((one for one in types(tx, viewer) if one.name == name), None)


def fields_of(tx: Connection, name: str) -> tuple[Field, ...] | None:
    """A type's fields, whoever asks; None where there is no such type."""
    kept = tx.scalar(select(resource_type.c.fields).where(resource_type.c.name == name))
    return None if kept is None else _fields.decode(kept)


def put_type(tx: Connection, actor: Viewer, one: ResourceType, now: float) -> ResourceType:
    """Add a type, or give one another label and other fields. Records keep what they have in fields that went.

    Raises:
        Refused: its name or one of its fields cannot be so.
    """
    allowed = one.name[:1].isalpha() and one.name.isascii() and one.name.replace("_", "").replace("-", "").isalnum()
    if not allowed or one.name != one.name.lower() or len(one.name) > 40 or not one.label.strip():
        raise Refused("Nothing was saved: give the type a label, and a name of small letters and digits.")
    if one.name in RESERVED:
        raise Refused(f"Nothing was saved: the name {one.name} has a meaning of its own. Choose another.")
    if one.url and (urlsplit(one.url).scheme not in ("http", "https") or PLACE not in one.url or len(one.url) > 1000):
        raise Refused(f"Nothing was saved: write the link as in https://other.example/{PLACE}.")
    if len(one.fields) > 60:
        raise Refused("Nothing was saved: a type has at most 60 fields.")
    if wrong := typed.mistake(one.fields):
        raise Refused(f"Nothing was saved: {wrong}.")
    fields = msgspec.json.encode(one.fields).decode()
    content = {"label": clean(one.label.strip()[:100]), "fields": clean(fields), "url": clean(one.url.strip())}
    put(tx, resource_type, {"name": one.name}, content, built_in=False)
    detail = {"label": one.label, "fields": [field.name for field in one.fields], "url": one.url}
    audit.note(tx, actor, "resource type", f"resource/{one.name}", detail, now)
    found = tx.execute(select(resource_type).where(resource_type.c.name == one.name)).one()
    return _type(found)


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
