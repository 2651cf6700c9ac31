"""The API's description (OpenAPI 3.1), made from the same rows that serve it."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import msgspec

from msgserver.web.ask import Answer, Ask
from msgserver.web.routes import Open, Row

REF = "#/components/schemas/{name}"
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
QUERY: dict[str, dict[str, Any]] = {
    "q": {"description": "Search words, as in the inbox", "schema": {"type": "string", "maxLength": 500}},
    "after": {"description": "The `next` of the page before", "schema": {"type": "string", "maxLength": 1000}},
    "limit": {"description": "Items a page", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    "view": {"schema": {"enum": ["todo", "mine", "unassigned", "all", "done", "spam"]}},
    "kind": {"schema": {"enum": ["person", "group", "organisation"]}},
    "state": {"description": "Delivery states with commas between them", "schema": {"type": "string"}},
    "connector": {"schema": {"type": "string"}},
    "address": {"schema": {"type": "string"}},
    "entity": {"schema": {"type": "integer"}},
    "resource": {"schema": {"type": "string"}},
    "code": {"description": "Exactly this code", "schema": {"type": "string"}},
    "parent": {"description": "The id of what they belong to", "schema": {"type": "integer"}},
    "show": {"schema": {"enum": ["all", "unread", "read", "verified"]}},
    "dry_run": {"description": "1: look only, write nothing", "schema": {"enum": ["0", "1"]}},
    "region": {"description": "The country of phone numbers that name none, as in AF", "schema": {"type": "string"}},
    "file": {"description": "What the file is called, for the history", "schema": {"type": "string"}},
    "who": {"description": "A user's number; 0 is the hub itself", "schema": {"type": "integer"}},
    "act": {"schema": {"type": "string"}},
    "thing": {"description": "As in ticket/42; ticket/* is all of them", "schema": {"type": "string"}},
}
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
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = _HOLE.sub(r"{\1}", row.pattern).removeprefix("/api/v1")
        paths.setdefault(path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": metadata.version("msgserver")},
        "servers": [{"url": f"{url.rstrip('/')}/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: Row) -> dict[str, Any]:
    path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string" if kind else "integer"}}
        for name, kind in _HOLE.findall(row.pattern)
    ]
    query = [{"name": name, "in": "query", "required": False, **QUERY[name]} for name in row.query]
    headers = []
    if row.method in ("POST", "PUT", "PATCH") and (row.takes or row.gives):
        headers.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200}})
    if row.matches:
        headers.append({"name": "If-Match", "in": "header", "schema": {"type": "string"}})
    told: dict[str, Any] = {
        "operationId": f"{row.act.__module__.rpartition('.')[2]}_{row.act.__name__}",
        "summary": (row.act.__doc__ or "").strip().partition("\n")[0],
        "responses": _responses(row),
    }
    if path or query or headers:
        told["parameters"] = [*path, *query, *headers]
    if row.takes is bytes:
        told["requestBody"] = {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
    elif row.takes is not None:
        schema = {"$ref": REF.format(name=row.takes.__name__)}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if row.who is Open.ANYONE:
        told["security"] = []
    return told


def _responses(row: Row) -> dict[str, Any]:
    problem = {"content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}}
    told: dict[str, Any] = {str(row.status): {"description": "Done"}}
    if row.gives is bytes:
        told[str(row.status)]["content"] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    elif row.gives is not None:
        told[str(row.status)]["content"] = {"application/json": {"schema": _schema(row)}}
    refusals = {401: "No token that counts", 403: "Not with these rights", 503: "Not now; try again"}
    if row.who is Open.ANYONE:
        refusals = {503: "Not now; try again"}
    if "{" in row.pattern:
        refusals[404] = "There is none, or it is not for this user"
    if row.takes is not None:
        refusals |= {400: "Not JSON", 413: "Too large", 415: "Not sent as JSON"}
    if row.takes is not None or row.query or row.method == "POST":
        refusals[422] = "Something in it is not as it must be"
    if row.matches:
        refusals[412] = "Somebody changed it meanwhile"
    told |= {str(status): {"description": words, **problem} for status, words in sorted(refusals.items())}
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
