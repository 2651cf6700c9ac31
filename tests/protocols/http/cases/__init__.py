"""What each profile is asked: one module a profile, named as the profile, with

SETTINGS                          the table, with callback and what authenticates calls
SENDER                            how the gateway writes the sender in a request
sent(request) -> {"to", "text"}   what the gateway would read out of the request
ANSWERS                           [(what it is, Answer, expected type, words or wire id in it)]
ARRIVALS                          [(what it is, Call, sender, text, wire_id)]
REPORTS                           [(what it is, Call, state or None, wire_id or ref)]
SIGNED                            whether the gateway signs; then sign(call, token=...) -> Call and
                                      forged(call) -> calls that must be refused
"""

from __future__ import annotations

import json as _json
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, urlsplit

from msgserver.config import Secret
from msgserver.protocols.http.settings import Settings
from msgserver.wire.agent import Answer, Request
from msgserver.wire.webhook import Call

SECRET = "s3cret-word-of-ours"
NOW = 1_790_000_000.0


def settings(**changes: Any) -> Settings:
    table = {
        "user": "hub",
        "password": Secret("t0ken"),
        "sender": "+15550100",
        "callback": "https://hub.example/in/gateway",
        "callback_secret": Secret(SECRET),
    }
    return Settings(**{**table, **changes})


def said(status: int, body: Any = "", **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else _json.dumps(body)).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, NOW)


def pairs(**fields: str | bytes) -> bytes:
    """A urlencoded form; bytes stay the bytes they are."""
    written = [
        (name.rstrip("_"), quote_from_bytes(v if isinstance(v, bytes) else v.encode(), safe=""))
        for name, v in fields.items()
    ]
    return b"&".join(f"{name}={value}".encode() for name, value in written)


def form(*path: str, **fields: str | bytes) -> Call:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return Call(path=(SECRET, *path), headers=kind, body=pairs(**fields))


def get(*path: str, **fields: str | bytes) -> Call:
    return Call(method="GET", path=(SECRET, *path), query=pairs(**fields))


def json(*path: str, **fields: Any) -> Call:
    return Call(path=(SECRET, *path), headers={"content-type": "application/json"}, body=_json.dumps(fields).encode())


def query_of(request: Request) -> dict[str, str]:
    found = parse_qsl(urlsplit(request.url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(found)) == len(found), f"a field twice: {found}"
    return dict(found)


def form_of(request: Request) -> dict[str, str]:
    assert ("Content-Type", "application/x-www-form-urlencoded") in request.headers
    found = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(found)) == len(found), f"a field twice: {found}"
    return dict(found)
