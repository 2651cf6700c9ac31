"""Turns what was read into what shall be written: one Plan an arrival. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from msgserver.formats.asking import Asked, asked
from msgserver.formats.reading import Reading, Terms, Trust
from msgserver.formats.reserved import NOTHING, Choice, Heard, listen
from msgserver.formats.search import KEYWORD, index_joined
from msgserver.formats.tokens import joined, terms
from msgserver.message import Address, Arrival
from msgserver.records import Hints, Plan, PlannedTag
from msgserver.routing.conversation import Tokens, leaving_in, mail_hints, text_hints
from msgserver.routing.journalling import Journalled
from msgserver.routing.loopguard import Verdict, judge
from msgserver.routing.parser import Compiled, Decision, Suggestion, Words, parse


class Planned(msgspec.Struct, frozen=True):
    """A plan, and what its sender asked for about hearing from us, in which language's word.

    No rule sees a STOP or START, nor SUBSCRIBE and the like.
    """

    plan: Plan
    choice: Choice = Choice.NONE
    language: str = ""
    asked: Asked | None = None  # about topics: SUBSCRIBE x
    fresh: str = ""  # what is new in it: the text without the mail it answers


FLAGGED = PlannedTag(
    KEYWORD,
    "opt-out?",
    why="it begins like STOP but says more: do they want no more messages?",
    confidence=0.5,
)


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """An arrival that was read, with what can be said of it before the parser is asked."""

    item: Journalled
    reading: Reading
    sender: Address | None
    verdict: Verdict
    trust: Trust
    hints: Hints
    heard: Heard
    asked: Asked | None
    words: Words  # as rules and plug-in parsers see it
    terms: Terms
    leaving: tuple[int, int] | None = None  # the subscription it ends, by the signed address it came to

    @property
    def parsed(self) -> bool:
        """Whether rules and plug-ins are to see it: what the hub itself is asked for they do not."""
        return self.heard.choice not in (Choice.STOP, Choice.START) and self.asked is None


def read_text(item: Journalled, signer: Tokens) -> Read:
    """Take up a text message, chat or whatever else comes with its text."""
    arrival = item.arrival
    reading = Reading(
        subject=arrival.subject,
        text=arrival.text or "",
        sender=arrival.sender,
        sender_name=arrival.sender_name,
        date=arrival.sent_at,
        attachments=arrival.attachments,
        message_id=arrival.wire_id,
        in_reply_to=arrival.in_reply_to,
    )
    verdict = Verdict(arrival.facts.get("robot", ""))
    return _read(item, reading, arrival.sender, verdict, text_hints(signer, arrival))


def read_mail(item: Journalled, reading: Reading, signer: Tokens, marks: frozenset[str]) -> Read:
    """Take up a mail that a worker has read. Its sender is From:, or the envelope's where that cannot be read.

    ``marks``: by which the loop guard knows our own mail.
    """
    arrival = item.arrival
    sender = reading.sender or arrival.sender
    verdict = judge(reading, marks)
    if not verdict.robot and arrival.sender is None and "helo" in arrival.facts:
        # MAIL FROM:<>: whoever wrote it wants no answer (RFC 3834 section 2, RFC 5321 section 4.5.5).
        verdict = Verdict("null reverse-path", verdict.forward, verdict.why)
    hints = mail_hints(signer, arrival.recipients, reading.in_reply_to, reading.references, reading.subject, sender)
    if reading.trust is not None and reading.trust.doubt and not reading.trust.believed:
        # Whoever writes in another's name does not get into their conversations by a number that he guessed.
        hints = msgspec.structs.replace(hints, subject_tag=None)
    return _read(item, reading, sender, verdict, hints, leaving_in(signer, arrival.recipients))


def _read(
    item: Journalled,
    reading: Reading,
    sender: Address | None,
    verdict: Verdict,
    hints: Hints,
    leaving: tuple[int, int] | None = None,
) -> Read:
    heard, wanted, trust = NOTHING, None, reading.trust or Trust(believed=believed(item.arrival))
    # One subscription less is not STOP to everything.
    if not (
        verdict.robot or sender is None or (trust.doubt and not trust.believed) or leaving
    ):  # STOP in a forged name goes to a person, who can ask
        # A mail may say it in its subject alone, as List-Unsubscribe's do (RFC 2369 section 3.2).
        said = reading.fresh if reading.fresh.strip() else reading.subject
        heard = listen(said)
        wanted = asked(said) if heard.choice is Choice.NONE else None
    found = reading.terms or terms(reading)
    words = Words(
        found.subject,
        found.fresh,
        sender,
        item.connector,
        f"{reading.subject}\n{reading.fresh}" if reading.subject else reading.fresh,
        item.received_at,
        trust.believed,
        verdict.robot,
        trust.doubt,
    )
    return Read(
        item=item, reading=reading, sender=sender, verdict=verdict, trust=trust, hints=hints, heard=heard,
        asked=wanted, words=words, terms=found, leaving=leaving,
    )  # fmt: skip


def make_plan(
    read: Read, rules: Compiled, uid: str, suggestions: Sequence[Suggestion] = (), said: Sequence[str] = ()
) -> Planned:
    """Decide what a message becomes. ``said``: what else is to be remembered of how it was decided."""
    arrival, reading, heard = read.item.arrival, read.reading, read.heard
    decision = parse(read.words, rules, suggestions) if read.parsed else Decision()
    tags, actionable = decision.tags, decision.actionable
    if heard.flagged:
        tags, actionable = (*tags, FLAGGED), True
    trouble = reading.trouble
    if not read.verdict.forward:
        trouble = (*trouble, f"copied to nobody: {read.verdict.why}")
    made = Plan(
        raw_id=read.item.raw_id,
        uid=uid,
        connector=read.item.connector,
        received_at=read.item.received_at,
        sender=read.sender,
        sender_name=reading.sender_name or arrival.sender_name,
        recipients=arrival.recipients or tuple(address for _, address in (*reading.to, *reading.cc)),
        subject=reading.subject,
        body=reading.text,
        html=reading.html,
        sent_at=reading.date if reading.date is not None else arrival.sent_at,
        wire_message_id=reading.message_id,
        in_reply_to=reading.in_reply_to,
        hints=read.hints,
        attachments=reading.attachments,
        tags=tags,
        routes=decision.routes,
        priority=decision.priority,
        actionable=actionable,
        assign=decision.assign,
        replies=() if read.verdict.robot else decision.replies,
        matched=tuple(match.rule_id for match in decision.matches if match.rule_id),
        decided=(*decision.why, *said),
        verified_by=decision.verified,
        spam=decision.spam,
        robot=read.verdict.robot,
        forward=read.verdict.forward and read.parsed,
        trust=read.trust.believed,
        doubt=read.trust.doubt,
        checks=read.trust.checks,
        trouble=trouble,
        search=_searched(read.sender, reading.sender_name, arrival.recipients, read.terms.subject, read.terms.body),
        rules_version=rules.version,
    )
    return Planned(made, heard.choice, heard.language, read.asked, reading.fresh)


def believed(arrival: Arrival) -> str:
    """Why the sender's address is believed, or "" where anybody could have written it."""
    if user := arrival.facts.get("auth"):
        return f"logged in as {user}"
    return arrival.facts.get("trust", "")


def _searched(sender: Address | None, name: str, recipients: Sequence[Address], subject: str, body: str) -> str:
    named = joined(f"{name} {sender.value}" if sender is not None else name)
    to = joined(" ".join(one.value for one in recipients[:100]))
    return index_joined(named, to, subject, body)
