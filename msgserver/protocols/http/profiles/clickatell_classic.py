"""Clickatell's classic HTTP API.

-> POST /http/sendmsg   user, password, api_id, to, text, from, concat, unicode=1 with UTF-16BE in hex, cliMsgId
<- 200 ID: 205e85d0578314037a96175249fc6a2b | ERR: 301, No Credit Left; of several numbers a line each, with To: NUMBER
<- GET|POST /in/NAME/SECRET   moMsgId, from, to, text, timestamp, charset, udh
<- GET|POST /in/NAME/SECRET   apiMsgId, cliMsgId, status
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

import msgspec

from msgserver.connector import SendFailure, Unknown
from msgserver.formats.sms import lacking
from msgserver.message import Arrival, Envelope, Receipt, Report
from msgserver.protocols.http.account import Account, digits, form
from msgserver.protocols.http.clickatell_codes import failure_of, state_of
from msgserver.protocols.http.reading import time_of, whole
from msgserver.protocols.http.verdicts import of_status
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused, decoded

URL = "https://api.clickatell.com/http/sendmsg"
NEEDS = ("user", "password")
METHODS = ("GET", "POST")
BATCH = 100

_KIND = (("Content-Type", "application/x-www-form-urlencoded"),)
_ID = re.compile(r"ID:\s*([0-9A-Za-z-]{6,64})")
_TO = re.compile(r"\bTo:\s*\+?([0-9]{3,20})")
_ERROR = re.compile(r"ERR:\s*([0-9]{1,4})(?:,\s*([^\r\n]*))?")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the classic interface alone has."""

    api_id: str  # the number of the HTTP connection, in the account's pages


def request(account: Account, envelope: Envelope) -> Request:
    """One text; what GSM-7 lacks goes as UTF-16 in hex."""
    return batch_request(account, [envelope])


def together(account: Account, envelope: Envelope) -> Hashable:
    """The same text to several numbers is one request."""
    return envelope.text, account.wants_receipt(envelope)


def batch_request(account: Account, envelopes: Sequence[Envelope]) -> Request:
    """One text to several numbers."""
    envelope = envelopes[0]
    unicode = bool(lacking(envelope.text))
    body = form(
        user=account.user,
        password=account.password,
        api_id=account.options.api_id,
        to=",".join(digits(each.to) for each in envelopes),
        text=envelope.text.encode("utf-16-be").hex() if unicode else envelope.text,
        unicode="1" if unicode else "",
        concat=str(min(account.settings.max_parts, 35)),
        mo="1" if account.settings.callback else "",
        cliMsgId=re.sub(r"[^0-9A-Za-z]", "", envelope.ref)[:32] if len(envelopes) == 1 else "",
        callback="7" if account.wants_receipt(envelope) else "",
        **{"from": account.sender.removeprefix("+")},
    )
    return Request("POST", account.url, _KIND, body)


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where the first line has an ID; an ERR comes with status 200 too."""
    error = _ERROR.search(answer.text)
    if error:
        raise failure_of(int(error[1]), error[2] or "")
    taken = _ID.search(answer.text)
    if answer.status < 300 and taken:
        return Receipt((taken[1],))
    raise of_status(answer)


def batch_outcomes(account: Account, envelopes: Sequence[Envelope], answer: Answer) -> list[Receipt | SendFailure]:
    """What became of each, by its line; one line alone is said of all, and a number without a line is not known."""
    lines = answer.text.splitlines()
    by_number = {to[1]: line for line in lines if (to := _TO.search(line))}
    if not by_number:
        return [_outcome(account, answer)] * len(envelopes)
    return [_of_line(account, answer, by_number.get(digits(each.to))) for each in envelopes]


def _of_line(account: Account, answer: Answer, line: str | None) -> Receipt | SendFailure:
    if line is None:
        return Unknown("Clickatell said nothing of this number: it may or may not have been taken")
    return _outcome(account, msgspec.structs.replace(answer, body=line.encode()))


def _outcome(account: Account, answer: Answer) -> Receipt | SendFailure:
    try:
        return receipt(account, answer)
    except SendFailure as failure:
        return failure


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt."""
    fields = call.fields()
    if "status" in fields and "apiMsgId" in fields:
        code = whole(fields.text("status"))
        state = state_of(code)
        words = f"Clickatell {code:03}"
        return [Report(state=state, wire_id=fields.text("apiMsgId"), words=words)] if state else []
    if "from" not in fields or not ("moMsgId" in fields or "text" in fields):
        raise Refused(400, "a call needs moMsgId, from and text, or apiMsgId and status")
    text = decoded(fields.raw("text"), fields.text("charset") or "utf-8")
    when = fields.text("timestamp")
    return [
        account.arrival(
            fields.text("moMsgId"),
            fields.text("from"),
            text,
            to=fields.text("to"),
            sent_at=time_of(when),
            time=when,
            raw=call.body or call.query,
        )
    ]


def credit_request(account: Account) -> Request:
    """The credit left."""
    body = form(user=account.user, password=account.password, api_id=account.options.api_id)
    return Request("POST", account.url.replace("sendmsg", "getbalance"), _KIND, body)


def credit(account: Account, answer: Answer) -> str:
    """As in "12.5"."""
    found = re.search(r"Credit:\s*([0-9.]+)", answer.text)
    return found[1] if found else f"not known: {answer.text[:80].strip()}"
