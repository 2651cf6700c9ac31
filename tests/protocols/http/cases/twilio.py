import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

import msgspec

from msgserver.connector import PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import form, form_of, said, settings

SETTINGS = settings(profile="twilio", user="AC0123", callback_secret=None)
SIGNED = True


def sign(call, url="https://hub.example/in/gateway", token="t0ken"):
    """As Twilio's documentation says it: the URL, then each name and value in order of the names."""
    words = "".join(f"{url}{''.join('/' + part for part in call.path)}")
    words += f"?{call.query.decode()}" if call.query else ""
    for name, value in sorted(parse_qsl(call.body.decode(), keep_blank_values=True)):
        words += name + value
    signature = base64.b64encode(hmac.new(token.encode(), words.encode(), hashlib.sha1).digest()).decode()
    return msgspec.structs.replace(call, headers={**call.headers, "x-twilio-signature": signature})


def forged(call):
    """The signature covers the address; without a callback's address nothing can be checked."""
    bare = {name: value for name, value in call.headers.items() if "signature" not in name}
    change = msgspec.structs.replace
    return [change(call, headers=bare), change(call, path=("other",)), sign(call, url="https://hub.example/in/other")]


def call(**fields):
    made = form(MessageSid="SM1", AccountSid="AC0123", **fields)
    return sign(msgspec.structs.replace(made, path=()))


def sent(request):
    assert request.method == "POST"
    assert request.url == "https://api.twilio.com/2010-04-01/Accounts/AC0123/Messages.json"
    word = base64.b64encode(b"AC0123:t0ken").decode()
    assert ("Authorization", f"Basic {word}") in request.headers
    fields = form_of(request)
    assert fields["StatusCallback"] == "https://hub.example/in/gateway"
    return {"to": fields["To"], "text": fields["Body"], "from": fields["From"]}


def error(status, code, message="words", **headers):
    return said(status, {"code": code, "message": message, "status": status}, **headers)


ANSWERS = [
    ("queued", said(201, {"sid": "SM1", "status": "queued"}), Receipt, "SM1"),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    ("200 without sid", said(200, {"status": "queued"}), PermanentFailure, "did not say"),
    ("no number", error(400, 21211), PermanentFailure, "21211"),
    ("sent STOP", error(400, 21610), PermanentFailure, "STOP"),
    ("too fast", error(429, 20429, retry_after="7"), TemporaryFailure, "20429"),
    ("too fast, by words", error(400, 21611), TemporaryFailure, "21611"),
    ("wrong token", error(401, 20003), AccountRefused, "20003"),
    ("sender is not ours", error(400, 21606), AccountRefused, "21606"),
    ("broken", said(500, "oops"), TemporaryFailure, "500"),
    ("in between gave up", said(502, "bad gateway"), Unknown, "may"),
    ("redirect", said(302, "", location="https://elsewhere.example/"), AccountRefused, "elsewhere.example"),
]

LONG = "This is a long text that came wrapped, which some carriers' gateways do to long texts. " * 2
ARRIVALS = [
    ("text", call(From="+15551234", To="+15550100", Body="1+1 & é 😀", NumMedia="0"), "+15551234", "1+1 & é 😀", "SM1"),
    (
        "wrapped",
        call(From="+15551234", To="+15550100", Body=base64.b64encode(LONG.encode())),
        "+15551234",
        LONG,
        "SM1",
    ),
    (
        "picture",
        call(
            From="+15551234",
            To="+15550100",
            Body="look",
            NumMedia="1",
            MediaUrl0="https://api.twilio.com/m/1",
            MediaContentType0="image/jpeg",
        ),
        "+15551234",
        "look\n[image/jpeg: https://api.twilio.com/m/1]",
        "SM1",
    ),
]

REPORTS = [
    ("delivered", call(MessageStatus="delivered"), "delivered", "SM1"),
    ("sent", call(MessageStatus="sent"), "sent", "SM1"),
    ("undelivered", call(MessageStatus="undelivered", ErrorCode="30005"), "failed", "SM1"),
    ("queued", call(MessageStatus="queued"), None, ""),
]
