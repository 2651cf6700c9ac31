"""What people answer to what the hub sent them of its own: to a copy of somebody's message, and to a question.

Somebody who replies to a *copy* and may answer, over an address that is known to be theirs, answers the one who asked;
a mail takes a proof that it is from there. From anybody else it is a message on the same ticket, which is copied to
nobody. YES agrees to subscriptions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from msgserver.records import Draft, Plan, Viewer
from msgserver.routing.may import Act, may, narrowed
from msgserver.routing.plan import Planned
from msgserver.store import consent, replies
from msgserver.store.door import Store

_YES = frozenset(
    {
        *("yes", "y", "ja", "oui", "si", "sí", "sim", "tak", "evet", "ano", "da", "да", "так", "ναι", "bai", "ndiyo"),
        *("نعم", "بله", "بلی", "हाँ", "ہاں", "হ্যাঁ", "是", "はい", "네", "có", "ya", "opo", "oo"),
    }
)


def agrees(text: str) -> bool:
    """Whether a text says yes and nothing else."""
    return len(text) <= 40 and text.strip(" \t\r\n.!,;:*'\"“”").casefold() in _YES


def believed(plan: Plan) -> bool:
    """Whether its sender's address is known to be his.

    Anybody can write any address into a mail: it takes the verdict on it, or the secret that only the sender's own
    mailbox was sent (the ticket's is known to all who take part), and which helps no mail that is doubted.
    """
    if plan.sender is None:
        return False
    return plan.sender.scheme != "mailto" or bool(plan.trust) or (plan.hints.own_token and not plan.doubt)


class Answer(msgspec.Struct, frozen=True):
    """A colleague's words for the one who asked."""

    actor: Viewer
    draft: Draft


class Replies:
    """Looks at each plan before it is written."""

    def __init__(self, store: Store, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor

    async def look(self, planned: Planned) -> tuple[Planned, Answer | None]:
        """The plan as it is to be written; or the answer that it is instead."""
        plan = planned.plan
        if plan.sender is None:
            return planned, None
        if agrees(planned.fresh) and not plan.robot and believed(plan):
            await self._store.write(consent.agreed, str(plan.sender), self._reactor.seconds())
        hints = plan.hints
        if hints.token is None and not hints.references and hints.subject_tag is None:
            return planned, None
        found = await self._store.read(replies.copy_answered, plan)
        if found is None:
            return planned, None
        answer = self._answer(planned, found)
        if answer is not None:
            return planned, answer
        why = "copied to nobody: it answers a copy of somebody's message"
        told = msgspec.structs.replace(plan, forward=False, trouble=(*plan.trouble, why))
        return msgspec.structs.replace(planned, plan=told), None

    def _answer(self, planned: Planned, found: replies.CopyAnswered) -> Answer | None:
        plan, viewer = planned.plan, found.viewer
        if viewer is None or not found.verified or plan.robot or plan.spam or plan.sender is None:
            return None
        text = _without_number(planned.fresh).strip()
        if not may(viewer, Act.REPLY) or not believed(plan):
            return None
        if not text and not plan.attachments:
            return None
        draft = Draft(
            uid=plan.uid,
            ticket_id=found.ticket_id,
            answers=found.message_id,
            text=text,
            attachments=plan.attachments,
        )
        return Answer(narrowed(viewer, Act.REPLY), draft)


def _without_number(text: str) -> str:
    """A text without the "#42" by which it named its ticket."""
    head, _, rest = text.lstrip().partition(" ")
    return rest if head[:1] == "#" and head[1:].rstrip(".,:;").replace(".", "").isdecimal() else text
