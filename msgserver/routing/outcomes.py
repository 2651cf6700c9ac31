"""What the end of a send means for its delivery: the failures' verdicts turned into states. Pure."""

from __future__ import annotations

import msgspec

from msgserver.connector import Limits, NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Receipt
from msgserver.records import Claimed, DeliveryState, Settlement
from msgserver.routing import retry

_LONGEST = 500  # characters kept of a reason


def settlement(
    claimed: Claimed, outcome: Receipt | BaseException, hashed: str, limits: Limits, now: float, chance: float
) -> Settlement:
    """How an attempt is written down.

    Args:
        outcome: a receipt, one of the seam's failures, or any other exception: a mistake of ours, which counts as
            temporary, up to ten times.
        hashed: of the words that went out.
        chance: a random number from 0 to 1, for the waits.
    """
    if isinstance(outcome, Receipt):
        return Settlement(
            delivery_id=claimed.id,
            attempt=claimed.attempt,
            state=DeliveryState.DELIVERED if outcome.delivered else DeliveryState.SENT,
            wire_ids=outcome.wire_ids,
            reason=outcome.words[:_LONGEST],
            text_hash=hashed,
            at=now,
        )
    change = msgspec.structs.replace
    ended = Settlement(
        delivery_id=claimed.id, attempt=claimed.attempt, state=DeliveryState.PENDING, text_hash=hashed, at=now
    )
    reason = (str(outcome) or type(outcome).__name__)[:_LONGEST]
    scheme = claimed.address.partition(":")[0]
    if isinstance(outcome, NotConnected):
        return change(ended, reason=reason, uses_attempt=False, next_attempt=now)
    if isinstance(outcome, PermanentFailure):
        return change(ended, state=DeliveryState.FAILED, reason=reason, bad_address=outcome.bad_address)
    if isinstance(outcome, Unknown):
        wait = retry.wait_to_repeat(scheme, claimed.attempt, chance) if limits.repeat_unknown else None
        again = now + wait if wait is not None else None
        return change(ended, state=DeliveryState.UNKNOWN, reason=reason, next_attempt=again)
    wish = outcome.retry_after if isinstance(outcome, TemporaryFailure) else None
    wait = retry.wait_after(scheme, claimed.attempt, chance, wish)
    if not isinstance(outcome, TemporaryFailure):
        reason = f"a mistake in the connector: {reason}"[:_LONGEST]
        if claimed.attempt >= retry.MOST_MISTAKES:
            wait = None
    if wait is None:
        tries = "1 try" if claimed.attempt == 1 else f"{claimed.attempt} tries"
        return change(ended, state=DeliveryState.FAILED, reason=f"given up after {tries}: {reason}"[:_LONGEST])
    return change(ended, reason=reason, next_attempt=now + wait)
