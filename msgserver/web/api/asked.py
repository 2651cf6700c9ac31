"""What may stand behind the ``?``: described once, for the API's description and for the check of what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

import msgspec

from msgserver.web.api.giving import once
from msgserver.web.ask import Answer, Ask, Refusal
from msgserver.web.routes import Row

WORDS = {"type": "string", "maxLength": 500}
LONGEST = 10**15 - 1  # the largest whole number that a path or a query takes
NUMBER = {"type": "integer", "minimum": 0, "maximum": LONGEST}

# ``kind:group`` is what ``kind`` may be on a route that lists groups.
QUERY: dict[str, dict[str, Any]] = {
    "q": {"description": "Search words, as in the inbox", "schema": WORDS},
    "after": {"description": "The `next` of the page before", "schema": {"type": "string", "maxLength": 1000}},
    "limit": {"description": "Items a page", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    "view": {"schema": {"type": "string", "enum": ["todo", "mine", "unassigned", "all", "done", "spam"]}},
    "kind": {"schema": {"type": "string", "enum": ["person", "group", "organisation"]}},
    "kind:group": {"schema": {"type": "string", "enum": ["group", "organisation"]}},
    "state": {"description": "Delivery states with commas between them", "schema": WORDS},
    "connector": {"schema": WORDS},
    "address": {"schema": WORDS},
    "entity": {"schema": NUMBER},
    "resource": {"schema": {"type": "string", "maxLength": 60}},
    "uid": {
        "description": "Exactly this uid, also one that was merged away",
        "schema": {"type": "string", "maxLength": 100},
    },
    "code": {"description": "Exactly this code", "schema": {"type": "string", "maxLength": 40}},
    "parent": {"description": "The id of what they belong to", "schema": NUMBER},
    "show": {"schema": {"type": "string", "enum": ["all", "unread", "read", "verified"]}},
    "dry_run": {
        "description": "1: look only, write nothing",
        "schema": {"type": "string", "enum": ["0", "1", "false", "true"]},
    },
    "region": {
        "description": "The country of phone numbers that name none, as in AF",
        "schema": {"type": "string", "maxLength": 10},
    },
    "file": {"description": "What the file is called, for the history", "schema": WORDS},
    "who": {"description": "A user's number; 0 is the hub itself", "schema": NUMBER},
    "act": {"schema": WORDS},
    "thing": {"description": "As in ticket/42; ticket/* is all of them", "schema": WORDS},
}


def served(row: Row) -> Row:
    """A row as it is served: its query checked first, and a repeat under an ``Idempotency-Key`` answered again."""
    act = once(row.act) if row.once else row.act
    if not row.query:
        return msgspec.structs.replace(row, act=act)

    @wraps(act)
    async def checked(ask: Ask) -> Answer:
        for wish in row.query:
            name = wish.partition(":")[0]
            if name in ask.query:
                check(name, ask.query(name), QUERY[wish]["schema"])
        return await act(ask)

    return msgspec.structs.replace(row, act=checked)


def check(name: str, value: str, schema: Mapping[str, Any]) -> None:
    """Look at one value of a query.

    Raises:
        Refusal: 422, it is not as the description says.
    """
    if schema["type"] == "integer":
        least, most = schema["minimum"], schema["maximum"]
        whole = value.isascii() and value.isdigit() and len(value) < 16
        if not (whole and least <= int(value) <= most):
            raise Refusal(422, f"{name} is a whole number from {least} to {most}.", "Nothing was done.")
    elif "enum" in schema:
        if value not in schema["enum"]:
            raise Refusal(422, f"{name} is one of {', '.join(schema['enum'])}.", "Nothing was done.")
    elif len(value) > schema["maxLength"]:
        raise Refusal(422, f"{name} has at most {schema['maxLength']} characters.", "Nothing was done.")
