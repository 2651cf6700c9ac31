"""Makers of what the reading tests need: users, tickets, and messages indexed as the hub indexes them."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy import Connection, insert, select, update

from msgserver.formats.search import index
from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.store import bulk, counting, users
from msgserver.store.schema import auth_user, msg_log, msg_tag, ticket, ticket_assignee

NOW = 1_700_000_000.0
_numbers = itertools.count(1)

ADMINISTRATOR = Grant(Role.ADMINISTRATOR)
RESPONDER = Grant(Role.RESPONDER)


def user(tx: Connection, name: str, *grants: Grant, entity_id: int | None = None, unread_from: int = 0) -> Viewer:
    """A login who counts as unread whatever is above ``unread_from``."""
    made = users.create_user(tx, HUB, name, "hash", grants or (RESPONDER,), NOW, entity_id=entity_id)
    tx.execute(update(auth_user).where(auth_user.c.id == made.id).values(unread_from=unread_from))
    counting.recount(tx)
    viewer = users.viewer(tx, made.id)
    assert viewer is not None
    return viewer


def conversation(tx: Connection, *, assignees: tuple[Viewer, ...] = (), **values: Any) -> int:
    """A ticket; returns its id."""
    row = {"uid": f"ticket {next(_numbers)}", "subject": "Water", "created_at": NOW, "last_at": NOW} | values
    ticket_id = tx.execute(insert(ticket).values(**row).returning(ticket.c.id)).scalar_one()
    for one in assignees:
        tx.execute(insert(ticket_assignee).values(ticket_id=ticket_id, user_id=one.user_id, at=NOW))
    return int(ticket_id)


def message(tx: Connection, ticket_id: int | None = None, *, tags: tuple[str, ...] = (), **values: Any) -> int:
    """A message, tagged by "resource/record" words; returns its id. ``recipients`` is a tuple of URIs."""
    recipients = values.pop("recipients", ("sms:+999",))
    row: dict[str, Any] = {
        "uid": f"message {next(_numbers)}",
        "direction": "in",
        "connector": "modem1",
        "sender": "sms:+15550001",
        "subject": "",
        "body": "the water rises",
        "received_at": NOW,
        "ticket_id": ticket_id,
        "recipients": bulk.encode(recipients),
    } | values
    if ticket_id is not None and "number" not in row:
        row["number"] = 1 + (tx.scalar(select(ticket.c.messages).where(ticket.c.id == ticket_id)) or 0)
    message_id = int(tx.execute(insert(msg_log).values(**row).returning(msg_log.c.id)).scalar_one())
    for tag in tags:
        resource, _, record = tag.partition("/")
        tx.execute(insert(msg_tag).values(message_id=message_id, resource=resource, record=record, created_at=NOW))
    if tags:
        counting.count_tags(tx, msg_tag.c.message_id == message_id, +1)
    words = index(row["sender"], row.get("sender_name", ""), recipients, row["subject"], row["body"])
    bulk.index(tx, [(message_id, words)])
    if ticket_id is not None:
        changed = {"messages": ticket.c.messages + 1, "last_message_id": message_id, "last_at": row["received_at"]}
        tx.execute(update(ticket).where(ticket.c.id == ticket_id).values(snippet=row["body"], **changed))
    return message_id
