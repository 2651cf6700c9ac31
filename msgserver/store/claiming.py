"""A lane takes what is due: claimed and committed before a byte goes out, with all that rendering needs.

``next_attempt`` says when a delivery is due (quiet hours move it); while claimed, when the claim's lease ends. What has
expired, asked for no more messages, belongs to a subscription that was ended, or lies in its receiver's quiet hours is
put aside instead of claimed; urgent ones are sent in quiet hours too, and the one answer to STOP goes out in spite of
it (its message's cause is "opt-out").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from msgserver.formats.zones import quiet_until
from msgserver.message import Attachment
from msgserver.records import Claimed, Priority, Template
from msgserver.store import blobs, bulk
from msgserver.store.committing import place
from msgserver.store.schema import msg_attachment, msg_delivery_event
from msgserver.store.templates import template_of

_LOST = "the file of an attachment is missing: “msgserver fsck” names it; bring it back from a backup, then send again"
_MOST_BYTES = 16 << 20  # of words and files that one claim takes, where it takes more than one delivery
LEASE = 300.0  # seconds; a claim older than that was lost, whatever its node says

_DUE_SQL = """
    WITH due AS MATERIALIZED (
      SELECT id, message_id FROM msg_delivery_status
      WHERE connector = :connector AND state = 'pending' AND next_attempt <= :now {named}
        AND NOT EXISTS (SELECT 1 FROM connector_status s WHERE s.name = :connector AND s.paused)
      ORDER BY priority DESC, next_attempt, id LIMIT :limit {skip_locked}
    ), marked AS MATERIALIZED (
      SELECT id, id = min(id) OVER (PARTITION BY message_id) AS leads FROM due
    )
    SELECT d.id AS id, d.attempt AS attempt, d.address AS address, COALESCE(e.name, '') AS to_name,
      d.priority AS priority, d.expires AS expires, d.why AS why, d.message_id AS message_id, m.uid AS uid,
      d.ticket_id AS ticket_id, m.number AS number, m.direction AS direction,
      CASE WHEN marked.leads THEN m.subject END AS subject, CASE WHEN marked.leads THEN m.body END AS body,
      CASE WHEN marked.leads THEN m.html END AS html,
      m.sender AS sender, m.sender_name AS sender_name, m.connector AS source,
      COALESCE(ue.name, u.name, '') AS author, m.automatic AS automatic, m.received_at AS received_at,
      CASE WHEN d.address LIKE 'sms:%' THEN NULL ELSE CAST((
        SELECT {gather}(w) FROM (SELECT w FROM (
          SELECT l.wire_message_id AS w, l.number AS n,
            CASE WHEN l.wire_message_id = m.in_reply_to THEN 1 ELSE 0 END AS answered
          FROM msg_log l WHERE l.ticket_id = d.ticket_id AND l.number < m.number AND l.wire_message_id <> ''
          UNION ALL
          SELECT p.wire_id, l.number, 0 FROM msg_log l
          JOIN msg_delivery_status o ON o.message_id = l.id AND o.address = d.address
          JOIN msg_delivery_part p ON p.delivery_id = o.id
          WHERE l.ticket_id = d.ticket_id AND l.number < m.number
        ) AS told ORDER BY answered DESC, n DESC LIMIT 20) AS newest
      ) AS text) END AS refs,
      (SELECT COALESCE(sum(a.size + 1), 0) FROM msg_attachment a WHERE a.message_id = m.id) AS attached,
      m.cause <> 'opt-out' AND EXISTS (SELECT 1 FROM suppression x WHERE x.address = d.address) AS stopped,
      CASE WHEN d.subscription_id IS NOT NULL AND s.id IS NULL AND NOT EXISTS (
        SELECT 1 FROM pe_subscription o JOIN msg_tag t ON t.message_id = d.message_id AND t.resource = o.resource
          AND (o.record = '' OR o.record = t.record) WHERE o.pr_pe_id = d.entity_id AND o.digest = ''
      ) THEN 1 ELSE 0 END AS ended,
      COALESCE(s.quiet_from, e.quiet_from) AS quiet_from, COALESCE(s.quiet_until, e.quiet_until) AS quiet_until,
      COALESCE(e.timezone, '') AS timezone, d.entity_id AS entity_id, s.id AS subscription_id,
      COALESCE((SELECT rr.name FROM resource_record rr WHERE rr.uid = s.record AND s.record <> ''),
        NULLIF(s.record, ''), s.resource, '') AS topic,
      CASE WHEN s.id IS NULL THEN '' ELSE s.resource || '.' || s.record END AS label,
      m.template_id AS template_id, CASE WHEN marked.leads THEN m.template_values END AS template_values,
      CASE WHEN d.address LIKE 'mailto:%' AND m.direction = 'out' THEN (
        SELECT q.recipients FROM msg_log q WHERE q.ticket_id = d.ticket_id AND q.number < m.number
          AND q.direction = 'in' AND q.connector = :connector ORDER BY q.number DESC LIMIT 1) END AS reached
    FROM marked JOIN msg_delivery_status d ON d.id = marked.id
    JOIN msg_log m ON m.id = d.message_id
    LEFT JOIN pe_entity e ON e.id = d.entity_id
    LEFT JOIN pe_subscription s ON s.id = d.subscription_id
    LEFT JOIN auth_user u ON u.id = m.author_id
    LEFT JOIN pe_entity ue ON ue.id = u.entity_id
    ORDER BY d.priority DESC, d.next_attempt, d.id
    """
_DUE_OUT = (
    "id attempt address to_name priority expires why message_id uid ticket_id number direction subject body html"
    " sender sender_name source author automatic received_at refs attached stopped ended quiet_from quiet_until"
    " timezone entity_id subscription_id topic label template_id template_values reached"
)
_SKIP = ("", "FOR UPDATE SKIP LOCKED")
_DUE = bulk.Statement(_DUE_SQL, out=_DUE_OUT, skip_locked=_SKIP, named=("", ""))
_DUE_NAMED = bulk.Statement(
    _DUE_SQL,
    out=_DUE_OUT,
    skip_locked=_SKIP,
    named=(
        "AND id IN (SELECT value FROM json_each(:named))",
        "AND id IN (SELECT value::bigint FROM json_array_elements_text(:named ::json))",
    ),
)


class _Due(msgspec.Struct, array_like=True):
    """One row of the query above; of several of one message, one brings its words, which may be large."""

    id: int
    attempt: int
    address: str
    to_name: str
    priority: int
    expires: float | None
    why: str
    message_id: int
    uid: str
    ticket_id: int | None
    number: int
    direction: str
    subject: str | None
    body: str | None
    html: str | None
    sender: str
    sender_name: str
    source: str
    author: str
    automatic: bool | int
    received_at: float
    refs: str | None
    attached: int
    stopped: bool | int
    ended: int
    quiet_from: int | None
    quiet_until: int | None
    timezone: str
    entity_id: int | None
    subscription_id: int | None
    topic: str
    label: str
    template_id: int | None
    template_values: str | None
    reached: str | None


_TAKE = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    UPDATE msg_delivery_status SET state = r.state, attempt = r.attempt, node = r.node, reason = r.reason,
      next_attempt = r.next_attempt, not_before = COALESCE(r.not_before, msg_delivery_status.not_before),
      changed_at = r.at
    FROM r WHERE msg_delivery_status.id = r.id
    """,
    rows="id:int state:text attempt:int node:text reason:text next_attempt:float not_before:float at:float",
)

_EVENT = ("delivery_id", "at", "attempt", "state", "words", "node")


@place("C3")
def claim(
    tx: Connection, connector: str, node: str, limit: int, now: float, only: Sequence[int] | None = None
) -> list[Claimed]:
    """Claim up to ``limit`` of what is due for a connector, most urgent and longest due first; ``only`` these, if any.

    Fewer where they are large. A paused connector has nothing due. ``Claimed.author`` is empty where nobody of ours
    wrote it.
    """
    if limit <= 0:
        return []
    if only is None:
        rows = _DUE.fetch(tx, connector=connector, now=now, limit=limit)
    else:
        rows = _DUE_NAMED.fetch(tx, connector=connector, now=now, limit=limit, named=bulk.encode(list(only)))
    due = [_Due(*row) for row in rows]
    if not due:
        return []
    words = {one.message_id: one for one in due if one.body is not None}
    due = due[: _portion(due, words)]
    verdicts = [_verdict(one, now) for one in due]
    carrying = [one.message_id for one, (state, _, _) in zip(due, verdicts, strict=True) if state == "claimed"]
    attachments, lost = _attachments(tx, carrying if any(one.attached for one in due) else ())
    taken: list[_Due] = []
    changes: list[bulk.Row] = []
    events: list[bulk.Row] = []
    for one, (state, reason, wait) in zip(due, verdicts, strict=True):
        if state == "claimed" and one.message_id in lost:
            state, reason = "failed", _LOST
        if state == "claimed":
            taken.append(one)
            changes.append((one.id, state, one.attempt + 1, node, "", now + LEASE, None, now))
        else:
            changes.append((one.id, state, one.attempt, "", reason, wait, wait, now))
            if state != "pending":
                events.append((one.id, now, one.attempt, state, reason, node))
    _TAKE.run(tx, sorted(changes, key=lambda row: row[0]))
    bulk.insert_rows(tx, msg_delivery_event, _EVENT, events)
    numbers = {one.template_id for one in taken if one.template_id is not None}
    wordings = {number: template_of(tx, number) for number in numbers}
    return [
        _claimed(
            one,
            words[one.message_id],
            connector,
            attachments.get(one.message_id, ()),
            wordings.get(one.template_id or 0),
        )
        for one in taken
    ]


def _portion(due: Sequence[_Due], words: Mapping[int, _Due]) -> int:
    """How many of the first can be taken at once: every copy travels with its words and files."""
    total = 0
    for n, one in enumerate(due):
        said = words[one.message_id]
        total += one.attached + len(said.body or "") + len(said.html or "")
        if n and total > _MOST_BYTES:
            return n
    return len(due)


def _verdict(one: _Due, now: float) -> tuple[str, str, float | None]:
    """The state a due delivery goes to, why, and where it must wait: until when."""
    if one.expires is not None and one.expires <= now:
        return "expired", "it was not sent in time", None
    if one.stopped:
        return "suppressed", "this address asked for no more messages", None
    if one.ended:
        return "cancelled", "the subscription was ended before this was sent", None
    if one.priority < Priority.URGENT and one.quiet_from is not None and one.quiet_until is not None:
        until = quiet_until(now, one.quiet_from, one.quiet_until, one.timezone)
        if until is not None:
            return "pending", "waits for the end of the receiver's quiet hours", until
    return "claimed", "", None


def _claimed(
    one: _Due,
    words: _Due,
    connector: str,
    attachments: Sequence[tuple[int, Attachment]],
    template: Template | None,
) -> Claimed:
    return Claimed(
        id=one.id,
        attempt=one.attempt + 1,
        address=one.address,
        to_name=one.to_name,
        connector=connector,
        priority=one.priority,
        expires=one.expires,
        copy=one.direction == "in",
        why=one.why,
        message_id=one.message_id,
        message_uid=one.uid,
        ticket_id=one.ticket_id,
        number=one.number,
        subject=words.subject or "",
        body=words.body or "",
        html=words.html or "",
        sender=one.sender,
        sender_name=one.sender_name,
        source=one.source,
        author=one.author,
        automatic=bool(one.automatic),
        references=tuple(dict.fromkeys(reversed(msgspec.json.decode(one.refs)))) if one.refs else (),
        attachments=tuple(attachment for _, attachment in attachments),
        attachment_ids=tuple(number for number, _ in attachments),
        received_at=one.received_at,
        entity_id=one.entity_id,
        subscription_id=one.subscription_id,
        topic=one.topic,
        label=one.label,
        template=template,
        values=msgspec.json.decode(words.template_values or "{}") if template is not None else {},
        reached=tuple(msgspec.json.decode(one.reached, type=list[str])) if one.reached else (),
    )


def _attachments(
    tx: Connection, message_ids: Sequence[int]
) -> tuple[dict[int, list[tuple[int, Attachment]]], set[int]]:
    """The attachments of messages with their ids, and the messages of which one is lost."""
    found: dict[int, list[tuple[int, Attachment]]] = {}
    lost: set[int] = set()
    if not message_ids:
        return found, lost
    rows = select(msg_attachment).where(msg_attachment.c.message_id.in_(set(message_ids))).order_by(msg_attachment.c.id)
    for row in tx.execute(rows):
        try:
            content = blobs.get(blobs.folder(tx), row.blob) if row.blob else bytes(row.content)
        except FileNotFoundError:
            lost.add(row.message_id)
            continue
        one = Attachment(row.name, row.media_type, content, row.content_id, row.inline)
        found.setdefault(row.message_id, []).append((row.id, one))
    return found, lost


_EACH_PRIORITY = " UNION ALL ".join(
    f"""SELECT (SELECT next_attempt FROM msg_delivery_status WHERE connector = :connector AND state = 'pending'
        AND priority = {priority:d} ORDER BY next_attempt LIMIT 1) AS at"""  # noqa: S608
    for priority in Priority
)
_NEXT = bulk.Statement(f"SELECT min(at) AS at FROM ({_EACH_PRIORITY}) AS firsts", out="at")  # noqa: S608


def due(tx: Connection, connector: str, now: float) -> float | None:  # noqa: ARG001 -- asked as the doors say
    """When the next delivery of a connector is due (maybe in the past); None: nothing is pending."""
    rows: list[Any] = _NEXT.fetch(tx, connector=connector)
    at: float | None = rows[0][0]
    return at
