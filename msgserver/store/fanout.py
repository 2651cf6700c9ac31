"""Subscriptions and forwards become deliveries, all in one ``INSERT ... SELECT``.

Groups and organisations are everybody in them (and any address of their own). Each address gets one delivery a
message however many ways lead to it. A row is written also for those who will not get it, so that it is explained:
``suppressed`` (said STOP), ``failed`` (every address bounces), ``held`` (no connector sends there, or it waits for its
digest), ``cancelled`` (whoever made the subscription may not send there: it takes a right to subscribe others, or is
for oneself and about what one may see; or its receiver has not agreed yet). The sender's own addresses get nothing.

More copies than ``most_copies`` are held until a person says so (``store.asking``). An audience larger than ``SLICE``
is left to ``store.spreading``, which writes it slice by slice, so that no other writer waits.
"""

# ruff: noqa: S608 -- SQL is put together of constants in the code only; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, text

from msgserver.records import Plan, Role
from msgserver.store import bulk
from msgserver.store.schema import job

LIFETIME = 48 * 3600.0  # seconds after which a copy that was never sent is of no use
MOST_COPIES = 2_000  # of one message without a person's word, where the configuration says nothing else
SLICE = 2_000  # people reached in the transaction that records a message
COPIES_JOB = "copies"

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

_TARGET = """COALESCE((SELECT rr.name FROM resource_record rr WHERE rr.uid = k.record AND k.record <> ''),
    (SELECT v.name FROM saved_view v WHERE k.resource = 'search' AND CAST(v.id AS text) = k.record),
    CASE WHEN k.resource IN ('tag', 'search') AND k.record <> '' THEN k.record ELSE k.resource END)"""

LANES = (
    "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_each(:lanes)",
    "SELECT value->>0 AS scheme, value->>1 AS connector FROM json_array_elements(:lanes ::json)",
)
KEYS = (
    """SELECT value->>0 AS k, value->>1 AS resource, value->>2 AS record, value->>3 AS entity_id
       FROM json_each(:keys)""",
    """SELECT (value->>0)::bigint AS k, value->>1 AS resource, value->>2 AS record,
       (value->>3)::bigint AS entity_id FROM json_array_elements(:keys ::json)""",
)

# Who is to hear of k (a tag, or an entity to forward to), before groups become their members.
WISHES = f"""
    SELECT k.k AS k, s.pr_pe_id AS entity_id, s.channel AS channel, s.id AS subscription_id,
      CASE WHEN {_BARRED} THEN 1 ELSE 0 END AS barred, s.digest AS digest,
      CASE WHEN s.asked_at IS NULL THEN 0 ELSE 1 END AS asked,
      CASE WHEN p.kind = 'person' THEN 'you' ELSE p.name END || ' subscribed to ' || {_TARGET} AS why
    FROM k JOIN pe_subscription s ON s.resource = k.resource AND (s.record = '' OR s.record = k.record)
    JOIN pe_entity p ON p.id = s.pr_pe_id
    WHERE k.entity_id IS NULL
    UNION
    SELECT k.k, k.entity_id, '', CAST(NULL AS bigint), 0, '', 0,
      'forwarded to ' || CASE WHEN p.kind = 'person' THEN 'you' ELSE p.name END
    FROM k JOIN pe_entity p ON p.id = k.entity_id
"""

# From e (whom) over their addresses (reach) to the rows of r (which messages); ``open`` is what a copy that may leave
# becomes: pending, or held for a person.
REACH = f"""
    reach AS MATERIALIZED (
      SELECT e.k AS k, COALESCE(e.subscription_id, 0) AS place, c.id AS contact_id, c.address AS address,
        c.entity_id AS entity_id, e.subscription_id AS subscription_id, e.why AS why,
        COALESCE(l.connector, '') AS connector, e.barred AS barred, e.digest AS digest,
        CASE WHEN e.barred = 1 OR (e.asked = 1 AND c.verified_at IS NULL) THEN 'cancelled'
             WHEN x.address IS NOT NULL THEN 'suppressed'
             WHEN c.bouncing_at IS NOT NULL THEN 'failed' WHEN e.digest <> '' THEN 'digest'
             WHEN l.connector IS NULL THEN 'held' ELSE 'open' END AS state,
        CASE WHEN e.barred = 1 THEN 'whoever made this subscription may not send this there (any more)'
             WHEN e.asked = 1 AND c.verified_at IS NULL THEN 'they have not said yet that they want this'
             WHEN x.address IS NOT NULL THEN 'this address asked for no more messages'
             WHEN c.bouncing_at IS NOT NULL THEN 'messages to this address bounce: ' || c.bounce_words
             WHEN e.digest <> '' THEN 'waits for the ' || e.digest || ' digest'
             WHEN l.connector IS NULL THEN 'no connector sends ' || c.scheme || ':'
             ELSE '' END AS reason
      FROM e JOIN pe_contact c ON c.id = {_BEST}
      LEFT JOIN suppression x ON x.address = c.address
      LEFT JOIN pe_left w ON w.subscription_id = e.subscription_id AND w.entity_id = e.entity_id
      LEFT JOIN lane l ON l.scheme = c.scheme
      WHERE w.entity_id IS NULL
    )
"""
ASKS = "more copies than are sent without a person's word"
WRITE = f"""
    INSERT INTO msg_delivery_status (message_id, ticket_id, address, entity_id, pe_contact_id, subscription_id, why,
      connector, state, waits_for, reason, priority, next_attempt, expires, created_at, changed_at)
    SELECT m.id, m.ticket_id, a.address, a.entity_id, a.contact_id, a.subscription_id, a.why, a.connector,
      CASE a.state WHEN 'open' THEN CAST(:open AS text) WHEN 'digest' THEN 'held' ELSE a.state END,
      CASE WHEN a.state = 'digest' THEN a.digest WHEN a.state = 'open' AND :open = 'held' THEN 'person' ELSE '' END,
      CASE WHEN a.state = 'open' AND :open = 'held' THEN '{ASKS.replace("'", "''")}' ELSE a.reason END,
      r.rank, r.at, CASE WHEN a.state = 'digest' THEN NULL ELSE r.at + {LIFETIME} END, r.at, r.at
    FROM r JOIN reach a ON a.k = r.k JOIN msg_log m ON m.id = r.id
    WHERE a.address <> m.sender AND (m.entity_id IS NULL OR a.entity_id <> m.entity_id)
    ORDER BY r.id, CASE a.state WHEN 'cancelled' THEN 2 WHEN 'digest' THEN 1 ELSE 0 END, a.place, a.contact_id
    ON CONFLICT (message_id, address, step) DO NOTHING
"""

# A group of messages has few different tags: the audience is worked out once a k, and then joined with the messages.
COPIES = bulk.Statement(
    f"""
    WITH RECURSIVE k AS MATERIALIZED ({{keys}}),
    lane AS MATERIALIZED ({{lanes}}),
    e(k, entity_id, channel, subscription_id, barred, digest, asked, why) AS (
      SELECT * FROM ({WISHES}) AS wish
      UNION
      SELECT e.k, g.member_id, e.channel, e.subscription_id, e.barred, e.digest, e.asked, e.why
      FROM e JOIN pe_membership g ON g.group_id = e.entity_id
    ),
    {REACH},
    r AS MATERIALIZED ({{rows}})
    {WRITE}
    """,
    rows="id:int k:int rank:int at:float",
    lanes=LANES,
    keys=KEYS,
)

# How many entities each k names, no further than somebody cares to count, and whether any of them is a group.
_NAMED = bulk.Statement(
    """
    WITH k AS MATERIALIZED ({keys})
    SELECT k, count(*) AS n, max(many) AS many FROM (
      SELECT k.k AS k, CASE WHEN p.kind = 'person' THEN 0 ELSE 1 END AS many FROM k
      JOIN pe_subscription s ON k.entity_id IS NULL AND s.resource = k.resource
        AND (s.record = '' OR s.record = k.record)
      JOIN pe_entity p ON p.id = s.pr_pe_id
      UNION ALL
      SELECT k.k, 1 FROM k WHERE k.entity_id IS NOT NULL
      LIMIT :most) AS named
    GROUP BY k
    """,
    out="k n many",
    keys=KEYS,
)

# The same with the members of groups. Groups are followed down by the few memberships that groups have themselves:
# a step from a group to all that is in it would make a row for every member before any LIMIT is looked at.
INNER_GROUPS = """
    inner_group AS MATERIALIZED (
      SELECT m.group_id AS group_id, m.member_id AS member_id FROM pe_entity p
      JOIN pe_membership m ON m.member_id = p.id WHERE p.kind <> 'person'
    )
"""
_SIZES = bulk.Statement(
    f"""
    WITH RECURSIVE k AS MATERIALIZED ({{keys}}),
    {INNER_GROUPS},
    e(k, entity_id) AS (
      SELECT k.k, s.pr_pe_id FROM k JOIN pe_subscription s ON s.resource = k.resource
        AND (s.record = '' OR s.record = k.record) WHERE k.entity_id IS NULL
      UNION
      SELECT k.k, k.entity_id FROM k WHERE k.entity_id IS NOT NULL
      UNION
      SELECT e.k, g.member_id FROM e JOIN inner_group g ON g.group_id = e.entity_id
    )
    SELECT k, count(*) AS n FROM (
      SELECT e.k AS k FROM e JOIN pe_membership g ON g.group_id = e.entity_id LIMIT :most) AS members
    GROUP BY k
    """,
    out="k n",
    keys=KEYS,
)

_COUNTED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT r.id AS id, count(*) AS n, sum(CASE WHEN d.state = 'pending' THEN 1 ELSE 0 END) AS open
    FROM r JOIN msg_delivery_status d ON d.message_id = r.id GROUP BY r.id
    """,
    rows="id:int",
    out="id n open",
)

_HOLD = bulk.Statement(
    f"""
    WITH r AS MATERIALIZED ({{rows}})
    UPDATE msg_delivery_status SET state = 'held', waits_for = 'person', reason = '{ASKS.replace("'", "''")}'
    WHERE message_id IN (SELECT id FROM r) AND state = 'pending'
    """,
    rows="id:int",
)

_decode_schemes = msgspec.json.Decoder(list[str]).decode

Key = tuple[str, str, int | None]  # a tag's resource and record, or an entity to forward to


def most_copies(tx: Connection) -> int:
    """How many copies of one message leave without a person's word."""
    most: int = tx.get_execution_options().get("most_copies", MOST_COPIES)
    return most


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
    """Write the copies of incoming messages, by their ids; returns how many deliveries each has.

    Of an audience that is written slice by slice afterwards it is how many there will be at least.
    """
    wanted = [
        (
            message_id,
            [
                *((tag.resource, tag.record, None) for tag in plan.tags),
                *(("", "", entity_id) for entity_id in plan.routes),
            ],
            int(plan.priority),
            plan.received_at,
        )
        for message_id, plan in messages
    ]
    return spread(tx, wanted)


def spread(tx: Connection, wanted: Sequence[tuple[int, Sequence[Key], int, float]]) -> dict[int, int]:
    """Let everybody hear who wants to hear of messages that are in the log: (id, keys, priority, time)."""
    keys = {key: number for number, key in enumerate(dict.fromkeys(key for _, keys, _, _ in wanted for key in keys))}
    if not keys:
        return {}
    listed = bulk.encode([(number, *key) for key, number in keys.items()])
    large = _large(tx, keys)
    rows = []
    promised: dict[int, int] = {}
    for message_id, asked, rank, at in wanted:
        if any(key in large for key in asked):
            _leave(tx, message_id, asked, rank, at)
            promised[message_id] = SLICE + 1
        else:
            rows += [(message_id, keys[key], rank, at) for key in dict.fromkeys(asked)]
    if rows:
        COPIES.run(tx, rows, keys=listed, lanes=bulk.encode(list(lanes(tx).items())), open="pending")
    counted = _counted(tx, list(dict.fromkeys(row[0] for row in rows)))
    most = most_copies(tx)
    over = [(message_id,) for message_id, (_, leaving) in counted.items() if leaving > most]
    if over:
        _HOLD.run(tx, over)
    return promised | {message_id: n for message_id, (n, _) in counted.items()}


def _large(tx: Connection, keys: dict[Key, int]) -> set[Key]:
    """Those with more people than one transaction should write."""
    listed = {number: (number, *key) for key, number in keys.items()}
    named = _NAMED.fetch(tx, keys=bulk.encode(list(listed.values())), most=SLICE + 1)
    grouped = [listed[number] for number, _, many in named if many]
    total = sum(n for _, n, _ in named)
    if grouped:
        total += sum(n for _, n in _SIZES.fetch(tx, keys=bulk.encode(grouped), most=SLICE + 1))
    if total <= SLICE:
        return set()
    if len(keys) == 1:
        return set(keys)
    return {key for key, number in keys.items() if _large(tx, {key: number})}


def _leave(tx: Connection, message_id: int, keys: Sequence[Key], rank: int, at: float) -> None:
    work = bulk.encode([message_id, list(dict.fromkeys(keys)), rank, at])
    tx.execute(job.insert().values(kind=COPIES_JOB, state="waiting", work=work, run_at=at))


def _counted(tx: Connection, message_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    if not message_ids:
        return {}
    return {number: (n, leaving) for number, n, leaving in _COUNTED.fetch(tx, [(number,) for number in message_ids])}


def count(tx: Connection, message_ids: Sequence[int]) -> dict[int, int]:
    """How many deliveries each message has; those with none are left out."""
    return {number: n for number, (n, _) in _counted(tx, message_ids).items()}
