"""The acts of our own people, whichever way they reach us: asked whether they may, written, and made known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from msgserver.records import Draft, Recorded, Viewer
from msgserver.routing.bus import Bus
from msgserver.routing.loopguard import Notices
from msgserver.routing.may import Act, narrowed, require
from msgserver.routing.plan import Planned
from msgserver.routing.replies import believed
from msgserver.store import consent
from msgserver.store.answering import Wish
from msgserver.store.door import Store
from msgserver.store.writing import write_draft


class Desk:
    """One door for people's words; the way in for the world is the router.

    ``lanes`` says which connector sends to which address scheme where the question's own way cannot be taken;
    ``contact`` is told to whoever asks for HELP. ``open_topics``: types that anybody may subscribe to by a message.
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
        contact: str = "",
        open_topics: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._bus = bus
        self._lanes = lanes
        self._hub_name = hub_name
        self._new_uid = new_uid
        self._reactor = reactor
        self._contact = contact
        self._open_topics = tuple(open_topics)
        self._notices = Notices()

    async def write(self, actor: Viewer, draft: Draft) -> Recorded:
        """Send an answer (a draft with a ticket) or a new message.

        Raises:
            Forbidden: the actor may not.
            Stale: the ticket has moved on since the draft's ``expected_version``.
            Refused: in words: nobody to send to, a ticket that is not there, ...
            StoreError: it was not written.
        """
        act = Act.REPLY if draft.ticket_id is not None else Act.WRITE
        require(actor, act)
        return await self._write(narrowed(actor, act), draft)

    async def _write(self, actor: Viewer, draft: Draft) -> Recorded:
        lanes = dict(self._lanes)
        recorded = await self._store.write(write_draft, actor, draft, lanes, self._reactor.seconds())
        self._bus.ring("message", (recorded.message_id,))
        self._bus.ring("ticket", (recorded.ticket_id,))
        self._bus.ring("delivery", ("*",))
        return recorded

    async def ask_consent(self, actor: Viewer, subscription_id: int) -> bool:
        """Ask a person whom somebody else subscribed whether they want it; False: they are not to be asked (today)."""
        lanes, now, uid = dict(self._lanes), self._reactor.seconds(), self._new_uid()
        asked = await self._store.write(consent.ask, actor, subscription_id, uid, self._hub_name, lanes, now)
        if asked:
            self._bus.ring("delivery", ("*",))
        return asked

    def wish(self, planned: Planned) -> Wish | None:
        """What the hub itself has to answer to a message, by whichever lanes there are; None: nothing."""
        if not (planned.choice or planned.plan.replies or planned.asked):
            return None
        silent = not self._notices.allow(str(planned.plan.sender), self._reactor.seconds())
        return Wish(
            self._hub_name,
            dict(self._lanes),
            planned.choice,
            planned.language,
            self._contact,
            planned.asked,
            self._open_topics,
            believed(planned.plan),
            silent,
        )
