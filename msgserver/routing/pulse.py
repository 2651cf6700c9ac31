"""How late the reactor is: the first sign that something works where it should wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

BEAT = 0.5  # seconds
_KEPT = 120  # beats: one minute
_LATE = 0.25  # seconds; more is said in the log


class Pulse:
    """Beats twice a second and measures by how much each beat came late. ``on_beat`` is called at each."""

    log = Logger()

    def __init__(self, reactor: Any, on_beat: Callable[[], object] = lambda: None) -> None:
        self._reactor = reactor
        self._on_beat = on_beat
        self._late: deque[float] = deque(maxlen=_KEPT)
        self._expected = 0.0
        self._loop = LoopingCall(self._beat)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin to beat."""
        self._expected = self._reactor.seconds() + BEAT
        self._loop.start(BEAT, now=False).addErrback(lambda failure: self.log.failure("the pulse ended", failure))

    def stop(self) -> None:
        """Beat no more."""
        if self._loop.running:
            self._loop.stop()

    @property
    def lag(self) -> float:
        """The worst lateness of the last minute, in seconds."""
        return max(self._late, default=0.0)

    def _beat(self) -> None:
        now = self._reactor.seconds()
        late = max(0.0, now - self._expected)
        self._late.append(late)
        self._expected = now + BEAT
        if late > _LATE:
            self.log.warn("the reactor was busy for {late:.2f} s", late=late)
        self._on_beat()
