"""What was given to a far side that asks for it, and is given again until it speaks of it."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from msgserver.connector import IHub, SendFailure, TemporaryFailure, Unknown
from msgserver.message import Envelope, Receipt


class Handing:
    """The envelopes on their way to one far side that knows a repeated ``ref``.

    Args:
        most: how many may be on their way at once.
    """

    log = Logger()

    def __init__(self, name: str, hub: IHub, most: int, reactor: Any) -> None:
        self._name = name
        self._hub = hub
        self._reactor = reactor
        self._most = most
        self._out: dict[str, Envelope] = {}

    async def give(self) -> list[Envelope]:
        """What was given and not spoken of, and what is new; the house being busy means nothing new."""
        try:
            await self._drop_late()
            room = self._most - len(self._out)
            if room > 0:
                for envelope in await self._hub.take(room):
                    self._out[envelope.ref] = envelope
        except TemporaryFailure as failure:
            self.log.warn("{name}: nothing new is handed out: {why}", name=self._name, why=str(failure))
        return list(self._out.values())

    async def _drop_late(self) -> None:
        """Give no more what has lost its point; whether the far side has it is not known."""
        now = self._reactor.seconds()
        for envelope in list(self._out.values()):
            if envelope.expires_at is not None and envelope.expires_at <= now:
                await self.spoken_of(envelope.ref, Unknown("its time was over before the phone spoke of it"))

    async def spoken_of(self, ref: str, outcome: Receipt | SendFailure) -> None:
        """The far side has it, or refuses it: it is settled, and not given again. Others' refs are ignored.

        Raises:
            TemporaryFailure: it cannot be written down now; the far side should say it again.
        """
        envelope = self._out.get(ref)
        if envelope is not None:
            await self._hub.settle(envelope, outcome)
            self._out.pop(ref, None)

    def forget(self) -> None:
        """Stopped: what is not settled is unknown to the house, and given again later by the same name."""
        self._out.clear()
