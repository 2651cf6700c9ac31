"""What a person decides about one delivery: again now, or not at all."""

from __future__ import annotations

from typing import Any

from msgserver.records import Delivery, Viewer
from msgserver.routing.may import Act, Forbidden, may, narrowed
from msgserver.store import deliveries, messages
from msgserver.web.ask import Answer, Ask, Tx, local, not_found, see_other


def may_decide(viewer: Viewer) -> None:
    """Those who answer and those who run the channels may.

    Raises:
        Forbidden: neither of them.
    """
    if not may(viewer, Act.DELIVERIES) and not may(viewer, Act.REPLY):
        raise Forbidden("You may not do this: it takes the role responder or operator. Ask an administrator.")


def decide(tx: Tx, actor: Viewer, act: Any, delivery_id: int, now: float) -> Delivery | None:
    """Retry or cancel a delivery of a message that the actor may see; returns it as it was before."""
    row = messages.delivery(tx, narrowed(actor, Act.DELIVERIES, Act.REPLY), delivery_id)
    if row is not None:
        act(tx, actor, delivery_id, now)
    return row


async def retry(ask: Ask) -> Answer:
    """Send it again now; of an unknown one the person accepts that it may arrive twice."""
    return await _decide(ask, deliveries.retry, "retried")


async def cancel(ask: Ask) -> Answer:
    """Do not send it (again)."""
    return await _decide(ask, deliveries.cancel, "cancelled")


async def _decide(ask: Ask, act: Any, said: str) -> Answer:
    may_decide(ask.viewer)
    row = await ask.store.write(decide, ask.viewer, act, ask.part["delivery"], ask.at)
    if row is None:
        raise not_found("delivery")
    ring(ask, row)
    place, mark, anchor = local(ask.form("back")).partition("#")
    return see_other(f"{place}{'&' if '?' in place else '?'}said={said}{mark}{anchor}")


def ring(ask: Ask, row: Delivery) -> None:
    """Wake its lane, and the pages that show it."""
    ask.house.bus.ring("delivery", [row.connector])
    if row.ticket_id is not None:
        ask.house.bus.ring("ticket", [row.ticket_id])
