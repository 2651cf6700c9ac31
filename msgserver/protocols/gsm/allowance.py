"""How many parts a SIM card may still send today."""

from __future__ import annotations

from typing import Any

from msgserver.connector import IHub

_DAY = 86400.0


class Allowance:
    """The day's count of one SIM card (days are those of UTC); it survives restarts, and a change of cards."""

    def __init__(self, cap: int, hub: IHub, clock: Any) -> None:
        self._cap = cap
        self._hub = hub
        self._clock = clock
        self._key = ""
        self._day = 0
        self._spent = 0

    async def load(self, imsi: str) -> None:
        """Take up the count of a card."""
        if not self._cap:
            return
        self._key = f"sent today {imsi}"
        day, _, spent = ((await self._hub.recall(self._key)) or b"0 0").decode().partition(" ")
        self._day, self._spent = int(day), int(spent)

    def left(self) -> int | None:
        """Parts that may be sent today; None: any number."""
        if not self._cap:
            return None
        return max(0, self._cap - (self._spent if self._day == self._today() else 0))

    async def spend(self, parts: int) -> None:
        """Parts went out (or may have)."""
        if not self._cap:
            return
        today = self._today()
        self._spent = (self._spent if self._day == today else 0) + parts
        self._day = today
        await self._hub.remember(self._key, f"{today} {self._spent}".encode())

    def _today(self) -> int:
        return int(self._clock.seconds() // _DAY)
