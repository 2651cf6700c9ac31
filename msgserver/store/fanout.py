"""Subscriptions and forwards become deliveries, all in one ``INSERT ... SELECT``.

Groups and organisations are everybody in them (and any address of their own). Each address gets one delivery a
message however many ways lead to it. A row is written also for those who will not get it, so that it is explained:
``suppressed`` (said STOP), ``failed`` (every address bounces), ``held`` (no connector sends there), ``cancelled``
(whoever made the subscription may not send there: it takes a right to subscribe others, or is for oneself and about
what one may see). The sender's own addresses get nothing; digests are written when their hour comes.
"""

# ruff: noqa: S608 -- SQL is put together of constants in the code only; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, text

from msgserver.records import Plan, Role
from msgserver.store import bulk

LIFETIME = 48 * 3600.0  # seconds after which a copy that was never sent is of no use

_BEST = """
    (SELECT c.id FROM pe_contact c WHERE c.entity_id = e.entity_id AND (e.channel = '' OR c.scheme = e.channel)
     ORDER BY c.bouncing_at IS NOT NULL, c.preferred DESC, c.verified_at IS NULL, c.id LIMIT 1)
"""

SENDING = frozenset({Role.ALERT_SENDER, Role.ADMINISTRATOR})  # may subscribe others
_SENDING = ", ".join(f"'{role.value}'" for role in sorted(SENDING))

# Somebody who was switched off gets nothing more; what an administrator set up for others outlasts his login.
_BARRED = f"""
    (s.creator_id IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM auth_user u JOIN auth_grant g ON g.user_id = u.id WHERE u.id = s.creator_id AND (
        (u.active AND u.entity_id = s.pr_pe_id AND (g.resource = ''
           OR (g.resource = k.resource AND (g.record = '' OR g.record = k.record))))
        OR ((u.entity_id IS NULL OR u.entity_id <> s.pr_pe_id) AND g.resource = '' AND g.role IN ({_SENDING}))
      )))
"""

_TARGET = "COALESCE((SELECT rr.name FROM resource_record rr WHERE rr.uid = k.record AND k.record <> ''), k.resource)"

# A group of messages has few different tags: the audience is worked out once a tag (k: a tag, or an entity to forward
# to), and then joined with the messages.
COPIES = bulk.Statement(
    f"""
    WITH RECURSIVE k AS MATERIALIZED ({{keys}}),
    lane AS MATERIALIZED ({{lanes}}),
    wish(k, entity_id, channel, subscription_id, barred, why) AS (
      SELECT k.k, s.pr_pe_id, s.channel, s.id, CASE WHEN {_BARRED} THEN 1 ELSE 0 END,
        CASE WHEN p.kind = 'person' THEN 'you' ELSE p.name END || ' subscribed to ' || {_TARGET}
      FROM k JOIN pe_subscription s ON s.resource = k.resource AND (s.record = '' OR s.record = k.record)
      JOIN pe_entity p ON p.id = s.pr_pe_id
      WHERE k.entity_id IS NULL AND s.digest = ''
    ),
    e(k, entity_id, channel, subscription_id, barred, why) AS (
      SELECT * FROM wish
      UNION
      SELECT k.k, k.entity_id, '', CAST(NULL AS bigint), 0,
        'forwarded to ' || CASE WHEN p.kind = 'person' THEN 'you' ELSE p.name END
      FROM k JOIN pe_entity p ON p.id = k.entity_id
      UNION
      SELECT e.k, g.member_id, e.channel, e.subscription_id, e.barred, e.why
      FROM e JOIN pe_membership g ON g.group_id = e.entity_id
    ),
    reach AS MATERIALIZED (
      SELECT e.k AS k, COALESCE(e.subscription_id, 0) AS place, c.id AS contact_id, c.address AS address,
        c.entity_id AS entity_id, e.subscription_id AS subscription_id, e.why AS why,
        COALESCE(l.connector, '') AS connector, e.barred AS barred,
        CASE WHEN e.barred = 1 THEN 'cancelled' WHEN x.address IS NOT NULL THEN 'suppressed'
             WHEN c.bouncing_at IS NOT NULL THEN 'failed' WHEN l.connector IS NULL THEN 'held'
             ELSE 'pending' END AS state,
        CASE WHEN e.barred = 1 THEN 'whoever made this subscription may not send this there (any more)'
             WHEN x.address IS NOT NULL THEN 'this address asked for no more messages'
             WHEN c.bouncing_at IS NOT NULL THEN 'messages to this address bounce: ' || c.bounce_words
             WHEN l.connector IS NULL THEN 'no connector sends ' || c.scheme || ':' ELSE '' END AS reason
      FROM e JOIN pe_contact c ON c.id = {_BEST}
      LEFT JOIN suppression x ON x.address = c.address
      LEFT JOIN pe_left w ON w.subscription_id = e.subscription_id AND w.entity_id = e.entity_id
      LEFT JOIN lane l ON l.scheme = c.scheme
      WHERE w.entity_id IS NULL
    ),
    r AS MATERIALIZED ({{rows}})
    INSERT INTO msg_delivery_status (message_id, ticket_id, address, entity_id, pe_contact_id, subscription_id, why,
      connector, state, reason, priority, next_attempt, expires, created_at, changed_at)
    SELECT m.id, m.ticket_id, a.address, a.entity_id, a.contact_id, a.subscription_id, a.why, a.connector, a.state,
      a.reason, r.rank, m.received_at, m.received_at + {LIFETIME}, m.received_at, m.received_at
    FROM r JOIN reach a ON a.k = r.k JOIN msg_log m ON m.id = r.id
    WHERE a.address <> m.sender AND (m.entity_id IS NULL OR a.entity_id <> m.entity_id)
    ORDER BY r.id, a.barred, a.place, a.contact_id
    ON CONFLICT (message_id, address, step) DO NOTHING
    """,
    rows="id:int k:int rank:int",
    lanes=(
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_each(:lanes)",
        "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_array_elements(:lanes ::json)",
    ),
    keys=(
        """SELECT value->>0 AS k, value->>1 AS resource, value->>2 AS record, value->>3 AS entity_id
           FROM json_each(:keys)""",
        """SELECT (value->>0)::bigint AS k, value->>1 AS resource, value->>2 AS record,
           (value->>3)::bigint AS entity_id FROM json_array_elements(:keys ::json)""",
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


def copy(tx: Connection, messages: Sequence[tuple[int, Plan]]) -> dict[int, int]:
    """Write the copies of incoming messages, by their ids; returns how many deliveries each has."""
    wanted = [
        (message_id, key, int(plan.priority))
        for message_id, plan in messages
        for key in (
            *((tag.resource, tag.record, None) for tag in plan.tags),
            *(("", "", entity_id) for entity_id in plan.routes),
        )
    ]
    keys = {key: number for number, key in enumerate(dict.fromkeys(key for _, key, _ in wanted))}
    rows = [(message_id, keys[key], rank) for message_id, key, rank in wanted]
    if not rows:
        return {}
    listed = [(number, *key) for key, number in keys.items()]
    COPIES.run(tx, rows, keys=bulk.encode(listed), lanes=bulk.encode(list(lanes(tx).items())))
    return count(tx, [message_id for message_id, _ in messages])


def count(tx: Connection, message_ids: Sequence[int]) -> dict[int, int]:
    """How many deliveries each message has; those with none are left out."""
    return dict(_COUNTED.fetch(tx, [(number,) for number in message_ids]))
