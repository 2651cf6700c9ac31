"""What the API takes, as Structs: read from JSON by msgspec, which says what is wrong; described by their schemas."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

Words = Annotated[str, Meta(min_length=1, max_length=100_000)]
Text = Annotated[str, Meta(max_length=100_000)]
Short = Annotated[str, Meta(max_length=300)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Uri = Annotated[str, Meta(min_length=3, max_length=400, description="mailto:..., sms:+..., xmpp:...")]
Id = Annotated[int, Meta(ge=1, lt=2**53)]
Level = Annotated[str, Meta(description="low, normal, high or urgent", pattern="^(low|normal|high|urgent)$")]

Hour = Annotated[
    str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9])?$", description="22:00, where they live; or empty")
]


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A new message to anybody."""

    to: Annotated[list[Uri], Meta(min_length=1, max_length=100)]
    text: Text = ""
    subject: Short = ""
    html: Annotated[str, Meta(max_length=500_000)] = ""
    connector: Annotated[str, Meta(max_length=40)] = ""
    priority: Level = "normal"
    template: Id | None = None  # its words instead of text and html
    values: dict[str, Any] = {}  # that fill it


class NewReply(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer; without ``to`` it goes the way the question came."""

    text: Text = ""
    html: Annotated[str, Meta(max_length=500_000)] = ""
    connector: Annotated[str, Meta(max_length=40)] = ""
    to: Annotated[list[Uri], Meta(max_length=100)] = []
    template: Id | None = None
    values: dict[str, Any] = {}


class NewTag(Struct, frozen=True, forbid_unknown_fields=True):
    """A word of one's own, or ``resource/record``."""

    tag: Name


class TicketChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is named is changed, the rest stays."""

    assignees: Annotated[list[Id], Meta(max_length=100)] | UnsetType = UNSET
    priority: Level | UnsetType = UNSET
    actioned: bool | UnsetType = UNSET
    subject: Short | UnsetType = UNSET


class NewTemplate(Struct, frozen=True, forbid_unknown_fields=True):
    """A text with holes, ``{{ name }}``; ``to.name`` and ``to.address`` are there by themselves."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    text: Annotated[str, Meta(max_length=200_000)] = ""
    subject: Annotated[str, Meta(max_length=1_000)] = ""
    html: Annotated[str, Meta(max_length=200_000)] = ""


class Values(Struct, frozen=True, forbid_unknown_fields=True):
    """What fills a template."""

    values: dict[str, Any] = {}


class Merge(Struct, frozen=True, forbid_unknown_fields=True):
    """The ticket that takes up this one; this one then leads to it."""

    into: Id


class Split(Struct, frozen=True, forbid_unknown_fields=True):
    """The messages of this ticket that get one of their own."""

    messages: Annotated[list[Id], Meta(min_length=1, max_length=1000)]


class Move(Struct, frozen=True, forbid_unknown_fields=True):
    """The messages of this ticket that go to another."""

    messages: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    into: Id


class NewNote(Struct, frozen=True, forbid_unknown_fields=True):
    """A note for colleagues."""

    text: Words


class NewEntity(Struct, frozen=True, forbid_unknown_fields=True):
    """A person, group or organisation, with or without addresses."""

    name: Name
    kind: Annotated[str, Meta(pattern="^(person|group|organisation)$")] = "person"
    addresses: Annotated[list[Uri], Meta(max_length=50)] = []
    language: Annotated[str, Meta(max_length=35)] = ""
    timezone: Annotated[str, Meta(max_length=60)] = ""
    comments: Annotated[str, Meta(max_length=10_000)] = ""


class EntityChange(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is named is changed, the rest stays."""

    name: Name | UnsetType = UNSET
    language: Annotated[str, Meta(max_length=35)] | UnsetType = UNSET
    timezone: Annotated[str, Meta(max_length=60)] | UnsetType = UNSET
    comments: Annotated[str, Meta(max_length=10_000)] | UnsetType = UNSET
    quiet_from: Hour | UnsetType = UNSET
    quiet_until: Hour | UnsetType = UNSET


class NewContact(Struct, frozen=True, forbid_unknown_fields=True):
    """An address for an entity."""

    address: Uri
    preferred: bool = False


Minutes = Annotated[int, Meta(ge=0, lt=24 * 60, description="minutes after midnight where the receiver lives")]
Digest = Annotated[str, Meta(description="empty: at once; hourly; daily", pattern="^(hourly|daily)?$")]


class NewSubscription(Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to receive copies. A saved search has the resource ``search`` and its number as record."""

    entity: Id
    resource: Annotated[str, Meta(min_length=1, max_length=60)]
    record: Annotated[str, Meta(max_length=200)] = ""
    channel: Annotated[str, Meta(max_length=20)] = ""
    digest: Digest = ""
    quiet_from: Minutes | None = None
    quiet_until: Minutes | None = None


class SubscriptionChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is named is changed, the rest stays; quiet hours are named together (null: none)."""

    digest: Digest | UnsetType = UNSET
    quiet_from: Minutes | UnsetType | None = UNSET
    quiet_until: Minutes | UnsetType | None = UNSET


class NewSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """A search to be kept, for oneself or for everybody."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    query: Annotated[str, Meta(min_length=1, max_length=1000)]
    everybody: bool = False


class Right(Struct, frozen=True, forbid_unknown_fields=True):
    """A role: everywhere, for a resource type, or for one record of it (by its uid)."""

    role: Annotated[str, Meta(pattern="^(reader|responder|alert sender|operator|administrator)$")]
    resource: Annotated[str, Meta(max_length=60)] = ""
    record: Annotated[str, Meta(max_length=200)] = ""


class NewUser(Struct, frozen=True, forbid_unknown_fields=True):
    """A login; without a password it can use tokens only."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    password: Annotated[str, Meta(max_length=1000)] = ""
    grants: Annotated[list[Right], Meta(max_length=200)] = []
    entity: Id | None = None


class UserChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is named is changed, the rest stays; ``grants`` are all rights there shall be."""

    active: bool | UnsetType = UNSET
    entity: Id | UnsetType | None = UNSET
    grants: Annotated[list[Right], Meta(max_length=200)] | UnsetType = UNSET


class ConnectorChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Let nothing leave by it, or let it go on."""

    paused: bool


class ReadBack(Struct, frozen=True, forbid_unknown_fields=True):
    """It was passed on; who read it back, where somebody did."""

    by: Annotated[str, Meta(max_length=100)] = ""


class NotPassed(Struct, frozen=True, forbid_unknown_fields=True):
    """It could not be passed on, and why."""

    why: Annotated[str, Meta(min_length=1, max_length=300)]


class NewHeard(Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """What was heard at a station: ``scheme`` radio, tel or runner; ``at`` in POSIX seconds, without it now."""

    sender: Name
    text: Words
    scheme: Annotated[str, Meta(pattern="^(radio|tel|runner|)$")] = ""
    to: Annotated[str, Meta(max_length=200)] = ""
    net: Annotated[str, Meta(max_length=100)] = ""
    at: Annotated[float, Meta(ge=0)] | None = None


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """A token of one's own."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: Annotated[str, Meta(pattern="^(feeds)?$", description="feeds: good for feeds alone")] = ""
