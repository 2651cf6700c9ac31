"""Users with their rights, and the audit, for programs."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET

from msgserver.records import Grant, Role, User, Viewer
from msgserver.routing.passwords import weakness
from msgserver.store import audit as kept_audit
from msgserver.store import people, users
from msgserver.store.audit import Entry
from msgserver.store.edits import Refused
from msgserver.web.api.giving import edit, give, give_all, give_page, limit
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import AuditShape, user_shape
from msgserver.web.api.taken import NewUser, Right, UserChange
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found
from msgserver.web.words import sentence


def _grants(rights: Iterable[Right]) -> tuple[Grant, ...]:
    for right in rights:
        if right.record and not right.resource:
            raise Refusal(422, "A right for a record names its resource type too.", "Nothing was changed.")
    return tuple(Grant(Role(right.role), right.resource, right.record) for right in rights)


async def listing(ask: Ask) -> Answer:
    """Every login with its rights."""
    return give_all(await ask.store.read(users.users), user_shape)


async def show(ask: Ask) -> Answer:
    """One login."""
    found = await ask.store.read(users.user, ask.part["user"])
    if found is None:
        raise not_found("user")
    return give(user_shape(found))


def _make(tx: Tx, actor: Viewer, new: NewUser, hashed: str, grants: tuple[Grant, ...], now: float) -> User:
    if new.entity is not None and people.entity(tx, actor, new.entity) is None:
        raise Refused(f"nothing was saved: there is no person {new.entity}")
    return users.create_user(tx, actor, new.name, hashed, grants, now, entity_id=new.entity)


async def add(ask: Ask) -> Answer:
    """Make a login."""
    new = taken(ask, NewUser)
    hashed = ""
    if new.password:
        if wrong := weakness(new.password, new.name):
            raise Refusal(422, sentence(wrong), "Nothing was saved.")
        hashed = await ask.site.passwords.hash(new.password)
    made = await edit(ask, _make, ask.viewer, new, hashed, _grants(new.grants), ask.at)
    return give(user_shape(made), 201, place=f"/api/v1/users/{made.id}")


def _change(
    tx: Tx, actor: Viewer, user_id: int, wish: UserChange, grants: tuple[Grant, ...] | None, now: float
) -> User | None:
    if users.user(tx, user_id) is None:
        return None
    if wish.entity is not UNSET:
        if wish.entity is not None and people.entity(tx, actor, wish.entity) is None:
            raise Refused(f"nothing was changed: there is no person {wish.entity}")
        users.set_entity(tx, actor, user_id, wish.entity, now)
    if grants is not None:
        users.set_grants(tx, actor, user_id, grants, now)
    if wish.active is not UNSET:
        users.set_active(tx, actor, user_id, wish.active, now)
    return users.user(tx, user_id)


async def patch(ask: Ask) -> Answer:
    """Give or take rights, switch a login on or off, say which person it is."""
    wish = taken(ask, UserChange)
    grants = None if wish.grants is UNSET else _grants(wish.grants)
    changed = await edit(ask, _change, ask.viewer, ask.part["user"], wish, grants, ask.at)
    if changed is None:
        raise not_found("user")
    return give(user_shape(changed))


def _lines(tx: Tx, who: int | None, act: str, thing: str, after: str, many: int) -> object:
    return kept_audit.entries(tx, thing=thing, user_id=who, act=act, cursor_word=after, limit=many)


def _line(entry: Entry) -> AuditShape:
    return AuditShape(entry.id, entry.at, entry.user_id, entry.user, entry.act, entry.object, entry.detail)


async def audit(ask: Ask) -> Answer:
    """Who did what, newest first, by user, act and thing; a thing may end in ``*``."""
    who, act, thing = ask.query.number("who"), ask.query("act"), ask.query("thing")
    page = await ask.store.read(_lines, who, act, thing, ask.query("after"), limit(ask))
    return give_page(page, _line)  # type: ignore[arg-type]
