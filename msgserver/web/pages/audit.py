"""Who did what, newest first; narrowed by person, act and thing."""

from __future__ import annotations

import msgspec

from msgserver.records import User, Viewer
from msgserver.store import audit as kept_audit
from msgserver.store import users
from msgserver.store.audit import Entry
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Tx
from msgserver.web.pages.around import Around, around, desk_page


def look(
    tx: Tx, viewer: Viewer, who: int | None, act: str, thing: str, after: str
) -> tuple[Around, Page[Entry], list[User], list[str]]:
    """One page of it, and what there is to narrow it by."""
    page = kept_audit.entries(tx, thing=thing, user_id=who, act=act, cursor_word=after, limit=100)
    return around(tx, viewer), page, users.users(tx), kept_audit.acts(tx)


async def audit(ask: Ask) -> Answer:
    """The audit."""
    who, act, thing = ask.query.number("who"), ask.query("act")[:60], ask.query("thing").strip()[:200]
    here, page, logins, acts = await ask.store.read(look, ask.viewer, who, act, thing, ask.query("after"))
    narrowed = {key: value for key, value in (("who", who), ("act", act), ("thing", thing)) if value not in (None, "")}
    return desk_page(
        ask, "audit.html", here, "audit", entries=page, users=logins, acts=acts, who=who, act=act, thing=thing,
        narrowed=narrowed, told=told,
    )  # fmt: skip


def told(entry: Entry) -> str:
    """The detail of a line as words."""
    detail = dict(entry.detail)
    changes = detail.pop("changes", {})
    parts = [f"{name}: {_word(value)}" for name, value in detail.items() if value not in (None, "", [], {})]
    parts += [f"{name}: {_word(before) or '–'} → {_word(after) or '–'}" for name, (before, after) in changes.items()]
    return ", ".join(parts)[:500]


def _word(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case dict():
            held = ((name, one) for name, one in value.items() if one not in (None, "", [], {}))
            return "; ".join(f"{name} {_word(one)}" for name, one in held)
        case list():
            return ", ".join(map(_word, value))
        case _:
            return msgspec.json.encode(value).decode()
