"""A claimed delivery as the envelope its connector gets. Pure.

The same delivery gives the same ``ref`` and Message-ID at every attempt, so that a repeat can be known as one.
"""

from __future__ import annotations

import hashlib

from msgserver.connector import Limits
from msgserver.message import Address, Envelope, Thread
from msgserver.records import Claimed
from msgserver.routing.conversation import Tokens


def ref_of(claimed: Claimed) -> str:
    """The delivery's name on every wire: ``d`` and its id, and a piece of the message's uid."""
    return f"d{claimed.id}.{claimed.message_uid.replace('-', '')[:12]}"


def delivery_of(ref: str) -> int | None:
    """The delivery that a ref names; None where it is none of ours."""
    number = ref.partition(".")[0]
    return int(number[1:]) if number[:1] == "d" and number[1:].isdecimal() else None


def text_hash(envelope: Envelope) -> str:
    """What is kept of the words that went out: SHA-256, 128 bits of it in hex."""
    digest = hashlib.sha256()
    for words in (envelope.subject, envelope.text, envelope.html):
        digest.update(words.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()[:32]


def envelope_of(claimed: Claimed, limits: Limits, signer: Tokens, hub: str) -> Envelope:
    """Render a delivery for a connector with these limits.

    Raises:
        ValueError: its address is none.
    """
    references = claimed.references
    return Envelope(
        ref=ref_of(claimed),
        attempt=claimed.attempt,
        sender=speaker(claimed, hub),
        to=Address.parse(claimed.address),
        to_name=claimed.to_name,
        subject=subject(claimed),
        text=text(claimed, limits),
        html=claimed.html if limits.html and not claimed.copy else "",
        attachments=claimed.attachments if limits.attachments else (),
        thread=Thread(
            in_reply_to=references[-1] if references else "",
            references=references,
            token=signer.sign(claimed.ticket_id) if claimed.ticket_id is not None else "",
        ),
        priority=claimed.priority,
        expires_at=claimed.expires,
        automatic=claimed.automatic or claimed.copy,
    )


def speaker(claimed: Claimed, hub: str) -> str:
    """Who speaks: the author at the hub, or of a copy the one who wrote it."""
    if claimed.copy:
        return f"{claimed.sender_name or Address.parse(claimed.sender).value} ({hub})" if claimed.sender else hub
    return f"{claimed.author} ({hub})" if claimed.author and claimed.author != hub else hub


def subject(claimed: Claimed) -> str:
    """The subject with the ticket's number once."""
    tag = f"[#{claimed.ticket_id}]"
    if claimed.ticket_id is None or tag in claimed.subject:
        return claimed.subject
    return f"{claimed.subject} {tag}".strip()


def text(claimed: Claimed, limits: Limits) -> str:
    """The words; a copy says who wrote them and why it came."""
    if not claimed.copy:
        return claimed.body
    who = claimed.sender_name or claimed.sender.partition(":")[2] or "an unknown sender"
    ref = f"#{claimed.ticket_id}" if claimed.ticket_id is not None else ""
    if limits.text_length is not None and not limits.html:
        return f"{who}: {claimed.body}" + (f" [{ref}]" if ref else "")
    footer = " · ".join(filter(None, (f"From {who} by {claimed.source}", ref, claimed.why)))
    return f"{claimed.body.rstrip()}\n\n-- \n{footer}"
