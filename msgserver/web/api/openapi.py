"""The API's description (OpenAPI 3.1), made from the same rows that serve it."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import msgspec

from msgserver.web.api.asked import NUMBER, QUERY
from msgserver.web.api.giving import LONGEST_KEY
from msgserver.web.ask import Answer, Ask
from msgserver.web.routes import Open, Row

REF = "#/components/schemas/{name}"
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457)",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}

HEADERS = {
    "ETag": {"description": "The version; send it back as If-Match", "schema": {"type": "string"}},
    "Location": {"description": "The address of what was made, where it has one", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "RFC 6750", "required": True, "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "true: this is the answer to an earlier request with this Idempotency-Key",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of what is to be changed; ``*`` or nothing: whatever it is now",
    "schema": {"type": "string", "pattern": '^([*]|(W/)?("[0-9]{1,15}"|[0-9]{1,15}))$'},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A word of your own: what is sent again with it is done once, for a day",
    "schema": {"type": "string", "maxLength": LONGEST_KEY},
}


async def describe(ask: Ask) -> Answer:
    """This description."""
    rows = tuple(row for row in ask.site.rows if row.api)
    document = description(rows, ask.house.config.web.url, ask.house.config.hub.name)
    return Answer(body=msgspec.json.encode(document), media_type="application/json")


def description(rows: tuple[Row, ...], url: str, name: str) -> dict[str, Any]:
    """The whole document."""
    told = dict.fromkeys(kind for row in rows for kind in (row.takes, row.gives))
    kinds = [kind for kind in told if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    _refs, schemas = msgspec.json.schema_components(kinds, ref_template=REF)
    versioned = {row.pattern for row in rows if row.matches}
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = _HOLE.sub(r"{\1}", row.pattern).removeprefix("/api/v1")
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, row.pattern in versioned)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": metadata.version("msgserver")},
        "servers": [{"url": f"{url.rstrip('/')}/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": PROBLEM},
            "headers": HEADERS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: Row, versioned: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": f"{row.act.__module__.rpartition('.')[2]}_{row.act.__name__}",
        "summary": (row.act.__doc__ or "").strip().partition("\n")[0],
        "responses": _responses(row, versioned),
    }
    parameters = _parameters(row)
    if parameters:
        told["parameters"] = parameters
    if row.takes is bytes:
        told["requestBody"] = {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
    elif row.takes is not None:
        schema = {"$ref": REF.format(name=row.takes.__name__)}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if row.who is Open.ANYONE:
        told["security"] = []
    return told


def _parameters(row: Row) -> list[dict[str, Any]]:
    word = {"type": "string", "minLength": 1, "maxLength": 200}
    told: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": word if kind else NUMBER}
        for name, kind in _HOLE.findall(row.pattern)
    ]
    told.extend({"name": wish.partition(":")[0], "in": "query", "required": False, **QUERY[wish]} for wish in row.query)
    if row.once:
        told.append(IDEMPOTENCY_KEY)
    if row.matches:
        told.append(IF_MATCH)
    return told


def _responses(row: Row, versioned: bool) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done"}
    if row.gives is bytes:
        done["content"] = {row.media_type: {"schema": {"type": "string", "format": "binary"}}}
    elif row.gives is not None:
        done["content"] = {"application/json": {"schema": _schema(row)}}
    headers = {"ETag": versioned and not row.many, "Location": row.status == 201, "Idempotent-Replayed": row.once}
    told = {str(row.status): _with_headers(done, *(name for name, has in headers.items() if has and row.gives))}
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}
    for status, words in sorted(_refusals(row).items()):
        refused = {"description": words, "content": problem}
        told[str(status)] = _with_headers(refused, *REFUSED_WITH.get(status, ()))
    return told


REFUSED_WITH = {
    401: ("WWW-Authenticate",), 409: ("Retry-After",), 429: ("Retry-After",), 503: ("Retry-After",)
}  # fmt: skip


def _with_headers(told: dict[str, Any], *names: str) -> dict[str, Any]:
    if not names:
        return told
    return {**told, "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def _refusals(row: Row) -> dict[int, str]:
    """How a route may refuse, by status, and when."""
    told = {400: "It cannot be read: no JSON, or too many or too long words about it", 503: "Not now; try again"}
    if row.who is not Open.ANYONE:
        told |= {401: "No token that counts", 403: "Not with these rights", 429: "This token asks too often"}
    if "{" in row.pattern or row.takes is not None:
        told[404] = "There is none, or it is not for this user"
    if row.takes is not None:
        told |= {408: "It came too slowly", 413: "Too large", 415: "Sent as something else than it is"}
    if row.query or row.method != "GET":
        told[422] = "Something in it is not as it must be, or it cannot be done"
    if row.once:
        told[409] = "The first request with this Idempotency-Key is being done just now"
    if row.matches:
        told[412] = "Somebody changed it meanwhile"
    return told


def _schema(row: Row) -> dict[str, Any]:
    if not (isinstance(row.gives, type) and issubclass(row.gives, msgspec.Struct)):
        return {"type": "object"}
    ref = {"$ref": REF.format(name=row.gives.__name__)}
    if not row.many:
        return ref
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": ref},
            "next": {"type": ["string", "null"]},
            "ignored": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["items", "next"],
    }
