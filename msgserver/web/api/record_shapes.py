"""What the API gives of resources and records, and of messages routed to people."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from msgserver.records import ResourceRecord, ResourceType
from msgserver.store.audit import Entry
from msgserver.web.api.shapes import TagShape


class FieldShape(Struct, frozen=True):
    """One field of a resource type."""

    name: str
    label: str
    kind: str
    choices: tuple[str, ...]
    required: bool


class TypeShape(Struct, frozen=True):
    """What messages can be about; ``url``: where another application shows a record, with ``{uid}`` in it."""

    name: str
    label: str
    fields: tuple[FieldShape, ...]
    url: str
    built_in: bool


class RecordShape(Struct, frozen=True):
    """A record of a resource type; its ETag is its version. ``unread`` and ``read`` count its messages, for you."""

    id: int
    uid: str
    resource: str
    name: str
    code: str
    status: str
    comments: str
    aliases: tuple[str, ...]
    fields: dict[str, str]
    url: str
    latitude: float | None
    longitude: float | None
    parent: int | None
    version: int
    created_at: float
    changed_at: float
    unread: int
    read: int


class ChangeShape(Struct, frozen=True):
    """One line of a record's history: of each field changed, what it said before and after."""

    at: float
    user: str
    act: str
    changes: dict[str, Any]


class FilledShape(Struct, frozen=True):
    """A new record as a message fills it in: look it over, then POST it to ``/records``."""

    resource: str
    name: str
    comments: str
    fields: dict[str, str]
    latitude: float | None
    longitude: float | None
    message: int


class RoutedShape(Struct, frozen=True):
    """A message was sent on: its tag (take that off to take back what waits), deliveries, people without address."""

    tag: TagShape
    deliveries: int
    nobody: int


def type_shape(one: ResourceType) -> TypeShape:
    """A resource type for programs."""
    fields = tuple(FieldShape(f.name, f.label, f.kind, f.choices, f.required) for f in one.fields)
    return TypeShape(one.name, one.label, fields, one.url, one.built_in)


def record_shape(r: ResourceRecord, unread: int = 0, read: int = 0) -> RecordShape:
    """A record for programs."""
    return RecordShape(
        id=r.id,
        uid=r.uid,
        resource=r.resource,
        name=r.name,
        code=r.code,
        status=r.status,
        comments=r.comments,
        aliases=r.aliases,
        fields=r.fields,
        url=r.url,
        latitude=r.latitude,
        longitude=r.longitude,
        parent=r.parent_id,
        version=r.version,
        created_at=r.created_at,
        changed_at=r.changed_at,
        unread=unread,
        read=read,
    )


def change_shape(entry: Entry) -> ChangeShape:
    """A line of a history for programs."""
    return ChangeShape(entry.at, entry.user, entry.act, entry.detail.get("changes", {}))
