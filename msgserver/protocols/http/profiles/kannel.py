"""Kannel's sendsms interface (Kannel 1.4.5 User's Guide, chapter 6, "Using the HTTP interface to send SMS messages").

-> GET /cgi-bin/sendsms?username=&password=&from=&to=&text=&charset=UTF-8&coding=&dlr-mask=27&dlr-url=
<- 202 0: Accepted for delivery | 3: Queued for later delivery;  4xx, 503 otherwise
<- GET /in/NAME/SECRET?from=%p&to=%P&text=%b&charset=%C&coding=%c&udh=%u&id=%I&time=%T     an arriving text
<- GET /in/NAME/SECRET?dlr=%d&ref=...&words=%A                                             a receipt
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.formats.pdu_fields import decode_header
from msgserver.formats.sms import lacking
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, dialled, part_of
from msgserver.protocols.http.reading import time_of
from msgserver.protocols.http.verdicts import AccountRefused, of_status, said
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Fields, Refused, decoded

NEEDS = ("user", "password")
METHODS = ("GET", "POST")
URL = "http://127.0.0.1:13013/cgi-bin/sendsms"

_STATES = {
    "1": ReportState.DELIVERED,
    "2": ReportState.FAILED,
    "8": ReportState.SENT,
    "16": ReportState.FAILED,
}
_QUEUED = ("4", "32")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Kannel alone has."""

    smsc: str = ""  # which of its connections to use
    account: str = ""  # for its accounting
    validity: Annotated[int, msgspec.Meta(ge=0)] = 0  # minutes the network goes on trying; 0: as it likes


def request(account: Account, envelope: Envelope) -> Request:
    """One text."""
    options: Options = account.options
    fields = {
        "username": account.user,
        "password": account.password,
        "from": account.sender,
        "to": dialled(envelope.to),
        "text": envelope.text.encode(),
        "charset": "UTF-8",
        "coding": "2" if lacking(envelope.text) else "0",
        "priority": str(envelope.priority),
        "smsc": options.smsc,
        "account": options.account,
        "validity": str(options.validity) if options.validity else "",
    }
    if account.wants_receipt(envelope):
        # Kannel fills in its own %d and %A, so these go in as they are.
        fields |= {"dlr-mask": "27", "dlr-url": account.callback(ref=envelope.ref) + "&dlr=%d&words=%A"}
    return Request("GET", f"{account.url}?{urlencode({name: v for name, v in fields.items() if v})}")


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken only where Kannel says so; it gives no id, receipts name our reference."""
    words = said(answer)
    number = words.partition(":")[0].strip()
    if answer.status in (200, 202) and (number in ("0", "3") or words.startswith("Sent.")):
        return Receipt(words=words)
    if answer.status == 403 or "uthorization failed" in words:
        raise AccountRefused(f"Kannel refuses the account ({words}): check user and password")
    if answer.status == 503 or "emporal failure" in words:
        raise TemporaryFailure(f"Kannel cannot take it now: {words}")
    if answer.status == 400:
        raise PermanentFailure(f"Kannel refuses it: {words}")
    raise of_status(answer)


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt for the reference in the address."""
    fields = call.fields()
    if "dlr" in fields:
        return _report(fields)
    if "from" not in fields:
        raise Refused(400, "get-url must have from=%p&to=%P&text=%b&charset=%C&coding=%c&udh=%u&id=%I&time=%T")
    content, coding = fields.raw("text"), fields.text("coding")
    header = decode_header(fields.raw("udh")[1:])
    facts = {"smsc": fields.text("smsc")} if "smsc" in fields else {}
    if coding == "1":
        text = f"[binary message, {len(content)} octets]"
        facts["content"] = content.hex()
    else:
        charset = fields.text("charset")
        text = decoded(content, "utf-8" if charset.upper() in ("", "GSM", "GSM-7") else charset)
    reference = f"{header.reference}/{header.reference_bits}/{header.total}"
    part = part_of(reference if header.reference is not None else "", header.total, header.index)
    when = fields.text("time")
    return [
        account.arrival(
            fields.text("id"),
            fields.text("from"),
            text,
            to=fields.text("to"),
            sent_at=time_of(when),
            part=part,
            raw=content,
            facts=facts,
            time=when and f"{when} {header.index}",
        )
    ]


def _report(fields: Fields) -> list[Arrival | Report]:
    state, ref, words = fields.text("dlr"), fields.text("ref"), fields.text("words")
    if state in _QUEUED:
        return []
    if state not in _STATES or not ref:
        raise Refused(400, "a receipt needs dlr=%d and ref")
    known = _STATES[state]
    if known is ReportState.FAILED and "stat:EXPIRED" in words:
        known = ReportState.EXPIRED
    return [Report(state=known, ref=ref, words=words[:200])]
