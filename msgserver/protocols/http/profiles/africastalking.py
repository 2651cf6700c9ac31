"""Africa's Talking.

-> POST /version1/messaging   header apiKey; username, to (several with commas), message, from, bulkSMSMode=1
<- 201 {"SMSMessageData": {"Message": ..., "Recipients": [{"statusCode": 101, "number", "status", "messageId"}]}}
<- POST /in/NAME/SECRET   id, text, from, to, date                       an arriving text
<- POST /in/NAME/SECRET   id, status, phoneNumber, failureReason         a receipt
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, dialled, form
from msgserver.protocols.http.reading import Thing, time_of
from msgserver.protocols.http.verdicts import AccountRefused, of_status
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused

URL = "https://api.africastalking.com/version1/messaging"
NEEDS = ("user", "password")
BATCH = 100

_TAKEN = {100, 101, 102}
_ACCOUNT = {401, 402, 405}
_BAD_NUMBER = {403, 404}
_LATER = {500, 501}
_STATES = {
    "Sent": ReportState.SENT,
    "Submitted": ReportState.SENT,
    "Success": ReportState.DELIVERED,
    "Rejected": ReportState.FAILED,
    "Failed": ReportState.FAILED,
    "AbsentSubscriber": ReportState.FAILED,
    "Expired": ReportState.EXPIRED,
}


def request(account: Account, envelope: Envelope) -> Request:
    """One text."""
    return batch_request(account, [envelope])


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where the recipient has a status code that says so."""
    listed = list(Thing(answer.json())["SMSMessageData"]["Recipients"])
    outcome = _outcome(answer, listed[0] if listed else Thing(None))
    if isinstance(outcome, SendFailure):
        raise outcome
    return outcome


def together(account: Account, envelope: Envelope) -> Hashable:
    """The same text to several numbers is one request."""
    return envelope.text


def batch_request(account: Account, envelopes: Sequence[Envelope]) -> Request:
    """One text to several numbers."""
    fields = {
        "username": account.user,
        "to": ",".join(dialled(envelope.to) for envelope in envelopes),
        "message": envelopes[0].text,
        "from": account.sender,
        "bulkSMSMode": "1",
    }
    headers = (
        ("apiKey", account.password),
        ("Accept", "application/json"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    )
    return Request("POST", account.url, headers, form(**fields))


def batch_outcomes(account: Account, envelopes: Sequence[Envelope], answer: Answer) -> list[Receipt | SendFailure]:
    """What became of each, found by its number."""
    listed = list(Thing(answer.json())["SMSMessageData"]["Recipients"])
    if len(listed) == 1 == len(envelopes):
        return [_outcome(answer, listed[0])]
    by_number = {account.number(one["number"].text): one for one in listed}
    return [_outcome(answer, by_number.get(account.number(each.to.value), Thing(None))) for each in envelopes]


def _outcome(answer: Answer, one: Thing) -> Receipt | SendFailure:
    code, wire_id, words = one["statusCode"].number, one["messageId"].text, one["status"].text
    if answer.status < 300 and code in _TAKEN and wire_id not in ("", "None"):
        return Receipt((wire_id,), words=one["cost"].text)
    words = words or Thing(answer.json())["SMSMessageData"]["Message"].text
    said = f"Africa's Talking {code if code > 0 else ''}: {words}".replace(" :", ":")[:300]
    if code in _ACCOUNT or words in ("InvalidSenderId", "InsufficientBalance"):
        return AccountRefused(said)
    if code in _LATER:
        return TemporaryFailure(said)
    if code > 0 or (answer.status < 300 and words):
        return PermanentFailure(said, bad_address=code in _BAD_NUMBER)
    return of_status(answer)


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt."""
    fields = call.fields()
    wire_id = fields.text("id")
    if not wire_id:
        raise Refused(400, "a call needs id")
    if "status" in fields:
        state = _STATES.get(fields.text("status"))
        words = f"{fields.text('status')} {fields.text('failureReason')}".strip()
        return [Report(state=state, wire_id=wire_id, words=words)] if state else []
    sender, text, at = fields.text("from"), fields.text("text"), time_of(fields.text("date"))
    return [account.arrival(wire_id, sender, text, to=fields.text("to"), sent_at=at, raw=call.body)]


def credit_request(account: Account) -> Request:
    """The balance."""
    query = form(username=account.user).decode()
    place = account.url.rpartition("/")[0]
    return Request("GET", f"{place}/user?{query}", (("apiKey", account.password), ("Accept", "application/json")))


def credit(account: Account, answer: Answer) -> str:
    """As in "KES 1785.50"."""
    return Thing(answer.json())["UserData"]["balance"].text or "not known"
