"""The tables of msgserver (DESIGN, What is remembered), for SQLite and PostgreSQL alike.

Times are double precision POSIX seconds UTC. Lists and small structures are JSON text written by msgspec. Booleans
are stored as such. Ids are handed out by ``store.bulk.take_ids`` so that whole groups of rows can be written at once;
on SQLite every table counts its ids for itself (AUTOINCREMENT), so that a plain INSERT and a taken id never meet and
no id is ever given twice. The search index is made by the migration: SQLite has it as an FTS5 table ``msg_search``
(rowid = message id, tokens), PostgreSQL as a column ``msg_log.search`` (tsvector).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = BigInteger().with_variant(Integer, "sqlite")
OPEN_STATES = "('held','pending','claimed','unknown')"


def _id() -> Column[int]:
    return Column("id", Big, primary_key=True, autoincrement=True)


def _ref(name: str, target: str, **kw: Any) -> Column[int]:
    return Column(name, Big, ForeignKey(target), **kw)


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def _time(name: str, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable)


# --- what arrived ----------

msg_raw = Table(
    "msg_raw",
    metadata,
    _id(),
    Column("connector", Text, nullable=False),
    Column("wire_id", Text, nullable=False),
    Column("envelope", Text, nullable=False),  # the Arrival without raw and cursor, JSON
    _text("blob"),  # the file its bytes are in, where they are large; others are in msg_raw_bytes
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    _time("received_at"),
    Column("state", Text, nullable=False, server_default="received"),
    _text("reason"),
    _text("outcome"),
    Column("outcome_id", Big),
    _time("read_at", nullable=True),
    UniqueConstraint("connector", "wire_id"),
)
Index(
    "ix_msg_raw_received",
    msg_raw.c.id,
    sqlite_where=msg_raw.c.state == "received",
    postgresql_where=msg_raw.c.state == "received",
)
Index(
    "ix_msg_raw_unreadable",
    msg_raw.c.id,
    sqlite_where=msg_raw.c.state == "unreadable",
    postgresql_where=msg_raw.c.state == "unreadable",
)

# A piece of a longer message, once it was read. message_id: NULL while it waits for the others.
msg_part = Table(
    "msg_part",
    metadata,
    Column("raw_id", Big, primary_key=True, autoincrement=False),
    Column("connector", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    _time("at"),
    Column("message_id", Big),
)
Index("ix_msg_part_group", msg_part.c.connector, msg_part.c.sender, msg_part.c.reference, msg_part.c.total)
Index(
    "ix_msg_part_waiting",
    msg_part.c.at,
    sqlite_where=msg_part.c.message_id.is_(None),
    postgresql_where=msg_part.c.message_id.is_(None),
)

msg_raw_bytes = Table(  # apart, so that they are not written again when their arrival is read
    "msg_raw_bytes",
    metadata,
    Column("raw_id", Big, primary_key=True, autoincrement=False),
    Column("raw", LargeBinary, nullable=False),
)

msg_log = Table(
    "msg_log",
    metadata,
    _id(),
    Column("uid", Text, nullable=False, unique=True),
    Column("raw_id", Big, unique=True),
    Column("direction", Text, nullable=False),
    _text("connector"),
    _text("sender"),
    _text("sender_name"),
    _text("recipients", "[]"),
    _text("subject"),
    _text("body"),
    _text("html"),
    _time("sent_at", nullable=True),
    _time("received_at"),
    Column("author_id", Big),  # auth_user who wrote it
    Column("entity_id", Big),  # whose address the sender is
    Column("ticket_id", Big),
    Column("number", Integer, nullable=False, server_default="0"),
    _text("wire_message_id"),
    _text("in_reply_to"),
    _text("verified"),  # why or by whom; empty: not verified
    _time("verified_at", nullable=True),
    Column("actionable", Boolean),
    _flag("spam"),
    _text("robot"),
    _flag("automatic"),
    _text("cause"),
    Column("template_id", Big),  # the wording it was written from, and what filled it
    _text("template_values"),
    _text("trust"),
    _text("doubt"),
    _text("checks"),
    _text("trouble", "[]"),
    _text("decided", "[]"),  # what the parser decided and why, in lines
)
Index("ix_msg_log_ticket", msg_log.c.ticket_id, msg_log.c.number)
Index(
    "ix_msg_log_wire",
    msg_log.c.wire_message_id,
    sqlite_where=msg_log.c.wire_message_id != "",
    postgresql_where=msg_log.c.wire_message_id != "",
)
Index("ix_msg_log_sender", msg_log.c.sender, msg_log.c.id)
Index(  # what can be read or unread, by ticket: the inbox asks for each ticket whether something is
    "ix_msg_log_inbound",
    msg_log.c.ticket_id,
    msg_log.c.id,
    msg_log.c.entity_id,
    msg_log.c.direction,
    msg_log.c.spam,
    sqlite_where=text("direction = 'in' AND spam = 0"),
    postgresql_where=text("direction = 'in' AND NOT spam"),
)
Index("ix_msg_log_connector", msg_log.c.connector, msg_log.c.id)

msg_attachment = Table(
    "msg_attachment",
    metadata,
    _id(),
    _ref("message_id", "msg_log.id", nullable=False, index=True),
    _text("name"),
    _text("media_type", "application/octet-stream"),
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("content", LargeBinary),
    _text("blob"),
    _text("content_id"),
    _flag("inline"),
)

for _table in (msg_raw, msg_attachment):  # which row names a file
    Index(
        f"ix_{_table.name}_blob",
        _table.c.blob,
        sqlite_where=_table.c.blob != "",
        postgresql_where=_table.c.blob != "",
    )

msg_tag = Table(
    "msg_tag",
    metadata,
    _id(),
    _ref("message_id", "msg_log.id", nullable=False),
    Column("resource", Text, nullable=False),
    _text("record"),
    Column("rule_id", Big),
    Column("user_id", Big),
    _text("why"),
    Column("confidence", Double, nullable=False, server_default="1"),
    _time("created_at"),
    UniqueConstraint("message_id", "resource", "record"),
    Index("ix_msg_tag_record", "resource", "record", "message_id"),
)

msg_read_status = Table(
    "msg_read_status",
    metadata,
    Column("message_id", Big, primary_key=True),
    Column("auth_user_id", Big, primary_key=True),
    _time("read_at"),
    Index("ix_msg_read_status_user", "auth_user_id", "message_id"),
)

# --- what goes out ----------

msg_delivery_status = Table(
    "msg_delivery_status",
    metadata,
    _id(),
    _ref("message_id", "msg_log.id", nullable=False),
    Column("ticket_id", Big),
    Column("address", Text, nullable=False),
    Column("step", SmallInteger, nullable=False, server_default="0"),
    Column("entity_id", Big),
    Column("pe_contact_id", Big),
    Column("alert_id", Big),
    Column("subscription_id", Big),
    _text("why"),
    _text("connector"),
    Column("state", Text, nullable=False, server_default="pending"),
    _text("waits_for"),  # of a held one: "hourly", "daily" (its digest), "person" (a word); "": a connector
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("priority", SmallInteger, nullable=False, server_default="1"),
    _time("not_before", nullable=True),
    _time("next_attempt", nullable=True),
    _time("expires", nullable=True),
    _text("node"),
    _text("reason"),
    _text("text_hash"),
    _time("created_at"),
    _time("changed_at"),
    UniqueConstraint("message_id", "address", "step"),
    CheckConstraint(
        "state IN ('held','pending','claimed','unknown','sent',"
        "'delivered','failed','expired','cancelled','suppressed')",
        name="state",
    ),
)
Index(
    "ix_msg_delivery_status_pending",
    msg_delivery_status.c.connector,
    msg_delivery_status.c.priority.desc(),
    msg_delivery_status.c.next_attempt,
    msg_delivery_status.c.id,
    sqlite_where=msg_delivery_status.c.state == "pending",
    postgresql_where=msg_delivery_status.c.state == "pending",
)
Index(
    "ix_msg_delivery_status_claimed",
    msg_delivery_status.c.node,
    sqlite_where=msg_delivery_status.c.state == "claimed",
    postgresql_where=msg_delivery_status.c.state == "claimed",
)
Index(
    "ix_msg_delivery_status_open",
    msg_delivery_status.c.state,
    msg_delivery_status.c.id,
    sqlite_where=text("state IN ('held','unknown','failed')"),
    postgresql_where=text("state IN ('held','unknown','failed')"),
)
Index(
    "ix_msg_delivery_status_digest",
    msg_delivery_status.c.waits_for,
    msg_delivery_status.c.address,
    msg_delivery_status.c.id,
    sqlite_where=text("state = 'held' AND waits_for <> ''"),
    postgresql_where=text("state = 'held' AND waits_for <> ''"),
)
Index("ix_msg_delivery_status_ticket", msg_delivery_status.c.ticket_id, msg_delivery_status.c.id)

msg_delivery_part = Table(
    "msg_delivery_part",
    metadata,
    _id(),
    _ref("delivery_id", "msg_delivery_status.id", nullable=False, index=True),
    Column("part", SmallInteger, nullable=False),
    Column("connector", Text, nullable=False),
    Column("wire_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    _text("state", "sent"),
    _time("at"),
    Index("ix_msg_delivery_part_wire", "wire_id", "connector"),
)

msg_delivery_event = Table(
    "msg_delivery_event",
    metadata,
    _id(),
    _ref("delivery_id", "msg_delivery_status.id", nullable=False, index=True),
    _time("at"),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    _text("words"),
    _text("node"),
)

report_waiting = Table(  # a report that came before its send was settled, kept 24 h
    "report_waiting",
    metadata,
    _id(),
    Column("connector", Text, nullable=False),
    _text("wire_id"),
    _text("ref"),
    Column("report", Text, nullable=False),
    _time("at"),
    Index("ix_report_waiting_wire", "wire_id", "connector"),
)

# --- conversations ----------

ticket = Table(
    "ticket",
    metadata,
    _id(),
    Column("uid", Text, nullable=False, unique=True),
    Column("entity_id", Big),
    _text("address"),
    _text("connector"),
    _text("subject"),
    Column("priority", SmallInteger, nullable=False, server_default="1"),
    _time("actioned_at", nullable=True),
    Column("actioned_by", Big),
    _time("snoozed_until", nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("messages", Integer, nullable=False, server_default="0"),
    Column("last_message_id", Big, nullable=False, server_default="0"),
    _text("snippet"),
    _flag("spam"),
    Column("merged_into", Big),
    _time("created_at"),
    _time("last_at"),
    Index("ix_ticket_last", "last_at"),
)
Index(
    "ix_ticket_entity",
    ticket.c.entity_id,
    ticket.c.last_at,
    sqlite_where=ticket.c.entity_id.is_not(None),
    postgresql_where=ticket.c.entity_id.is_not(None),
)
Index(
    "ix_ticket_address",
    ticket.c.address,
    ticket.c.last_at,
    sqlite_where=ticket.c.entity_id.is_(None),
    postgresql_where=ticket.c.entity_id.is_(None),
)
Index(
    "ix_ticket_spam",
    ticket.c.last_at,
    sqlite_where=text("spam = 1"),
    postgresql_where=text("spam"),
)
Index(
    "ix_ticket_todo",
    ticket.c.priority.desc(),
    ticket.c.last_at,
    sqlite_where=text("actioned_at IS NULL"),
    postgresql_where=text("actioned_at IS NULL"),
)

ticket_assignee = Table(
    "ticket_assignee",
    metadata,
    Column("ticket_id", Big, primary_key=True),
    Column("user_id", Big, primary_key=True),
    Column("by_id", Big),
    _time("at"),
    Index("ix_ticket_assignee_user", "user_id", "ticket_id"),
)

ticket_note = Table(
    "ticket_note",
    metadata,
    _id(),
    _ref("ticket_id", "ticket.id", nullable=False, index=True),
    Column("user_id", Big, nullable=False),
    Column("body", Text, nullable=False),
    _time("at"),
)

# --- people ----------

pe_entity = Table(
    "pe_entity",
    metadata,
    _id(),
    Column("uid", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    _text("name_folded"),
    _text("language"),
    _text("timezone"),
    _text("comments"),
    Column("quiet_from", SmallInteger),
    Column("quiet_until", SmallInteger),
    _time("created_at"),
    CheckConstraint("kind IN ('person','group','organisation')", name="kind"),
    Index("ix_pe_entity_name", "name_folded"),
)
Index(
    "ix_pe_entity_groups",
    pe_entity.c.id,
    sqlite_where=pe_entity.c.kind != "person",
    postgresql_where=pe_entity.c.kind != "person",
)

pe_membership = Table(
    "pe_membership",
    metadata,
    Column("group_id", Big, ForeignKey("pe_entity.id"), primary_key=True),
    Column("member_id", Big, ForeignKey("pe_entity.id"), primary_key=True),
    _text("role"),
    _time("at"),
    Index("ix_pe_membership_member", "member_id"),
)

pe_merged = Table(  # what somebody was called who was made one with another: links and tables by it find that one
    "pe_merged",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("was_id", Big, nullable=False, unique=True),
    Column("entity_id", Big, ForeignKey("pe_entity.id", ondelete="CASCADE"), nullable=False, index=True),
    _time("at"),
)

pe_contact = Table(
    "pe_contact",
    metadata,
    _id(),
    _ref("entity_id", "pe_entity.id", nullable=False, index=True),
    Column("scheme", Text, nullable=False),
    Column("address", Text, nullable=False),  # the whole URI, folded
    _time("verified_at", nullable=True),
    _flag("preferred"),
    _time("bouncing_at", nullable=True),
    _text("bounce_words"),
    _time("created_at"),
    UniqueConstraint("entity_id", "address"),
    Index("ix_pe_contact_address", "address"),
)

pe_subscription = Table(
    "pe_subscription",
    metadata,
    _id(),
    Column("pr_pe_id", Big, ForeignKey("pe_entity.id"), nullable=False),
    Column("resource", Text, nullable=False),
    _text("record"),  # empty: every record of the type
    _text("channel"),
    _text("digest"),
    Column("quiet_from", SmallInteger),
    Column("quiet_until", SmallInteger),
    Column("creator_id", Big),
    _time("created_at"),
    _time("asked_at", nullable=True),  # when its receiver was asked to agree, and has not yet; NULL: nothing to ask
    UniqueConstraint("pr_pe_id", "resource", "record", "channel"),
    Index("ix_pe_subscription_record", "resource", "record"),
)

pe_left = Table(  # who is in a group that subscribed, and wants none of these copies
    "pe_left",
    metadata,
    Column("subscription_id", Big, ForeignKey("pe_subscription.id", ondelete="CASCADE"), primary_key=True),
    Column("entity_id", Big, primary_key=True),
    _time("at"),
)

suppression = Table(
    "suppression",
    metadata,
    Column("address", Text, primary_key=True),
    _text("why"),
    _time("at"),
)

answered = Table(  # when an address last had an automatic answer of a kind: "help", "rule/5"
    "answered",
    metadata,
    Column("address", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    _time("at"),
)

# --- what messages are about ----------

resource_type = Table(
    "resource_type",
    metadata,
    Column("name", Text, primary_key=True),  # "incident"
    Column("label", Text, nullable=False),
    _text("fields", "[]"),
    _text("url"),  # where another application shows a record of it: https://.../{uid}
    _flag("built_in"),
)

resource_record = Table(
    "resource_record",
    metadata,
    _id(),
    Column("uid", Text, nullable=False, unique=True),
    Column("resource", Text, nullable=False),
    Column("name", Text, nullable=False),
    _text("name_folded"),
    _text("code"),
    _text("comments"),
    _text("status"),
    _text("fields", "{}"),
    _text("aliases", "[]"),
    _text("url"),
    Column("latitude", Double),
    Column("longitude", Double),
    Column("parent_id", Big),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_by", Big),
    _time("created_at"),
    _time("changed_at"),
    Index("ix_resource_record_resource", "resource", "name_folded"),
    Index("ix_resource_record_code", "resource", "code"),
    Index("ix_resource_record_changed", "resource", "changed_at"),
)

name_word = Table(  # the words of names, aliases, codes and addresses, found by their beginnings (store.names)
    "name_word",
    metadata,
    Column("place", Text, primary_key=True),  # "entity", or "resource/incident"
    Column("word", Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True),  # ranges are by bytes
    Column("id", Big, primary_key=True, autoincrement=False),
    Index("ix_name_word_id", "id", "place", "word"),
)

form_definition = Table(
    "form_definition",
    metadata,
    _id(),
    Column("form_id", Text, nullable=False),
    _text("version"),
    _text("prefix"),
    Column("resource", Text, nullable=False),
    Column("definition", Text, nullable=False),
    _flag("active"),
    _time("created_at"),
    UniqueConstraint("form_id", "version"),
)

form_submission = Table(
    "form_submission",
    metadata,
    _id(),
    Column("raw_id", Big, unique=True),
    Column("instance_id", Text, nullable=False, unique=True),
    _ref("definition_id", "form_definition.id", nullable=False),
    _text("record"),
    Column("answers", Text, nullable=False),
    _text("sender"),
    _time("received_at"),
)

# --- how they are read and worded ----------

rule = Table(
    "rule",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("conditions", Text, nullable=False),
    Column("actions", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("version", Integer, nullable=False, server_default="1"),
    _time("changed_at"),
)

rule_version = Table(  # what a rule said before, for undo
    "rule_version",
    metadata,
    Column("rule_id", Big, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("user_id", Big),
    _time("at"),
)

rule_hit = Table(  # messages that a rule acted on, by day (days since 1970, UTC)
    "rule_hit",
    metadata,
    Column("rule_id", Big, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("hits", Integer, nullable=False, server_default="0"),
)

template = Table(
    "template",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    _text("subject"),
    _text("text"),
    _text("html"),
    _flag("removed"),
    _time("changed_at"),
    UniqueConstraint("name", "version"),
)

saved_view = Table(
    "saved_view",
    metadata,
    _id(),
    Column("user_id", Big),  # NULL: shared
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    _time("created_at"),
)

draft = Table(
    "draft",
    metadata,
    Column("user_id", Big, primary_key=True),
    Column("place", Text, primary_key=True),  # "ticket/42", "new"
    Column("content", Text, nullable=False),
    _time("changed_at"),
)

alert = Table(
    "alert",
    metadata,
    _id(),
    Column("uid", Text, nullable=False, unique=True),
    Column("message_id", Big),
    Column("state", Text, nullable=False, server_default="draft"),
    Column("audience", Text, nullable=False),
    _text("preflight", "{}"),
    Column("user_id", Big),
    _time("created_at"),
    _time("opened_at", nullable=True),
)

# --- the house itself ----------

connector_state = Table(
    "connector_state",
    metadata,
    Column("connector", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    _time("at"),
)

connector_status = Table(
    "connector_status",
    metadata,
    Column("name", Text, primary_key=True),
    _text("kind"),
    _text("node"),
    _flag("able"),
    _text("words"),
    _time("since"),
    _time("seen_at"),
    _flag("paused"),
    _text("schemes", "[]"),
    _text("gauges", "{}"),
    _time("last_in", nullable=True),
    _time("last_out", nullable=True),
)

node = Table(
    "node",
    metadata,
    Column("name", Text, primary_key=True),
    _time("started_at"),
    _time("seen_at"),
)

auth_user = Table(
    "auth_user",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    _text("password_hash"),
    Column("entity_id", Big),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("unread_from", Big, nullable=False, server_default="0"),
    _text("settings", "{}"),
    _time("created_at"),
)

auth_grant = Table(
    "auth_grant",
    metadata,
    Column("user_id", Big, ForeignKey("auth_user.id"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("resource", Text, primary_key=True, server_default=""),
    Column("record", Text, primary_key=True, server_default=""),
)

auth_session = Table(
    "auth_session",
    metadata,
    Column("key_hash", Text, primary_key=True),
    Column("user_id", Big, nullable=False, index=True),
    Column("csrf", Text, nullable=False),
    _time("created_at"),
    _time("seen_at"),
    _time("expires_at"),
    _text("agent"),
    _text("peer"),
)

auth_token = Table(
    "auth_token",
    metadata,
    _id(),
    Column("user_id", Big, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    _text("scope"),  # what it is good for: empty, everything its user may; "feeds", reading feeds alone
    _time("created_at"),
    _time("used_at", nullable=True),
    _time("expires_at", nullable=True),
)

login_attempt = Table(
    "login_attempt",
    metadata,
    _id(),
    Column("account", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    _time("at"),
    Index("ix_login_attempt_account", "account", "at"),
    Index("ix_login_attempt_peer", "peer", "at"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("user_id", Big, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text, nullable=False),
    _time("at"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _time("at"),
    Column("user_id", Big, nullable=False),
    Column("act", Text, nullable=False),
    _text("object"),
    _text("detail", "{}"),
    Index("ix_audit_object", "object", "id"),
    Index("ix_audit_user", "user_id", "id"),
    Index("ix_audit_act", "act", "id"),
)

counter = Table(  # kept counts and versions; user_id 0 where a count is nobody's own
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", Text, primary_key=True, server_default=""),
    Column("user_id", Big, primary_key=True, server_default="0"),
    Column("value", Big, nullable=False, server_default="0"),
)

job = Table(
    "job",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),
    _text("work", "{}"),
    _time("run_at"),
    _time("finished_at", nullable=True),
    _text("words"),
    Index("ix_job_waiting", "state", "run_at"),
)

for _table in metadata.tables.values():
    if _table.columns.keys()[0] == "id":
        _table.dialect_options["sqlite"]["autoincrement"] = True
