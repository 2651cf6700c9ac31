"""Who may sign in, with which rights."""

from __future__ import annotations

from typing import Any

from msgserver.records import Entity, EntityKind, Grant, ResourceType, Role, User, Viewer
from msgserver.routing.passwords import SHORTEST, weakness
from msgserver.store import consent, people, resource_types, resources
from msgserver.store import users as kept_users
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.meant import entity_meant
from msgserver.web.tags import WORD
from msgserver.web.words import sentence


def look(tx: Tx, viewer: Viewer) -> tuple[Around, list[User]]:
    """Every login."""
    return around(tx, viewer), kept_users.users(tx)


async def users(ask: Ask) -> Answer:
    """Every login with its rights, and a form to add one."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    here, found = await ask.store.read(look, ask.viewer)
    values: dict[str, Any] = {"users": found, "roles": list(Role), "shortest": SHORTEST, "kept": ask.form}
    return desk_page(ask, "users.html", here, "users", status=status, wrong=wrong, **values)


def make(tx: Tx, actor: Viewer, name: str, hashed: str, role: Role, now: float) -> int:
    """A login with one role, everywhere."""
    return kept_users.create_user(tx, actor, name, hashed, (Grant(role),), now).id


async def add(ask: Ask) -> Answer:
    """Add a colleague; the password is theirs to change."""
    name, password, role = ask.form("name").strip(), ask.form("password"), ask.form("role")
    wrong = weakness(password, name)
    if role not in set(Role):
        wrong = "Choose a role."
    if wrong:
        return await _show(ask, wrong, 422)
    try:
        await ask.store.write(make, ask.viewer, name, await ask.site.passwords.hash(password), Role(role), ask.at)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    return see_other("/users?said=added")


async def set_role(ask: Ask) -> Answer:
    """Give a login another role, everywhere."""
    role = ask.form("role")
    if role not in set(Role):
        return await _show(ask, "Choose a role.", 422)
    return await _edit(ask, kept_users.set_grants, [Grant(Role(role))])


def look_one(
    tx: Tx, viewer: Viewer, user_id: int
) -> tuple[Around, User, list[tuple[Grant, str]], list[ResourceType], Entity | None] | None:
    """A login with its rights in words, and what its rights may be narrowed to."""
    found = kept_users.user(tx, user_id)
    if found is None:
        return None
    named = [
        (grant, consent.named(tx, grant.resource, grant.record) if grant.resource else "") for grant in found.grants
    ]
    person = people.entity(tx, viewer, found.entity_id) if found.entity_id is not None else None
    return around(tx, viewer), found, named, resource_types.types(tx, viewer), person


async def user(ask: Ask) -> Answer:
    """One login: its rights, each to be taken away, and a form to give another."""
    return await _show_one(ask)


async def _show_one(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    seen = await ask.store.read(look_one, ask.viewer, ask.part["user"])
    if seen is None:
        raise not_found("user")
    here, found, grants, types, person = seen
    return desk_page(
        ask, "user.html", here, "users", status=status, wrong=wrong, user=found, grants=grants, types=types,
        person=person, roles=list(Role), kept=ask.form,
    )  # fmt: skip


def read_scope(tx: Tx, viewer: Viewer, resource: str, words: str) -> tuple[str, str]:
    """A scope out of a form: everywhere, a type, or one record of it by uid, code or name.

    Raises:
        Refused: there is no such type or record.
    """
    if not resource:
        if words.strip():
            raise Refused("Nothing was changed: choose the type of the record too.")
        return "", ""
    if resource != WORD and resource_types.type_of(tx, viewer, resource) is None:
        raise Refused(f"Nothing was changed: there is no resource type {resource!r}.")
    wanted = " ".join(words.split()).casefold()
    if not wanted:
        return resource, ""
    if resource == WORD:
        return resource, wanted.lstrip("#")
    for one in resources.complete(tx, viewer, wanted, resource):
        if wanted in (one.uid.casefold(), one.code.casefold(), one.name.casefold()):
            return resource, one.uid
    exact = resources.record(tx, viewer, words.strip())
    if exact is None or exact.resource != resource:
        raise Refused(f"Nothing was changed: there is no {resource} called “{words.strip()[:80]}”.")
    return resource, exact.uid


def give(tx: Tx, actor: Viewer, user_id: int, one: Grant, now: float) -> User | None:
    """One right more."""
    found = kept_users.user(tx, user_id)
    return None if found is None else kept_users.set_grants(tx, actor, user_id, [*found.grants, one], now)


def take(tx: Tx, actor: Viewer, user_id: int, one: Grant, now: float) -> User | None:
    """One right less."""
    found = kept_users.user(tx, user_id)
    if found is None:
        return None
    return kept_users.set_grants(tx, actor, user_id, [grant for grant in found.grants if grant != one], now)


async def grant(ask: Ask) -> Answer:
    """Give a right, everywhere or within a scope."""
    role = ask.form("role")
    if role not in set(Role):
        return await _show_one(ask, "Choose a role.", 422)
    try:
        scope = await ask.store.read(read_scope, ask.viewer, ask.form("resource"), ask.form("record"))
        changed = await ask.store.write(give, ask.viewer, ask.part["user"], Grant(Role(role), *scope), ask.at)
    except Refused as refused:
        return await _show_one(ask, sentence(str(refused)), 422)
    return _edited(ask, changed)


async def revoke(ask: Ask) -> Answer:
    """Take a right away."""
    role = ask.form("role")
    if role not in set(Role):
        return await _show_one(ask, "Choose a role.", 422)
    one = Grant(Role(role), ask.form("resource"), ask.form("record"))
    try:
        changed = await ask.store.write(take, ask.viewer, ask.part["user"], one, ask.at)
    except Refused as refused:
        return await _show_one(ask, sentence(str(refused)), 422)
    return _edited(ask, changed)


async def set_person(ask: Ask) -> Answer:
    """Say which person a login is: whose messages are its own, and who may answer by text."""
    words, chosen, region = ask.form("person"), ask.form.number("entity"), ask.house.config.hub.region
    try:
        entity = await ask.store.read(person_meant, ask.viewer, ask.part["user"], words, chosen, region)
    except Refused as refused:
        return await _show_one(ask, sentence(str(refused)), 422)
    changed = await ask.store.write(kept_users.set_entity, ask.viewer, ask.part["user"], entity, ask.at)
    return _edited(ask, changed or None)


def person_meant(tx: Tx, viewer: Viewer, user_id: int, words: str, chosen: int | None, region: str) -> int | None:
    """The person chosen, or the one of this name or address; None where nobody is named.

    Raises:
        Refused: nobody is called so, several are, or it is a group.
    """
    if chosen is None and not words.strip():
        return None
    user = kept_users.user(tx, user_id)
    before = people.entity(tx, viewer, user.entity_id) if user is not None and user.entity_id is not None else None
    if chosen is None and before is not None and before.name == words.strip():
        return before.id
    found = people.entity(tx, viewer, chosen) if chosen is not None else entity_meant(tx, viewer, words, region)
    if found is None:
        raise Refused(_("Nothing was saved: there is no such person."))
    if found.kind != EntityKind.PERSON:
        raise Refused(_("Nothing was saved: %s is no person.") % found.name)
    return found.id


def _edited(ask: Ask, changed: object) -> Answer:
    if changed is None:
        raise not_found("user")
    return see_other(f"/users/{ask.part['user']}?said=saved")


async def switch_off(ask: Ask) -> Answer:
    """Let somebody in no more; their sessions end."""
    return await _edit(ask, kept_users.set_active, False)


async def switch_on(ask: Ask) -> Answer:
    """Let them in again."""
    return await _edit(ask, kept_users.set_active, True)


async def _edit(ask: Ask, unit: Any, value: Any) -> Answer:
    try:
        changed = await ask.store.write(unit, ask.viewer, ask.part["user"], value, ask.at)
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    if changed is None:
        raise not_found("user")
    return see_other("/users?said=saved")
