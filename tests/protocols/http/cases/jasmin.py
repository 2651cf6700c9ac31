from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.formats.sms import GSM7, decode
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import SECRET, form, form_of, get, said, settings

SETTINGS = settings(profile="jasmin", url="http://jasmin.example:1401/send")
SIGNED = False


def sent(request):
    assert request.url == "http://jasmin.example:1401/send"
    fields = form_of(request)
    assert fields["username"] == "hub"
    assert fields["password"] == "t0ken"
    assert fields["dlr-url"] == f"https://hub.example/in/gateway/{SECRET}"
    content = bytes.fromhex(fields["hex-content"])
    text = content.decode("utf-16-be") if fields["coding"] == "8" else decode(content, GSM7)
    return {"to": fields["to"], "text": text, "from": fields["from"]}


ANSWERS = [
    ("taken", said(200, 'Success "07033084-5cfd"'), Receipt, "07033084-5cfd"),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    ("wrong password", said(403, 'Error "Authentication failure for username:hub"'), AccountRefused, "Authentication"),
    ("too fast", said(403, 'Error "Throughput limit"'), TemporaryFailure, "Throughput"),
    ("no route", said(412, 'Error "No route found"'), TemporaryFailure, "route"),
    ("bad request", said(400, 'Error "Argument [to] has an invalid value"'), PermanentFailure, "invalid"),
    ("no line", said(500, 'Error "Cannot send submit_sm"'), TemporaryFailure, "submit_sm"),
]

TEXT = {"id": "m1", "from_": "15551234", "to": "15550100", "origin-connector": "smpp1"}
ARRIVALS = [
    ("GSM-7", form(coding="0", content="h\x02", binary="6802", **TEXT), "+15551234", "h$", "m1"),
    ("UTF-8", form(coding="0", content="é", binary="c3a9", **TEXT), "+15551234", "é", "m1"),
    ("UTF-16", form(coding="8", content=b"\x04%", binary="0425", **TEXT), "+15551234", "Х", "m1"),
    ("UTF-16 without hex", get(coding="8", content=b"\x04%", **TEXT), "+15551234", "Х", "m1"),
    ("Latin 1", form(coding="3", content=b"\xe9", binary="e9", **TEXT), "+15551234", "é", "m1"),
]

REPORTS = [
    ("taken by the network", form(id="j1", level="1", message_status="ESME_ROK"), "sent", "j1"),
    ("refused by the network", form(id="j1", level="1", message_status="ESME_RINVNUMDESTS"), "failed", "j1"),
    ("delivered", form(id="j1", level="2", message_status="DELIVRD", err="000"), "delivered", "j1"),
    ("expired", get(id="j1", level="2", message_status="EXPIRED"), "expired", "j1"),
    ("under way", form(id="j1", level="2", message_status="ENROUTE"), None, ""),
]
