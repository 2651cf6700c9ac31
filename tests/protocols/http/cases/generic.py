import json as plain_json

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused
from msgserver.wire.webhook import Call

from . import SECRET, form, get, json, said, settings

SETTINGS = settings(
    profile="generic",
    url="https://sms.example/v1/{user}/send",
    options={
        "body": "json",
        "template": '{"key": "{password}", "messages": [{"to": "{to_no_plus}", "from": "{from}", "text": "{text}"}]}',
        "success": '"ok": *true',
        "refused": "blocked number",
        "later": "queue full",
        "id": '"id": *"([^"]+)"',
        "in_from": ["from", "message.sender", "sms/@from"],
        "in_text": ["text", "message.text", "sms"],
        "in_id": ["id", "message.id", "sms/@id"],
        "states": {"42": "delivered", "waiting": "ignore"},
        "reply": "OK",
    },
)
SIGNED = False


def sent(request):
    assert request.method == "POST"
    assert request.url == "https://sms.example/v1/hub/send"
    told = plain_json.loads(request.body)
    assert told["key"] == "t0ken"
    (one,) = told["messages"]
    return {"to": "+" + one["to"], "text": one["text"], "from": one["from"]}


ANSWERS = [
    ("taken", said(200, {"ok": True, "id": "g1"}), Receipt, "g1"),
    ("taken without id", said(200, {"ok": True}), Receipt, ""),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    ("200 and an error", said(200, {"ok": False, "error": "x"}), PermanentFailure, "did not say"),
    ("refused", said(200, "blocked number"), PermanentFailure, "blocked"),
    ("not now", said(200, "queue full", retry_after="60"), TemporaryFailure, "queue full"),
    ("too fast", said(429, "slow", retry_after="60"), TemporaryFailure, "slow"),
    ("wrong key", said(401, "no"), AccountRefused, "password"),
    ("bad request", said(422, "no such sender"), PermanentFailure, "no such sender"),
]

XML = b'<?xml version="1.0"?><in><sms from="15551234" id="x1">1+1 &amp; \xc3\xa9</sms></in>'
ARRIVALS = [
    ("form", form(from_="+15551234", text="1+1 & é", id="i1"), "+15551234", "1+1 & é", "i1"),
    ("query", get("received", from_="15551234", text="hi", id="i1"), "+15551234", "hi", "i1"),
    ("JSON", json(message={"sender": "15551234", "text": "é 😀", "id": 7}), "+15551234", "é 😀", "7"),
    ("XML", Call(path=(SECRET,), headers={"content-type": "text/xml"}, body=XML), "+15551234", "1+1 & é", "x1"),
    ("Latin 1", get(from_="15551234", text="é".encode("latin-1"), charset="latin-1", id="i"), "+15551234", "é", "i"),
    ("opted out", form("stopped", from_="15551234", id="i2"), "+15551234", "STOP", "i2"),
]

REPORTS = [
    ("by path", form("delivered", id="g1"), "delivered", "g1"),
    ("by our reference", get("failed", ref="d1.abc"), "failed", "d1.abc"),
    ("by a word", json("report", id="g1", status="Sent"), "sent", "g1"),
    ("by a word of theirs", json("report", id="g1", status=42), "delivered", "g1"),
    ("under way", json("report", id="g1", status="waiting"), None, ""),
]
