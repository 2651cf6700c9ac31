"""What a person finds out about a message: that it is verified, and whether somebody has to act on it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, update

from msgserver.records import Message, Viewer
from msgserver.store import audit
from msgserver.store.messages import message
from msgserver.store.schema import msg_log


def set_verified(tx: Connection, actor: Viewer, message_id: int, verified: bool, now: float) -> Message | None:
    """Say that what a message tells has been checked, or that it has not. None where the actor may not see it."""
    values = {"verified": actor.name if verified else "", "verified_at": now if verified else None}
    return _edit(tx, actor, message_id, "verify" if verified else "unverify", {}, now, values)


def set_actionable(
    tx: Connection, actor: Viewer, message_id: int, actionable: bool | None, now: float
) -> Message | None:
    """Say whether somebody has to act on a message; None: nobody has said yet."""
    return _edit(tx, actor, message_id, "actionable", {"actionable": actionable}, now, {"actionable": actionable})


def _edit(
    tx: Connection, actor: Viewer, message_id: int, act: str, detail: dict[str, Any], now: float, values: dict[str, Any]
) -> Message | None:
    if message(tx, actor, message_id) is None:
        return None
    tx.execute(update(msg_log).where(msg_log.c.id == message_id).values(**values))
    audit.note(tx, actor, act, f"message/{message_id}", detail, now)
    return message(tx, actor, message_id)
