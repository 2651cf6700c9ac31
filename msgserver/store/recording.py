"""What was read is written: message, ticket, tags, attachments, copies, search index, counts and the journal's
outcome, for a whole group of plans in one transaction.

A plan that was made under other rules than those in force is not written (``stale``). A plan whose arrival is a message
already (the answer to an earlier call was lost) answers with that message. Which connector serves a scheme is read
from ``connector_status`` inside the transaction (``fanout.lanes``): a scheme nobody serves gives deliveries that are
``held`` with the reason in words. On PostgreSQL groups take turns, by an advisory lock, so that two messages of one
sender can never open two tickets.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from msgserver.message import Attachment
from msgserver.records import Plan, Recorded
from msgserver.store import blobs, bulk, fanout, saved
from msgserver.store.choosing import Known, choose, senders
from msgserver.store.committing import place
from msgserver.store.schema import msg_attachment, msg_log, msg_tag, ticket

SNIPPET = 140
DAY = 86400.0
_TURN = 0x7469636B  # advisory lock: choosing and numbering, one transaction at a time


@place("C2")
def record(tx: Connection, plans: list[Plan]) -> list[Recorded]:
    """Write plans, in order; see the module."""
    take_turn(tx)
    version = tx.exec_driver_sql(
        "SELECT value FROM counter WHERE name = 'rules' AND key = '' AND user_id = 0"
    ).scalar_one_or_none()
    results: list[Recorded | None] = [
        None if plan.rules_version == (version or 0) else Recorded(0, 0, 0, stale=True) for plan in plans
    ]
    current = [i for i, result in enumerate(results) if result is None]
    for i, result in zip(current, _record(tx, [plans[i] for i in current]), strict=True):
        results[i] = result
    return [result for result in results if result is not None]


def take_turn(tx: Connection) -> None:
    """On PostgreSQL, wait until no other transaction chooses or numbers; SQLite has one writer anyway."""
    if not bulk.is_sqlite(tx):
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")


def _record(tx: Connection, plans: Sequence[Plan]) -> list[Recorded]:
    if not plans:
        return []
    addresses = [bulk.clean(str(plan.sender)) if plan.sender is not None else "" for plan in plans]
    who = senders(tx, plans, addresses)
    if who.recorded:
        return _without_repeats(tx, plans, who.recorded)
    chosen = choose(tx, plans, addresses, who.entities)
    ids = bulk.take_ids(tx, "msg_log", len(plans))
    reopened = _join(plans, chosen, ids)
    _write_tickets(tx, plans, chosen)
    _write_messages(tx, plans, chosen, ids, addresses, who.entities)
    _write_attachments(tx, plans, ids)
    write_tags(tx, plans, ids)
    _assign(tx, plans, chosen)
    _count_hits(tx, plans)
    plans = _watched(tx, plans, ids)
    copied = fanout.copy(tx, [(ids[i], plan) for i, plan in enumerate(plans) if plan.forward and not plan.spam])
    _READ.run(tx, [(plan.raw_id, ids[i], plan.received_at) for i, plan in enumerate(plans) if plan.raw_id])
    return [
        Recorded(
            message_id=message_id,
            ticket_id=known.id,
            number=number,
            deliveries=copied.get(message_id, 0),
            new_ticket=known.new and known.first == i,
            reopened=again,
        )
        for i, (message_id, known, (number, again)) in enumerate(zip(ids, chosen, reopened, strict=True))
    ]


_NUMBERS = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT m.id AS id, m.ticket_id AS ticket_id, m.number AS number FROM r JOIN msg_log m ON m.id = r.id
    """,
    rows="id:int",
    out="id ticket_id number",
)


def _without_repeats(tx: Connection, plans: Sequence[Plan], recorded: dict[int, int]) -> list[Recorded]:
    """Some arrivals are messages already: answer with these, write the others."""
    rows = {
        message_id: Recorded(message_id, ticket_id, number)
        for message_id, ticket_id, number in _NUMBERS.fetch(tx, [(one,) for one in recorded.values()])
    }
    fresh = iter(_record(tx, [plan for i, plan in enumerate(plans) if i not in recorded]))
    return [rows[recorded[i]] if i in recorded else next(fresh) for i in range(len(plans))]


def _join(plans: Sequence[Plan], chosen: Sequence[Known], ids: Sequence[int]) -> list[tuple[int, bool]]:
    """Let each message join its ticket; returns its number there and whether it opened it again."""
    joined = []
    for plan, known, message_id in zip(plans, chosen, ids, strict=True):
        again = known.actioned and not plan.robot and not plan.spam
        known.reopened = known.reopened or again
        known.actioned = known.actioned and not again
        known.joined += 1
        known.priority = max(known.priority, int(plan.priority))
        known.last_message_id = message_id
        known.snippet = snippet(plan.body) or snippet(plan.subject)
        joined.append((known.messages + known.joined, again))
    return joined


def snippet(body: str) -> str:
    """The first words of a message, for the inbox."""
    return bulk.clean(" ".join(body[: SNIPPET * 3].split())[:SNIPPET])


_TOUCHED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE ticket SET messages = messages + r.joined, last_message_id = r.message_id, snippet = r.snippet,
      last_at = CASE WHEN r.last_at > ticket.last_at THEN r.last_at ELSE ticket.last_at END,
      priority = CASE WHEN r.priority > ticket.priority THEN r.priority ELSE ticket.priority END,
      actioned_at = CASE WHEN r.reopened THEN NULL ELSE ticket.actioned_at END,
      actioned_by = CASE WHEN r.reopened THEN NULL ELSE ticket.actioned_by END,
      snoozed_until = CASE WHEN r.wakes THEN NULL ELSE ticket.snoozed_until END,
      version = ticket.version + 1
    FROM r WHERE ticket.id = r.id
    """.replace("r.priority", "r.rank"),
    rows="id:int joined:int message_id:int snippet:text last_at:float rank:int reopened:bool wakes:bool",
)

_TICKET = (
    "id", "uid", "entity_id", "address", "connector", "subject", "priority", "messages", "last_message_id", "snippet",
    "spam", "created_at", "last_at",
)  # fmt: skip


def _write_tickets(tx: Connection, plans: Sequence[Plan], chosen: Sequence[Known]) -> None:
    each = list({id(known): known for known in chosen}.values())
    fresh = [known for known in each if known.new]
    for known, ticket_id in zip(fresh, bulk.take_ids(tx, "ticket", len(fresh)), strict=True):
        known.id = ticket_id
    rows = []
    for known in fresh:
        plan = plans[known.first]
        subject = bulk.clean(plan.subject) or snippet(plan.body)[:80]
        rows.append((
            known.id, ticket_uid(plan.uid), known.entity_id, known.address, plan.connector, subject, known.priority,
            known.joined, known.last_message_id, known.snippet, known.spam, plan.received_at, known.last_at,
        ))  # fmt: skip
    bulk.insert_rows(tx, ticket, _TICKET, rows)
    touched = [
        (k.id, k.joined, k.last_message_id, k.snippet, k.last_at, k.priority, k.reopened, True)
        for k in each
        if not k.new
    ]
    if touched:
        _TOUCHED.run(tx, sorted(touched))


def ticket_uid(message_uid: str) -> str:
    """The uid of the ticket that a message opens; the same however often the unit is run.

    It begins as the message's does, with the time, so that those of new tickets lie beside each other in the index:
    spread over all of it, they were a quarter of all that was written.
    """
    h = hashlib.sha256(f"ticket of {message_uid}".encode()).hexdigest()
    return f"{message_uid[:13]}-8{h[:3]}-a{h[3:6]}-{h[6:18]}"  # RFC 9562 section 5.8


_MESSAGE = (
    "id", "uid", "raw_id", "direction", "connector", "sender", "sender_name", "recipients", "subject", "body", "html",
    "sent_at", "received_at", "entity_id", "ticket_id", "number", "wire_message_id", "in_reply_to", "verified",
    "verified_at", "actionable", "spam", "robot", "trust", "doubt", "checks", "trouble", "decided",
)  # fmt: skip


def _write_messages(
    tx: Connection,
    plans: Sequence[Plan],
    chosen: Sequence[Known],
    ids: Sequence[int],
    addresses: Sequence[str],
    entities: Sequence[int | None],
) -> None:
    numbers: Counter[int] = Counter()
    clean, rows = bulk.clean, []
    for i, plan in enumerate(plans):
        known = chosen[i]
        numbers[known.id] += 1
        rows.append((
            ids[i], plan.uid, plan.raw_id or None, "in", plan.connector, addresses[i], clean(plan.sender_name),
            bulk.encode([str(address) for address in plan.recipients]), clean(plan.subject), clean(plan.body),
            clean(plan.html), plan.sent_at, plan.received_at, entities[i], known.id,
            known.messages + numbers[known.id], clean(plan.wire_message_id), clean(plan.in_reply_to),
            clean(plan.verified_by), plan.received_at if plan.verified_by else None, plan.actionable, plan.spam,
            clean(plan.robot), clean(plan.trust), clean(plan.doubt), clean(plan.checks), bulk.encode(plan.trouble),
            bulk.encode(plan.decided),
        ))  # fmt: skip
    bulk.insert_indexed(tx, msg_log, _MESSAGE, rows, [plan.search for plan in plans])


_ATTACHMENT = (
    "message_id", "name", "media_type", "size", "sha256", "content", "blob", "content_id", "inline",
)  # fmt: skip


def _write_attachments(tx: Connection, plans: Sequence[Plan], ids: Sequence[int]) -> None:
    write_attachments(tx, [(ids[i], one) for i, plan in enumerate(plans) for one in plan.attachments])


def write_attachments(tx: Connection, attachments: Sequence[tuple[int, Attachment]]) -> None:
    """Write attachments of messages; large ones become files, synced before the commit."""
    rows = []
    for message_id, one in attachments:
        large = len(one.content) > blobs.LARGEST_IN_ROW
        name = blobs.put(blobs.folder(tx), one.content) if large else ""
        digest = name or hashlib.sha256(one.content).hexdigest()
        rows.append((
            message_id, bulk.clean(one.name), bulk.clean(one.media_type), len(one.content), digest,
            None if large else one.content, name, bulk.clean(one.content_id), one.inline,
        ))  # fmt: skip
    bulk.insert_rows(tx, msg_attachment, _ATTACHMENT, rows)


_COUNT = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    INSERT INTO counter (name, key, user_id, value) SELECT name, key, 0, n FROM r WHERE true ORDER BY name, key
    ON CONFLICT (name, key, user_id) DO UPDATE SET value = counter.value + excluded.value
    """,
    rows="name:text key:text n:int",
)

_TAG = ("message_id", "resource", "record", "rule_id", "user_id", "why", "confidence", "created_at")


def write_tags(tx: Connection, plans: Sequence[Plan], ids: Sequence[int]) -> None:
    """Write the tags of new messages, and count them."""
    rows, counts = [], Counter[tuple[str, str]]()
    for i, plan in enumerate(plans):
        tags = {(bulk.clean(tag.resource), bulk.clean(tag.record)): tag for tag in reversed(plan.tags)}
        for (resource, key), tag in tags.items():
            why = bulk.clean(tag.why)
            rows.append((ids[i], resource, key, tag.rule_id, tag.user_id, why, tag.confidence, plan.received_at))
        if not plan.spam:
            counts.update(("total", f"{resource}/{key}") for resource, key in tags)
            counts.update(("type total", resource) for resource in {resource for resource, _ in tags})
    bulk.insert_rows(tx, msg_tag, _TAG, rows)
    if counts:
        _COUNT.run(tx, [(*name, n) for name, n in counts.items()])


_ASSIGN = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    INSERT INTO ticket_assignee (ticket_id, user_id, at)
    SELECT DISTINCT r.ticket_id, u.id, CAST(r.at AS double precision)
    FROM r JOIN auth_user u ON u.id = r.user_id AND u.active
    WHERE true ON CONFLICT (ticket_id, user_id) DO NOTHING
    """,
    rows="ticket_id:int user_id:int at:float",
)


def _assign(tx: Connection, plans: Sequence[Plan], chosen: Sequence[Known]) -> None:
    """Give tickets to those whom rules name, beside those who have them already."""
    rows = {
        (known.id, user_id): plan.received_at
        for plan, known in zip(plans, chosen, strict=True)
        if not plan.spam
        for user_id in plan.assign
    }
    if rows:
        _ASSIGN.run(tx, [(*key, at) for key, at in sorted(rows.items())])


_HITS = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    INSERT INTO rule_hit (rule_id, day, hits) SELECT rule_id, day, n FROM r WHERE true ORDER BY rule_id, day
    ON CONFLICT (rule_id, day) DO UPDATE SET hits = rule_hit.hits + excluded.hits
    """,
    rows="rule_id:int day:int n:int",
)


def _count_hits(tx: Connection, plans: Sequence[Plan]) -> None:
    hits = Counter((rule_id, int(plan.received_at // DAY)) for plan in plans for rule_id in plan.matched)
    if hits:
        _HITS.run(tx, [(*key, many) for key, many in hits.items()])


def _watched(tx: Connection, plans: Sequence[Plan], ids: Sequence[int]) -> Sequence[Plan]:
    """Tag what saved searches find that somebody subscribed to; returns the plans with these tags too."""
    hits = saved.hits(tx, ids)
    if not hits:
        return plans
    fresh = []
    for i, plan in enumerate(plans):
        there = {(tag.resource, tag.record) for tag in plan.tags}
        found = (tag for tag in hits.get(ids[i], ()) if (tag.resource, tag.record) not in there)
        fresh.append(msgspec.structs.replace(plan, tags=tuple(found)))
    write_tags(tx, fresh, ids)
    return [
        msgspec.structs.replace(plan, tags=(*plan.tags, *extra.tags)) for plan, extra in zip(plans, fresh, strict=True)
    ]


_READ = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_raw SET state = 'read', outcome = 'message', outcome_id = r.message_id, read_at = r.at, reason = ''
    FROM r WHERE msg_raw.id = r.id
    """,
    rows="id:int message_id:int at:float",
)
