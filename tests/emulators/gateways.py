"""SMS gateways on loopback: real HTTP servers that answer as the gateways' documentation says, failures included.

    gateway = Gateway("twilio", reactor)
    gateway.url, gateway.mood = ..., "busy"
    gateway.asked       what was asked of it, one a request
    gateway.raw         every byte it heard
    await gateway.stop()

A mood is one of the gateway's own (``MOODS``) or one of ``FAULTS``, which happen to any server.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

Said = tuple[int, dict[str, str], str]
FAULTS = ("silent", "hangs up", "resets", "page", "redirect", "endless", "down")


class Asked(msgspec.Struct, frozen=True):
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """Query and form."""
        return {**self.query, **dict(parse_qsl(self.body.decode("latin-1"), keep_blank_values=True))}

    def json(self) -> Any:
        return json.loads(self.body)


def says(status: int, body: Any, **headers: str) -> Said:
    text = body if isinstance(body, str) else json.dumps(body)
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, text


Mood = Callable[[Asked, int], Said]  # what was asked, and the number of the first id to give


def _always(status: int, body: Any, **headers: str) -> Mood:
    return lambda asked, n: says(status, body, **headers)


# Twilio


def _twilio(status: int, code: int, **headers: str) -> Mood:
    return _always(status, {"code": code, "message": f"words of {code}", "status": status}, **headers)


def _clickatell(asked: Asked, n: int) -> Said:
    numbers = asked.fields["to"].split(",")
    listed = []
    for at, number in enumerate(numbers):
        bad = number.endswith("000")
        one = {"apiMessageId": None if bad else f"c{n + at}", "accepted": not bad, "to": number}
        listed.append({**one, "errorCode": 105 if bad else None, "error": "Invalid number" if bad else None})
    return says(202, {"messages": listed, "error": None})


def _classic(asked: Asked, n: int) -> Said:
    numbers = asked.fields["to"].split(",")
    lines = [
        "ERR: 105, Invalid Destination Address" if number.endswith("000") else f"ID: {n + at:032x}"
        for at, number in enumerate(numbers)
    ]
    if len(numbers) > 1:
        lines = [f"{line} To: {number}" for line, number in zip(lines, numbers, strict=True)]
    return says(200, "\n".join(lines))


def _bird(asked: Asked, n: int) -> Said:
    listed = [
        {"recipient": int(number), "status": "delivery_failed" if number.endswith("000") else "sent"}
        for number in asked.json()["recipients"]
    ]
    if all(one["status"] == "delivery_failed" for one in listed):
        return says(
            422, {"errors": [{"code": 9, "description": "no (correct) recipients found", "parameter": "recipient"}]}
        )
    return says(201, {"id": f"b{n}", "recipients": {"totalCount": len(listed), "items": listed}})


def _africas(code: int, status: str) -> Mood:
    def answer(asked: Asked, n: int) -> Said:
        listed = [
            {
                "statusCode": 403 if number.endswith("000") else code,
                "number": number,
                "status": "InvalidPhoneNumber" if number.endswith("000") else status,
                "cost": "KES 0.8000",
                "messageId": f"ATXid_{n + at}" if code == 101 and not number.endswith("000") else "None",
            }
            for at, number in enumerate(asked.fields["to"].split(","))
        ]
        return says(201, {"SMSMessageData": {"Message": "Sent", "Recipients": listed}})

    return answer


def _infobip(group: str, name: str) -> Mood:
    def answer(asked: Asked, n: int) -> Said:
        listed = []
        for at, message in enumerate(asked.json()["messages"]):
            number = message["destinations"][0]["to"]
            status = {"groupName": group, "name": name, "description": "words"}
            if number.endswith("000"):
                status = {"groupName": "REJECTED", "name": "REJECTED_INVALID_DESTINATION", "description": "words"}
            listed.append({"messageId": f"i{n + at}", "status": status, "destination": number})
        return says(200, {"bulkId": "b1", "messages": listed})

    return answer


def _vonage(status: str, words: str = "") -> Mood:
    def answer(asked: Asked, n: int) -> Said:
        part = {"to": asked.fields["to"], "status": status, "error-text": words}
        if status == "0":
            part["message-id"] = f"v{n}"
        return says(200, {"message-count": "1", "messages": [part]})

    return answer


def _messagebird(status: int, code: int, parameter: str = "") -> Mood:
    return _always(status, {"errors": [{"code": code, "description": "words", "parameter": parameter}]})


MOODS: dict[str, dict[str, Mood]] = {
    "generic": {
        "takes": lambda asked, n: says(200, {"ok": True, "id": f"g{n}"}),
        "busy": _always(429, "slow down", Retry_After="7"),
        "refuses": _always(422, "no such number"),
        "not ours": _always(401, "who are you"),
        "no credit": _always(402, "no credit"),
    },
    "kannel": {
        "takes": _always(202, "0: Accepted for delivery"),
        "busy": _always(503, "Temporal failure, try again later."),
        "refuses": _always(400, "Missing 'to' number, rejected"),
        "not ours": _always(403, "Authorization failed for sendsms"),
    },
    "twilio": {
        "takes": lambda asked, n: says(201, {"sid": f"SM{n}", "status": "queued"}),
        "busy": _twilio(429, 20429, Retry_After="7"),
        "refuses": _twilio(400, 21610),
        "not ours": _twilio(401, 20003),
    },
    "clickatell": {
        "takes": _clickatell,
        "busy": _always(503, {"messages": [], "error": "busy"}),
        "all or none": lambda asked, n: (
            says(400, {"messages": [], "errorCode": 105, "error": "Invalid number"})
            if "," in asked.fields["to"]
            else _clickatell(asked, n)
        ),
        "refuses": _always(400, {"messages": [], "errorCode": 113, "error": "too long"}),
        "not ours": _always(401, {"messages": [], "errorCode": 108, "error": "Invalid key"}),
        "no credit": _always(402, {"messages": [], "errorCode": 301, "error": "No Credit Left"}),
    },
    "clickatell_classic": {
        "takes": _classic,
        "busy": _always(200, "ERR: 901, Internal error - please retry"),
        "forgets": lambda asked, n: says(200, f"ID: {n:032x} To: {asked.fields['to'].split(',')[0]}"),
        "refuses": _always(200, "ERR: 105, Invalid Destination Address"),
        "not ours": _always(200, "ERR: 001, Authentication failed"),
        "no credit": _always(200, "ERR: 301, No Credit Left"),
    },
    "vonage": {
        "takes": _vonage("0"),
        "busy": _vonage("1", "Throughput Rate Exceeded - please wait [ 250 ] and retry"),
        "refuses": _vonage("7", "Number barred"),
        "not ours": _vonage("4", "Bad Credentials"),
        "no credit": _vonage("9", "Partner quota exceeded"),
    },
    "africastalking": {
        "takes": _africas(101, "Success"),
        "busy": _africas(500, "InternalServerError"),
        "refuses": _africas(406, "UserInBlacklist"),
        "not ours": _always(401, "The supplied authentication is invalid"),
        "no credit": _africas(405, "InsufficientBalance"),
    },
    "infobip": {
        "takes": _infobip("PENDING", "PENDING_ACCEPTED"),
        "busy": _infobip("REJECTED", "REJECTED_FLOODING_FILTER"),
        "refuses": _infobip("REJECTED", "REJECTED_DESTINATION"),
        "not ours": _always(401, {"requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "no"}}}),
        "no credit": _infobip("REJECTED", "REJECTED_NOT_ENOUGH_CREDITS"),
    },
    "messagebird": {
        "takes": _bird,
        "busy": _messagebird(500, 99),
        "refuses": _messagebird(422, 9, "recipients"),
        "not ours": _messagebird(401, 2, "access_key"),
        "no credit": _messagebird(422, 25),
    },
    "jasmin": {
        "takes": lambda asked, n: says(200, f'Success "j{n}"'),
        "busy": _always(500, 'Error "Cannot send submit_sm"'),
        "refuses": _always(400, 'Error "Argument [to] has an invalid value"'),
        "not ours": _always(403, 'Error "Authentication failure for username:hub"'),
    },
}

CREDIT = {
    "/2010-04-01/Accounts/hub/Balance.json": '{"balance": "12.30", "currency": "USD"}',
    "/http/getbalance": "Credit: 12.5",
    "/account/get-balance": '{"value": 10.28, "autoReload": false}',
    "/version1/user": '{"UserData": {"balance": "KES 1785.50"}}',
    "/account/1/balance": '{"balance": 47.79, "currency": "EUR"}',
    "/balance": '{"payment": "prepaid", "type": "credits", "amount": 42.5, "balance": "9.5", "sms_count": "ND"}',
}
PATHS = {
    "twilio": "",
    "infobip": "",
    "africastalking": "/version1/messaging",
    "clickatell_classic": "/http/sendmsg",
}


class _Channel(HTTPChannel):
    """Keeps the bytes as they came."""

    def dataReceived(self, data: bytes) -> None:
        self.factory.gateway.raw += data
        super().dataReceived(data)


class Gateway(Resource):
    """One gateway on a port of its own."""

    isLeaf = True

    def __init__(self, kind: str, reactor: Any) -> None:
        super().__init__()
        self.mood = "takes"
        self.raw = b""
        self.asked: list[Asked] = []
        self._moods = MOODS[kind]
        self._given = 0
        self._unanswered: list[tuple[Asked, Any]] = []
        site = Site(self, reactor=reactor)
        site.protocol = _Channel
        site.gateway = self
        site.noisy = False
        self._port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self._path = PATHS.get(kind, "/send")
        self._channels: set[Any] = set()

    @property
    def url(self) -> str:
        """What to set as the connector's ``url``."""
        return f"http://127.0.0.1:{self._port.getHost().port}{self._path}"

    def answer_late(self) -> None:
        """Answer what was left without an answer (in the mood "silent"), as in the mood of now."""
        waiting, self._unanswered = self._unanswered, []
        for asked, request in waiting:
            body = self._answer(asked, request)
            request.write(body)
            request.finish()

    async def stop(self) -> None:
        """Close the port and what hangs."""
        for channel in self._channels:
            if channel.transport is not None:
                channel.transport.abortConnection()
        await maybeDeferred(self._port.stopListening)

    def render(self, request: Any) -> Any:
        asked = Asked(
            request.method.decode(),
            request.path.decode(),
            dict(parse_qsl(urlsplit(request.uri.decode()).query, keep_blank_values=True)),
            {n.decode().lower(): v[-1].decode("latin-1") for n, v in request.requestHeaders.getAllRawHeaders()},
            request.content.read(),
        )
        if asked.path in CREDIT:
            return CREDIT[asked.path].encode()
        self.asked.append(asked)
        self._channels.add(request.channel)
        if self.mood in FAULTS:
            if self.mood == "silent":
                self._unanswered.append((asked, request))
            return self._fault(request)
        return self._answer(asked, request)

    def _answer(self, asked: Asked, request: Any) -> bytes:
        self._given += 100
        status, headers, body = self._moods[self.mood](asked, self._given)
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name, value)
        return body.encode()

    def _fault(self, request: Any) -> Any:
        if self.mood == "page":
            return b"<html><body>Log in to the hotel's network</body></html>"
        if self.mood == "down":
            request.setResponseCode(503)
            request.setHeader("Retry-After", "7")
            return b"maintenance"
        if self.mood == "redirect":
            request.setResponseCode(301)
            request.setHeader("Location", "https://elsewhere.example/send")
            return b""
        if self.mood == "endless":
            request.write(b"x" * 400_000)
            return NOT_DONE_YET
        if self.mood == "hangs up":
            request.channel.loseConnection()
        elif self.mood == "resets":
            request.channel.transport.abortConnection()
        return NOT_DONE_YET
