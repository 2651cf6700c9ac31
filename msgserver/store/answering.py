"""A message is recorded and what the hub answers to it by itself is written, in one transaction: all of it or nothing.

STOP keeps an address from everything, whoever would send it, and is confirmed once; from then on nothing goes there
until START. HELP is answered to those who have not said STOP. A rule's reply goes to one sender once a day. Robots,
and senders that cannot be answered (a word instead of a number), get no answer at all. SUBSCRIBE and the like:
``store.self_service``.
"""

from __future__ import annotations

import uuid

import msgspec
from sqlalchemy import Connection, delete, select

from msgserver.formats.asking import Asked
from msgserver.formats.placeholders import fill
from msgserver.formats.reserved import Choice, answer
from msgserver.records import HUB, Draft, Plan, Recorded
from msgserver.store import audit, people, self_service
from msgserver.store.committing import place
from msgserver.store.edits import Refused
from msgserver.store.recording import record
from msgserver.store.schema import answered, suppression
from msgserver.store.upsert import inserting
from msgserver.store.writing import write_draft

OPT_OUT = "opt-out"  # the cause of the one answer to STOP, which goes out in spite of it
HELP = "help"
DAY = 86400.0
HELP_AGAIN = 360.0  # seconds: at most ten answers an hour to one address


class Wish(msgspec.Struct, frozen=True):
    """What a message asks of the hub, and what it takes to answer.

    ``lanes``: scheme to connector, as this process has them.
    """

    hub: str
    lanes: dict[str, str]
    choice: Choice = Choice.NONE
    language: str = ""
    contact: str = ""
    asked: Asked | None = None  # about topics, in a word of its own
    open_topics: tuple[str, ...] = ()  # types that anybody may subscribe to
    believed: bool = False  # its sender's address is known to be his
    silent: bool = False  # its sender had many answers of late: what is asked is done, and not answered


@place("C2")
def record_and_answer(tx: Connection, plan: Plan, wish: Wish, now: float) -> Recorded:
    """Record a message and the answers to it; nothing at all where it is stale."""
    (recorded,) = record(tx, [plan])
    if recorded.stale:
        return recorded
    if plan.sender is None or plan.robot:
        return recorded
    if wish.choice is Choice.HELP:
        _help(tx, plan, recorded, wish, now)
    elif wish.choice:
        _obey(tx, plan, recorded, wish, now)
    elif wish.asked is not None:
        _serve(tx, plan, recorded, wish, wish.asked, now)
    for rule_id, words in plan.replies if not plan.spam else ():
        values = {"name": plan.sender_name, "ticket": f"#{recorded.ticket_id}", "hub": wish.hub}
        if _first(tx, str(plan.sender), f"rule/{rule_id}", now, DAY):
            _say(tx, plan, recorded, wish, fill(words, values), f"rule/{rule_id}", now)
    return recorded


def obey(tx: Connection, plan: Plan, choice: Choice, now: float) -> bool:
    """Write down a STOP or START. True where it changes something."""
    address = str(plan.sender)
    if choice is Choice.STOP:
        changed = people.suppress(tx, address, f"said {plan.body.strip()[:40]!r}", now)
    else:
        changed = people.unsuppress(tx, address, now)
    if changed:
        act = "stop address" if choice is Choice.STOP else "allow address"
        audit.note(tx, HUB, act, f"address/{address}", {"by": "their own words"}, now)
    return changed


def _obey(tx: Connection, plan: Plan, recorded: Recorded, wish: Wish, now: float) -> None:
    changed = obey(tx, plan, wish.choice, now)
    # Who says START without having said STOP may just have signed up on paper: told once a day that all is well.
    begins = wish.choice is Choice.START and _first(tx, str(plan.sender), "start", now, DAY)
    if changed or begins:
        _say(tx, plan, recorded, wish, answer(wish.choice, _language(tx, plan, wish), wish.hub), OPT_OUT, now)


def _serve(tx: Connection, plan: Plan, recorded: Recorded, wish: Wish, asked: Asked, now: float) -> None:
    if not _answerable(plan):
        return
    uid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"msgserver:{plan.uid}:person"))
    try:
        said = self_service.obey(tx, plan, asked, uid, wish.hub, wish.open_topics, wish.believed, now)
    except Refused:  # not to be had: the message is there for a person all the same
        return
    if said is not None and (not said.hint or _first(tx, str(plan.sender), said.cause, now, DAY)):
        _say(tx, plan, recorded, wish, said.words, said.cause, now)


def _help(tx: Connection, plan: Plan, recorded: Recorded, wish: Wish, now: float) -> None:
    address = str(plan.sender)
    if tx.scalar(select(suppression.c.address).where(suppression.c.address == address)) is not None:
        return  # after STOP nothing is sent, not even this
    if _first(tx, address, HELP, now, HELP_AGAIN):
        words = answer(Choice.HELP, _language(tx, plan, wish), wish.hub, wish.contact)
        _say(tx, plan, recorded, wish, words, HELP, now)


def _language(tx: Connection, plan: Plan, wish: Wish) -> str:
    """The language they are known to speak, else that of their word."""
    assert plan.sender is not None
    known = people.who(tx, [plan.sender]).get(str(plan.sender))
    return known.language if known is not None and known.language else wish.language


def _first(tx: Connection, address: str, kind: str, now: float, again: float) -> bool:
    """Whether an address had no answer of a kind for ``again`` seconds; from now on it had."""
    row = inserting(tx, answered).values(address=address, kind=kind, at=now)
    row = row.on_conflict_do_update(
        index_elements=[answered.c.address, answered.c.kind],
        set_={"at": now},
        where=answered.c.at <= now - again,
    )
    done: int = tx.execute(row).rowcount
    return done > 0


def forget_old(tx: Connection, now: float) -> int:
    """Forget answers that keep no further one back; returns how many."""
    return tx.execute(delete(answered).where(answered.c.at < now - DAY)).rowcount


def _say(tx: Connection, plan: Plan, recorded: Recorded, wish: Wish, words: str, cause: str, now: float) -> None:
    """An automatic answer (RFC 3834), by the way the message came."""
    if plan.sender is None or wish.silent or not words.strip() or not _answerable(plan):
        return
    draft = Draft(
        uid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"msgserver:{plan.uid}:{cause}")),
        to=(plan.sender,),
        ticket_id=recorded.ticket_id,
        answers=recorded.message_id,
        text=words,
        connector=plan.connector,
        cause=cause,
        automatic=True,
    )
    write_draft(tx, HUB, draft, wish.lanes, now)


def _answerable(plan: Plan) -> bool:
    """A text from "BANK" comes from nowhere that an answer could go to (3GPP TS 23.040 section 9.1.2.5)."""
    sender = plan.sender
    return sender is not None and not (sender.scheme == "sms" and any(map(str.isalpha, sender.value)))
