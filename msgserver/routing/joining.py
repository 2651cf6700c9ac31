"""Joins the parts of longer messages, in whatever order they come, doubled, late, or not all of them. Pure.

Decided: a part that some waiting part contradicts (the same place, other words) begins a new message under the same
number, and what waited is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from msgserver.records import Plan
from msgserver.routing.journalling import Journalled, journalled
from msgserver.store.parts import Piece

PATIENCE = 600.0  # seconds without a further part, after which a message is shown without the missing ones
LATE = 3 * 86400.0  # seconds in which a part may still complete what was shown without it
TOGETHER = 6 * 3600.0  # seconds within which the parts of one message reach the network


class Wait(msgspec.Struct, frozen=True):
    """Others are missing. ``give_up``: parts that waited under this number and are of another message."""

    give_up: tuple[Piece, ...] = ()


class Known(msgspec.Struct, frozen=True):
    """It came before: it belongs to ``message_id``, or (None) to those that wait."""

    message_id: int | None


class Whole(msgspec.Struct, frozen=True):
    """All are there; ``others`` are the parts but this one."""

    others: tuple[Piece, ...]


class Late(msgspec.Struct, frozen=True):
    """It belongs to a message that is shown already, whose other parts are ``others``."""

    message_id: int
    others: tuple[Piece, ...]


def decide(item: Journalled, pieces: Iterable[Piece]) -> Wait | Known | Whole | Late:
    """What a part does.

    Args:
        item: the part.
        pieces: those of the same group, read before.
    """
    part = item.arrival.part
    assert part is not None
    waiting: dict[int, Piece] = {}
    shown: dict[int, dict[int, Piece]] = {}
    doubled: list[Piece] = []
    for piece in pieces:
        if piece.message_id is not None:
            shown.setdefault(piece.message_id, {})[piece.place] = piece
        elif waiting.setdefault(piece.place, piece) is not piece:
            doubled.append(piece)
    mine = waiting.get(part.index)
    if mine is None and waiting:
        if len(waiting) + 1 == part.total:
            return Whole((*waiting.values(), *doubled))
        return Wait()
    if mine is not None:
        return Known(None) if words(mine) == item.arrival.text else Wait(give_up=(*waiting.values(), *doubled))
    for message_id in sorted(shown, reverse=True):
        there = shown[message_id].get(part.index)
        if there is not None and words(there) == item.arrival.text:
            return Known(message_id)
        if there is None and len(shown[message_id]) < part.total:
            return Late(message_id, tuple(shown[message_id].values()))
    return Wait()


def near(item: Journalled, piece: Piece) -> bool:
    """Whether two parts reached the network at about the same time: a number is used again for later messages."""
    here, there = item.arrival.sent_at, journalled(piece.raw, b"").arrival.sent_at
    return here is None or there is None or abs(here - there) <= TOGETHER


def words(piece: Piece) -> str:
    """The text of a part."""
    return journalled(piece.raw, b"").arrival.text or ""


def texts(pieces: Iterable[Piece]) -> dict[int, str]:
    """Place and text of each; of doubled ones the first."""
    found: dict[int, str] = {}
    for piece in pieces:
        found.setdefault(piece.place, words(piece))
    return found


def joined(item: Journalled, found: Mapping[int, str], total: int) -> Journalled:
    """A message out of its parts, with a word in the place of each that is missing.

    Args:
        item: any of its parts; all but the text is taken from it.
        found: texts by their places.
        total: how many there ought to be.
    """
    whole = "".join(found.get(place, f"[part {place}/{total} missing]") for place in range(1, total + 1))
    return msgspec.structs.replace(item, arrival=msgspec.structs.replace(item.arrival, text=whole, part=None))


def missing(found: Mapping[int, str], total: int) -> tuple[str, ...]:
    """What is said about a message that is shown without some of its parts."""
    places = [str(place) for place in range(1, total + 1) if place not in found]
    return (f"part {', '.join(places)} of {total} did not arrive (yet)",) if places else ()


def without(plan: Plan, missing: tuple[str, ...]) -> Plan:
    """A plan that also says what is missing in its message."""
    return msgspec.structs.replace(plan, trouble=(*plan.trouble, *missing))
