"""Records messages that came in several pieces, together with what their pieces became: one transaction each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from msgserver.records import Draft, Plan, Recorded, Viewer
from msgserver.store import parts
from msgserver.store.answering import Wish, record_and_answer
from msgserver.store.committing import place
from msgserver.store.parts import Group
from msgserver.store.recording import record
from msgserver.store.replies import record_answer


class Whole(msgspec.Struct, frozen=True):
    """A message out of its pieces: the place of the one it is recorded under, and (by their raw ids) the others."""

    group: Group
    place: int
    others: tuple[int, ...]


@place("C2")
def record_whole(
    tx: Connection, plan: Plan, whole: Whole, wish: Wish | None, now: float, answer: tuple[Viewer, Draft] | None = None
) -> Recorded:
    """Record a message, and that its pieces are part of it; stale where one is taken already.

    Args:
        wish: what the hub answers to it.
        answer: it is a colleague's answer to a copy, by whom and in which words.
    """
    if not parts.free(tx, [*whole.others, plan.raw_id]):
        return Recorded(0, 0, 0, stale=True)
    if answer is not None:
        recorded = record_answer(tx, *answer, plan, now)
    else:
        recorded = record_and_answer(tx, plan, wish, now) if wish is not None else record(tx, [plan])[0]
    if not recorded.stale:
        parts.settle(tx, whole.others, recorded.message_id, now)
        parts.keep_last(tx, plan.raw_id, whole.group, whole.place, recorded.message_id, now)
    return recorded


@place("C2")
def complete_late(
    tx: Connection, raw_id: int, group: Group, place: int, message_id: int, plans: Sequence[Plan], now: float
) -> int | None:
    """Put a late piece into its message; returns the ticket, None where the message is gone or the piece known.

    Args:
        plans: the message as it was without the piece, and with it.
    """
    if not parts.free(tx, [raw_id]):
        return None
    before, after = plans
    ticket_id = parts.complete(tx, message_id, before, after)
    parts.keep(tx, raw_id, group, place, message_id if ticket_id is not None else None, now)
    return ticket_id
