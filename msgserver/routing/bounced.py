"""What a bounce says about a delivery of ours, as a report to be written. Pure."""

from __future__ import annotations

from msgserver.formats.reading import Bounce
from msgserver.records import DeliveryState, ReportRow

_LONGEST = 500  # characters of the far side's words


def report_of(bounce: Bounce, connector: str, now: float) -> ReportRow:
    """The report; only what failed for good because of the address marks its contact as bouncing."""
    if bounce.delivered:
        state = DeliveryState.DELIVERED
    elif bounce.delayed or bounce.relayed:
        state = DeliveryState.SENT
    else:
        state = DeliveryState.FAILED
    words = bounce.words
    if bounce.status and bounce.status not in words:
        words = f"{bounce.status} {words}".strip()
    return ReportRow(
        connector=connector,
        state=state,
        wire_id=bounce.message_id,
        ref=bounce.envelope_id or bounce.message_id,
        recipient=str(bounce.recipient) if bounce.recipient is not None else "",
        words=words[:_LONGEST],
        at=now,
        bad_address=state is DeliveryState.FAILED and bounce.permanent,
        delayed=bounce.delayed,
    )
