"""Bounces: what could not be delivered, to whom, and whether it ever will be (RFC 3464, RFC 3463), DSN or prose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from msgserver.formats.headers import Fields, ids, people, split_head, words
from msgserver.formats.parts import Piece
from msgserver.formats.reading import Bounce
from msgserver.message import Address

_MOST_RECIPIENTS = 100
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_CODE = re.compile(r"(?<![\d.])([45]\d\d)(?:[ \-](?:#?([45]\.\d{1,3}\.\d{1,3}))?|$|[:;,])")
_RETURNED = ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers")
_BLANK = re.compile(rb"\r?\n[ \t]*\r?\n")


def read_report(parts: Sequence[Piece]) -> tuple[Bounce, ...]:
    """The bounces that the delivery-status parts of a mail tell, one a recipient; () where they tell none.

    Args:
        parts: all that a mail has attached; mostly those of a multipart/report, but not all mailers say so.
    """
    message_id = returned_id(parts)
    found: list[Bounce] = []
    for part in parts:
        if part.type not in ("message/delivery-status", "message/global-delivery-status"):
            continue
        groups = _groups(part.content()[0])
        envelope_id = words(_value(groups[0], "original-envelope-id"), 200) if groups else ""
        about = [group for group in groups if "final-recipient" in group or "original-recipient" in group]
        found.extend(_recipient(group, message_id, envelope_id) for group in about)
    return tuple(found[:_MOST_RECIPIENTS])


def returned_id(parts: Sequence[Piece]) -> str:
    """The Message-ID of a mail that came back among the parts, whole or only its header; or ""."""
    for part in reversed(parts):
        if part.type in _RETURNED:
            raw = part.content()[0]
            fields, _, _ = split_head(raw, 0, len(raw), 100_000)
            found = ids(_value(fields, "message-id"), 1)
            if found:
                return found[0]
    return ""


def _groups(raw: bytes) -> list[Fields]:
    """The groups of fields of a delivery-status body: first about the message, then one a recipient."""
    out = []
    for group in _BLANK.split(raw[:500_000], 2 * _MOST_RECIPIENTS):
        fields, _, _ = split_head(group, 0, len(group), 100_000)
        if fields:
            out.append(fields)
    return out


def _recipient(group: Fields, message_id: str, envelope_id: str) -> Bounce:
    action = words(_value(group, "action"), 40).lower().partition(" ")[0]
    status = _STATUS.search(_value(group, "status") or _value(group, "diagnostic-code"))
    said = words(_value(group, "diagnostic-code").partition(";")[2] or _value(group, "diagnostic-code"), 500)
    failed = action in ("failed", "") or action not in ("delayed", "delivered", "relayed", "expanded")
    return Bounce(
        recipient=_address(_value(group, "original-recipient")) or _address(_value(group, "final-recipient")),
        message_id=message_id,
        envelope_id=envelope_id,
        permanent=failed and _permanent(status.group() if status else "", said),
        delayed=action == "delayed",
        delivered=action in ("delivered", "expanded"),
        relayed=action == "relayed",
        status=status.group() if status else "",
        words=said or words(_value(group, "status"), 200),
    )


def _permanent(status: str, said: str) -> bool:
    """Whether the address is at fault: class 5, unless it is the sender, the words, a full mailbox or policy."""
    if status:
        return status[0] == "5" and not status.startswith(
            ("5.1.7", "5.1.8", "5.2.2", "5.3.", "5.4.4", "5.4.7", "5.6.", "5.7.")
        )
    code = _CODE.search(said)
    return code is not None and code.group(1) in ("521", "550", "551", "553", "556")


def _address(value: str) -> Address | None:
    """``rfc822;ana@example.org`` as an address."""
    _, semicolon, rest = value.partition(";")
    found = people((rest if semicolon else value).strip(), 1)
    return found[0][1] if found else None


def _value(fields: Fields, name: str) -> str:
    values = fields.get(name)
    return values[0] if values else ""


# -- bounces in prose

_SUBJECT = re.compile(
    r"(?i)undeliver|returned mail|delivery (?:status|failure|report|has failed|problem)|failure notice|mail delivery"
    r"|delivery notification|non.?remis|nicht zugestellt|unzustellbar|rebotado|no se pudo entregar|não entregue"
    r"|mancata consegna"
    r"|undelivered|could not be delivered|message not delivered"
    r"|недоставлен|退信|mail system error|nondeliverable|rejected"
)
_RECIPIENT = re.compile(
    r"(?mi)^[ \t]*(?:to:?[ \t]*|recipient(?: address)?:[ \t]*|"
    r"(?:final|original)-recipient:[^;\n]{0,20};[ \t]*"
    r"|the following address(?:es)? failed:?[ \t]*)?"
    r"<?([^\s<>\"(),:;@]{1,64}@[^\s<>\"(),:;@]{1,255}\.[^\s<>\"(),:;@]{2,63})>?[:;.]?[ \t]*(?:\(.{0,200})?$"
)
_SPOKEN_TO = re.compile(r"(?i)rcpt to:\s?<?([^\s<>\"(),:;@]{1,64}@[^\s<>\"(),:;@]{1,255})")
_SPOKEN_OF = re.compile(
    r"(?<![^\s<\"'(:;])([^\s<>\"'(),:;@\[\]]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}\.[A-Za-z]{2,63})"
)
# Where a mailer's own words end and the copy of what it could not deliver begins.
_COPY = re.compile(
    r"(?mi)^[ \t>-]*(?:(?:received|return-path|message-id|mime-version):[ \t]"
    r"|below (?:this line )?is a copy|message headers follow|-+ ?(?:original|returned|this is a copy)"
    r"|original (?:message|mail)\b.{0,40}$|---------- forwarded message)"
)
_RETURNED_ID = re.compile(r"(?mi)^[ \t>]*message-id:\s*(<[^<>\s]{3,998}>)")
_DELAY = re.compile(
    r"(?i)\b(?:delayed|will (?:be )?(?:keep|continue|retr)|still (?:being )?(?:trying|retried)"
    r"|could not be delivered for the last"
    r"|not yet been delivered|warning[:,] message)"
)
_FOR_GOOD = re.compile(
    r"(?i)user unknown|unknown (?:user|recipient|address)|no such (?:user|recipient|address|mailbox)"
    r"|(?:does not|doesn't) exist"
    r"|mailbox (?:not found|unavailable)|invalid (?:recipient|mailbox|address)|recipient rejected|address rejected"
    r"|account (?:disabled|closed)"
    r"|not our customer|unrouteable address|host (?:or domain name )?not found|no mailbox here"
)


def read_prose(fields: Fields, text: str, subject: str, parts: Sequence[Piece]) -> tuple[Bounce, ...]:
    """The bounces of a mailer's plain words (qmail, Exim, old Exchange, ...), one a recipient; () where it is none.

    To be asked only about mail that a mailer sent (``robot`` said "bounce" or "no-return").
    """
    said = text[:20_000]
    returned = _COPY.search(said)
    own = said[: returned.start()] if returned else said
    reason, status = _reason(own)
    addresses = _addresses(fields, own)
    message_id = returned_id(parts) or _id_in(fields, text)
    delayed = bool(_DELAY.search(subject) or _DELAY.search(own[:3_000]))
    for_good = bool(_FOR_GOOD.search(own))
    if not (reason or for_good or _SUBJECT.search(subject) or "x-failed-recipients" in fields):
        return ()
    if not addresses and not message_id:
        return ()
    whom: list[Address | None] = [*addresses] or [None]
    return tuple(
        Bounce(
            recipient=one,
            message_id=message_id,
            permanent=not delayed and (_permanent(status, reason) or for_good),
            delayed=delayed,
            status=status,
            words=reason or words(subject, 200),
        )
        for one in whom
    )


def _addresses(fields: Fields, own: str) -> list[Address]:
    """Whom a mailer could not reach: named in the header, else on a line of their own, else spoken of."""
    named = [address for _, address in people(_value(fields, "x-failed-recipients"), _MOST_RECIPIENTS)]
    if named:
        return list(dict.fromkeys(named))
    not_meant = {address for name in ("to", "from") for _, address in people(_value(fields, name), 20)}
    for pattern in (_RECIPIENT, _SPOKEN_TO, _SPOKEN_OF):
        found: dict[Address, None] = {}
        for match in islice(pattern.finditer(own), _MOST_RECIPIENTS):
            found.update((address, None) for _, address in people(match.group(1).rstrip("."), 1))
        meant = [address for address in found if address not in not_meant]
        if meant:
            return meant
    return []


def _id_in(fields: Fields, text: str) -> str:
    """The Message-ID of what came back, as a copy in the text or the bounce's own header tells it."""
    found = _RETURNED_ID.search(text[:200_000])
    if found:
        return ids(found.group(1))[0]
    return next(iter(ids(_value(fields, "in-reply-to"), 1) or ids(_value(fields, "references"), 2)[-1:]), "")


def _reason(said: str) -> tuple[str, str]:
    """The line that holds the far side's answer, and its enhanced status."""
    for line in said.splitlines()[:200]:
        code = _CODE.search(line[:500])
        status = _STATUS.search(line[:500])
        if (code or (status and status.group(1) != "2")) and not line.lstrip().lower().startswith(("received", "date")):
            return words(line, 500), status.group() if status else ""
    return "", ""
