"""Who may sign in, with which rights."""

from __future__ import annotations

from typing import Any

from msgserver.records import Grant, Role, User, Viewer
from msgserver.routing.passwords import SHORTEST, weakness
from msgserver.store import users as kept_users
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page
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
