"""Whether a far side that calls us still does: its status, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgserver.connector import Status


class Calling:
    """Watches for a phone to fall silent.

    Args:
        silent_after: seconds without a call until the status says so.
        changed: called whenever the status is another one.
    """

    def __init__(self, silent_after: float, changed: Callable[[], None], reactor: Any) -> None:
        self._silent_after = silent_after
        self._changed = changed
        self._reactor = reactor
        self._watch: Any = None
        self.status = Status(able=False, words="not started", since=reactor.seconds())

    def start(self) -> None:
        """It may call from now on."""
        self._tell(True, "waits for the phone to call")
        self._wind()

    def heard(self) -> None:
        """It has called."""
        self._tell(True, "the phone calls")
        self._wind()

    def stop(self) -> None:
        """Nobody is answered any more."""
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        self._tell(False, "stopped")

    def _wind(self) -> None:
        if self._watch is not None and self._watch.active():
            self._watch.reset(self._silent_after)
        else:
            self._watch = self._reactor.callLater(self._silent_after, self._silent)

    def _silent(self) -> None:
        minutes = self._silent_after / 60.0
        self._tell(False, f"the phone has not called for {minutes:.0f} min: is it on, has it a network?")

    def _tell(self, able: bool, words: str) -> None:
        if (able, words) != (self.status.able, self.status.words):
            self.status = Status(able=able, words=words, since=self._reactor.seconds())
            self._changed()
