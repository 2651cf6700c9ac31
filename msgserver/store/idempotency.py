"""Answers kept under the key of their request, so that a repeated request is answered and not done again."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, select

from msgserver.store.schema import idempotency
from msgserver.store.upsert import insert_new

KEPT = 24 * 3600.0  # seconds an answer is kept


class Answered(msgspec.Struct, frozen=True):
    """What a request was (a hash of method, path and body) and how it was answered."""

    fingerprint: str
    answer: str
    at: float


def get(tx: Connection, user_id: int, key: str) -> Answered | None:
    """The answer that this user's request with this key got. Another fingerprint: the key was used for other words."""
    row = idempotency.c
    found = tx.execute(select(row.fingerprint, row.answer, row.at).where(row.user_id == user_id, row.key == key))
    kept = found.one_or_none()
    return None if kept is None else Answered(*kept)


def put(tx: Connection, user_id: int, key: str, fingerprint: str, answer: str, now: float) -> Answered:
    """Keep an answer, in the transaction that did what was asked; returns the one that stands (the first)."""
    row = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "answer": answer, "at": now}
    insert_new(tx, idempotency, [row])
    kept = get(tx, user_id, key)
    assert kept is not None
    return kept


def forget_old(tx: Connection, now: float) -> int:
    """Delete answers older than ``KEPT``."""
    return tx.execute(delete(idempotency).where(idempotency.c.at < now - KEPT)).rowcount
