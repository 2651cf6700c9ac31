from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import form, form_of, get, said, settings

SETTINGS = settings(profile="clickatell_classic", options={"api_id": "3141"})
SIGNED = False


def sent(request):
    fields = form_of(request)
    assert request.url == "https://api.clickatell.com/http/sendmsg"
    assert fields["api_id"] == "3141"
    text = fields["text"]
    if fields.get("unicode") == "1":
        text = bytes.fromhex(text).decode("utf-16-be")
    return {"to": "+" + fields["to"], "text": text, "from": "+" + fields["from"]}


ANSWERS = [
    ("taken", said(200, "ID: 205e85d0578314037a96175249fc6a2b"), Receipt, "205e85d0578314037a96175249fc6a2b"),
    ("200 and nothing", said(200), PermanentFailure, ""),
    ("wrong password", said(200, "ERR: 001, Authentication failed"), AccountRefused, "001"),
    ("no credit", said(200, "ERR: 301, No Credit Left"), AccountRefused, "No Credit"),
    ("no number", said(200, "ERR: 105, Invalid Destination Address"), PermanentFailure, "105"),
    ("opted out", said(200, "ERR: 122, Destination mobile opted out"), PermanentFailure, "122"),
    ("broken there", said(200, "ERR: 901, Internal error"), TemporaryFailure, "901"),
    ("down", said(503, "maintenance"), TemporaryFailure, "maintenance"),
]

TEXT = {"api_id": "3141", "moMsgId": "mo1", "from_": "15551234", "to": "15550100"}
ARRIVALS = [
    ("text", form(text="1+1 & é", charset="UTF-8", **TEXT), "+15551234", "1+1 & é", "mo1"),
    ("Latin 1", get(text="caf\xe9".encode("latin-1"), charset="ISO-8859-1", **TEXT), "+15551234", "café", "mo1"),
    ("UTF-16", get(text="Ха".encode("utf-16-be"), charset="UTF-16BE", **TEXT), "+15551234", "Ха", "mo1"),
]

REPORTS = [
    ("sent", get(apiMsgId="a1", cliMsgId="d1", status="003"), "sent", "a1"),
    ("on the phone", form(apiMsgId="a1", status="004"), "delivered", "a1"),
    ("refused", form(apiMsgId="a1", status="007"), "failed", "a1"),
    ("queued", form(apiMsgId="a1", status="002"), None, ""),
]
