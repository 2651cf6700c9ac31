"""Keeps the hub from talking to itself and to other robots: pure judgements, and one memory of what was sent.

RFC 3834 section 2: nothing automatic answers what is not a person's mail. Our own mail coming back, mail that went
over too many hops and copies made by another hub are logged, but copied to nobody.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import msgspec

from msgserver.formats.reading import Reading

MOST_HOPS = 25  # Received lines
HOUR = 3600.0
NOTICES_AN_HOUR = 10  # automatic messages to one address


class Verdict(msgspec.Struct, frozen=True):
    """``robot``: why it counts as a robot's, or "". ``forward``: whether copies may be made of it."""

    robot: str = ""
    forward: bool = True
    why: str = ""


def judge(reading: Reading, marks: frozenset[str]) -> Verdict:
    """Judge a mail by what its header says. ``marks``: what this hub writes into X-Msgserver-Loop (its domains)."""
    if not marks.isdisjoint(reading.loop_tokens):
        return Verdict("our own message", False, "it is a message of this hub that came back")
    if reading.loop_tokens:
        return Verdict(reading.robot or "another hub", False, "another hub made this copy")
    if reading.hops > MOST_HOPS:
        return Verdict(
            reading.robot or "too many hops", False, f"it went over {reading.hops} hops: this looks like a loop"
        )
    return Verdict(reading.robot)


class Notices:
    """Counts automatic messages by address, so that two robots can never keep each other busy."""

    def __init__(self, most: int = NOTICES_AN_HOUR, addresses: int = 20_000) -> None:
        self._most = most
        self._addresses = addresses
        self._sent: OrderedDict[str, deque[float]] = OrderedDict()

    def allow(self, address: str, now: float) -> bool:
        """Whether one more automatic message may go to an address; counts it if so."""
        sent = self._sent.setdefault(address, deque(maxlen=self._most))
        self._sent.move_to_end(address)
        if len(self._sent) > self._addresses:
            self._sent.popitem(last=False)
        while sent and sent[0] <= now - HOUR:
            sent.popleft()
        if len(sent) >= self._most:
            return False
        sent.append(now)
        return True
