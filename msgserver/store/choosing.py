"""Which ticket a message belongs to (DESIGN, Which ticket), for a whole group of plans at once.

In order: a signed token; what the message answers (a wire id in the log or of something we sent); ``[#42]`` from
somebody who took part; the sender's newest ticket with traffic in the plan's window; else a new one. Earlier plans of
the group count as traffic for the later ones. A merged ticket stands for the one it was merged into. Spam goes to
spam tickets only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from msgserver.records import Plan
from msgserver.store import bulk

_OUR_REF = re.compile(r"^d(\d{1,18})\.([0-9a-f]{12})(?![0-9a-f])")


class Known(msgspec.Struct):
    """A ticket during one group of plans; changed as messages join it. ``id`` 0: not numbered yet."""

    id: int
    messages: int
    actioned: bool
    last_at: float
    entity_id: int | None
    address: str
    spam: bool
    new: bool = False
    reopened: bool = False
    joined: int = 0
    priority: int = 0
    last_message_id: int = 0
    snippet: str = ""
    first: int = 0  # of a new one: the plan that opens it


_SENDERS = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.i AS i,
      (SELECT c.entity_id FROM pe_contact c WHERE c.address = r.sender
       ORDER BY c.verified_at IS NULL, c.id LIMIT 1) AS entity_id,
      (SELECT m.id FROM msg_log m WHERE m.raw_id = r.raw_id) AS message_id
    FROM r
    """,
    rows="i:int sender:text raw_id:int",
    out="i entity_id message_id",
)

_WINDOWS = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.i AS i, CASE WHEN r.entity_id IS NULL THEN
      (SELECT t.id FROM ticket t WHERE t.address = r.sender AND t.entity_id IS NULL
       AND t.last_at >= r.since AND t.merged_into IS NULL AND t.spam = r.spam
       ORDER BY t.last_at DESC, t.id DESC LIMIT 1)
    ELSE
      (SELECT t.id FROM ticket t WHERE t.entity_id = r.entity_id AND t.last_at >= r.since AND t.merged_into IS NULL
       AND t.spam = r.spam ORDER BY t.last_at DESC, t.id DESC LIMIT 1)
    END AS ticket_id FROM r
    """,
    rows="i:int entity_id:int sender:text since:float spam:bool",
    out="i ticket_id",
)

_REFERENCES = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows}),
    found AS (
      SELECT r.i AS i, r.place AS place, m.ticket_id AS ticket_id, m.id AS id
        FROM r JOIN msg_log m ON m.wire_message_id = r.wire_id AND m.wire_message_id <> ''
      UNION ALL
      SELECT r.i, r.place, d.ticket_id, d.message_id
        FROM r JOIN msg_delivery_part p ON p.wire_id = r.wire_id AND (p.connector = r.connector OR r.wire_id LIKE '%@%')
        JOIN msg_delivery_status d ON d.id = p.delivery_id
      UNION ALL
      SELECT r.i, r.place, d.ticket_id, d.message_id
        FROM r JOIN msg_delivery_status d ON d.id = r.delivery_id
        JOIN msg_log m ON m.id = d.message_id AND substr(m.uid, 25) = r.uid
    )
    SELECT i, place, ticket_id FROM found WHERE ticket_id IS NOT NULL ORDER BY i, place, id DESC
    """,
    rows="i:int place:int wire_id:text connector:text delivery_id:int uid:text",
    out="i place ticket_id",
)

_TOOK_PART = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.i AS i FROM r JOIN ticket t ON t.id = r.ticket_id
    WHERE t.address = r.sender OR t.entity_id = r.entity_id
      OR EXISTS (SELECT 1 FROM msg_log m WHERE m.ticket_id = r.ticket_id
                 AND (m.sender = r.sender OR m.entity_id = r.entity_id))
      OR EXISTS (SELECT 1 FROM msg_delivery_status d WHERE d.ticket_id = r.ticket_id
                 AND (d.address = r.sender OR d.entity_id = r.entity_id))
    """,
    rows="i:int ticket_id:int sender:text entity_id:int",
    out="i",
)

_TICKETS = bulk.Statement(
    """
    WITH RECURSIVE r AS ({rows}),
    chain(asked, id, merged_into, depth) AS (
      SELECT t.id, t.id, t.merged_into, 0 FROM r JOIN ticket t ON t.id = r.id
      UNION ALL
      SELECT chain.asked, t.id, t.merged_into, chain.depth + 1
        FROM chain JOIN ticket t ON t.id = chain.merged_into WHERE chain.depth < 50
    )
    SELECT c.asked AS asked, t.id AS id, t.messages AS messages, t.actioned_at IS NOT NULL AS actioned,
      t.last_at AS last_at, t.entity_id AS entity_id, t.address AS address, t.spam AS spam
    FROM chain c JOIN ticket t ON t.id = c.id WHERE c.merged_into IS NULL
    """,
    rows="id:int",
    out="asked id messages actioned last_at entity_id address spam",
)


class Senders(msgspec.Struct, frozen=True):
    """Of each plan: its sender's entity, and the message it has become already where it is recorded twice."""

    entities: list[int | None]
    recorded: dict[int, int]


def senders(tx: Connection, plans: Sequence[Plan], addresses: Sequence[str]) -> Senders:
    """Who the senders are."""
    rows = [(i, address, plan.raw_id or None) for i, (plan, address) in enumerate(zip(plans, addresses, strict=True))]
    entities: list[int | None] = [None] * len(rows)
    recorded: dict[int, int] = {}
    for i, entity_id, message_id in _SENDERS.fetch(tx, rows):
        if addresses[i]:
            entities[i] = entity_id
        if message_id is not None:
            recorded[i] = message_id
    return Senders(entities, recorded)


def load(tx: Connection, ids: Sequence[int]) -> dict[int, Known]:
    """Tickets by the id asked for; two that were merged are one and the same object."""
    found: dict[int, Known] = {}
    asked: dict[int, Known] = {}
    if ids:
        for number, *rest in _TICKETS.fetch(tx, [(one,) for one in ids]):
            ticket_id, messages, actioned, last_at, entity_id, address, spam = rest
            known = found.get(ticket_id)
            if known is None:
                known = found[ticket_id] = Known(
                    ticket_id, messages, bool(actioned), last_at, entity_id, address, bool(spam)
                )
            asked[number] = known
    return asked


def choose(
    tx: Connection, plans: Sequence[Plan], addresses: Sequence[str], entities: Sequence[int | None]
) -> list[Known]:
    """The ticket of each plan; new ones have no id yet and are the same object for all plans that share them."""
    named, tagged, references, windows = _candidates(tx, plans, addresses, entities)
    wanted = {*named.values(), *windows.values()}
    wanted.update(ticket_id for found in references.values() for _, ticket_id in found)
    wanted.update(plan.hints.subject_tag for plan in plans if plan.hints.subject_tag and not plan.spam)
    tickets = load(tx, sorted(wanted))
    took_part: set[tuple[int, object]] = set()
    by_wire_id: dict[str, Known] = {}
    by_owner: dict[tuple[object, bool], Known] = {}
    chosen: list[Known] = []
    for i, plan in enumerate(plans):
        sender = (entities[i] or addresses[i], plan.spam)
        known: Known | None = None
        if not plan.spam:
            known = tickets.get(named.get(i, 0)) or _answered(plan, references.get(i, ()), tickets, by_wire_id)
            tag = tickets.get(plan.hints.subject_tag or 0)
            if known is None and tag is not None and addresses[i] and (i in tagged or (tag.id, sender[0]) in took_part):
                known = tag
        if known is None and addresses[i] and plan.hints.window > 0:
            known = by_owner.get(sender)
            if known is None or known.last_at < plan.received_at - plan.hints.window:
                known = tickets.get(windows.get(i, 0))
        if known is None:
            known = Known(0, 0, False, plan.received_at, entities[i], addresses[i], plan.spam, new=True, first=i)
        known.last_at = max(known.last_at, plan.received_at)
        took_part.add((known.id, sender[0]))
        by_owner[known.entity_id or known.address, known.spam] = known
        if plan.wire_message_id:
            by_wire_id[plan.wire_message_id] = known
        chosen.append(known)
    return chosen


def _candidates(
    tx: Connection, plans: Sequence[Plan], addresses: Sequence[str], entities: Sequence[int | None]
) -> tuple[dict[int, int], set[int], dict[int, list[tuple[int, int]]], dict[int, int]]:
    """What the database knows of each plan: token, whether its sender took part, references (place, ticket), window."""
    named: dict[int, int] = {}
    tags: list[bulk.Row] = []
    refs: list[bulk.Row] = []
    since: list[bulk.Row] = []
    for i, plan in enumerate(plans):
        hints = plan.hints
        if addresses[i] and hints.window > 0:
            since.append((i, entities[i], addresses[i], plan.received_at - hints.window, plan.spam))
        if plan.spam:
            continue
        if hints.token is not None:
            named[i] = hints.token
        if hints.subject_tag is not None and addresses[i]:
            tags.append((i, hints.subject_tag, addresses[i], entities[i]))
        for place, wire_id in enumerate(hints.references):
            delivery_id, uid = our_ref(wire_id)
            refs.append((i, place, wire_id, plan.connector, delivery_id, uid))
    tagged = {i for (i,) in _TOOK_PART.fetch(tx, tags)} if tags else set()
    references: dict[int, list[tuple[int, int]]] = {}
    for i, place, ticket_id in _REFERENCES.fetch(tx, refs) if refs else ():
        references.setdefault(i, []).append((place, ticket_id))
    windows = {i: ticket_id for i, ticket_id in _WINDOWS.fetch(tx, since) if ticket_id} if since else {}
    return named, tagged, references, windows


def _answered(
    plan: Plan, found: Sequence[tuple[int, int]], tickets: dict[int, Known], by_wire_id: dict[str, Known]
) -> Known | None:
    """The ticket of the nearest reference; what came in this very group is known before what lies in the log."""
    places: dict[int, int] = {}
    for place, ticket_id in found:
        places.setdefault(place, ticket_id)
    for place, wire_id in enumerate(plan.hints.references):
        known = by_wire_id.get(wire_id) or tickets.get(places.get(place, 0))
        if known is not None:
            return known
    return None


def our_ref(reference: str) -> tuple[int | None, str | None]:
    """The delivery, and the end of its message's uid, out of a reference that we gave (maybe with "@host")."""
    found = _OUR_REF.match(reference)
    return (int(found.group(1)), found.group(2)) if found else (None, None)
