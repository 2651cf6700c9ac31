"""Answers kept under the key of their request, so that a repeated request is answered and not done again."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, select, update

from msgserver.store.schema import idempotency
from msgserver.store.upsert import insert_new

KEPT = 24 * 3600.0  # seconds an answer is kept
UNDER_WAY = 60.0  # seconds after which a request that was begun and not answered is given up


class Answered(msgspec.Struct, frozen=True):
    """What a request was (a hash of method, path and body) and how it was answered."""

    fingerprint: str
    answer: str
    at: float


def begin(tx: Connection, user_id: int, key: str, fingerprint: str, now: float) -> Answered | None:
    """Take a key for a request that is about to be done; None: it is yours. Else what stands under the key.

    An ``answer`` that is empty: the same request is being done just now. One that was begun a minute ago and never
    answered has died with its process: whoever asks next may do it.
    """
    row = idempotency.c
    if insert_new(
        tx, idempotency, [{"user_id": user_id, "key": key, "fingerprint": fingerprint, "answer": "", "at": now}]
    ):
        return None
    died = (row.user_id == user_id, row.key == key, row.answer == "", row.at <= now - UNDER_WAY)
    if tx.execute(update(idempotency).where(*died).values(fingerprint=fingerprint, at=now)).rowcount:
        return None
    return get(tx, user_id, key)


def let_go(tx: Connection, user_id: int, key: str) -> None:
    """What was begun came to nothing: the key may be used again."""
    row = idempotency.c
    tx.execute(delete(idempotency).where(row.user_id == user_id, row.key == key, row.answer == ""))


def get(tx: Connection, user_id: int, key: str) -> Answered | None:
    """The answer that this user's request with this key got. Another fingerprint: the key was used for other words."""
    row = idempotency.c
    found = tx.execute(select(row.fingerprint, row.answer, row.at).where(row.user_id == user_id, row.key == key))
    kept = found.one_or_none()
    return None if kept is None else Answered(*kept)


def put(tx: Connection, user_id: int, key: str, fingerprint: str, answer: str, now: float) -> Answered:
    """Keep the answer to what was begun; returns the one that stands (the first)."""
    row = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "answer": answer, "at": now}
    if not insert_new(tx, idempotency, [row]):
        mine = (idempotency.c.user_id == user_id, idempotency.c.key == key, idempotency.c.answer == "")
        tx.execute(update(idempotency).where(*mine).values(fingerprint=fingerprint, answer=answer, at=now))
    kept = get(tx, user_id, key)
    assert kept is not None
    return kept


def forget_old(tx: Connection, now: float) -> int:
    """Delete answers older than ``KEPT``."""
    return tx.execute(delete(idempotency).where(idempotency.c.at < now - KEPT)).rowcount
