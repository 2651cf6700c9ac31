"""Of several processes one runs a connector whose account or device can be in use once only; the others stand by.

Whoever has a connector's lock in the store (``Store.own``) starts it. Where its process ends, another that names the
connector in its configuration takes over within ``EVERY`` seconds. While the database does not answer a connector goes
on as it was: nothing can be accepted or claimed then; it is stopped when somebody else turns out to have it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from msgserver.connector import IConnector
from msgserver.store.door import Store, StoreError

EVERY = 5.0  # seconds between looks


class Ownership:
    """See the module.

    Args:
        connectors: all that this process may run, by name.
        start: starts one that is ours now.
        stop: stops one that is somebody else's now.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        connectors: Mapping[str, IConnector],
        start: Callable[[IConnector], None],
        stop: Callable[[IConnector], Awaitable[None]],
        reactor: Any,
    ) -> None:
        self._store = store
        self._connectors = connectors
        self._start = start
        self._stop = stop
        self._ours: set[str] = set()
        self._shared: frozenset[str] = frozenset()
        self._looking = LoopingCall(self._look_on)
        self._looking.clock = reactor

    def owns(self, name: str) -> bool:
        """Whether this process runs a connector."""
        return name in self._ours

    async def begin(self) -> None:
        """Find out what is ours; nothing is started yet."""
        names = frozenset(self._connectors)
        single = frozenset(name for name, one in self._connectors.items() if one.limits.one_process)
        self._shared = names - single
        self._ours = {*self._shared, *await self._store.own(single)}
        for name in sorted(names - self._ours):
            self.log.info("connector {name} is run by another process: standing by", name=name)

    def start(self) -> None:
        """Start what is ours, and go on looking where something may become ours, or somebody else's."""
        for name in self._connectors:
            if name in self._ours:
                self._start(self._connectors[name])
        if self._store.dialect != "sqlite" and len(self._shared) < len(self._connectors):
            self._looking.start(EVERY, now=False).addErrback(
                lambda failure: self.log.failure("who runs which connector is not looked at any more", failure)
            )

    def stop(self) -> None:
        """Look no more; what is held goes with the store."""
        if self._looking.running:
            self._looking.stop()

    def _look_on(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        single = frozenset(self._connectors) - self._shared
        try:
            held = await self._store.own(single)
        except StoreError as error:
            self.log.warn("who runs which connector cannot be seen: {why}", why=str(error))
            return
        for name in sorted(single):
            connector = self._connectors[name]
            if name in held and name not in self._ours:
                self.log.info("connector {name} is run here now", name=name)
                self._ours.add(name)
                self._start(connector)
            elif name in self._ours and name not in held:
                self.log.warn("connector {name} is run by another process now: it is stopped here", name=name)
                self._ours.discard(name)
                await self._stop(connector)
