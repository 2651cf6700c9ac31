import hashlib
import hmac
import os
from urllib.parse import parse_qsl

import msgspec

from msgserver.connector import PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import NOW, form, form_of, get, json, said, settings

os.environ["TEST_VONAGE_KEY"] = "signing-key"
SETTINGS = settings(
    profile="vonage",
    callback_secret=None,
    options={"signature_secret": {"env": "TEST_VONAGE_KEY"}, "signature_method": "sha256"},
)
SIGNED = True


def sign(call, token="signing-key", at=NOW):
    """As Vonage's documentation says: sorted, &name=value with & and = made _, HMAC."""
    if call.body.startswith(b"{"):
        fields = {name: str(value) for name, value in msgspec.json.decode(call.body).items()}
    else:
        fields = dict(parse_qsl((call.query + b"&" + call.body).decode().strip("&"), keep_blank_values=True))
    fields |= {"timestamp": str(int(at)), "nonce": "n1"}
    words = "".join(f"&{n}={fields[n].replace('&', '_').replace('=', '_')}" for n in sorted(fields))
    fields["sig"] = hmac.new(token.encode(), words.encode(), hashlib.sha256).hexdigest().upper()
    if call.body.startswith(b"{"):
        return msgspec.structs.replace(call, path=(), body=msgspec.json.encode(fields))
    made = (get if call.method == "GET" else form)(**fields)
    return msgspec.structs.replace(made, path=())


def forged(call):
    bare = form(text="unsigned", msisdn="15551234", messageId="m1", timestamp=str(int(NOW)))
    return [bare, msgspec.structs.replace(bare, path=()), sign(call, at=NOW - 301), sign(call, at=NOW + 301)]


def sent(request):
    assert request.url == "https://rest.nexmo.com/sms/json"
    fields = form_of(request)
    assert fields["api_key"] == "hub"
    assert fields["api_secret"] == "t0ken"
    assert fields["client-ref"] == "d1.abc"
    assert fields["type"] == ("text" if fields["text"].isascii() and "`" not in fields["text"] else "unicode")
    return {"to": "+" + fields["to"], "text": fields["text"], "from": "+" + fields["from"]}


def parts(*statuses, **more):
    made = [
        {"status": status, "message-id": f"p{n}" if status == "0" else "", **more}
        for n, status in enumerate(statuses, 1)
    ]
    return said(200, {"message-count": str(len(made)), "messages": made})


ANSWERS = [
    ("taken", parts("0"), Receipt, "p1"),
    ("two parts", parts("0", "0"), Receipt, ["p1", "p2"]),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    (
        "too fast",
        parts("1", **{"error-text": "Throughput Rate Exceeded - please wait [ 250 ] and retry"}),
        TemporaryFailure,
        "wait",
    ),
    ("wrong key", parts("4", **{"error-text": "Invalid credentials"}), AccountRefused, "credentials"),
    ("no credit", parts("9", **{"error-text": "Partner quota exceeded"}), AccountRefused, "quota"),
    ("no number", parts("6", **{"error-text": "Unroutable message"}), PermanentFailure, "Unroutable"),
    ("barred", parts("7", **{"error-text": "Number barred"}), PermanentFailure, "barred"),
    ("half of it", parts("0", "5"), Unknown, "1 of 2"),
    ("down", said(503, "maintenance"), TemporaryFailure, "maintenance"),
]

TEXT = {"msisdn": "15551234", "to": "15550100", "messageId": "m1", "message-timestamp": "2026-11-22 10:00:00"}
ARRIVALS = [
    ("form", sign(form(text="1+1 & é = 😀", type="unicode", **TEXT)), "+15551234", "1+1 & é = 😀", "m1"),
    ("query", sign(get(text="hi", type="text", **TEXT)), "+15551234", "hi", "m1"),
    ("JSON", sign(json(text="hi", type="text", **TEXT)), "+15551234", "hi", "m1"),
    (
        "a part",
        sign(
            form(text="part", **TEXT, **{"concat": "true", "concat-ref": "9", "concat-total": "2", "concat-part": "2"})
        ),
        "+15551234",
        "part",
        "m1",
    ),
    (
        "binary",
        sign(form(type="binary", data="0102", udh="0500", **TEXT)),
        "+15551234",
        "[binary message, 2 octets]",
        "m1",
    ),
]

REPORTS = [
    ("delivered", sign(get(messageId="p1", status="delivered", **{"err-code": "0"})), "delivered", "p1"),
    ("expired", sign(form(messageId="p1", status="expired", **{"client-ref": "d1.abc"})), "expired", "p1"),
    ("accepted", sign(json(messageId="p1", status="accepted")), "sent", "p1"),
    ("rejected", sign(form(messageId="p1", status="rejected", **{"err-code": "6"})), "failed", "p1"),
    ("buffered", sign(form(messageId="p1", status="buffered")), None, ""),
]
