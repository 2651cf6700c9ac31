from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import form, form_of, said, settings

SETTINGS = settings(profile="africastalking")
SIGNED = False


def sent(request):
    assert request.url == "https://api.africastalking.com/version1/messaging"
    assert ("apiKey", "t0ken") in request.headers
    fields = form_of(request)
    assert fields["username"] == "hub"
    return {"to": fields["to"], "text": fields["message"], "from": fields["from"]}


def one(code, status, message_id="ATXid_1", http=201):
    told = {"statusCode": code, "number": "+15551234", "status": status, "cost": "KES 0.8000", "messageId": message_id}
    return said(http, {"SMSMessageData": {"Message": "Sent to 1/1", "Recipients": [told]}})


ANSWERS = [
    ("taken", one(101, "Success"), Receipt, "ATXid_1"),
    ("200 and nothing", said(200), PermanentFailure, "did not say"),
    ("200 and failed", one(403, "InvalidPhoneNumber", "None", 200), PermanentFailure, "InvalidPhoneNumber"),
    (
        "no recipients",
        said(200, {"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}),
        AccountRefused,
        "Sender",
    ),
    ("no credit", one(405, "InsufficientBalance", "None"), AccountRefused, "InsufficientBalance"),
    ("blocked", one(406, "UserInBlacklist", "None"), PermanentFailure, "UserInBlacklist"),
    ("broken there", one(500, "InternalServerError", "None"), TemporaryFailure, "InternalServerError"),
    ("wrong key", said(401, "The supplied authentication is invalid"), AccountRefused, "password"),
]

TEXT = {"from_": "+15551234", "to": "15550100", "id": "m1", "date": "2017-05-03T06:04:45Z"}
ARRIVALS = [
    ("text", form(text="1+1 & é 😀", **TEXT), "+15551234", "1+1 & é 😀", "m1"),
    ("another date", form(text="hi", **{**TEXT, "date": "2017-05-03 06:04:45"}), "+15551234", "hi", "m1"),
]

REPORTS = [
    ("delivered", form(id="ATXid_1", status="Success", phoneNumber="+15551234"), "delivered", "ATXid_1"),
    ("sent", form(id="ATXid_1", status="Sent"), "sent", "ATXid_1"),
    ("failed", form(id="ATXid_1", status="Failed", failureReason="UserInBlackList"), "failed", "ATXid_1"),
    ("expired", form(id="ATXid_1", status="Expired"), "expired", "ATXid_1"),
    ("buffered", form(id="ATXid_1", status="Buffered"), None, ""),
]
