"""The values the store remembers and the rooms above pass around. Frozen; imports message only.

Times are POSIX seconds UTC. Ids are integers; ``uid`` is a UUID as text, the name the outside uses.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from msgserver.message import Address, Attachment


class RawState(StrEnum):
    """How far an arrival has come."""

    RECEIVED = "received"
    READ = "read"
    UNREADABLE = "unreadable"


class Outcome(StrEnum):
    """What an arrival became."""

    MESSAGE = "message"
    FORM = "form"
    REPORT = "report"
    PART = "part"
    DUPLICATE = "duplicate"


class Direction(StrEnum):
    """Of a message, as the hub sees it."""

    IN = "in"
    OUT = "out"


class DeliveryState(StrEnum):
    """Of one delivery; the last five are final, ``sent`` may be (see Receipt.final)."""

    HELD = "held"
    PENDING = "pending"
    CLAIMED = "claimed"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


class Priority(IntEnum):
    """Of a ticket and of what goes out for it."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    URGENT = 3


class EntityKind(StrEnum):
    """What a pe_entity is."""

    PERSON = "person"
    GROUP = "group"
    ORGANISATION = "organisation"


class Role(StrEnum):
    """What a grant lets its user do; scopes narrow it (MISSION M23)."""

    READER = "reader"
    RESPONDER = "responder"
    ALERT_SENDER = "alert sender"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class Grant(msgspec.Struct, frozen=True):
    """A role, everywhere (resource empty), for a resource type (record empty) or for one record."""

    role: Role
    resource: str = ""
    record: str = ""


class Viewer(msgspec.Struct, frozen=True):
    """Who looks or acts: every store read takes one. ``user_id`` 0 is the hub itself, which sees all."""

    user_id: int
    name: str
    grants: tuple[Grant, ...] = ()
    entity_id: int | None = None


HUB = Viewer(0, "the hub", (Grant(Role.ADMINISTRATOR),))


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival to be journalled. ``envelope`` is the Arrival without its raw bytes, as JSON."""

    connector: str
    wire_id: str
    envelope: bytes
    raw: bytes
    blob: str = ""  # name in the blob store when the bytes lie outside the database; raw is then empty
    size: int
    sha256: str
    received_at: float
    cursor: tuple[str, bytes] | None = None


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """A journalled arrival, as the reader takes it up."""

    id: int
    connector: str
    wire_id: str
    envelope: bytes
    raw: bytes
    blob: str
    received_at: float


class PlannedTag(msgspec.Struct, frozen=True):
    """The parser's wish to tag; ``why`` is in words a person understands: 'rule "flood": word "water"'."""

    resource: str
    record: str = ""
    rule_id: int | None = None
    user_id: int | None = None
    why: str = ""
    confidence: float = 1.0


class Hints(msgspec.Struct, frozen=True):
    """What the message itself says about which ticket it belongs to (DESIGN, Which ticket)."""

    token: int | None = None  # ticket id out of a signed token, already verified
    own_token: bool = False  # the token was sent to the sender's own address: who wrote this reads that mailbox
    references: tuple[str, ...] = ()  # wire ids of ours or theirs it answers, nearest first
    subject_tag: int | None = None  # [#42]: counts only if the sender took part in it
    window: float = 72 * 3600.0  # chat, SMS: newest ticket of the sender with traffic in this time; 0: never


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one read arrival shall become: the router's whole decision, written in one transaction."""

    raw_id: int
    uid: str
    connector: str
    received_at: float
    sender: Address | None
    sender_name: str = ""
    recipients: tuple[Address, ...] = ()
    subject: str = ""
    body: str = ""
    html: str = ""
    sent_at: float | None = None
    wire_message_id: str = ""
    in_reply_to: str = ""
    hints: Hints = Hints()
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[PlannedTag, ...] = ()
    routes: tuple[int, ...] = ()  # entities to which it is forwarded, besides the subscribers
    priority: Priority = Priority.NORMAL
    actionable: bool | None = None
    assign: tuple[int, ...] = ()  # users who take its ticket
    replies: tuple[tuple[int, str], ...] = ()  # what rules answer: rule, text
    matched: tuple[int, ...] = ()  # the rules that acted, counted as their hits
    decided: tuple[str, ...] = ()  # what the parser decided and why, a line for each rule and plug-in
    verified_by: str = ""  # why it counts as verified ("trusted sender"), empty: it does not
    spam: bool = False
    robot: str = ""  # why it counts as a robot's; a robot's message never reopens a ticket nor is answered
    forward: bool = True  # False: loop guard stopped it; logged, tagged, copied to nobody
    trust: str = ""  # why its sender's address is believed
    doubt: str = ""  # why it looks forged
    checks: str = ""  # what SPF, DKIM and DMARC found, as RFC 8601 writes it
    trouble: tuple[str, ...] = ()
    search: str = ""  # joined tokens out of formats.search.index: sender, recipients, subject, body
    rules_version: int = 0


class Recorded(msgspec.Struct, frozen=True):
    """What became of a plan. ``stale``: the rules changed meanwhile, nothing was written, plan it again."""

    message_id: int
    ticket_id: int
    number: int
    deliveries: int = 0
    new_ticket: bool = False
    reopened: bool = False
    stale: bool = False


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """One wording of a text with holes."""

    id: int
    name: str
    version: int
    subject: str
    text: str
    html: str
    changed_at: float


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What one of our own people (or the hub itself) writes: an answer on a ticket or a new message."""

    uid: str
    to: tuple[Address, ...] = ()
    entities: tuple[int, ...] = ()
    ticket_id: int | None = None
    answers: int | None = None  # the message it answers
    subject: str = ""
    text: str = ""
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    connector: str = ""  # leave by this one; empty: as the question came, else by scheme
    priority: Priority = Priority.NORMAL
    cause: str = ""  # why the hub itself wrote it; empty for a person's words
    automatic: bool = False
    expected_version: int | None = None  # of the ticket; a stale answer is refused
    template: int | None = None  # its wording's id: subject (where none is given), text and html come from there
    values: dict[str, Any] = {}  # that fill it


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One row of msg_delivery_status as people look at it."""

    id: int
    message_id: int
    ticket_id: int | None
    address: str
    entity_id: int | None
    pe_contact_id: int | None
    connector: str
    state: DeliveryState
    attempt: int
    priority: int
    next_attempt: float | None
    expires: float | None
    reason: str
    created_at: float
    changed_at: float


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this node has claimed, with all that rendering needs."""

    id: int
    attempt: int
    address: str
    to_name: str
    connector: str
    priority: int
    expires: float | None
    copy: bool  # a subscriber's copy of an incoming message, else our own words
    why: str  # of a copy: "you subscribed to Flood 12"
    message_id: int
    message_uid: str
    ticket_id: int | None
    number: int
    subject: str
    body: str
    html: str
    sender: str
    sender_name: str
    source: str  # connector the message came by (copies)
    author: str  # display name of the person who wrote it, else the hub's name
    automatic: bool
    references: tuple[str, ...] = ()  # wire ids of the conversation, oldest first, the one answered last
    attachments: tuple[Attachment, ...] = ()
    attachment_ids: tuple[int, ...] = ()
    received_at: float = 0.0
    entity_id: int | None = None  # who gets it
    subscription_id: int | None = None  # of a copy
    topic: str = ""  # what was subscribed to, for people
    label: str = ""  # and for programs: "incident.<uid>"
    reached: tuple[str, ...] = ()  # the addresses at which what it answers came
    template: Template | None = None  # whose words it has, with
    values: dict[str, Any] = {}


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt ended, ready to be written. ``attempt`` fences: an older claim settles nothing."""

    delivery_id: int
    attempt: int
    state: DeliveryState
    reason: str = ""
    wire_ids: tuple[str, ...] = ()
    next_attempt: float | None = None
    uses_attempt: bool = True
    bad_address: bool = False
    text_hash: str = ""
    at: float


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connector's report, ready to be matched and written."""

    connector: str
    state: DeliveryState
    wire_id: str = ""
    ref: str = ""
    recipient: str = ""
    part: int | None = None
    words: str = ""
    at: float
    bad_address: bool = False  # it will not work next time either: its contact is marked as bouncing
    delayed: bool = False  # nothing is decided; the far side goes on trying, and says so


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One row of msg_log as people look at it."""

    id: int
    uid: str
    ticket_id: int | None
    number: int
    direction: Direction
    connector: str
    sender: str
    sender_name: str
    recipients: tuple[str, ...]
    subject: str
    body: str
    html: str
    sent_at: float | None
    received_at: float
    author_id: int | None
    entity_id: int | None
    verified: str
    verified_at: float | None
    actionable: bool | None
    spam: bool
    robot: str
    cause: str
    trust: str  # why its sender's address is believed
    trouble: tuple[str, ...]
    raw_id: int | None
    wire_message_id: str
    in_reply_to: str
    doubt: str = ""  # why its sender looks forged
    checks: str = ""  # what SPF, DKIM and DMARC found
    unread: bool = False  # for the viewer who asked


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message is about something."""

    id: int
    message_id: int
    resource: str
    record: str
    name: str  # of the record or type, for people
    rule_id: int | None
    user_id: int | None
    why: str
    confidence: float
    created_at: float


class StoredAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attachment without fetching its bytes."""

    id: int
    message_id: int
    name: str
    media_type: str
    size: int
    sha256: str
    content_id: str
    inline: bool


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """An internal note on a ticket: never sent."""

    id: int
    ticket_id: int
    user_id: int
    author: str
    body: str
    at: float


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation; also one row of the inbox."""

    id: int
    uid: str
    subject: str
    entity_id: int | None
    entity_name: str
    address: str
    connector: str
    priority: Priority
    actioned_at: float | None
    actioned_by: int | None
    snoozed_until: float | None
    version: int
    created_at: float
    last_at: float
    last_message_id: int
    snippet: str
    messages: int
    unread: int  # for the viewer who asked
    assignees: tuple[tuple[int, str], ...]
    tags: tuple[tuple[str, str, str], ...]  # resource, record, name
    spam: bool = False


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A person, group or organisation."""

    id: int
    uid: str
    kind: EntityKind
    name: str
    language: str
    timezone: str
    comments: str
    created_at: float
    quiet_from: int | None = None  # minutes after midnight where they live: nothing that can wait is sent
    quiet_until: int | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One address of an entity."""

    id: int
    entity_id: int
    address: str
    verified_at: float | None
    preferred: bool
    bouncing_at: float | None
    bounce_words: str
    stopped_at: float | None = None  # when it asked for no more messages
    stopped_why: str = ""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """An entity's wish to receive copies."""

    id: int
    pr_pe_id: int
    resource: str
    record: str
    channel: str  # address scheme; empty: the preferred contact
    digest: str  # "", "hourly", "daily"
    quiet_from: int | None  # minutes after midnight in the recipient's zone
    quiet_until: int | None
    creator_id: int | None
    created_at: float
    asked_at: float | None = None  # when its receiver was asked whether they want it, and has not said so yet


class Find(StrEnum):
    """Where a rule looks for its record, one of the rule's resource type."""

    NONE = ""  # nowhere: it names the record itself, or none
    PREFIX = "prefix"  # what follows the first word: a code, name or alias
    NAME = "name"  # anywhere in the text: a name or alias


class Holds(StrEnum):
    """What a rule may ask a text to name."""

    POSITION = "position"  # degrees, geo:, or a link to a map
    PHONE = "phone"  # a phone number


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One parser rule: when every named condition holds, its actions happen; the most specific first.

    ``words``: any of these words or phrases occurs (in the language ``stem``, with other endings too). ``prefix``: the
    first word of the text. ``hashtags``: any of these, without their sign. ``sender``: an address or a pattern with
    ``*``. ``connector``: it came by this one, or with a colon (``sms:``) by any for addresses of this scheme.
    ``holds``: the text names each of these. ``pattern``: a regular expression that takes linear time (RE2).
    ``from_minute``, ``until_minute``: minutes after midnight where the hub is; ``days``: 0 is Monday. ``doubted``: the
    sender of the mail looks forged.
    """

    id: int
    name: str
    position: int
    words: tuple[str, ...] = ()
    prefix: str = ""
    sender: str = ""
    connector: str = ""
    resource: str = ""
    record: str = ""
    entity_id: int | None = None
    priority: Priority | None = None
    actionable: bool | None = None
    spam: bool = False
    stop: bool = False
    active: bool = True
    stem: str = ""
    hashtags: tuple[str, ...] = ()
    pattern: str = ""
    from_minute: int | None = None
    until_minute: int | None = None
    days: tuple[int, ...] = ()
    find: Find = Find.NONE
    verified: bool = False  # where its sender's address is believed
    assign: tuple[int, ...] = ()  # users
    reply: str = ""  # a text, with {name}, {ticket} and {hub} in it; at most one a day to a sender
    holds: tuple[Holds, ...] = ()
    doubted: bool = False


class RuleSet(msgspec.Struct, frozen=True):
    """The rules as the parser sees them; ``version`` is checked when the plan is written."""

    version: int = 0
    rules: tuple[Rule, ...] = ()


class Named(msgspec.Struct, frozen=True):
    """A record by all that it is called."""

    uid: str
    resource: str
    name: str
    code: str = ""
    aliases: tuple[str, ...] = ()
    version: int = 1


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A login."""

    id: int
    name: str
    entity_id: int | None
    active: bool
    unread_from: int
    created_at: float
    grants: tuple[Grant, ...] = ()


class ConnectorRow(msgspec.Struct, frozen=True, kw_only=True):
    """What any process may know of a connector."""

    name: str
    kind: str
    node: str
    able: bool
    words: str
    since: float
    seen_at: float
    paused: bool
    schemes: tuple[str, ...] = ()
    gauges: dict[str, float | str] = {}
    waiting: int = 0
    last_in: float | None = None
    last_out: float | None = None


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a resource type. ``kind``: text, number, date, choice, yes/no or contact."""

    name: str
    label: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    required: bool = False


class ResourceType(msgspec.Struct, frozen=True, kw_only=True):
    """What messages can be about: incidents, projects, ... ``url``: where another application shows a record of it,
    with ``{uid}`` where the record's uid goes."""

    name: str
    label: str
    fields: tuple[Field, ...] = ()
    url: str = ""
    built_in: bool = False


class ResourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a resource type; tags name it by ``uid``."""

    id: int
    uid: str
    resource: str
    name: str
    code: str
    comments: str
    status: str
    fields: dict[str, str]
    aliases: tuple[str, ...]
    url: str
    latitude: float | None
    longitude: float | None
    parent_id: int | None
    version: int
    created_by: int | None
    created_at: float
    changed_at: float
