"""Mail as it came over the wire, read: any bytes give a Reading (RFC 5322, RFC 2045 to 2047).

The cutting, decoding and choosing is our own and linear in the mail's length: the standard library's parser recurses,
raises, and takes seconds for what a stranger can send in a kilobyte. The tests hold both against each other.
"""

from __future__ import annotations

from msgserver.formats.authentication import spam_mark
from msgserver.formats.body import Body
from msgserver.formats.bounce import read_prose, read_report
from msgserver.formats.headers import Fields, date, ids, people, words
from msgserver.formats.invitation import invitation, summary
from msgserver.formats.parts import Piece, cut
from msgserver.formats.quoting import quoted_from
from msgserver.formats.reading import Bounce, Reading, ReadingLimits
from msgserver.formats.robots import robot
from msgserver.formats.safe_html import safe_html
from msgserver.message import Address

_DEFAULT = ReadingLimits()

_SEALS = {
    "encrypted": "encrypted: only its recipient's key opens it",
    "signed": "signed by its writer: the signature is kept and was not checked",
}


def read_mail(raw: bytes, limits: ReadingLimits = _DEFAULT) -> Reading:
    """Read one mail.

    Never raises on account of what is in the mail; takes time and memory in proportion to its length.

    Args:
        raw: the message as it arrived, header and body, any line ends.
    """
    root, trouble, complete = cut(raw, limits)
    fields = root.fields
    subject = words(_first(fields, "subject"))
    senders = people(_first(fields, "from") or _first(fields, "sender"), 1)
    sender_name, sender = senders[0] if senders else (words(_first(fields, "from"), 200), None)

    body = Body(limits)
    body.trouble.extend(trouble)
    body.walk(root)
    complete = complete and body.complete
    text, html, seal_words = _shown(body, limits)

    why = robot(fields, _report_kind(root), sender, subject)
    bounces: tuple[Bounce, ...] = ()
    if why in ("bounce", "no-return"):
        bounces = read_report(body.attached) or read_prose(fields, text, subject, body.attached)
        why = "bounce" if bounces else why
    folded = quoted_from(text)
    if body.forwards and why != "bounce":
        text, folded = _with_forwards(text, folded, body.forwards)
    if len(text) > limits.text_length:
        text, complete = text[: limits.text_length], False
        folded = folded if folded is not None and folded < len(text) else None
        body.note("the text is too long: its beginning is shown")
    if seal_words:
        body.note(seal_words)
    return Reading(
        subject=subject,
        text=text,
        html=html,
        sender=sender,
        sender_name=sender_name,
        reply_to=people(_first(fields, "reply-to"), 20),
        to=_everybody(fields, "to", limits),
        cc=_everybody(fields, "cc", limits),
        message_id=next(iter(ids(_first(fields, "message-id"), 1)), ""),
        in_reply_to=next(iter(ids(_first(fields, "in-reply-to"), 1)), ""),
        references=ids(_first(fields, "references"), limits.references),
        date=date(_first(fields, "date")),
        attachments=tuple(body.attachments),
        robot=why,
        hops=len(fields.get("received", ())),
        loop_tokens=tuple(words(value, 200) for value in fields.get("x-msgserver-loop", ())[:50]),
        bounces=bounces,
        quoted_from=folded,
        seal=body.seal,
        languages=_languages(_first(fields, "content-language")),
        trouble=tuple(body.trouble),
        complete=complete,
        authors=sum(max(1, len(people(value, 2))) for value in fields.get("from", ())[:2]),
        results=tuple(value[:8_000] for value in fields.get("authentication-results", ())[:10]),
        spam_mark=spam_mark(raw) if "x-spam-flag" in fields or "x-spam-status" in fields else None,
    )


def _first(fields: Fields, name: str) -> str:
    values = fields.get(name)
    return values[0] if values else ""


def _everybody(fields: Fields, name: str, limits: ReadingLimits) -> tuple[tuple[str, Address], ...]:
    values = fields.get(name)
    if not values:
        return ()
    return people(values[0] if len(values) == 1 else ", ".join(values), limits.addresses)


def _languages(value: str) -> tuple[str, ...]:
    if not value:
        return ()
    return tuple(tag.strip() for tag in words(value, 200).split(",")[:10] if tag.strip())


def _report_kind(root: Piece) -> str:
    """The mail's media type, with the kind of report behind it where it is one."""
    if root.type == "multipart/report":
        return f"multipart/report; {root.names.get('report-type', 'delivery-status').lower()}"
    return root.type


def _shown(body: Body, limits: ReadingLimits) -> tuple[str, str, str]:
    """The text, the sanitised HTML, and what to say of a mail that cannot be read without a key."""
    text, html = body.text(), body.html()
    if html:
        safe = safe_html(html, limits.html_length, limits.html_depth)
        if not safe and html.strip():
            body.note("the HTML is too large or too deeply nested: shown as text")
        html = safe
    return _with_invitation(text.strip("\n"), body.calendars), html, _SEALS.get(body.seal, "")


def _with_invitation(text: str, calendars: list[str]) -> str:
    """A mail's words with the event that came along, where they do not speak of it themselves: above what is quoted."""
    said = next(filter(None, map(invitation, calendars)), "")
    title = next(filter(None, map(summary, calendars)), "")
    if not said or (title and title.casefold() in text.casefold()):
        return text
    fold = quoted_from(text)
    above, below = (text, "") if fold is None else (text[:fold].rstrip(), text[fold:])
    return "\n\n".join(part for part in (above, said, below) if part.strip())


def _with_forwards(text: str, folded: int | None, forwards: list[str]) -> tuple[str, int | None]:
    """The mail's own words, and below them those of the messages it brings along; folded where it has own words."""
    below = "\n\n".join(forwards)
    if not text.strip():
        return below, None
    return f"{text}\n\n{below}", len(text) + 2 if folded is None else folded
