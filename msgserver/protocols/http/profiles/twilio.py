"""Twilio Programmable Messaging (Messages resource, API version 2010-04-01).

-> POST /2010-04-01/Accounts/{SID}/Messages.json     Basic SID:token; To, From | MessagingServiceSid, Body
<- 201 {"sid": ...};  4xx {"code": 21610, "message": ...}
<- POST /in/NAME  MessageSid, From, To, Body, NumMedia, MediaUrl0 ...     an arriving text; wants TwiML
<- POST /in/NAME  MessageSid, MessageStatus, ErrorCode                    a receipt
X-Twilio-Signature: base64 HMAC-SHA1 of the called URL and the sorted form, keyed with the token
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote, urlsplit

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, dialled, form, path_word
from msgserver.protocols.http.reading import Thing, undressed
from msgserver.protocols.http.verdicts import AccountRefused, of_status, retry_after
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Fields, Refused, Reply

URL = "https://api.twilio.com"
NEEDS = ("user", "password", "sender")

_NO_NUMBER = {21211, 21214, 21217, 21219, 21614}
_NEVER = {21408, 21602, 21604, 21605, 21608, 21610, 21612, 21617, 21619, 21635, 30003, 30004, 30005, 30006}
_LATER = {429, 20429, 20503, 21611, 30001, 30008}
_ACCOUNT = {20003, 20005, 20404, 21212, 21603, 21606, 21607, 21618, 21656, 21659, 21660, 30002}
_STATES = {
    "sent": ReportState.SENT,
    "delivered": ReportState.DELIVERED,
    "read": ReportState.DELIVERED,
    "undelivered": ReportState.FAILED,
    "failed": ReportState.FAILED,
    "canceled": ReportState.FAILED,
}


def _basic(account: Account) -> tuple[str, str]:
    word = base64.b64encode(f"{account.user}:{account.password}".encode()).decode()
    return ("Authorization", f"Basic {word}")


def _place(account: Account, what: str) -> str:
    return f"{account.url.rstrip('/')}/2010-04-01/Accounts/{path_word(account.user)}/{what}.json"


def request(account: Account, envelope: Envelope) -> Request:
    """One text; a sender that begins with MG is a messaging service."""
    body = form(
        To=dialled(envelope.to),
        From="" if account.sender.startswith("MG") else account.sender,
        MessagingServiceSid=account.sender if account.sender.startswith("MG") else "",
        Body=envelope.text,
        StatusCallback=account.callback() if account.wants_receipt(envelope) else "",
    )
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    return Request("POST", _place(account, "Messages"), (_basic(account), kind), body)


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where there is a sid; else by Twilio's error code, else by the status."""
    told = Thing(answer.json())
    if answer.status < 300 and told["sid"].text:
        return Receipt((told["sid"].text,), words=told["status"].text)
    code = told["code"].number
    words = f"Twilio {code}: {told['message'].text}"[:300]
    if code in _NO_NUMBER:
        raise PermanentFailure(words, bad_address=True)
    if code in _NEVER:
        raise PermanentFailure(f"{words} (the recipient has sent STOP)" if code == 21610 else words)
    if code in _LATER:
        raise TemporaryFailure(words, retry_after(answer))
    if code in _ACCOUNT:
        raise AccountRefused(words)
    raise of_status(answer, words if code > 0 else "")


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt."""
    fields = call.fields()
    sid = fields.text("MessageSid", "SmsMessageSid", "SmsSid")
    if not sid or fields.text("AccountSid") not in ("", account.user):
        raise Refused(400, "a call needs MessageSid, and the AccountSid must be ours")
    if "MessageStatus" in fields:
        state = _STATES.get(fields.text("MessageStatus"))
        code, why = fields.text("ErrorCode"), fields.text("ErrorMessage", "MessageStatus")
        words = f"{code} {why}".strip()
        return [Report(state=state, wire_id=sid, words=words)] if state else []
    facts = {"country": fields.text("FromCountry")} if "FromCountry" in fields else {}
    return [
        account.arrival(
            sid,
            fields.text("From"),
            _with_media(undressed(fields.text("Body")), fields),
            to=fields.text("To"),
            raw=call.body,
            facts=facts,
        )
    ]


def _with_media(text: str, fields: Fields) -> str:
    """The text and, below it, the address of each picture: it is fetched with the account's password."""
    count = fields.text("NumMedia")
    media = range(min(int(count), 10)) if count.isascii() and count.isdigit() else ()
    lines = [f"[{fields.text(f'MediaContentType{n}')}: {fields.text(f'MediaUrl{n}')}]" for n in media]
    return "\n".join([*([text] if text else []), *lines])


def authentic(account: Account, call: Call, now: float) -> bool:
    """Check the signature over the public address and the form, with the port written out or not."""
    if not account.settings.callback:
        return False
    parts = urlsplit(account.settings.callback)
    path = "".join(f"/{quote(each, safe='~')}" for each in call.path)
    tail = f"{parts.path.rstrip('/')}{path}" + (f"?{call.query.decode('latin-1')}" if call.query else "")
    pairs = b"".join(name + value for name, value in sorted(set(call.form())))
    given = call.headers.get("x-twilio-signature", "").encode()
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    genuine = False
    for place in (parts.netloc, host, f"{host}:{port}"):
        signed = hmac.new(account.password.encode(), f"{parts.scheme}://{place}{tail}".encode() + pairs, hashlib.sha1)
        genuine |= hmac.compare_digest(base64.b64encode(signed.digest()), given)
    return genuine


def reply(account: Account, call: Call) -> Reply:
    """TwiML that does nothing."""
    return Reply(body=b"<Response/>", media_type="text/xml; charset=utf-8")


def credit_request(account: Account) -> Request:
    """The balance."""
    return Request("GET", _place(account, "Balance"), (_basic(account),))


def credit(account: Account, answer: Answer) -> str:
    """As in "12.30 USD"."""
    told = Thing(answer.json())
    return f"{told['balance'].text} {told['currency'].text}".strip() or "not known"
