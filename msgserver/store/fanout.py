"""Subscriptions and forwards become deliveries, all in one ``INSERT ... SELECT``.

Groups and organisations are everybody in them (and any address of their own). Each address gets one delivery a
message however many ways lead to it. A row is written also for those who will not get it, so that it is explained:
``suppressed`` (said STOP), ``failed`` (every address bounces), ``held`` (no connector sends there). The sender's own
addresses get nothing; digests are written when their hour comes.
"""

# ruff: noqa: S608 -- SQL is put together of constants in the code only; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, text

from msgserver.store import bulk

LIFETIME = 48 * 3600.0  # seconds after which a copy that was never sent is of no use

_BEST = """
    (SELECT c.id FROM pe_contact c WHERE c.entity_id = e.entity_id AND (e.channel = '' OR c.scheme = e.channel)
     ORDER BY c.bouncing_at IS NOT NULL, c.preferred DESC, c.verified_at IS NULL, c.id LIMIT 1)
"""

_TARGET = "COALESCE((SELECT rr.name FROM resource_record rr WHERE rr.uid = t.record AND t.record <> ''), t.resource)"

COPIES = bulk.Statement(
    f"""
    WITH RECURSIVE m AS MATERIALIZED ({{rows}}),
    lane AS MATERIALIZED ({{lanes}}),
    wish(message_id, entity_id, channel, subscription_id, why) AS (
      SELECT m.id, s.pr_pe_id, s.channel, s.id,
        CASE WHEN p.kind = 'person' THEN 'you' ELSE p.name END || ' subscribed to ' || {_TARGET}
      FROM m JOIN msg_tag t ON t.message_id = m.id
      JOIN pe_subscription s ON s.resource = t.resource AND (s.record = '' OR s.record = t.record)
      JOIN pe_entity p ON p.id = s.pr_pe_id
      WHERE s.digest = ''
    ),
    routed AS MATERIALIZED ({{routes}}),
    e(message_id, entity_id, channel, subscription_id, why) AS (
      SELECT * FROM wish
      UNION
      SELECT f.message_id, f.entity_id, '', CAST(NULL AS bigint),
        'forwarded to ' || CASE WHEN p.kind = 'person' THEN 'you' ELSE p.name END
      FROM routed f JOIN pe_entity p ON p.id = f.entity_id
      UNION
      SELECT e.message_id, g.member_id, e.channel, e.subscription_id, e.why
      FROM e JOIN pe_membership g ON g.group_id = e.entity_id
    )
    INSERT INTO msg_delivery_status (message_id, ticket_id, address, entity_id, pe_contact_id, subscription_id, why,
      connector, state, reason, priority, next_attempt, expires, created_at, changed_at)
    SELECT e.message_id, m.ticket_id, c.address, c.entity_id, c.id, e.subscription_id, e.why, COALESCE(l.connector, ''),
      CASE WHEN x.address IS NOT NULL THEN 'suppressed' WHEN c.bouncing_at IS NOT NULL THEN 'failed'
           WHEN l.connector IS NULL THEN 'held' ELSE 'pending' END,
      CASE WHEN x.address IS NOT NULL THEN 'this address asked for no more messages'
           WHEN c.bouncing_at IS NOT NULL THEN 'messages to this address bounce: ' || c.bounce_words
           WHEN l.connector IS NULL THEN 'no connector sends ' || c.scheme || ':' ELSE '' END,
      m.priority, m.at, m.at + {LIFETIME}, m.at, m.at
    FROM e JOIN m ON m.id = e.message_id
    JOIN pe_contact c ON c.id = {_BEST}
    LEFT JOIN suppression x ON x.address = c.address
    LEFT JOIN lane l ON l.scheme = c.scheme
    WHERE c.address <> m.sender AND (m.entity_id IS NULL OR c.entity_id <> m.entity_id)
    ORDER BY e.message_id, COALESCE(e.subscription_id, 0), c.id
    ON CONFLICT (message_id, address, step) DO NOTHING
    """,
    rows="id:int ticket_id:int sender:text entity_id:int priority:int at:float",
    lanes=(
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_each(:lanes)",
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_array_elements(:lanes ::json)",
    ),
    routes=(
        "SELECT value->>0 AS message_id, value->>1 AS entity_id FROM json_each(:routes)",
        """SELECT (value->>0)::bigint AS message_id, (value->>1)::bigint AS entity_id
           FROM json_array_elements(:routes ::json)""",
    ),
)

_COUNTED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.id AS id, count(*) AS n FROM r JOIN msg_delivery_status d ON d.message_id = r.id GROUP BY r.id
    """,
    rows="id:int",
    out="id n",
)

_decode_schemes = msgspec.json.Decoder(list[str]).decode


def lanes(tx: Connection) -> dict[str, str]:
    """Which connector sends to which scheme, from the connectors' own rows: the first by name that is not paused."""
    found: dict[str, str] = {}
    for name, scheme in _served(tx):
        found.setdefault(scheme, name)
    return found


def serving(tx: Connection) -> set[tuple[str, str]]:
    """Every connector with every scheme that it sends to."""
    return set(_served(tx))


def _served(tx: Connection) -> list[tuple[str, str]]:
    query = "SELECT name, schemes FROM connector_status WHERE schemes <> '[]' ORDER BY paused, name"
    return [(name, scheme) for name, schemes in tx.execute(text(query)) for scheme in _decode_schemes(schemes)]


def copy(tx: Connection, messages: Sequence[bulk.Row], routes: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Write the copies of incoming messages; returns how many deliveries each message has.

    ``messages`` are (id, ticket, sender, its entity, priority, received at); ``routes`` are (message, entity).
    """
    if not messages:
        return {}
    COPIES.run(tx, messages, lanes=bulk.encode(list(lanes(tx).items())), routes=bulk.encode(routes))
    return count(tx, [row[0] for row in messages])


def count(tx: Connection, message_ids: Sequence[int]) -> dict[int, int]:
    """How many deliveries each message has; those with none are left out."""
    return dict(_COUNTED.fetch(tx, [(number,) for number in message_ids]))
