"""A conversation as it is shown: messages and notes in order, each with its tags, files and deliveries in words."""

from __future__ import annotations

import hashlib

import msgspec

from msgserver.formats.quoting import quoted_from
from msgserver.records import (
    Delivery,
    Direction,
    Message,
    Note,
    StoredAttachment,
    Tag,
    Ticket,
    User,
    Viewer,
)
from msgserver.store import messages, tickets, users
from msgserver.web.ask import Tx

SHOWN = 200_000  # characters of one message; the original has the rest


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A message or a note, with all that is shown of it; ``mark`` changes when what is shown changes."""

    at: float
    message: Message | None = None
    note: Note | None = None
    text: str = ""
    quoted: str = ""
    author: str = ""
    tags: tuple[Tag, ...] = ()
    files: tuple[StoredAttachment, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    mark: str = ""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket with everything on it."""

    ticket: Ticket
    items: tuple[Item, ...]
    users: tuple[User, ...]

    def last_question(self) -> Message | None:
        """The newest message that came in."""
        asked = [i.message for i in self.items if i.message and i.message.direction is Direction.IN]
        return asked[-1] if asked else None


def conversation(tx: Tx, viewer: Viewer, ticket_id: int) -> Conversation | None:
    """Look up a ticket and all on it; None where there is none or the viewer may not see it."""
    ticket = tickets.ticket(tx, viewer, ticket_id)
    if ticket is None:
        return None
    log = tickets.conversation(tx, viewer, ticket.id)
    ids = [message.id for message in log]
    tags = messages.tags(tx, viewer, ids)
    files = messages.attachments(tx, viewer, ids)
    sent: dict[int, list[Delivery]] = {}
    for delivery in messages.deliveries(tx, viewer, ids, limit=500).items:
        sent.setdefault(delivery.message_id, []).append(delivery)
    people = tuple(users.users(tx))
    names = {user.id: user.name for user in people}
    items = [
        _message(
            m,
            names.get(m.author_id or 0, ""),
            tuple(tags.get(m.id, ())),
            tuple(files.get(m.id, ())),
            tuple(reversed(sent.get(m.id, ()))),
        )
        for m in log
    ]
    items += [Item(at=note.at, note=note, mark="1") for note in tickets.notes(tx, viewer, ticket.id)]
    items.sort(key=lambda item: item.at)
    return Conversation(ticket=ticket, items=tuple(items), users=people)


def _message(
    message: Message,
    author: str,
    tags: tuple[Tag, ...],
    files: tuple[StoredAttachment, ...],
    deliveries: tuple[Delivery, ...],
) -> Item:
    body = message.body[:SHOWN]
    fold = quoted_from(body)
    text, quoted = (body, "") if fold is None else (body[:fold], body[fold:])
    states = [(d.id, d.state, d.attempt, d.reason) for d in deliveries]
    mark = repr((len(message.body), message.verified, message.spam, [t.id for t in tags], states))
    return Item(
        at=message.received_at,
        message=message,
        text=text.rstrip(),
        quoted=quoted.strip("\n"),
        author=author or message.sender_name or ("the hub" if message.direction is Direction.OUT else ""),
        tags=tags,
        files=files,
        deliveries=deliveries,
        mark=hashlib.sha256(mark.encode("utf-8", "replace")).hexdigest()[:12],
    )
