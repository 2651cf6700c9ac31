"""Turns what was read into what shall be written: one Plan an arrival. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from msgserver.formats.reading import Reading, Trust
from msgserver.formats.search import index_tokens
from msgserver.formats.tokens import terms, tokens
from msgserver.message import Address, Arrival
from msgserver.records import Hints, Plan
from msgserver.routing.commands import Choice, choice
from msgserver.routing.conversation import Tokens, mail_hints, text_hints
from msgserver.routing.journalling import Journalled
from msgserver.routing.loopguard import Verdict, judge
from msgserver.routing.parser import Compiled, Decision, Words, parse


class Planned(msgspec.Struct, frozen=True):
    """A plan, and what its sender asked for about hearing from us (the plan of such a message has no tags)."""

    plan: Plan
    choice: Choice = Choice.NONE


def plan_text(item: Journalled, rules: Compiled, signer: Tokens, uid: str) -> Planned:
    """Plan a text message, chat or whatever else comes with its text."""
    arrival = item.arrival
    text = arrival.text or ""
    reading = Reading(
        subject=arrival.subject,
        text=text,
        sender=arrival.sender,
        sender_name=arrival.sender_name,
        date=arrival.sent_at,
        attachments=arrival.attachments,
        message_id=arrival.wire_id,
        in_reply_to=arrival.in_reply_to,
    )
    verdict = Verdict(arrival.facts.get("robot", ""))
    return _planned(item, reading, arrival.sender, verdict, text_hints(signer, arrival), rules, uid)


def plan_mail(
    item: Journalled, reading: Reading, rules: Compiled, signer: Tokens, marks: frozenset[str], uid: str
) -> Planned:
    """Plan a mail that a worker has read. Its sender is From:, or the envelope's where that cannot be read.

    ``marks``: by which the loop guard knows our own mail.
    """
    arrival = item.arrival
    sender = reading.sender or arrival.sender
    verdict = judge(reading, marks)
    if not verdict.robot and arrival.sender is None and "helo" in arrival.facts:
        # MAIL FROM:<>: whoever wrote it wants no answer (RFC 3834 section 2, RFC 5321 section 4.5.5).
        verdict = Verdict("null reverse-path", verdict.forward, verdict.why)
    hints = mail_hints(signer, arrival.recipients, reading.in_reply_to, reading.references, reading.subject)
    if reading.trust is not None and reading.trust.doubt:
        # Whoever writes in another's name does not get into their conversations by a number that he guessed.
        hints = msgspec.structs.replace(hints, subject_tag=None)
    return _planned(item, reading, sender, verdict, hints, rules, uid)


def _planned(
    item: Journalled,
    reading: Reading,
    sender: Address | None,
    verdict: Verdict,
    hints: Hints,
    rules: Compiled,
    uid: str,
) -> Planned:
    arrival = item.arrival
    trust = reading.trust or Trust(believed=believed(arrival))
    # STOP in somebody's forged name goes to a person, who can ask.
    chosen = Choice.NONE if verdict.robot or sender is None or trust.doubt else choice(reading.fresh)
    words = reading.terms or terms(reading)
    decision = Decision()
    if chosen is Choice.NONE:
        decision = parse(
            Words(
                words.subject,
                words.fresh,
                sender,
                item.connector,
                trust=trust.believed,
                doubt=trust.doubt,
                robot=verdict.robot,
            ),
            rules,
        )
    trouble = reading.trouble if verdict.forward else (*reading.trouble, f"copied to nobody: {verdict.why}")
    plan = Plan(
        raw_id=item.raw_id,
        uid=uid,
        connector=item.connector,
        received_at=item.received_at,
        sender=sender,
        sender_name=reading.sender_name or arrival.sender_name,
        recipients=arrival.recipients or tuple(address for _, address in (*reading.to, *reading.cc)),
        subject=reading.subject,
        body=reading.text,
        html=reading.html,
        sent_at=reading.date if reading.date is not None else arrival.sent_at,
        wire_message_id=reading.message_id,
        in_reply_to=reading.in_reply_to,
        hints=hints,
        attachments=reading.attachments,
        tags=decision.tags,
        routes=decision.routes,
        priority=decision.priority,
        actionable=decision.actionable,
        spam=decision.spam,
        verified_by=decision.verified,
        robot=verdict.robot,
        forward=verdict.forward and chosen is Choice.NONE,
        trust=trust.believed,
        doubt=trust.doubt,
        checks=trust.checks,
        trouble=trouble,
        search=_searched(sender, reading.sender_name, arrival.recipients, words.subject, words.body),
        rules_version=rules.version,
    )
    return Planned(plan, chosen)


def believed(arrival: Arrival) -> str:
    """Why the sender's address is believed, or "" where anybody could have written it."""
    if user := arrival.facts.get("auth"):
        return f"logged in as {user}"
    return arrival.facts.get("trust", "")


def _searched(
    sender: Address | None, name: str, recipients: Sequence[Address], subject: Sequence[str], body: Sequence[str]
) -> tuple[str, ...]:
    address = tokens(sender.value) if sender is not None else ()
    to = tokens(" ".join(one.value for one in recipients[:100]))
    return index_tokens((*tokens(name), *address), to, subject, body)
