"""Jasmin's HTTP API.

-> POST /send   username, password, from, to, hex-content, coding, priority, dlr, dlr-url, dlr-level, dlr-method
<- 200 Success "07033084-5cfd-4812-90a4-e4d24ffb6e3d";  4xx, 5xx Error "..."
<- POST /in/NAME/SECRET   id, from, to, origin-connector, coding, content, binary (hex)       an arriving text
<- POST /in/NAME/SECRET   id, level, message_status, id_smsc, err, donedate                   a receipt
-> ACK/Jasmin             anything else, and it comes again
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.formats.sms import GSM7, decode, encode, lacking
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, dialled, form
from msgserver.protocols.http.reading import Thing
from msgserver.protocols.http.verdicts import AccountRefused, of_status, said
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Fields, Refused, Reply, decoded

URL = "http://127.0.0.1:1401/send"
NEEDS = ("user", "password")
METHODS = ("GET", "POST")

_TAKEN = re.compile(r'Success\s+"([^"]{1,100})"')
_STATES = {
    "ESME_ROK": ReportState.SENT,
    "ACCEPTD": ReportState.SENT,
    "ENROUTE": None,
    "UNKNOWN": None,
    "DELIVRD": ReportState.DELIVERED,
    "EXPIRED": ReportState.EXPIRED,
}


def request(account: Account, envelope: Envelope) -> Request:
    """One text, as hex so that nobody re-reads it in another charset on the way."""
    unicode = bool(lacking(envelope.text))
    content = envelope.text.encode("utf-16-be") if unicode else encode(envelope.text, GSM7)
    fields = {
        "username": account.user,
        "password": account.password,
        "from": account.sender,
        "to": dialled(envelope.to),
        "hex-content": content.hex(),
        "coding": "8" if unicode else "0",
        "priority": str(envelope.priority),
    }
    if account.wants_receipt(envelope):
        fields |= {"dlr": "yes", "dlr-level": "3", "dlr-method": "POST", "dlr-url": account.callback()}
    return Request("POST", account.url, (("Content-Type", "application/x-www-form-urlencoded"),), form(**fields))


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where it says Success."""
    taken = _TAKEN.search(answer.text)
    if answer.status < 300 and taken:
        return Receipt((taken[1],))
    words = f"Jasmin: {said(answer)}"
    if answer.status == 403 and "hroughput" in words:
        raise TemporaryFailure(words, 1.0)
    if answer.status == 403:
        raise AccountRefused(words)
    if answer.status in (412, 500):
        raise TemporaryFailure(words)
    if answer.status == 400:
        raise PermanentFailure(words)
    raise of_status(answer)


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt."""
    fields = call.fields()
    wire_id = fields.text("id")
    if not wire_id:
        raise Refused(400, "a call needs id")
    if "message_status" in fields:
        word = fields.text("message_status")
        state = _STATES.get(word, ReportState.FAILED)
        words = f"{word} {fields.text('err')} {fields.text('text')}".strip()
        return [Report(state=state, wire_id=wire_id, words=words[:200])] if state else []
    facts = {"connector": fields.text("origin-connector")} if "origin-connector" in fields else {}
    text, sender, to = _text(fields), fields.text("from"), fields.text("to")
    return [account.arrival(wire_id, sender, text, to=to, raw=call.body or call.query, facts=facts)]


def _text(fields: Fields) -> str:
    """The text by its coding (3GPP TS 23.038 as SMPP's data_coding): 8 is UTF-16, 3 Latin 1, 0 the network's own."""
    coding = fields.text("coding")
    try:
        content = bytes.fromhex(fields.text("binary"))
    except ValueError:
        content = b""
    if not content:
        return decoded(fields.raw("content"), {"8": "utf-16-be", "3": "latin-1"}.get(coding, "utf-8"))
    if coding in ("8", "3"):
        return decoded(content, "utf-16-be" if coding == "8" else "latin-1")
    if coding == "0" and all(octet < 0x80 for octet in content):
        return decode(content, GSM7)
    return decoded(content, "utf-8")


def reply(account: Account, call: Call) -> Reply:
    """The words it waits for."""
    return Reply(body=b"ACK/Jasmin")


def credit_request(account: Account) -> Request:
    """The balance."""
    place = urlunsplit(urlsplit(account.url)._replace(path="/balance", query=""))
    return Request("GET", f"{place}?{form(username=account.user, password=account.password).decode()}")


def credit(account: Account, answer: Answer) -> str:
    """As in "10.23"; ND is no limit."""
    return Thing(answer.json())["balance"].text or "not known"
