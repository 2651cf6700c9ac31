"""Why a modem cannot be used."""

from __future__ import annotations

from msgserver.protocols.gsm.dialogue import LineFailed


class NotUsable(Exception):
    """The modem is there but cannot be used, in words; ``for_good``: only a person can mend it."""

    def __init__(self, why: str, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


class StartedAnew(LineFailed):
    """The modem forgot how it was set up: it started by itself, or has another SIM card."""
