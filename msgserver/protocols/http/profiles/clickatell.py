"""Clickatell's platform: its HTTP interface and its callbacks.

-> GET /messages/http/send?apiKey=&to=&content=&from=      numbers without +, several with commas
<- 200|202 {"messages": [{"apiMessageId": ..., "accepted": true, "to": ..., "errorCode": ..., "error": ...}]}
<- POST /in/NAME/SECRET {"messageId", "fromNumber", "toNumber", "timestamp", "text", "charset"}
<- POST /in/NAME/SECRET {"messageId", "statusCode", "status"}
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from urllib.parse import unquote_to_bytes, urlencode

from msgserver.connector import PermanentFailure, SendFailure
from msgserver.message import Arrival, Envelope, Receipt, Report
from msgserver.protocols.http.account import Account, digits
from msgserver.protocols.http.clickatell_codes import failure_of, state_of
from msgserver.protocols.http.reading import Thing, time_of
from msgserver.protocols.http.verdicts import of_status
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused, decoded

URL = "https://platform.clickatell.com/messages/http/send"
NEEDS = ("password",)
BATCH = 100


def request(account: Account, envelope: Envelope) -> Request:
    """One text."""
    return batch_request(account, [envelope])


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where there is an apiMessageId; a 200 without one is a refusal."""
    listed = list(Thing(answer.json())["messages"])
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
        "apiKey": account.password,
        "to": ",".join(digits(envelope.to) for envelope in envelopes),
        "content": envelopes[0].text,
        "from": account.sender.removeprefix("+"),
    }
    return Request("GET", f"{account.url}?{urlencode({name: v for name, v in fields.items() if v})}")


def batch_outcomes(account: Account, envelopes: Sequence[Envelope], answer: Answer) -> list[Receipt | SendFailure]:
    """What became of each, found by its number."""
    listed = list(Thing(answer.json())["messages"])
    by_number = {one["to"].text.removeprefix("+"): one for one in listed}
    if len(listed) == 1 == len(envelopes):
        return [_outcome(answer, listed[0])]
    return [_outcome(answer, by_number.get(digits(envelope.to), Thing(None))) for envelope in envelopes]


def _outcome(answer: Answer, one: Thing) -> Receipt | SendFailure:
    wire_id = one["apiMessageId"].text
    if answer.status in (200, 202) and wire_id and one["accepted"].value is not False:
        return Receipt((wire_id,))
    top = Thing(answer.json())
    words = one["errorDescription"].text or one["error"].text or top["errorDescription"].text or top["error"].text
    code = one["errorCode"].number if one["errorCode"] else top["errorCode"].number
    if code >= 0:
        return failure_of(code, words)
    if answer.status < 300 and words:
        return PermanentFailure(f"Clickatell refuses it: {words[:200]}")
    return of_status(answer, words)


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt."""
    told = Thing(call.json())
    wire_id = told["messageId"].text
    if not wire_id:
        raise Refused(400, "a call needs messageId")
    if told["fromNumber"]:
        charset = told["charset"].text.upper()
        text = told["text"].text
        if charset in ("ISO-8859-1", "UTF-16BE"):  # then the text is percent-escaped bytes
            text = decoded(unquote_to_bytes(text.replace("+", " ")), charset)
        to, at = told["toNumber"].text, time_of(told["timestamp"].text)
        return [account.arrival(wire_id, told["fromNumber"].text, text, to=to, sent_at=at, raw=call.body)]
    code = told["statusCode"].number
    state = state_of(code)
    if state is None:
        return []
    words = f"Clickatell {code}: {told['statusDescription'].text or told['status'].text}".rstrip(": ")
    return [Report(state=state, wire_id=wire_id, words=words)]
