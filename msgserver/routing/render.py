"""A claimed delivery as the envelope its connector gets. Pure.

The same delivery gives the same ``ref`` and Message-ID at every attempt, so that a repeat can be known as one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec

from msgserver.connector import Limits, PermanentFailure
from msgserver.formats.marks import plain_beside
from msgserver.formats.rendering import Words, as_mail, as_text, mail_subject, shortened
from msgserver.formats.styles import inlined
from msgserver.formats.text import one_line
from msgserver.formats.wording import BadWording, Wording, fill
from msgserver.message import Address, Attachment, Envelope, Mailing, Thread
from msgserver.records import Claimed
from msgserver.routing.conversation import Tokens

LINKED = 30 * 86_400.0  # seconds that a link to a file holds
_ABOUT = 60  # characters of a text that stand as the subject of its copy by mail
_SHORT = 2_000  # characters; a connector that carries at most this many carries text messages


def ref_of(claimed: Claimed) -> str:
    """The delivery's name on every wire: ``d`` and its id, and the last group of the message's uid, which is random."""
    return f"d{claimed.id}.{claimed.message_uid[-12:]}"


def delivery_of(ref: str) -> int | None:
    """The delivery that a ref names; None where it is none of ours."""
    number = ref.partition(".")[0]
    return int(number[1:]) if number[:1] == "d" and number[1:].isdecimal() else None


def text_hash(envelope: Envelope) -> str:
    """What is kept of the words that went out: SHA-256, 128 bits of it in hex."""
    return _hash_of(envelope.subject, envelope.text, envelope.html)


@lru_cache(8)  # the same words go to many
def _hash_of(*words: str) -> str:
    return hashlib.sha256(b"".join(one.encode("utf-8", "replace") + b"\0" for one in words)).hexdigest()[:32]


def envelope_of(claimed: Claimed, limits: Limits, signer: Tokens, hub: str, web: str = "") -> Envelope:
    """Render a delivery for a connector with these limits: as mail where it carries HTML, else as chat or text.

    ``web`` is where receivers reach the hub's pages, without a slash at the end; empty: they do not.

    Raises:
        ValueError: its address is none.
        PermanentFailure: its template cannot be filled.
    """
    claimed = _in_their_words(claimed)
    whole = plain_beside(claimed.body, claimed.html) if claimed.html else claimed.body
    if claimed.template is not None or claimed.copy:
        whole = claimed.body if claimed.body.strip() else whole  # what was worded for those without HTML stands
    references = claimed.references
    words = Words(
        subject=claimed.subject,
        text=whole if limits.html or not claimed.body.strip() else claimed.body,
        html=claimed.html,
        sender_name=claimed.sender_name or claimed.sender.partition(":")[2],
        channel=claimed.source,
        ticket=claimed.ticket_id,
        copy=claimed.copy,
        why=claimed.why,
    )
    if limits.html:
        rendered = as_mail(words)
        about = claimed.subject
        if claimed.copy and not about.strip():
            about = shortened(one_line(claimed.body, 10 * _ABOUT), _ABOUT)
        subject = mail_subject(about, claimed.ticket_id, reply=bool(references) and not claimed.copy)
    else:
        short = limits.text_length is not None and limits.text_length <= _SHORT
        rendered = as_text(words, limits.text_length if short else None)
        subject = rendered.subject
    return Envelope(
        ref=ref_of(claimed),
        attempt=claimed.attempt,
        sender=speaker(claimed, hub),
        to=Address.parse(claimed.address),
        to_name=claimed.to_name,
        subject=subject,
        text=rendered.text,
        html=rendered.html if limits.html else "",
        attachments=_attachments(claimed, signer, web) if limits.attachments else (),
        thread=Thread(
            in_reply_to=references[-1] if references else "",
            references=references,
            token=_token(claimed, signer),
        ),
        priority=claimed.priority,
        expires_at=claimed.expires,
        automatic=claimed.automatic or claimed.copy,
        copy=claimed.copy,
        mailing=_mailing(claimed, signer, web),
        reached=tuple(map(Address.parse, claimed.reached)) if limits.html else (),
    )


def _token(claimed: Claimed, signer: Tokens) -> str:
    """What ties an answer to the ticket; a text message has no place for it."""
    if claimed.ticket_id is None or claimed.address.startswith("sms:"):
        return ""
    return signer.sign(claimed.ticket_id, claimed.address)


def _in_their_words(claimed: Claimed) -> Claimed:
    """What a template says to this recipient; its styles stand in the elements, as mail programs want it."""
    if claimed.template is not None:
        to = {"name": claimed.to_name, "address": claimed.address.partition(":")[2]}
        one = claimed.template
        try:
            words = fill(Wording(one.subject, one.text, one.html), {**claimed.values, "to": to})
        except BadWording as error:
            raise PermanentFailure(f"template {one.name!r} cannot be filled: {error}") from error
        claimed = msgspec.structs.replace(claimed, body=words.text, html=words.html)
    if "<style" in claimed.html.lower():
        claimed = msgspec.structs.replace(claimed, html=inlined(claimed.html))
    return claimed


def _attachments(claimed: Claimed, signer: Tokens, web: str) -> tuple[Attachment, ...]:
    """Each with the link by which it can be had, where there is one; the same at every attempt."""
    if not web or not claimed.attachments:
        return claimed.attachments
    until = claimed.received_at + LINKED
    return tuple(
        msgspec.structs.replace(one, link=f"{web}/files/{signer.file(number, until)}")
        for one, number in zip(claimed.attachments, claimed.attachment_ids, strict=True)
    )


def _mailing(claimed: Claimed, signer: Tokens, web: str) -> Mailing | None:
    if claimed.subscription_id is None or not claimed.address.startswith("mailto:"):
        return None
    token = signer.leaving(claimed.subscription_id, claimed.entity_id)
    link = f"{web}/unsubscribe/{token}" if web else ""
    return Mailing(name=claimed.topic, label=claimed.label, token=token, link=link)


def speaker(claimed: Claimed, hub: str) -> str:
    """Who speaks: the author at the hub, or of a copy the one who wrote it."""
    writer = claimed.sender_name or claimed.sender.partition(":")[2]
    name = writer if claimed.copy else claimed.author
    return f"{name} ({hub})" if name and name != hub else hub
