"""Texts that are given at once travel in one request, where the gateway takes several.

Some gateways refuse the whole request for one number in it. So where all are refused for good, each is asked again by
itself; nothing of a refused request was taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from msgserver.connector import NotConnected, PermanentFailure, SendFailure, Unknown
from msgserver.message import Envelope, Receipt
from msgserver.protocols.http.account import Account
from msgserver.protocols.http.profile import Profile
from msgserver.wire.agent import Answer, Request

_Waiting = tuple[Envelope, Deferred[Receipt]]


class Batches:
    """Gathers what is given in one turn of the reactor; nothing is held back for longer."""

    def __init__(
        self, account: Account, profile: Profile, ask: Callable[[Request], Awaitable[Answer]], reactor: Any
    ) -> None:
        self._account = account
        self._profile = profile
        self._ask = ask
        self._reactor = reactor
        self._gathered: dict[Hashable, list[_Waiting]] = {}
        self._turn: IDelayedCall | None = None

    async def give(self, envelope: Envelope) -> Receipt:
        """Send it, perhaps with others.

        Raises:
            SendFailure: see the seam.
        """
        ended: Deferred[Receipt] = Deferred()
        alike = self._profile.together(self._account, envelope) if self._profile.together else None
        again = 0  # the same number twice is two requests: answers are told apart by their numbers
        while any(other.to == envelope.to for other, _ in self._gathered.get((alike, again), ())):
            again += 1
        self._gathered.setdefault((alike, again), []).append((envelope, ended))
        if self._turn is None or not self._turn.active():
            self._turn = self._reactor.callLater(0, self._go)
        return await ended

    def _go(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for waiting in gathered.values():
            wanted = [each for each in waiting if not each[1].called]  # the others were called off
            for first in range(0, len(wanted), self._profile.BATCH):
                Deferred.fromCoroutine(self._send(wanted[first : first + self._profile.BATCH]))

    async def _send(self, together: list[_Waiting]) -> None:
        envelopes = [envelope for envelope, _ in together]
        try:
            assert self._profile.batch_request is not None
            assert self._profile.batch_outcomes is not None
            answer = await self._ask(self._profile.batch_request(self._account, envelopes))
            outcomes: list[Receipt | BaseException] = self._profile.batch_outcomes(self._account, envelopes, answer)
        except SendFailure as failure:
            outcomes = [failure] * len(together)
        except Exception as mistake:
            # Whether it happened before or after the gateway had them is not known here.
            outcomes = [Unknown(f"a mistake in the profile: {mistake!r}") for _ in together]
        if len(together) > 1 and all(isinstance(outcome, PermanentFailure) for outcome in outcomes):
            for each in together:
                if not each[1].called:
                    await self._send([each])
            return
        for (_, ended), outcome in zip(together, outcomes, strict=True):
            if ended.called:
                continue
            if isinstance(outcome, Receipt):
                ended.callback(outcome)
            else:
                ended.errback(outcome)

    def let_go(self) -> None:
        """Send nothing that is not under way."""
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        gathered, self._gathered = self._gathered, {}
        for waiting in gathered.values():
            for _, ended in waiting:
                if not ended.called:
                    ended.errback(NotConnected("stopped before it was sent"))
