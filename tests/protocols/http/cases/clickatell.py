from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import json, query_of, said, settings

SETTINGS = settings(profile="clickatell")
SIGNED = False


def sent(request):
    assert request.url.startswith("https://platform.clickatell.com/messages/http/send?")
    fields = query_of(request)
    assert fields["apiKey"] == "t0ken"
    assert "+" not in fields["to"]
    return {"to": "+" + fields["to"], "text": fields["content"], "from": "+" + fields["from"]}


def one(**fields):
    return {"messages": [{"to": "15551234", "accepted": True, "errorCode": None, "error": None, **fields}]}


ANSWERS = [
    ("taken", said(202, one(apiMessageId="a1")), Receipt, "a1"),
    ("taken with 200", said(200, one(apiMessageId="a1")), Receipt, "a1"),
    ("200 and nothing", said(200), PermanentFailure, ""),
    ("200 without id", said(200, one(accepted=False, error="refused")), PermanentFailure, "refused"),
    ("no number", said(202, one(accepted=False, errorCode=105, error="Invalid")), PermanentFailure, "105"),
    ("no credit", said(402, {"messages": [], "error": "no funds"}), AccountRefused, "funds"),
    ("wrong key", said(401, {"messages": [], "errorCode": 108, "error": "Invalid key"}), AccountRefused, "108"),
    ("too fast", said(429, "slow down", retry_after="9"), TemporaryFailure, "429"),
]

TEXT = {"messageId": "m1", "fromNumber": "15551234", "toNumber": "15550100", "timestamp": 1790000000000}
ARRIVALS = [
    ("text", json(text="1+1 & é 😀", charset="UTF-8", **TEXT), "+15551234", "1+1 & é 😀", "m1"),
    ("Latin 1", json(text="caf%E9+%2B", charset="ISO-8859-1", **TEXT), "+15551234", "café +", "m1"),
    ("UTF-16", json(text="%04%25%040", charset="UTF-16BE", **TEXT), "+15551234", "Ха", "m1"),
]

REPORTS = [
    ("sent", json(messageId="a1", statusCode=3), "sent", "a1"),
    ("on the phone", json(messageId="a1", statusCode=4), "delivered", "a1"),
    ("refused", json(messageId="a1", statusCode=9), "failed", "a1"),
    ("too late", json(messageId="a1", statusCode=10), "expired", "a1"),
    ("queued", json(messageId="a1", statusCode=11), None, ""),
]
