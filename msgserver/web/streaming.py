"""An answer too long to hold: written piece by piece as fast as the far side reads, whoever else is waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

Piece = Callable[[str], Awaitable[tuple[bytes, str]]]


@implementer(IPushProducer)
class Pouring:
    """One such answer; ``piece(place)`` gives some bytes and the next place, "" after the last."""

    log = Logger()

    def __init__(self, request: Any, piece: Piece) -> None:
        self._request = request
        self._piece = piece
        self._waiting: Deferred[None] | None = None
        self._full = self._gone = False
        request.notifyFinish().addErrback(lambda _: self.stopProducing())
        request.registerProducer(self, True)
        Deferred.fromCoroutine(self._pour()).addErrback(self._broken)

    async def _pour(self) -> None:
        place = ""
        while True:
            bytes_, place = await self._piece(place)
            if self._gone:
                return
            self._request.write(bytes_)
            if not place:
                self._request.unregisterProducer()
                self._request.finish()
                return
            if self._full:
                self._waiting = Deferred()
                await self._waiting

    def _broken(self, failure: Any) -> None:
        self.log.failure("an answer broke off", failure)
        if not self._gone:
            self._request.channel.loseConnection()  # without its last chunk: the far side sees that it is not whole

    def pauseProducing(self) -> None:
        """The far side does not read."""
        self._full = True

    def resumeProducing(self) -> None:
        """It reads again."""
        self._full = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """It is gone."""
        self._gone = True
        self.resumeProducing()
