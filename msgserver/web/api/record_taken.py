"""What the API takes of resources and records, and to route messages to people."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from msgserver.web.api.taken import Id, Name


class FieldWish(Struct, frozen=True, forbid_unknown_fields=True):
    """One field of a resource type."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
    label: Annotated[str, Meta(min_length=1, max_length=100)]
    kind: Annotated[str, Meta(pattern="^(text|number|date|choice|yes/no|contact)$")] = "text"
    choices: Annotated[list[Name], Meta(max_length=200)] = []
    required: bool = False


class TypeWish(Struct, frozen=True, forbid_unknown_fields=True):
    """A resource type as it shall be."""

    label: Annotated[str, Meta(min_length=1, max_length=100)]
    fields: Annotated[list[FieldWish], Meta(max_length=60)] = []
    url: Annotated[str, Meta(max_length=1000)] = ""


Code = Annotated[str, Meta(max_length=40)]
Status = Annotated[str, Meta(max_length=60)]
Comments = Annotated[str, Meta(max_length=100_000)]
Aliases = Annotated[list[Name], Meta(max_length=50)]
Values = Annotated[dict[str, Annotated[str, Meta(max_length=2_000)]], Meta(max_length=100)]
Link = Annotated[str, Meta(max_length=1000)]
Latitude = Annotated[float, Meta(ge=-90, le=90)] | None
Longitude = Annotated[float, Meta(ge=-180, le=180)] | None


class NewRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A record of a resource type. ``parent``: the id of what it belongs to; ``message``: is tagged with it."""

    resource: Annotated[str, Meta(min_length=1, max_length=60)]
    name: Name
    uid: Annotated[str, Meta(max_length=200)] = ""
    code: Code = ""
    status: Status = ""
    comments: Comments = ""
    aliases: Aliases = []
    fields: Values = {}
    url: Link = ""
    latitude: Latitude = None
    longitude: Longitude = None
    parent: Id | None = None
    message: Id | None = None


class RecordChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is named is changed, the rest stays; of ``fields`` also."""

    name: Name | UnsetType = UNSET
    code: Code | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    comments: Comments | UnsetType = UNSET
    aliases: Aliases | UnsetType = UNSET
    fields: Values | UnsetType = UNSET
    url: Link | UnsetType = UNSET
    latitude: Latitude | UnsetType = UNSET
    longitude: Longitude | UnsetType = UNSET
    parent: Id | UnsetType | None = UNSET


class NewRoute(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to send a message on to: a person, group or organisation."""

    entity: Id
