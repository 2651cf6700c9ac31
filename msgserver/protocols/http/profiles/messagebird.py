"""MessageBird's SMS API.

-> POST /messages   Authorization: AccessKey KEY; {"recipients", "originator", "body", "reference", "reportUrl"}
<- 201 {"id", "recipients": {"items": [{"recipient", "status"}]}}, one id for all recipients
<- 4xx {"errors": [{"code", "description", "parameter"}]}
<- GET|POST /in/NAME[/SECRET]   id, originator, recipient, body | mid, shortcode, message     an arriving text
<- GET|POST /in/NAME[/SECRET]   id, reference, recipient, status, statusErrorCode              a receipt
MessageBird-Signature-JWT: HS256 over hashes of the called URL and the body, with a time to begin and to end
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Hashable, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, digits
from msgserver.protocols.http.fields import read_fields
from msgserver.protocols.http.reading import Thing, time_of
from msgserver.protocols.http.verdicts import AccountRefused, of_status
from msgserver.settings import Secret
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused

URL = "https://rest.messagebird.com/messages"
NEEDS = ("password", "sender")
METHODS = ("GET", "POST")
BATCH = 50
WINDOW = 300.0  # seconds that a signature's times may be off, either way

_ACCOUNT = {2, 25, 101, 103}
_LATER = {98, 99}
_HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_STATES = {
    "sent": ReportState.SENT,
    "delivered": ReportState.DELIVERED,
    "delivery_failed": ReportState.FAILED,
    "expired": ReportState.EXPIRED,
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What MessageBird alone has."""

    signing_key: Secret | None = None  # from the developer settings: calls are checked to be signed with it


def signs(options: Options) -> bool:
    """Whether calls are signed."""
    return options.signing_key is not None


def request(account: Account, envelope: Envelope) -> Request:
    """One text."""
    return batch_request(account, [envelope])


def together(account: Account, envelope: Envelope) -> Hashable:
    """The same text to several numbers is one request."""
    return envelope.text, account.wants_receipt(envelope)


def batch_request(account: Account, envelopes: Sequence[Envelope]) -> Request:
    """One text to several numbers; with several, receipts are told apart by their recipient."""
    fields = {
        "recipients": [digits(envelope.to) for envelope in envelopes],
        "originator": account.sender,
        "body": envelopes[0].text,
        "datacoding": "auto",
    }
    if len(envelopes) == 1:
        fields["reference"] = envelopes[0].ref
    if account.wants_receipt(envelopes[0]):
        fields["reportUrl"] = account.callback()
    headers = (("Authorization", f"AccessKey {account.password}"), ("Content-Type", "application/json"))
    return Request("POST", account.url, headers, msgspec.json.encode(fields))


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where there is an id."""
    told = Thing(answer.json())
    if answer.status < 300 and told["id"].text and not told["errors"]:
        return Receipt((told["id"].text,))
    error = next(iter(told["errors"]), Thing(None))
    code = error["code"].number
    if code < 0:
        raise of_status(answer)
    words = f"MessageBird {code}: {error['description'].text} {error['parameter'].text}".strip()[:300]
    if code in _ACCOUNT or error["parameter"].text == "originator":
        raise AccountRefused(words)
    if code in _LATER:
        raise TemporaryFailure(words)
    raise PermanentFailure(words, bad_address="recipient" in error["parameter"].text)


def batch_outcomes(account: Account, envelopes: Sequence[Envelope], answer: Answer) -> list[Receipt | SendFailure]:
    """What became of each: all are taken but those whose status says that they are not."""
    try:
        taken = receipt(account, answer)
    except SendFailure as failure:
        return [failure for _ in envelopes]
    listed = Thing(answer.json())["recipients"]["items"]
    refused = {one["recipient"].text.removeprefix("+") for one in listed if one["status"].text == "delivery_failed"}
    return [
        PermanentFailure("MessageBird: delivery_failed") if digits(envelope.to) in refused else taken
        for envelope in envelopes
    ]


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt."""
    find = read_fields(call)
    wire_id = find(["id", "mid"])
    if not wire_id:
        raise Refused(400, "a call needs id")
    if find(["status"]):
        state = _STATES.get(find(["status"]))
        words = f"{find(['status'])} {find(['statusErrorCode'])}".strip()
        whose = account.address(find(["recipient"]))
        ref = find(["reference"])
        return [Report(state=state, wire_id=wire_id, ref=ref, recipient=whose, words=words)] if state else []
    sender, text, to = find(["originator"]), find(["body", "message"]), find(["recipient", "shortcode"])
    at, raw = time_of(find(["createdDatetime"])), call.body or call.query
    return [account.arrival(wire_id, sender, text, to=to, sent_at=at, raw=raw)]


def authentic(account: Account, call: Call, now: float) -> bool:
    """Check the token's signature, its times, and that it is about this URL and this body."""
    key = account.options.signing_key.reveal().encode()
    head, _, rest = call.headers.get("messagebird-signature-jwt", "").partition(".")
    claims, _, mark = rest.partition(".")
    kind = _HASHES.get(_opened(head)["alg"].text)
    if kind is None:
        return False
    signed = hmac.new(key, f"{head}.{claims}".encode(), kind).digest()
    if not hmac.compare_digest(signed, _bytes(mark)):
        return False
    said = _opened(claims)
    begins, ends = said["nbf"].number, said["exp"].number
    if not begins - WINDOW <= now <= ends + WINDOW or now - begins > 2 * WINDOW:
        return False
    body = hashlib.sha256(call.body).hexdigest() if call.body else ""
    about = hmac.compare_digest(
        said["url_hash"].text.encode(), hashlib.sha256(_url(account, call)).hexdigest().encode()
    )
    return about and hmac.compare_digest(said["payload_hash"].text.encode(), body.encode())


def _url(account: Account, call: Call) -> bytes:
    path = "".join(f"/{quote(each, safe='~')}" for each in call.path)
    query = b"?" + call.query if call.query else b""
    return f"{account.settings.callback.rstrip('/')}{path}".encode() + query


def _bytes(word: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
    except (binascii.Error, ValueError):
        return b""


def _opened(word: str) -> Thing:
    return Thing(Answer(0, {}, _bytes(word)).json())


def credit_request(account: Account) -> Request:
    """The balance."""
    place = urlunsplit(urlsplit(account.url)._replace(path="/balance", query=""))
    return Request("GET", place, (("Authorization", f"AccessKey {account.password}"),))


def credit(account: Account, answer: Answer) -> str:
    """As in "42.5 credits"."""
    told = Thing(answer.json())
    return f"{told['amount'].text} {told['type'].text}".strip() or "not known"
