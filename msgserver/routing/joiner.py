"""Brings the parts of longer messages together: what each part does is decided in ``joining``, and done here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from twisted.logger import Logger

from msgserver.routing import joining
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens
from msgserver.routing.journalling import Journalled, journalled
from msgserver.routing.plan import make_plan, read_text
from msgserver.routing.snapshot import Snapshots
from msgserver.store import parts
from msgserver.store.door import Store, StoreError
from msgserver.store.joined import Whole, complete_late


class Joined(msgspec.Struct, frozen=True):
    """A message out of its parts, under the one that came last."""

    item: Journalled
    whole: Whole
    missing: tuple[str, ...] = ()  # what is said about parts that did not come


class Joiner:
    """See the module. ``show`` records a message that lacks some of its parts."""

    log = Logger()

    def __init__(
        self,
        store: Store,
        bus: Bus,
        signer: Tokens,
        rules: Snapshots,
        show: Callable[[Joined], Awaitable[None]],
        reactor: Any,
    ) -> None:
        self._store = store
        self._bus = bus
        self._signer = signer
        self._rules = rules
        self._show = show
        self._reactor = reactor

    async def join(self, item: Journalled) -> Joined | None:
        """A whole message out of its parts; None where this part has its outcome: it waits, came late, or is known."""
        now = self._reactor.seconds()
        part = item.arrival.part
        assert part is not None
        if await self._store.read(parts.belongs, item.raw_id):
            return None
        sender = str(item.arrival.sender) if item.arrival.sender is not None else ""
        group = parts.group_of(item.connector, sender, part)
        found = await self._store.read(parts.find, group, now - joining.LATE)
        others_there = [piece for piece in found if piece.raw.id != item.raw_id]
        together = [piece for piece in others_there if joining.near(item, piece)]
        if earlier := [piece for piece in others_there if piece.message_id is None and piece not in together]:
            await self._give_up(group, earlier)
        does = joining.decide(item, together)
        if isinstance(does, joining.Whole):
            texts = joining.texts(does.others) | {part.index: item.arrival.text or ""}
            others = tuple(piece.raw.id for piece in does.others)
            return Joined(joining.joined(item, texts, part.total), Whole(group, part.index, others))
        if isinstance(does, joining.Late):
            await self._complete(item, group, does)
            return None
        if isinstance(does, joining.Wait) and does.give_up:
            await self._give_up(group, does.give_up)
        belongs = does.message_id if isinstance(does, joining.Known) else None
        await self._store.write(parts.keep, item.raw_id, group, part.index, belongs, now)
        return None

    async def _complete(self, item: Journalled, group: parts.Group, late: joining.Late) -> None:
        """Put a late part into the message that was shown without it."""
        part = item.arrival.part
        assert part is not None
        rules = await self._rules.current()
        found = joining.texts(late.others)
        plans = []
        for texts in (found, found | {part.index: item.arrival.text or ""}):
            read = read_text(joining.joined(item, texts, part.total), self._signer)
            plans.append(joining.without(make_plan(read, rules, "").plan, joining.missing(texts, part.total)))
        ticket_id = await self._store.write(
            complete_late,
            item.raw_id,
            group,
            part.index,
            late.message_id,
            plans,
            self._reactor.seconds(),
        )
        if ticket_id is not None:
            self._bus.ring("message", (late.message_id,))
            self._bus.ring("ticket", (ticket_id,))
            self._bus.ring("delivery", ("*",))

    async def show_overdue(self) -> None:
        """Show what has waited long for parts that did not come, with a word in the place of each."""
        now = self._reactor.seconds()
        for group in await self._store.read(parts.overdue, now - joining.PATIENCE):
            found = await self._store.read(parts.find, group, now)
            try:
                await self._give_up(group, [piece for piece in found if piece.message_id is None])
            except StoreError:
                raise
            except Exception:
                self.log.failure("parts of {sender} cannot be shown", sender=group.sender)

    async def _give_up(self, group: parts.Group, pieces: Sequence[parts.Piece]) -> None:
        newest, texts = max(pieces, key=lambda piece: piece.raw.id), joining.texts(pieces)
        item = joining.joined(journalled(newest.raw, b""), texts, group.total)
        others = tuple(piece.raw.id for piece in pieces if piece is not newest)
        await self._show(Joined(item, Whole(group, newest.place, others), joining.missing(texts, group.total)))
