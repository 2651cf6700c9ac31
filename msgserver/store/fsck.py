"""Is what is remembered whole? The invariants I1 to I8, each a question to the database, answered in sentences.

* I1: every arrival is there once, byte for byte, and became exactly one thing.
* I2: every arrival is read within a minute or set aside with a reason.
* I3: who subscribed before a message came has a delivery of it.
* I4: what has ended stays ended, and what is open will be looked at again.
* I5: nothing was sent twice without an "unknown" (or a person's word) between.
* I6: the messages of a ticket are numbered each for itself.
* I7: every file that is named is there and is what it says; no file is left over.
* I8: kept counts are what counting again gives.
"""

# ruff: noqa: S608 -- SQL is put together of constants in the code only

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from sqlalchemy import Connection, join, select, text

from msgserver.store import blobs, counting
from msgserver.store.claiming import LEASE
from msgserver.store.schema import msg_attachment, msg_raw, msg_raw_bytes

MOST = 20  # sentences for one question; the rest is counted
_PAGE = 500
_FINAL = "('delivered', 'failed', 'expired', 'cancelled', 'suppressed')"
_OPEN = "('held', 'pending', 'claimed', 'unknown', 'sent')"

_QUESTIONS = (
    (
        "I1: arrival {0} is read, but became nothing",
        "SELECT id FROM msg_raw WHERE state = 'read' AND outcome = ''",
    ),
    (
        "I1: arrival {0} should be message {1}, which is not there or says it came otherwise",
        """SELECT r.id, r.outcome_id FROM msg_raw r LEFT JOIN msg_log m ON m.id = r.outcome_id AND m.raw_id = r.id
           WHERE r.outcome = 'message' AND m.id IS NULL""",
    ),
    (
        "I1: message {0} says it came as arrival {1}, which says it became {2} {3}",
        """SELECT m.id, m.raw_id, COALESCE(r.outcome, 'nothing'), r.outcome_id FROM msg_log m
           LEFT JOIN msg_raw r ON r.id = m.raw_id
           WHERE m.raw_id IS NOT NULL AND (r.id IS NULL OR (r.outcome = 'message' AND r.outcome_id <> m.id)
             OR r.outcome = '')""",
    ),
    (
        "I2: arrival {0} of {1} is neither read nor set aside since more than a minute",
        "SELECT id, connector FROM msg_raw WHERE state = 'received' AND received_at < :now - 60",
    ),
    (
        "I2: arrival {0} is set aside as unreadable without a reason",
        "SELECT id FROM msg_raw WHERE state = 'unreadable' AND reason = ''",
    ),
    (
        "I3: {1} subscribed to {2} {3}, but has no delivery of message {0}",
        """SELECT m.id, p.name, t.resource, t.record FROM pe_subscription s
           JOIN pe_entity p ON p.id = s.pr_pe_id AND p.kind = 'person'
           JOIN msg_tag t ON t.resource = s.resource AND (s.record = '' OR s.record = t.record) AND t.user_id IS NULL
           JOIN msg_log m ON m.id = t.message_id
           WHERE m.direction = 'in' AND NOT m.spam AND t.created_at = m.received_at
             AND m.received_at < (SELECT COALESCE(min(j.run_at), m.received_at + 1) FROM job j
               WHERE j.kind = 'copies' AND j.state = 'waiting')
             AND s.created_at < m.received_at AND m.trouble NOT LIKE '%copied to nobody%'
             AND COALESCE(m.entity_id, 0) <> p.id
             AND EXISTS (SELECT 1 FROM pe_contact c WHERE c.entity_id = p.id AND c.created_at < m.received_at
               AND c.address <> m.sender AND (s.channel = '' OR c.scheme = s.channel))
             AND NOT EXISTS (SELECT 1 FROM msg_delivery_status d WHERE d.message_id = m.id AND (d.entity_id = p.id
               OR d.address IN (SELECT c.address FROM pe_contact c WHERE c.entity_id = p.id)))""",
    ),
    (
        "I4: delivery {0} had ended as {1} and then became {2} again",
        f"""SELECT a.delivery_id, a.state, min(b.state) FROM msg_delivery_event a JOIN msg_delivery_event b
              ON b.delivery_id = a.delivery_id AND b.id > a.id
            WHERE a.state IN {_FINAL} AND b.state IN {_OPEN} GROUP BY a.delivery_id, a.state""",
    ),
    (
        "I4: delivery {0} has ended as {1} by its history, but stands as {2}",
        f"""SELECT d.id, e.state, d.state FROM msg_delivery_status d JOIN msg_delivery_event e ON e.delivery_id = d.id
            WHERE e.state IN {_FINAL} AND d.state IN {_OPEN}""",
    ),
    (
        "I4: delivery {0} is claimed by {1} since long, and nobody takes it up",
        f"SELECT id, node FROM msg_delivery_status WHERE state = 'claimed' AND next_attempt < :now - {LEASE}",
    ),
    (
        "I4: delivery {0} is pending, but will never be tried: it has no time or no connector",
        """SELECT id FROM msg_delivery_status WHERE state = 'pending' AND (next_attempt IS NULL OR connector = '')""",
    ),
    (
        "I5: delivery {0} was sent in attempt {1} and again in attempt {2}, and nobody said it was unknown between",
        """SELECT a.delivery_id, a.attempt, min(b.attempt) FROM msg_delivery_part a
           JOIN msg_delivery_part b ON b.delivery_id = a.delivery_id AND b.attempt > a.attempt
           WHERE NOT EXISTS (SELECT 1 FROM msg_delivery_event e WHERE e.delivery_id = a.delivery_id
             AND e.attempt = a.attempt AND e.state IN ('unknown', 'pending'))
           GROUP BY a.delivery_id, a.attempt""",
    ),
    (
        "I6: ticket {0} has {2} messages with the number {1}",
        """SELECT ticket_id, number, count(*) FROM msg_log WHERE ticket_id IS NOT NULL
           GROUP BY ticket_id, number HAVING count(*) > 1""",
    ),
    (
        "I6: message {0} stands on ticket {1}, which is not there",
        """SELECT m.id, m.ticket_id FROM msg_log m LEFT JOIN ticket t ON t.id = m.ticket_id
           WHERE m.ticket_id IS NOT NULL AND t.id IS NULL""",
    ),
)


def check(tx: Connection, now: float | None = None) -> list[str]:
    """Look through everything; returns what is wrong, one sentence each: an empty list is a whole store.

    ``now`` is POSIX seconds (default: the machine's clock).
    """
    found: list[str] = []
    at = time.time() if now is None else now
    for sentence, query in _QUESTIONS:
        parameters = {"now": at} if ":now" in query else {}
        found += _shortened(sentence.format(*row) for row in tx.execute(text(query), parameters))
    found += _shortened(counting.differences(tx))
    found += _shortened(_bytes(tx))
    found += _shortened(_files(tx, at))
    return found


def _shortened(sentences: Iterator[str]) -> list[str]:
    every = list(sentences)
    if len(every) <= MOST:
        return every
    return [*every[:MOST], f"{every[0][:2]}: and {len(every) - MOST} more of this kind"]


def _bytes(tx: Connection) -> Iterator[str]:
    """I1: the bytes of every arrival and attachment are what their hashes say; large ones are read from their files."""
    arrivals = join(msg_raw, msg_raw_bytes, msg_raw_bytes.c.raw_id == msg_raw.c.id, isouter=True)
    for table, whole, word, column in (
        (msg_raw, arrivals, "arrival", msg_raw_bytes.c.raw),
        (msg_attachment, msg_attachment, "attachment", msg_attachment.c.content),
    ):
        last = 0
        query = select(table.c.id, column, table.c.blob, table.c.sha256, table.c.size).select_from(whole)
        while rows := tx.execute(query.where(table.c.id > last).order_by(table.c.id).limit(_PAGE)).all():
            for number, content, blob, sha256, size in rows:
                last = number
                if blob:
                    try:
                        content = blobs.get(blobs.folder(tx), blob)
                    except (OSError, ValueError):
                        yield f"I7: the file {blob} of {word} {number} is missing"
                        continue
                content = bytes(content or b"")
                if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
                    yield f"I1: the bytes of {word} {number} are not those that came"


def _files(tx: Connection, now: float) -> Iterator[str]:
    """I7: files that no row names, older than the sweep's grace."""
    wanted = blobs.named_by_rows(tx)
    for name, path in blobs.names(blobs.folder(tx)):
        if name not in wanted and path.stat().st_mtime < now - blobs.GRACE:
            yield f"I7: the file {path.name} belongs to nothing"
