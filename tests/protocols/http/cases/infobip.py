import json as plain_json

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import SECRET, json, said, settings

SETTINGS = settings(profile="infobip", url="https://x1.api.infobip.example")
SIGNED = False


def sent(request):
    assert request.url == "https://x1.api.infobip.example/sms/3/messages"
    assert ("Authorization", "App t0ken") in request.headers
    (one,) = plain_json.loads(request.body)["messages"]
    assert one["webhooks"]["delivery"]["url"] == f"https://hub.example/in/gateway/{SECRET}"
    return {"to": "+" + one["destinations"][0]["to"], "text": one["content"]["text"], "from": "+" + one["sender"]}


def one(group, name, http=200):
    status = {"groupId": 1, "groupName": group, "id": 26, "name": name, "description": "words"}
    return said(http, {"bulkId": "b", "messages": [{"messageId": "i1", "status": status, "destination": "15551234"}]})


def error(http, name):
    return said(http, {"requestError": {"serviceException": {"messageId": name, "text": "words"}}})


ANSWERS = [
    ("taken", one("PENDING", "PENDING_ACCEPTED"), Receipt, "i1"),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    ("200 and refused", one("REJECTED", "REJECTED_DESTINATION"), PermanentFailure, "REJECTED_DESTINATION"),
    ("no credit", one("REJECTED", "REJECTED_NOT_ENOUGH_CREDITS"), AccountRefused, "CREDITS"),
    ("not our sender", one("REJECTED", "REJECTED_SENDER"), AccountRefused, "SENDER"),
    ("too often", one("REJECTED", "REJECTED_FLOODING_FILTER"), TemporaryFailure, "FLOODING"),
    ("wrong key", error(401, "UNAUTHORIZED"), AccountRefused, "UNAUTHORIZED"),
    ("bad request", error(400, "BAD_REQUEST"), PermanentFailure, "BAD_REQUEST"),
    ("too fast", error(429, "TOO_MANY_REQUESTS"), TemporaryFailure, "TOO_MANY"),
]

TEXT = {"messageId": "m1", "from": "15551234", "to": "15550100", "receivedAt": "2026-11-09T16:00:00.000+0000"}
ARRIVALS = [
    ("text", json(results=[{**TEXT, "text": "1+1 & é 😀", "smsCount": 1}]), "+15551234", "1+1 & é 😀", "m1"),
]


def report(group):
    return json(results=[{"messageId": "i1", "to": "15551234", "status": {"groupName": group}, "error": {}}])


REPORTS = [
    ("delivered", report("DELIVERED"), "delivered", "i1"),
    ("undeliverable", report("UNDELIVERABLE"), "failed", "i1"),
    ("expired", report("EXPIRED"), "expired", "i1"),
    ("rejected", report("REJECTED"), "failed", "i1"),
    ("pending", report("PENDING"), None, ""),
]
