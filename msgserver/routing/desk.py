"""The acts of our own people, whichever way they reach us: asked whether they may, written, and made known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger

from msgserver.message import Address
from msgserver.records import HUB, Draft, Recorded, Viewer
from msgserver.routing.bus import Bus
from msgserver.routing.commands import Choice, confirmation
from msgserver.routing.loopguard import Notices
from msgserver.routing.may import Act, require
from msgserver.routing.plan import Planned
from msgserver.store import people
from msgserver.store.door import Store
from msgserver.store.writing import write_draft

OPT_OUT = "opt-out"  # the cause of the one answer to STOP, which goes out in spite of it


class Desk:
    """One door for people's words; the way in for the world is the router.

    ``lanes`` says which connector sends to which address scheme where the question's own way cannot be taken.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        bus: Bus,
        lanes: Mapping[str, str],
        hub_name: str,
        new_uid: Callable[[], str],
        reactor: Any,
    ) -> None:
        self._store = store
        self._bus = bus
        self._lanes = lanes
        self._hub_name = hub_name
        self._new_uid = new_uid
        self._reactor = reactor
        self._notices = Notices()

    async def write(self, actor: Viewer, draft: Draft) -> Recorded:
        """Send an answer (a draft with a ticket) or a new message.

        Raises:
            Forbidden: the actor may not.
            Stale: the ticket has moved on since the draft's ``expected_version``.
            Refused: in words: nobody to send to, a ticket that is not there, ...
            StoreError: it was not written.
        """
        require(actor, Act.REPLY if draft.ticket_id is not None else Act.WRITE)
        return await self._write(actor, draft)

    async def _write(self, actor: Viewer, draft: Draft) -> Recorded:
        lanes = dict(self._lanes)
        recorded = await self._store.write(write_draft, actor, draft, lanes, self._reactor.seconds())
        self._bus.ring("message", (recorded.message_id,))
        self._bus.ring("ticket", (recorded.ticket_id,))
        self._bus.ring("delivery", ("*",))
        return recorded

    # --- what the hub itself writes ----------

    async def obey(self, planned: Planned) -> None:
        """Write down that somebody said STOP or START."""
        sender = planned.plan.sender
        if sender is None:
            return
        now = self._reactor.seconds()
        if planned.choice is Choice.STOP:
            why = f"said {planned.plan.body.strip()[:40]!r}"
            await self._store.write(people.suppress, str(sender), why, now)
        elif planned.choice is Choice.START:
            await self._store.write(people.unsuppress, str(sender), now)

    async def confirm(self, planned: Planned, recorded: Recorded) -> None:
        """Answer a STOP or START once, by the way it came."""
        sender = planned.plan.sender
        if sender is None or not self._notices.allow(str(sender), self._reactor.seconds()):
            return
        text = confirmation(planned.choice, self._hub_name)
        await self._write(HUB, self.notice(sender, planned.plan.connector, text, recorded, OPT_OUT))

    def notice(self, to: Address, connector: str, text: str, recorded: Recorded, cause: str) -> Draft:
        """An automatic answer to a message (RFC 3834)."""
        return Draft(
            uid=self._new_uid(),
            to=(to,),
            ticket_id=recorded.ticket_id,
            answers=recorded.message_id,
            text=text,
            connector=connector,
            cause=cause,
            automatic=True,
        )
