import base64
import hashlib
import hmac
import json as plain_json
import os

import msgspec

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import NOW, form, get, json, said, settings

os.environ["TEST_MESSAGEBIRD_KEY"] = "signing-key"
SETTINGS = settings(
    profile="messagebird",
    callback_secret=None,
    options={"signing_key": {"env": "TEST_MESSAGEBIRD_KEY"}},
)
SIGNED = True


def packed(value):
    raw = value if isinstance(value, bytes) else plain_json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(call, token="signing-key", at=NOW, alg="HS256"):
    call = msgspec.structs.replace(call, path=())
    url = "https://hub.example/in/gateway" + (f"?{call.query.decode()}" if call.query else "")
    claims = {"iss": "MessageBird", "nbf": int(at) - 1, "exp": int(at) + 60, "jti": "j1"}
    claims["url_hash"] = hashlib.sha256(url.encode()).hexdigest()
    if call.body:
        claims["payload_hash"] = hashlib.sha256(call.body).hexdigest()
    words = f"{packed({'alg': alg, 'typ': 'JWT'})}.{packed(claims)}"
    mark = hmac.new(token.encode(), words.encode(), hashlib.sha256).digest() if alg != "none" else b""
    headers = {**call.headers, "messagebird-signature-jwt": f"{words}.{packed(mark)}"}
    return msgspec.structs.replace(call, headers=headers)


def forged(call):
    change = msgspec.structs.replace
    return [
        change(call, headers={}),
        change(call, path=("x",)),
        sign(call, at=NOW - 700),
        sign(call, at=NOW + 400),
        sign(call, alg="none"),
    ]


def sent(request):
    assert request.url == "https://rest.messagebird.com/messages"
    assert ("Authorization", "AccessKey t0ken") in request.headers
    told = plain_json.loads(request.body)
    assert told["reference"] == "d1.abc"
    assert told["reportUrl"] == "https://hub.example/in/gateway"
    (to,) = told["recipients"]
    return {"to": f"+{to}", "text": told["body"], "from": told["originator"]}


def error(http, code, parameter=""):
    return said(http, {"errors": [{"code": code, "description": "words", "parameter": parameter}]})


ANSWERS = [
    ("taken", said(201, {"id": "b1", "recipients": {"totalSentCount": 1}}), Receipt, "b1"),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    ("200 and an error", error(200, 9, "recipients"), PermanentFailure, "recipients"),
    ("wrong key", error(401, 2, "access_key"), AccountRefused, "access_key"),
    ("no credit", error(422, 25), AccountRefused, "25"),
    ("not our sender", error(422, 10, "originator"), AccountRefused, "originator"),
    ("broken there", error(500, 99), TemporaryFailure, "99"),
]

TEXT = {"originator": "15551234", "recipient": "15550100", "id": "m1", "createdDatetime": "2026-11-09T16:00:00+00:00"}
ARRIVALS = [
    ("form", sign(form(body="1+1 & é 😀", **TEXT)), "+15551234", "1+1 & é 😀", "m1"),
    ("JSON", sign(json(body="hi", **TEXT)), "+15551234", "hi", "m1"),
    (
        "short code",
        sign(get(mid="m2", originator="15551234", shortcode="8008", message="hi")),
        "+15551234",
        "hi",
        "m2",
    ),
]

REPORTS = [
    ("delivered", sign(get(id="b1", reference="d1.abc", status="delivered")), "delivered", "b1"),
    ("sent", sign(get(id="b1", status="sent")), "sent", "b1"),
    ("failed", sign(form(id="b1", status="delivery_failed", statusErrorCode="27")), "failed", "b1"),
    ("expired", sign(get(id="b1", status="expired")), "expired", "b1"),
    ("buffered", sign(get(id="b1", status="buffered")), None, ""),
]
