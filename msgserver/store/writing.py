"""What our own people (or the hub itself) write: one message in the log, and a delivery for each address.

Answers travel back the way the question came: to its sender, by its connector where that can send there, else by the
connector that serves the address's scheme. People and groups are written to at all the addresses they have. A new
message opens a ticket that counts as actioned until somebody answers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select, text

from msgserver.formats.html_text import html_to_text
from msgserver.formats.marks import plain_beside
from msgserver.formats.search import index
from msgserver.records import Draft, Recorded, Viewer
from msgserver.store import bulk, fanout, visible
from msgserver.store.choosing import load
from msgserver.store.committing import place
from msgserver.store.edits import Refused, Stale
from msgserver.store.fanout import LIFETIME, count, serving
from msgserver.store.recording import snippet, take_turn, ticket_uid, write_attachments
from msgserver.store.schema import msg_log, msg_tag, ticket
from msgserver.store.templates import worded

_MOST_NAMED = 50  # recipients named in the log's row; all of them have their deliveries


class _Question(msgspec.Struct, frozen=True):
    """The message that is answered."""

    id: int
    number: int
    sender: str
    connector: str
    wire_message_id: str


class _Place(msgspec.Struct, frozen=True):
    """Where the message will stand."""

    ticket_id: int
    messages: int
    subject: str
    address: str
    new: bool


@place("C2")
def write_draft(tx: Connection, actor: Viewer, draft: Draft, lanes: dict[str, str], now: float) -> Recorded:
    """Write a draft; the same uid again answers with what was written the first time.

    Args:
        actor: who writes; the hub itself has no author's name.
        draft: without ``to`` and ``entities`` it goes to whom the question came from.
        lanes: scheme to connector, as this process has them; what it does not run itself is asked of the others.
        now: POSIX seconds.

    Raises:
        Refused: there is no such ticket or message, nobody to write to, or nothing written.
        Stale: the ticket changed since ``draft.expected_version``; ``current`` is its version now.
    """
    take_turn(tx)
    written = tx.execute(
        select(msg_log.c.id, msg_log.c.ticket_id, msg_log.c.number).where(msg_log.c.uid == draft.uid)
    ).one_or_none()
    if written is not None:
        return Recorded(written.id, written.ticket_id, written.number)
    draft = worded(tx, draft)
    if not (draft.text.strip() or draft.html.strip() or draft.attachments):
        raise Refused("nothing is written: an empty message is not sent")
    if not draft.text.strip() and draft.template is None:  # those without HTML are to read it too
        draft = msgspec.structs.replace(draft, text=html_to_text(draft.html).strip())
    where = _where(tx, actor, draft)
    question = _question(tx, draft, where) if where is not None else None
    addresses = _addresses(draft, where, question)
    lanes = {**fanout.lanes(tx), **lanes}
    [message_id] = bulk.take_ids(tx, "msg_log", 1)
    if where is None:
        where = _open(tx, actor, draft, addresses, message_id, now)
    _write_message(tx, actor, draft, where, question, addresses, message_id, now)
    ways = _ways(tx, draft, question, where, addresses, lanes)
    copies = _deliver(tx, draft, where.ticket_id, message_id, ways, lanes, now)
    if not copies:
        raise Refused("nobody of these can be written to: they have no address; add one, or choose somebody else")
    return Recorded(message_id, where.ticket_id, where.messages + 1, deliveries=copies, new_ticket=where.new)


def _where(tx: Connection, actor: Viewer, draft: Draft) -> _Place | None:
    """The ticket it goes on, followed where it was merged; None: a new one."""
    number = draft.ticket_id
    if number is None and draft.answers is not None:
        number = tx.execute(select(msg_log.c.ticket_id).where(msg_log.c.id == draft.answers)).scalar_one_or_none()
        if number is None:
            raise Refused("the message that this answers is not there any more")
    if number is None:
        return None
    known = load(tx, [number]).get(number)
    seen = select(ticket).where(ticket.c.id == (known.id if known is not None else 0), visible.tickets(actor))
    row = tx.execute(seen).one_or_none()
    if row is None:
        raise Refused(f"there is no ticket {number}")
    if draft.expected_version is not None and draft.expected_version != row.version:
        raise Stale(row.version, "Somebody changed this ticket since you opened it; your answer was not sent.")
    return _Place(row.id, row.messages, row.subject, row.address, new=False)


def _question(tx: Connection, draft: Draft, where: _Place) -> _Question | None:
    """What is answered: the message named, else the newest that came in on this ticket."""
    log = msg_log.c
    rows = select(log.id, log.number, log.sender, log.connector, log.wire_message_id).where(log.direction == "in")
    if draft.answers is not None:
        row = tx.execute(rows.where(log.id == draft.answers)).one_or_none()
        if row is not None:
            return _Question(*row)
    newest = rows.where(log.ticket_id == where.ticket_id, log.sender != "").order_by(log.number.desc()).limit(1)
    row = tx.execute(newest).one_or_none()
    return _Question(*row) if row is not None else None


def _addresses(draft: Draft, where: _Place | None, question: _Question | None) -> list[str]:
    if draft.to or draft.entities:
        return list(dict.fromkeys(bulk.clean(str(address)) for address in draft.to))
    if question is not None and question.sender:
        return [question.sender]
    if where is not None and where.address:
        return [where.address]
    raise Refused("nobody to send to: say whom, or answer a message that has a sender")


def _open(tx: Connection, actor: Viewer, draft: Draft, addresses: Sequence[str], message_id: int, now: float) -> _Place:
    """A ticket for a new message: the receiver's conversation, if there is just one."""
    entity_id = draft.entities[0] if len(draft.entities) == 1 and not addresses else None
    address = addresses[0] if len(addresses) == 1 and not draft.entities else ""
    if address:
        entity_id = tx.execute(
            text("SELECT entity_id FROM pe_contact WHERE address = :address ORDER BY verified_at IS NULL, id LIMIT 1"),
            {"address": address},
        ).scalar_one_or_none()
    subject = bulk.clean(draft.subject) or snippet(draft.text)[:80]
    [number] = bulk.take_ids(tx, "ticket", 1)
    tx.execute(
        ticket.insert().values(
            id=number,
            uid=ticket_uid(draft.uid),
            entity_id=entity_id,
            address=address,
            connector=draft.connector,
            subject=subject,
            priority=int(draft.priority),
            actioned_at=now,
            actioned_by=actor.user_id or None,
            last_message_id=message_id,
            created_at=now,
            last_at=now,
        )
    )
    return _Place(number, 0, subject, address, new=True)


def _write_message(
    tx: Connection,
    actor: Viewer,
    draft: Draft,
    where: _Place,
    question: _Question | None,
    addresses: Sequence[str],
    message_id: int,
    now: float,
) -> None:
    subject, body = bulk.clean(draft.subject) or where.subject, bulk.clean(draft.text)
    row = {
        "id": message_id,
        "uid": draft.uid,
        "direction": "out",
        "connector": draft.connector or (question.connector if question is not None else ""),
        "sender_name": actor.name if actor.user_id else "",
        "recipients": bulk.encode(addresses[:_MOST_NAMED]),
        "subject": subject,
        "body": body,
        "html": bulk.clean(draft.html),
        "received_at": now,
        "author_id": actor.user_id or None,
        "ticket_id": where.ticket_id,
        "number": where.messages + 1,
        "in_reply_to": question.wire_message_id if question is not None else "",
        "automatic": draft.automatic,
        "template_id": draft.template,
        "template_values": msgspec.json.encode(draft.values).decode() if draft.template is not None else "",
        "cause": bulk.clean(draft.cause),
    }
    found = index("", actor.name if actor.user_id else "", addresses, subject, plain_beside(body, row["html"]))
    bulk.insert_indexed(tx, msg_log, tuple(row), [tuple(row.values())], [found])
    write_attachments(tx, [(message_id, one) for one in draft.attachments])
    if question is not None:
        _inherit_tags(tx, actor, question, message_id, now)
    changes = {"messages": ticket.c.messages + 1, "last_message_id": message_id}
    if not draft.automatic:
        changes |= {"version": ticket.c.version + 1, "last_at": now, "snippet": snippet(draft.text)}
    tx.execute(ticket.update().where(ticket.c.id == where.ticket_id).values(changes))


def _inherit_tags(tx: Connection, actor: Viewer, question: _Question, message_id: int, now: float) -> None:
    """An answer is about what its question is about, so that whoever sees the one sees the other."""
    tags = tx.execute(select(msg_tag.c.resource, msg_tag.c.record).where(msg_tag.c.message_id == question.id)).all()
    rows = [
        (message_id, resource, record, actor.user_id or None, "it answers a message tagged so", now)
        for resource, record in tags
    ]
    bulk.insert_rows(tx, msg_tag, ("message_id", "resource", "record", "user_id", "why", "created_at"), rows)


def _ways(
    tx: Connection,
    draft: Draft,
    question: _Question | None,
    where: _Place,
    addresses: Sequence[str],
    lanes: Mapping[str, str],
) -> list[tuple[str, str]]:
    """The connector for each loose address: the draft's wish, then the question's way, then the scheme's lane."""
    able = serving(tx) | {(connector, scheme) for scheme, connector in lanes.items()}
    ways = []
    for address in addresses:
        scheme = address.partition(":")[0]
        wishes = [draft.connector]
        if question is not None and (address == question.sender or address == where.address):
            wishes.append(question.connector)
        connector = next((wish for wish in wishes if wish and (wish, scheme) in able), lanes.get(scheme, ""))
        ways.append((address, connector))
    return ways


_DELIVER = bulk.Statement(
    """
    WITH RECURSIVE r AS MATERIALIZED ({rows}),
    lane AS MATERIALIZED ({lanes}),
    e(entity_id) AS (
      SELECT id FROM pe_entity WHERE id IN ({entities})
      UNION
      SELECT g.member_id FROM e JOIN pe_membership g ON g.group_id = e.entity_id
    ),
    wanted(place, address, entity_id, contact_id, bouncing, words, connector) AS (
      SELECT r.i, r.address, c.entity_id, c.id, c.bouncing_at, c.bounce_words, r.connector
        FROM r LEFT JOIN pe_contact c ON c.id =
          (SELECT o.id FROM pe_contact o WHERE o.address = r.address ORDER BY o.verified_at IS NULL, o.id LIMIT 1)
      UNION ALL
      SELECT 1000000, c.address, c.entity_id, c.id, c.bouncing_at, c.bounce_words, COALESCE(l.connector, '')
        FROM e JOIN pe_contact c ON c.entity_id = e.entity_id
        LEFT JOIN lane l ON l.scheme = c.scheme
    )
    INSERT INTO msg_delivery_status (message_id, ticket_id, address, entity_id, pe_contact_id, connector, state,
      reason, priority, next_attempt, expires, created_at, changed_at)
    SELECT :message_id, :ticket_id, w.address, w.entity_id, w.contact_id, w.connector,
      CASE WHEN x.address IS NOT NULL THEN 'suppressed' WHEN w.place = 1000000 AND w.bouncing IS NOT NULL THEN 'failed'
           WHEN w.connector = '' THEN 'held' ELSE 'pending' END,
      CASE WHEN x.address IS NOT NULL THEN 'this address asked for no more messages'
           WHEN w.place = 1000000 AND w.bouncing IS NOT NULL THEN 'messages to this address bounce: ' || w.words
           WHEN w.connector = '' THEN 'no connector sends to ' || w.address ELSE '' END,
      :priority, CAST(:now AS double precision), CAST(:expires AS double precision), :now, :now
    FROM wanted w LEFT JOIN suppression x ON x.address = w.address AND :cause <> 'opt-out'
    WHERE true ORDER BY w.place, w.contact_id
    ON CONFLICT (message_id, address, step) DO NOTHING
    """,
    rows="i:int address:text connector:text",
    lanes=(
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_each(:lanes)",
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_array_elements(:lanes ::json)",
    ),
    entities=(
        "SELECT value FROM json_each(:entities)",
        "SELECT value::bigint FROM json_array_elements_text(:entities ::json)",
    ),
)


def _deliver(
    tx: Connection,
    draft: Draft,
    ticket_id: int,
    message_id: int,
    ways: Sequence[tuple[str, str]],
    lanes: Mapping[str, str],
    now: float,
) -> int:
    _DELIVER.run(
        tx,
        [(i, address, connector) for i, (address, connector) in enumerate(ways)],
        lanes=bulk.encode(list(lanes.items())),
        entities=bulk.encode(draft.entities),
        message_id=message_id,
        ticket_id=ticket_id,
        priority=int(draft.priority),
        now=now,
        expires=now + LIFETIME,
        cause=draft.cause,
    )
    return count(tx, [message_id]).get(message_id, 0)
