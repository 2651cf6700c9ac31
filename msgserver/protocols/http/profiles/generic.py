"""Any gateway, described by templates: what to send, how a "yes" looks, and what its own fields are called.

[connector.local]
type = "http"
profile = "generic"
url = "https://sms.example/send"
password = { file = "var/local.key" }

[connector.local.options]
fields = { key = "{password}", msisdn = "{to_no_plus}", body = "{text}" }
success = '"status": *"ok"'
id = '"id": *"([^"]+)"'

-> METHOD url                      form, JSON, XML or nothing, with {to} {to_no_plus} {text} {from} {id} ...
<- 2xx, and the pattern ``success`` where there is one
<- GET|POST /in/NAME/SECRET[/received]                            an arriving text
<- GET|POST /in/NAME/SECRET/sent|delivered|failed|expired|report  a receipt, by the gateway's id or by ours
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec

from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.formats.sms import substitute
from msgserver.message import Arrival, Envelope, Receipt, Report, ReportState
from msgserver.protocols.http.account import Account, dialled
from msgserver.protocols.http.fields import read_fields
from msgserver.protocols.http.reading import time_of
from msgserver.protocols.http.templates import fill, in_header, in_json, in_url, in_xml, unknown_holes
from msgserver.protocols.http.verdicts import of_status, retry_after, said
from msgserver.settings import Secret
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call, Refused, Reply

METHODS = ("GET", "POST")
WINDOW = 300.0  # seconds that a signed time is good for, either way

_KINDS = {
    "form": "application/x-www-form-urlencoded",
    "json": "application/json",
    "xml": "application/xml; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}
_ESCAPES: dict[str, Callable[[str], str]] = {"form": in_url, "json": in_json, "xml": in_xml, "text": str}
_FIELDS = {"to": "{to}", "from": "{from}", "text": "{text}", "id": "{id}"}
_WORDS = {
    "sent": ReportState.SENT,
    "accepted": ReportState.SENT,
    "delivered": ReportState.DELIVERED,
    "success": ReportState.DELIVERED,
    "delivrd": ReportState.DELIVERED,
    "read": ReportState.DELIVERED,
    "failed": ReportState.FAILED,
    "undelivered": ReportState.FAILED,
    "undeliv": ReportState.FAILED,
    "rejected": ReportState.FAILED,
    "rejectd": ReportState.FAILED,
    "error": ReportState.FAILED,
    "expired": ReportState.EXPIRED,
}


def _pattern(value: str) -> str | None:
    try:
        re.compile(value)
    except re.error as error:
        return f"is no regular expression: {error.msg}"
    return None


_Pattern = Annotated[str, msgspec.Meta(extra={"check": _pattern})]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The templates; names of incoming fields are names, dotted paths (JSON) or paths (XML), the first found counts."""

    method: Literal["GET", "POST", "PUT"] = "POST"
    body: Literal["form", "json", "xml", "text", "none"] = "form"
    query: dict[str, str] = {}
    fields: dict[str, str] = {}  # default: to, from, text and id by these names
    template: str = ""  # the whole body instead of fields; XML and text need it
    headers: dict[str, str] = {}
    basic: bool = False  # user and password by HTTP Basic
    gsm: bool = False  # plain look-alikes for what GSM-7 lacks
    success: _Pattern = ""  # what an accepting answer looks like
    refused: _Pattern = ""  # what a refusal for good looks like
    later: _Pattern = ""  # what "not now" looks like, where it comes with status 200
    id: _Pattern = ""  # where in the answer the gateway's id stands: the first group
    repeat_unknown: bool = False  # the gateway knows a repeated {id}, so repeating is harmless
    in_from: tuple[str, ...] = ("from", "sender", "msisdn")
    in_to: tuple[str, ...] = ("to", "recipient", "destination")
    in_text: tuple[str, ...] = ("text", "message", "body", "content")
    in_id: tuple[str, ...] = ("id", "message_id", "messageId")
    in_time: tuple[str, ...] = ("date", "time", "timestamp")
    charset: str = "utf-8"  # of incoming texts, where the call itself does not say
    report_id: tuple[str, ...] = ("id", "message_id", "messageId")  # the gateway's id of what we sent
    report_ref: tuple[str, ...] = ("ref", "reference", "uuid")  # ours: {id}
    report_state: tuple[str, ...] = ("status", "state")
    states: dict[str, Literal["sent", "delivered", "failed", "expired", "ignore"]] = {}  # its words for them
    signature_secret: Secret | None = None  # its calls are signed with it: HMAC-SHA256, in hex or base64
    signature_header: str = "X-Signature"  # where the signature stands, "sha256=" before it or not
    timestamp_header: str = ""  # where the time stands, if it is signed too: "TIME.BODY"; old calls are then refused
    reply: str = ""  # what it wants to hear
    reply_type: str = "text/plain; charset=utf-8"

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        if self.body in ("xml", "text") and not self.template:
            raise ValueError(f'body = "{self.body}" needs template')
        words = [self.template, *self.query.values(), *self.fields.values(), *self.headers.values()]
        unknown = [hole for word in words for hole in unknown_holes(word)]
        if unknown:
            raise ValueError(
                f"nothing fills {{{unknown[0]}}}; there are {{to}} {{to_no_plus}} {{text}} {{from}} {{id}}"
            )


def request(account: Account, envelope: Envelope) -> Request:
    """One text, by the templates."""
    options: Options = account.options
    to = dialled(envelope.to)
    values = {
        "to": to,
        "to_no_plus": to.removeprefix("+"),
        "text": substitute(envelope.text) if options.gsm else envelope.text,
        "from": account.sender,
        "from_no_plus": account.sender.removeprefix("+"),
        "id": envelope.ref,
        "user": account.user,
        "password": account.password,
        "callback": account.callback() if account.wants_receipt(envelope) else "",
    }
    url = fill(account.url, values, in_url)
    if options.query:
        filled = {name: fill(word, values) for name, word in options.query.items()}
        url += ("&" if "?" in url else "?") + urlencode(filled)
    headers = [(name, in_header(fill(word, values))) for name, word in options.headers.items()]
    if options.basic:
        word = base64.b64encode(f"{account.user}:{account.password}".encode()).decode()
        headers.append(("Authorization", f"Basic {word}"))
    if options.method == "GET" or options.body == "none":
        return Request(options.method, url, tuple(headers))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", _KINDS[options.body]))
    return Request(options.method, url, tuple(headers), _body(options, values))


def _body(options: Options, values: dict[str, str]) -> bytes:
    if options.template:
        return fill(options.template, values, _ESCAPES[options.body]).encode("utf-8", "replace")
    filled = {name: fill(word, values) for name, word in (options.fields or _FIELDS).items()}
    return msgspec.json.encode(filled) if options.body == "json" else urlencode(filled).encode("ascii")


def receipt(account: Account, answer: Answer) -> Receipt:
    """Taken where the status and the pattern say so."""
    options: Options = account.options
    if options.refused and re.search(options.refused, answer.text):
        raise PermanentFailure(f"the gateway refuses it: {said(answer)}")
    if answer.status >= 300:
        raise of_status(answer)
    if options.later and re.search(options.later, answer.text):
        raise TemporaryFailure(f"the gateway cannot take it now: {said(answer)}", retry_after(answer))
    if options.success and not re.search(options.success, answer.text):
        raise PermanentFailure(f"the gateway did not say that it took it: {said(answer)}")
    found = re.search(options.id, answer.text) if options.id else None
    wire_id = (found[1] if found.re.groups else found[0]) if found else ""
    return Receipt((wire_id,) if wire_id else (), words=said(answer))


def items(account: Account, call: Call) -> list[Arrival | Report]:
    """An arriving text, or a receipt: the end of the path says which."""
    options: Options = account.options
    what = call.path[-1] if call.path else ""
    find = read_fields(call, options.charset)
    if what in ("sent", "delivered", "failed", "expired", "report"):
        wire_id, ref = find(options.report_id), find(options.report_ref)
        if not wire_id and not ref:
            raise Refused(400, f"a receipt needs {options.report_id[0]} or {options.report_ref[0]}")
        word = find(options.report_state)
        state = _state(options, word if what == "report" else what)
        return [Report(state=state, wire_id=wire_id, ref=ref, words=word[:200])] if state else []
    if what not in ("", "received", "stopped"):
        raise Refused(404, "this address ends in received, sent, delivered, failed, expired, report or stopped")
    sender = find(options.in_from)
    text = "STOP" if what == "stopped" else find(options.in_text)
    if not sender:
        raise Refused(400, f"a text needs {options.in_from[0]}")
    when = find(options.in_time)
    wire_id, to = find(options.in_id), find(options.in_to)
    raw = call.body or call.query
    return [account.arrival(wire_id, sender, text, to=to, sent_at=time_of(when), time=when, raw=raw)]


def signs(options: Options) -> bool:
    """Whether calls are signed."""
    return options.signature_secret is not None


def authentic(account: Account, call: Call, now: float) -> bool:
    """Check the signature over the body (of a GET, the query), and where the time is signed, that it is not old."""
    options: Options = account.options
    assert options.signature_secret is not None
    words = call.body or call.query
    if options.timestamp_header:
        written = call.headers.get(options.timestamp_header.lower(), "")
        when = time_of(written)
        if when is None or abs(now - when) > WINDOW:
            return False
        words = written.encode() + b"." + words
    given = call.headers.get(options.signature_header.lower(), "").strip().removeprefix("sha256=").encode()
    signed = hmac.new(options.signature_secret.reveal().encode(), words, hashlib.sha256).digest()
    genuine = hmac.compare_digest(signed.hex().encode(), given.lower())
    return genuine | hmac.compare_digest(base64.b64encode(signed), given)


def _state(options: Options, word: str) -> ReportState | None:
    """The state that a word stands for; None: still under way, or of no interest.

    Raises:
        Refused: nobody knows the word.
    """
    if word in options.states:
        meant = options.states[word]
        return None if meant == "ignore" else ReportState(meant)
    known = _WORDS.get(word.lower())
    if known is None:
        raise Refused(400, f"the state {word[:40]!r} is not known: name it in options.states")
    return known


def reply(account: Account, call: Call) -> Reply:
    """What the gateway wants to hear."""
    options: Options = account.options
    return Reply(body=options.reply.encode(), media_type=options.reply_type)
