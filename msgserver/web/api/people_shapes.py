"""What the API takes and gives of groups, merges and imports; see ``shapes`` and ``taken`` for the rest."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from msgserver.store.membership import Group, Member, Unreachable
from msgserver.store.merging import Likely
from msgserver.web.api.shapes import EntityShape, entity_shape
from msgserver.web.api.taken import Id

RoleName = Annotated[str, Meta(max_length=100, description="What somebody is there, as in driver")]


class NewMember(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is put into a group, and as what."""

    entity: Id
    role: RoleName = ""


class MemberChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody is in a group."""

    role: RoleName


class Duplicate(Struct, frozen=True, forbid_unknown_fields=True):
    """Which entity is the same as this one, and becomes part of it."""

    duplicate: Id


class ContactChange(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is named is changed, the rest stays. ``bouncing``: why messages to it come back; empty, it is used again."""

    preferred: bool | UnsetType = UNSET
    verified: bool | UnsetType = UNSET
    stopped: bool | UnsetType = UNSET
    bouncing: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET


class GroupShape(Struct, frozen=True):
    """A group or organisation: how many people it has, those in its groups included, and how many nothing reaches."""

    id: int
    uid: str
    kind: str
    name: str
    comments: str
    people: int
    unreachable: int


class UnreachableShape(Struct, frozen=True):
    """Somebody whom nothing reaches, and why."""

    entity: int
    name: str
    why: str


class MemberShape(Struct, frozen=True):
    """A membership. ``unreachable``: why nothing reaches this person, empty where something does."""

    entity: int
    kind: str
    name: str
    role: str
    since: float
    unreachable: str
    warnings: tuple[str, ...] = ()


class LikelyShape(Struct, frozen=True):
    """Two that may be one; ``why``, and by which address or name."""

    first: EntityShape
    second: EntityShape
    why: str
    by: str


class ImportProblem(Struct, frozen=True):
    """What is wrong in a file, where; ``left_out``: because of it the whole row is."""

    line: int
    column: str
    words: str
    left_out: bool


class ImportShape(Struct, frozen=True):
    """What became of a file of people, or with ``dry_run`` what would; ``problems`` are the first of all."""

    dry_run: bool
    rows: int
    new: int
    known: int
    left_out: int
    new_groups: tuple[str, ...]
    ignored_columns: tuple[str, ...]
    problems: tuple[ImportProblem, ...]
    problems_in_all: int


def group_shape(group: Group) -> GroupShape:
    """A group for programs."""
    entity = group.entity
    return GroupShape(
        entity.id, entity.uid, entity.kind.value, entity.name, entity.comments, group.people, group.unreachable
    )


def unreachable_shape(one: Unreachable) -> UnreachableShape:
    """Somebody whom nothing reaches, for programs."""
    return UnreachableShape(one.entity.id, one.entity.name, one.why)


def member_shape(member: Member, warnings: tuple[str, ...] = ()) -> MemberShape:
    """A member for programs."""
    entity = member.entity
    return MemberShape(entity.id, entity.kind.value, entity.name, member.role, member.at, member.why, warnings)


def likely_shape(pair: Likely) -> LikelyShape:
    """Two that may be one, for programs."""
    return LikelyShape(entity_shape(pair.first), entity_shape(pair.second), pair.why, pair.by)
