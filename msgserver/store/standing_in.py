"""Connectors of one type carry for one another: what waits for one that cannot send goes by another that can.

A connector takes only what it can send at once, so that nothing has to come back when the other is there again. It
also takes what has been due elsewhere for a minute: several modems share a long queue. What a person paused stays.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from msgserver.store import bulk

PATIENCE = 10.0  # seconds that a connector must have been unable: a line that blinks moves nothing
SILENCE = 60.0  # seconds after which a connector that no process speaks of counts as unable
LATE = 60.0  # seconds that something must have been due with a connector that can send

_UNABLE = f"((NOT s.able AND s.since <= :now - {PATIENCE}) OR s.seen_at < :now - {SILENCE})"
_DUE = f"(CASE WHEN {_UNABLE} THEN :now ELSE :now - {LATE} END)"
_ELSEWHERE = text(
    f"""
    SELECT s.name, {_DUE} AS due, CASE WHEN {_UNABLE} THEN s.words ELSE '' END AS why
    FROM connector_status me
    JOIN connector_status s ON s.kind = me.kind AND s.schemes = me.schemes AND s.name <> me.name AND NOT s.paused
    WHERE me.name = :name AND NOT me.paused AND EXISTS (
      SELECT 1 FROM msg_delivery_status d
      WHERE d.connector = s.name AND d.state = 'pending' AND d.next_attempt <= {_DUE})
    ORDER BY s.able, s.name
    """  # noqa: S608 -- constants of the code only
)


def waiting_elsewhere(tx: Connection, connector: str, now: float) -> bool:
    """Whether something is due at another connector that this one may carry."""
    return tx.execute(_ELSEWHERE, {"name": connector, "now": now}).first() is not None


def take_over(tx: Connection, connector: str, limit: int, now: float) -> int:
    """Give a connector up to ``limit`` deliveries that wait for others of its type, most urgent first; how many."""
    taken = 0
    for name, due, why in tx.execute(_ELSEWHERE, {"name": connector, "now": now}).all():
        words = f"{connector} stands in for {name}: {why}" if why else f"{connector} shares the queue of {name}"
        taken += _move(tx, name, connector, limit - taken, due, bulk.clean(words)[:500], now)
        if taken >= limit:
            break
    return taken


def _move(tx: Connection, source: str, connector: str, limit: int, due: float, words: str, now: float) -> int:
    lock = "" if bulk.is_sqlite(tx) else " FOR UPDATE SKIP LOCKED"
    found = tx.execute(
        text(
            "SELECT id FROM msg_delivery_status WHERE connector = :source AND state = 'pending'"  # noqa: S608
            f" AND next_attempt <= :due ORDER BY priority DESC, next_attempt, id LIMIT :limit{lock}"
        ),
        {"source": source, "due": due, "limit": limit},
    )
    moves = [{"id": one, "connector": connector, "words": words, "now": now} for one in found.scalars()]
    if moves:
        tx.execute(
            text(
                "INSERT INTO msg_delivery_event (delivery_id, at, attempt, state, words, node)"
                " SELECT id, :now, attempt, 'pending', CAST(:words AS text), '' FROM msg_delivery_status WHERE id = :id"
            ),
            moves,
        )
        tx.execute(
            text(
                "UPDATE msg_delivery_status SET connector = CAST(:connector AS text), reason = CAST(:words AS text),"
                " changed_at = :now WHERE id = :id"
            ),
            moves,
        )
    return len(moves)
