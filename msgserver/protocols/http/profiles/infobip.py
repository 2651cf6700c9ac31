"""Infobip's SMS API, version 3.

-> POST /sms/3/messages   Authorization: App KEY; {"messages": [{"sender", "destinations": [{"to"}],
   "content": {"text"}, "webhooks": {"delivery": {"url"}}}]}
<- 200 {"messages": [{"messageId", "status": {"groupName": "PENDING", "name", "description"}, "destination"}]}
<- POST /in/NAME/SECRET {"results": [{"messageId", "from", "to", "text", "receivedAt"}]}       arriving texts
<- POST /in/NAME/SECRET {"results": [{"messageId", "to", "status": {"groupName"}, "error"}]}   receipts
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, digits
from msgserver.protocols.http.reading import Thing, time_of
from msgserver.protocols.http.verdicts import AccountRefused, of_status
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused

NEEDS = ("password", "sender")  # and url: every account has an address of its own
BATCH = 100

_ACCOUNT = ("CREDIT", "SENDER", "SOURCE", "NOT_PROVISIONED")
_BAD_NUMBER = ("INVALID_DESTINATION", "UNKNOWN_SUBSCRIBER", "PREFIX_MISSING")
_STATES = {
    "DELIVERED": ReportState.DELIVERED,
    "UNDELIVERABLE": ReportState.FAILED,
    "REJECTED": ReportState.FAILED,
    "EXPIRED": ReportState.EXPIRED,
}


def _key(account: Account) -> tuple[str, str]:
    return ("Authorization", f"App {account.password}")


def request(account: Account, envelope: Envelope) -> Request:
    """One text."""
    return batch_request(account, [envelope])


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where the message is pending or further."""
    listed = list(Thing(answer.json())["messages"])
    outcome = _outcome(answer, listed[0] if listed else Thing(None))
    if isinstance(outcome, SendFailure):
        raise outcome
    return outcome


def batch_request(account: Account, envelopes: Sequence[Envelope]) -> Request:
    """Several texts, each its own."""
    messages = [_message(account, envelope) for envelope in envelopes]
    headers = (_key(account), ("Content-Type", "application/json"), ("Accept", "application/json"))
    body = msgspec.json.encode({"messages": messages})
    return Request("POST", f"{account.url.rstrip('/')}/sms/3/messages", headers, body)


def _message(account: Account, envelope: Envelope) -> dict[str, Any]:
    message: dict[str, Any] = {
        "sender": account.sender.removeprefix("+"),
        "destinations": [{"to": digits(envelope.to)}],
        "content": {"text": envelope.text},
    }
    if account.wants_receipt(envelope):
        message["webhooks"] = {"delivery": {"url": account.callback(), "intermediateReport": False}}
    return message


def batch_outcomes(account: Account, envelopes: Sequence[Envelope], answer: Answer) -> list[Receipt | SendFailure]:
    """What became of each: the answers stand in the order of the messages."""
    listed = list(Thing(answer.json())["messages"])
    listed += [Thing(None)] * (len(envelopes) - len(listed))
    return [_outcome(answer, one) for one in listed[: len(envelopes)]]


def _outcome(answer: Answer, one: Thing) -> Receipt | SendFailure:
    status, wire_id = one["status"], one["messageId"].text
    group, name = status["groupName"].text, status["name"].text
    if answer.status < 300 and wire_id and group in ("PENDING", "DELIVERED"):
        return Receipt((wire_id,), words=name)
    if group:
        words = f"Infobip {name}: {status['description'].text}"[:300]
        if any(word in name for word in _ACCOUNT):
            return AccountRefused(words)
        if "FLOODING" in name or "SYSTEM_ERROR" in name:
            return TemporaryFailure(words)
        return PermanentFailure(words, bad_address=any(word in name for word in _BAD_NUMBER))
    error = Thing(answer.json())["requestError"]["serviceException"]
    words = f"Infobip {error['messageId'].text}: {error['text'].text}"[:300] if error else ""
    return of_status(answer, words)


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """Arriving texts, or receipts, or both."""
    results = list(Thing(call.json())["results"])
    if not results:
        raise Refused(400, "a call needs results")
    found: list[Arrival | Report] = []
    for one in results[:1000]:
        wire_id, group = one["messageId"].text, one["status"]["groupName"].text
        if not wire_id:
            raise Refused(400, "each result needs messageId")
        if group:
            why = one["error"]["description"].text or one["status"]["description"].text
            if group in _STATES:
                found.append(Report(state=_STATES[group], wire_id=wire_id, words=why[:200]))
        elif one["from"]:
            at = time_of(one["receivedAt"].text)
            text, to = one["text"].text, one["to"].text
            raw = msgspec.json.encode(one.value)
            found.append(account.arrival(wire_id, one["from"].text, text, to=to, sent_at=at, raw=raw))
    return found


def credit_request(account: Account) -> Request:
    """The balance."""
    return Request("GET", f"{account.url.rstrip('/')}/account/1/balance", (_key(account),))


def credit(account: Account, answer: Answer) -> str:
    """As in "47.79 EUR"."""
    told = Thing(answer.json())
    return f"{told['balance'].text} {told['currency'].text}".strip() or "not known"
