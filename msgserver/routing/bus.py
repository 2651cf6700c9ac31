"""The bell of the house: tells whoever listens that something changed, by topic and ids.

A ring only says "look": it may be lost, doubled or late, and the row in the store is the truth. Topics: ``raw`` (ids
of journal rows), ``ticket`` and ``message`` (ids), ``delivery`` and ``connector`` (names of connectors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

Listener = Callable[[str, tuple[int | str, ...]], None]


class Bus:
    """The bell within one process."""

    log = Logger()

    def __init__(self) -> None:
        self._listeners: list[tuple[frozenset[str], Listener]] = []

    def listen(self, callback: Listener, *topics: str) -> Callable[[], None]:
        """Call ``callback(topic, ids)`` at every ring of one of ``topics`` (none named: all of them).

        The callback runs at once, inside the ring, so it should only note what it heard.

        Returns:
            a callable that ends the listening; calling it twice is harmless.
        """
        entry = (frozenset(topics), callback)
        self._listeners.append(entry)

        def stop() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        return stop

    def ring(self, topic: str, ids: Iterable[int | str]) -> None:
        """Tell all who listen. A listener that raises is logged and does not keep the others from hearing."""
        heard = tuple(ids)
        if not heard:
            return
        for topics, callback in tuple(self._listeners):
            if not topics or topic in topics:
                try:
                    callback(topic, heard)
                except Exception:
                    self.log.failure("a listener to {topic} failed", topic=topic)
