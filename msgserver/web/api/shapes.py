"""What the API gives, as Structs: written as JSON by msgspec, and described by their schemas."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from msgserver.formats.hours import hour_words
from msgserver.records import (
    ConnectorRow,
    Contact,
    Delivery,
    Entity,
    Message,
    Note,
    StoredAttachment,
    Subscription,
    Tag,
    Ticket,
    User,
)


class QueuedShape(Struct, frozen=True):
    """A text of a station's queue; once taken, ``text`` is what is read out and ``taken_by`` who does."""

    delivery: int
    state: str
    address: str
    to_name: str
    priority: str
    text: str
    ticket: int | None
    taken_by: str
    reason: str
    due_at: float | None
    expires_at: float | None
    created_at: float
    changed_at: float


class TagShape(Struct, frozen=True):
    """What a message is about, and why we think so."""

    id: int
    resource: str
    record: str
    name: str
    why: str
    confidence: float  # 0 to 1
    rule: int | None  # that gave it
    user: int | None  # who gave it


class AttachmentShape(Struct, frozen=True):
    """A file that hangs on a message; its bytes are at ``/api/v1/attachments/{id}``."""

    id: int
    name: str
    media_type: str
    size: int
    sha256: str


class DeliveryShape(Struct, frozen=True):
    """What became of one message for one address."""

    id: int
    message: int
    ticket: int | None
    address: str
    entity: int | None
    connector: str
    state: str
    attempt: int
    reason: str
    next_attempt: float | None
    created_at: float
    changed_at: float


class MessageShape(Struct, frozen=True):
    """A message, in or out. Times are POSIX seconds, UTC."""

    id: int
    uid: str
    number: str
    direction: str
    connector: str
    sender: str
    sender_name: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    sent_at: float | None
    received_at: float
    ticket: int | None
    entity: int | None
    tags: tuple[TagShape, ...]
    attachments: tuple[AttachmentShape, ...]
    deliveries: tuple[DeliveryShape, ...]
    verified: str
    actionable: bool | None
    spam: bool
    unread: bool
    trust: str  # why its sender's address is believed; empty: nobody knows
    doubt: str  # why its sender looks forged
    checks: str  # what SPF, DKIM and DMARC found (RFC 8601)


class TemplateShape(Struct, frozen=True):
    """One wording of a template; its ETag is its version. ``asks`` names the values it wants."""

    id: int
    name: str
    version: int
    subject: str
    text: str
    html: str
    changed_at: float
    asks: tuple[str, ...]


class WordedShape(Struct, frozen=True):
    """What a template says with values."""

    subject: str
    text: str
    html: str


class PersonShape(Struct, frozen=True):
    """A colleague."""

    id: int
    name: str


class TicketShape(Struct, frozen=True):
    """A conversation; its ETag is its version."""

    id: int
    uid: str
    subject: str
    entity: int | None
    entity_name: str
    address: str
    connector: str
    priority: str
    actioned: bool
    actioned_at: float | None
    assignees: tuple[PersonShape, ...]
    messages: int
    unread: int
    snippet: str
    spam: bool
    version: int
    created_at: float
    last_at: float


class NoteShape(Struct, frozen=True):
    """An internal note; never sent."""

    id: int
    ticket: int
    author: str
    text: str
    at: float


class EntityShape(Struct, frozen=True):
    """A person, group or organisation."""

    id: int
    uid: str
    kind: str
    name: str
    language: str
    timezone: str
    comments: str
    quiet_from: str = ""
    quiet_until: str = ""


class ContactShape(Struct, frozen=True):
    """One address of an entity."""

    id: int
    entity: int
    address: str
    verified: bool
    preferred: bool
    bouncing: str
    stopped: bool = False
    stopped_why: str = ""


class SubscriptionShape(Struct, frozen=True):
    """Who gets a copy of what."""

    id: int
    entity: int
    resource: str
    record: str
    channel: str
    digest: str
    quiet_from: int | None = None
    quiet_until: int | None = None
    waits: bool = False  # for its receiver to say yes


class PreviewShape(Struct, frozen=True):
    """What a subscription would have sent in the last ``days`` days."""

    days: int
    messages: int
    people: int
    reached: int
    sends: int


class AskingShape(Struct, frozen=True):
    """A message whose copies wait for a person's word."""

    message: int
    ticket: int | None
    number: int
    subject: str
    copies: int
    channels: dict[str, int]
    writing: bool


class DecidedShape(Struct, frozen=True):
    """How many copies were let go or cancelled."""

    copies: int


class SearchShape(Struct, frozen=True):
    """A saved search, with what the asker has yet to read of it and has read (each counted up to 500)."""

    id: int
    name: str
    query: str
    everybody: bool
    unread: int
    read: int


class AuditShape(Struct, frozen=True):
    """One line of the audit."""

    id: int
    at: float
    user: int
    name: str
    act: str
    thing: str
    detail: dict[str, Any]


class UserShape(Struct, frozen=True):
    """A login with its rights."""

    id: int
    name: str
    entity: int | None
    active: bool
    grants: tuple[dict[str, str], ...]


class TokenShape(Struct, frozen=True):
    """An API token; ``key`` is given once, when it is made."""

    id: int
    name: str
    created_at: float
    used_at: float | None
    expires_at: float | None
    key: str = ""
    scope: str = ""


class ConnectorShape(Struct, frozen=True):
    """A channel, how it is, and what waits for it."""

    name: str
    kind: str
    able: bool
    paused: bool
    words: str
    since: float
    schemes: tuple[str, ...]
    waiting: int
    last_in: float | None
    last_out: float | None
    gauges: dict[str, Any]


# From records to shapes ------------------------------------------------------------------------------------------


def tag_shape(tag: Tag) -> TagShape:
    """A tag for programs."""
    return TagShape(tag.id, tag.resource, tag.record, tag.name, tag.why, tag.confidence, tag.rule_id, tag.user_id)


def attachment_shape(file: StoredAttachment) -> AttachmentShape:
    """An attachment for programs."""
    return AttachmentShape(file.id, file.name, file.media_type, file.size, file.sha256)


def delivery_shape(row: Delivery) -> DeliveryShape:
    """A delivery for programs."""
    return DeliveryShape(
        row.id,
        row.message_id,
        row.ticket_id,
        row.address,
        row.entity_id,
        row.connector,
        row.state.value,
        row.attempt,
        row.reason,
        row.next_attempt,
        row.created_at,
        row.changed_at,
    )


def message_shape(
    m: Message, tags: list[Tag], files: list[StoredAttachment], deliveries: list[Delivery]
) -> MessageShape:
    """A message for programs."""
    return MessageShape(
        id=m.id,
        uid=m.uid,
        number=f"{m.ticket_id}.{m.number}" if m.ticket_id is not None else "",
        direction=m.direction.value,
        connector=m.connector,
        sender=m.sender,
        sender_name=m.sender_name,
        recipients=m.recipients,
        subject=m.subject,
        text=m.body,
        html=m.html,
        sent_at=m.sent_at,
        received_at=m.received_at,
        ticket=m.ticket_id,
        entity=m.entity_id,
        tags=tuple(map(tag_shape, tags)),
        attachments=tuple(map(attachment_shape, files)),
        deliveries=tuple(map(delivery_shape, deliveries)),
        verified=m.verified,
        actionable=m.actionable,
        spam=m.spam,
        unread=m.unread,
        trust=m.trust,
        doubt=m.doubt,
        checks=m.checks,
    )


def ticket_shape(t: Ticket) -> TicketShape:
    """A ticket for programs."""
    return TicketShape(
        id=t.id,
        uid=t.uid,
        subject=t.subject,
        entity=t.entity_id,
        entity_name=t.entity_name,
        address=t.address,
        connector=t.connector,
        priority=t.priority.name.lower(),
        actioned=t.actioned_at is not None,
        actioned_at=t.actioned_at,
        assignees=tuple(PersonShape(user_id, name) for user_id, name in t.assignees),
        messages=t.messages,
        unread=t.unread,
        snippet=t.snippet,
        spam=t.spam,
        version=t.version,
        created_at=t.created_at,
        last_at=t.last_at,
    )


def note_shape(note: Note) -> NoteShape:
    """A note for programs."""
    return NoteShape(note.id, note.ticket_id, note.author, note.body, note.at)


def entity_shape(entity: Entity) -> EntityShape:
    """An entity for programs."""
    return EntityShape(
        entity.id,
        entity.uid,
        entity.kind.value,
        entity.name,
        entity.language,
        entity.timezone,
        entity.comments,
        hour_words(entity.quiet_from),
        hour_words(entity.quiet_until),
    )


def contact_shape(c: Contact) -> ContactShape:
    """A contact for programs."""
    return ContactShape(
        c.id,
        c.entity_id,
        c.address,
        c.verified_at is not None,
        c.preferred,
        (c.bounce_words or "it bounces") if c.bouncing_at else "",
        c.stopped_at is not None,
        c.stopped_why,
    )


def subscription_shape(s: Subscription) -> SubscriptionShape:
    """A subscription for programs."""
    waits = s.asked_at is not None
    return SubscriptionShape(
        s.id, s.pr_pe_id, s.resource, s.record, s.channel, s.digest, s.quiet_from, s.quiet_until, waits
    )


def user_shape(user: User) -> UserShape:
    """A login for programs."""
    grants = tuple(msgspec.to_builtins(grant) for grant in user.grants)
    return UserShape(user.id, user.name, user.entity_id, user.active, grants)


def connector_shape(row: ConnectorRow) -> ConnectorShape:
    """A connector for programs."""
    return ConnectorShape(
        name=row.name,
        kind=row.kind,
        able=row.able,
        paused=row.paused,
        words=row.words,
        since=row.since,
        schemes=row.schemes,
        waiting=row.waiting,
        last_in=row.last_in,
        last_out=row.last_out,
        gauges=row.gauges,
    )
