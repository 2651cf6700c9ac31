"""Vonage's SMS API (formerly Nexmo).

-> POST /sms/json   api_key, api_secret, from, to, text, type=unicode, status-report-req, callback, client-ref
<- 200 {"messages": [{"status": "0", "message-id": ..., "error-text": ...}]}    one a part; 200 on errors too
<- GET|POST /in/NAME[/SECRET]   msisdn, to, messageId, text, type, concat-ref, concat-total, concat-part
<- GET|POST /in/NAME[/SECRET]   messageId, status, err-code, client-ref
sig, timestamp, nonce: MD5 or HMAC over the sorted fields, where the account has signatures switched on
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure, Unknown
from msgserver.formats.sms import lacking
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, digits, form, part_of
from msgserver.protocols.http.fields import read_fields
from msgserver.protocols.http.reading import Thing, time_of, whole
from msgserver.protocols.http.verdicts import AccountRefused, of_status
from msgserver.settings import Secret
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused

URL = "https://rest.nexmo.com/sms/json"
NEEDS = ("user", "password", "sender")
METHODS = ("GET", "POST")
WINDOW = 300.0  # seconds that a signature is good for, either way

_LATER = {1, 5, 10}
_ACCOUNT = {4, 8, 9, 11, 14, 15}
_BAD_NUMBER = {6, 33}
_WAIT = re.compile(r"wait \[ *([0-9]{1,6}) *\]")
_STATES = {
    "accepted": ReportState.SENT,
    "delivered": ReportState.DELIVERED,
    "failed": ReportState.FAILED,
    "rejected": ReportState.FAILED,
    "expired": ReportState.EXPIRED,
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Vonage alone has."""

    signature_secret: Secret | None = None  # from the account's settings, where signatures are switched on
    signature_method: Literal["md5hash", "md5", "sha1", "sha256", "sha512"] = "md5hash"


def signs(options: Options) -> bool:
    """Whether calls are signed."""
    return options.signature_secret is not None


def request(account: Account, envelope: Envelope) -> Request:
    """One text."""
    wants = account.wants_receipt(envelope)
    fields = {
        "api_key": account.user,
        "api_secret": account.password,
        "from": account.sender.removeprefix("+"),
        "to": digits(envelope.to),
        "text": envelope.text,
        "type": "unicode" if lacking(envelope.text) else "text",
        "client-ref": envelope.ref[:100],
        "status-report-req": "1" if wants else "",
        "callback": account.callback() if wants else "",
    }
    return Request("POST", account.url, (("Content-Type", "application/x-www-form-urlencoded"),), form(**fields))


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where every part has status 0; a part taken and another refused is neither."""
    parts = list(Thing(answer.json())["messages"])
    taken = [part["message-id"].text for part in parts if part["status"].number == 0 and part["message-id"].text]
    if parts and len(taken) == len(parts) and answer.status < 300:
        return Receipt(tuple(taken))
    refused = next((part for part in parts if part["status"].number > 0), None)
    if refused is None:
        raise of_status(answer)
    if taken:
        words = refused["error-text"].text
        raise Unknown(f"{len(taken)} of {len(parts)} parts were taken, one was refused: {words[:200]}")
    raise _refusal(refused)


def _refusal(part: Thing) -> SendFailure:
    code, said = part["status"].number, part["error-text"].text
    words = f"Vonage {code}: {said}"[:300]
    if code in _LATER:
        wait = _WAIT.search(said)
        return TemporaryFailure(words, int(wait[1]) / 1000.0 if wait else None)
    if code in _ACCOUNT:
        return AccountRefused(words)
    return PermanentFailure(words, bad_address=code in _BAD_NUMBER)


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text or a part of one, or a receipt."""
    find = read_fields(call)
    wire_id = find(["messageId", "message-id"])
    if not wire_id:
        raise Refused(400, "a call needs messageId")
    if find(["status"]):
        state = _STATES.get(find(["status"]))
        words = f"{find(['status'])} {find(['err-code'])}".strip()
        return [Report(state=state, wire_id=wire_id, ref=find(["client-ref"]), words=words)] if state else []
    text, facts = find(["text"]), {}
    if find(["type"]) == "binary":
        content = find(["data"])
        text, facts = f"[binary message, {len(content) // 2} octets]", {"content": content, "udh": find(["udh"])}
    part = part_of(find(["concat-ref"]), whole(find(["concat-total"])), whole(find(["concat-part"])))
    sender, to, at = find(["msisdn"]), find(["to"]), time_of(find(["message-timestamp"]))
    raw = call.body or call.query
    return [account.arrival(wire_id, sender, text, to=to, sent_at=at, part=part, facts=facts, raw=raw)]


def authentic(account: Account, call: Call, now: float) -> bool:
    """Check ``sig`` over the other fields in order of their names, and that it is no older than five minutes."""
    options: Options = account.options
    assert options.signature_secret is not None
    fields = _fields(call)
    given = fields.pop("sig", "").lower()
    when = time_of(fields.get("timestamp", ""))
    if when is None or abs(now - when) > WINDOW:
        return False
    words = "".join(f"&{name}={re.sub('[&=]', '_', fields[name])}" for name in sorted(fields)).encode()
    secret = options.signature_secret.reveal().encode()
    if options.signature_method == "md5hash":
        signed = hashlib.md5(words + secret).hexdigest()  # noqa: S324 - it is their default
    else:
        signed = hmac.new(secret, words, options.signature_method).hexdigest()
    return hmac.compare_digest(signed.encode(), given.encode())


def _fields(call: Call) -> dict[str, str]:
    if "json" in call.headers.get("content-type", ""):
        told = call.json()
        return {str(name): Thing(value).text for name, value in told.items()} if isinstance(told, dict) else {}
    pairs = [*call.asked(), *call.form()]
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in pairs}


def credit_request(account: Account) -> Request:
    """The balance."""
    place = urlunsplit(urlsplit(account.url)._replace(path="/account/get-balance", query=""))
    query = form(api_key=account.user, api_secret=account.password).decode()
    return Request("GET", f"{place}?{query}", (("Accept", "application/json"),))


def credit(account: Account, answer: Answer) -> str:
    """As in "10.28 EUR": accounts are in euro."""
    value = Thing(answer.json())["value"].text
    return f"{value} EUR" if value else "not known"
