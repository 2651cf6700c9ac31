"""Users: their names, rights and choices, and the one-time setup link that makes the first of them.

Passwords come hashed and go hashed; what a browser or a program logs in with is in ``store.logins``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from msgserver.records import Grant, Role, User, Viewer
from msgserver.store import audit, counting
from msgserver.store.edits import Refused
from msgserver.store.keys import hashed
from msgserver.store.schema import auth_grant, auth_session, auth_user, counter, msg_log

_SETUP = "setup"


def login_name(name: str) -> str:
    """A name as it is compared and kept: "Ana" and "ana" are one."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


# --- users and grants ----------


def _grants(tx: Connection, user_ids: Iterable[int]) -> dict[int, tuple[Grant, ...]]:
    found: dict[int, list[Grant]] = {}
    row = auth_grant.c
    rows = select(auth_grant).where(row.user_id.in_(list(user_ids)))
    for grant in tx.execute(rows.order_by(row.user_id, row.role, row.resource, row.record)):
        found.setdefault(grant.user_id, []).append(Grant(Role(grant.role), grant.resource, grant.record))
    return {user: tuple(grants) for user, grants in found.items()}


def _users(tx: Connection, *conditions: Any) -> list[User]:
    columns = [auth_user.c[name] for name in User.__struct_fields__ if name != "grants"]
    rows = list(tx.execute(select(*columns).where(*conditions).order_by(auth_user.c.name)))
    grants = _grants(tx, [row.id for row in rows])
    return [User(**(dict(row._mapping) | {"active": bool(row.active)}), grants=grants.get(row.id, ())) for row in rows]


def users(tx: Connection, *, active: bool | None = None) -> list[User]:
    """All logins by name, or only the active (or inactive) ones."""
    return _users(tx, *(() if active is None else (auth_user.c.active == active,)))


def user(tx: Connection, user_id: int) -> User | None:
    """One login."""
    found = _users(tx, auth_user.c.id == user_id)
    return found[0] if found else None


def find_user(tx: Connection, name: str) -> tuple[User, str] | None:
    """A login by name with its password's hash (empty: cannot log in by password), active or not."""
    found = _users(tx, auth_user.c.name == login_name(name))
    if not found:
        return None
    return found[0], password_hash(tx, found[0].id)


def password_hash(tx: Connection, user_id: int) -> str:
    """What :func:`create_user` or :func:`set_password` kept."""
    return tx.scalar(select(auth_user.c.password_hash).where(auth_user.c.id == user_id)) or ""


def viewer(tx: Connection, user_id: int) -> Viewer | None:
    """A login as it looks and acts; None where there is none or it is switched off."""
    found = user(tx, user_id)
    if found is None or not found.active:
        return None
    return Viewer(found.id, found.name, found.grants, found.entity_id)


def create_user(
    tx: Connection,
    actor: Viewer,
    name: str,
    password_hash: str,
    grants: Iterable[Grant],
    now: float,
    *,
    entity_id: int | None = None,
) -> User:
    """A new login; nothing that was there before it counts as unread for it.

    Raises:
        Refused: the name is taken or empty.
    """
    name = login_name(name)
    if not name or len(name) > 100 or any(unicodedata.category(sign).startswith("C") for sign in name):
        raise Refused("Choose a name of 1 to 100 characters for the new user.")
    if tx.scalar(select(auth_user.c.id).where(auth_user.c.name == name)) is not None:
        raise Refused(f"There is already a user named {name}. Choose another name.")
    newest = select(func.coalesce(func.max(msg_log.c.id), 0)).scalar_subquery()
    row = {"name": name, "password_hash": password_hash, "entity_id": entity_id, "created_at": now}
    user_id = tx.execute(insert(auth_user).values(unread_from=newest, **row).returning(auth_user.c.id)).scalar_one()
    _put_grants(tx, user_id, grants)
    counting.count_user(tx, user_id)
    audit.note(tx, actor, "create user", f"user/{user_id}", {"name": name, "grants": list(grants)}, now)
    made = user(tx, user_id)
    assert made is not None
    return made


def _put_grants(tx: Connection, user_id: int, grants: Iterable[Grant]) -> None:
    rows = [
        {"user_id": user_id, "role": grant.role.value, "resource": grant.resource, "record": grant.record}
        for grant in dict.fromkeys(grants)
    ]
    if rows:
        tx.execute(insert(auth_grant), rows)


def set_grants(tx: Connection, actor: Viewer, user_id: int, grants: Iterable[Grant], now: float) -> User | None:
    """Give exactly these rights.

    Raises:
        Refused: nobody would be left who may administer.
    """
    before = user(tx, user_id)
    if before is None:
        return None
    grants = tuple(grants)
    if Grant(Role.ADMINISTRATOR) not in grants:
        _keep_an_administrator(tx, before)
    tx.execute(delete(auth_grant).where(auth_grant.c.user_id == user_id))
    _put_grants(tx, user_id, grants)
    audit.note(tx, actor, "grants", f"user/{user_id}", {"grants": grants}, now)
    return user(tx, user_id)


def set_active(tx: Connection, actor: Viewer, user_id: int, active: bool, now: float) -> User | None:
    """Switch a login on or off; off also ends its sessions.

    Raises:
        Refused: nobody would be left who may administer.
    """
    before = user(tx, user_id)
    if before is None:
        return None
    if not active:
        _keep_an_administrator(tx, before)
    tx.execute(update(auth_user).where(auth_user.c.id == user_id).values(active=active))
    if not active:
        _end_sessions(tx, user_id)
    audit.note(tx, actor, "switch on" if active else "switch off", f"user/{user_id}", {}, now)
    return user(tx, user_id)


def _end_sessions(tx: Connection, user_id: int) -> None:
    tx.execute(delete(auth_session).where(auth_session.c.user_id == user_id))


def _keep_an_administrator(tx: Connection, before: User) -> None:
    if before.active and Grant(Role.ADMINISTRATOR) in before.grants and administrators(tx) == 1:
        raise Refused(f"Nothing was changed: {before.name} is the only administrator. Make somebody else one first.")


def administrators(tx: Connection) -> int:
    """How many active logins may administer everything."""
    rows = (
        select(func.count())
        .select_from(auth_grant.join(auth_user, auth_user.c.id == auth_grant.c.user_id))
        .where(auth_grant.c.role == Role.ADMINISTRATOR.value, auth_grant.c.resource == "", auth_user.c.active)
    )
    return tx.scalar(rows) or 0


def set_password(tx: Connection, actor: Viewer, user_id: int, password_hash: str, now: float) -> bool:
    """A new password; all sessions of that login end. False where there is no such login."""
    changed = update(auth_user).where(auth_user.c.id == user_id).values(password_hash=password_hash)
    if not tx.execute(changed).rowcount:
        return False
    _end_sessions(tx, user_id)
    audit.note(tx, actor, "password", f"user/{user_id}", {}, now)
    return True


def set_entity(tx: Connection, actor: Viewer, user_id: int, entity_id: int | None, now: float) -> bool:
    """Say which person a login is."""
    changed = update(auth_user).where(auth_user.c.id == user_id).values(entity_id=entity_id)
    if not tx.execute(changed).rowcount:
        return False
    audit.note(tx, actor, "person", f"user/{user_id}", {"entity": entity_id}, now)
    return True


def settings(tx: Connection, user_id: int) -> dict[str, Any]:
    """What a user has chosen for their own pages (theme, keys, "mark as done when routed")."""
    kept = tx.scalar(select(auth_user.c.settings).where(auth_user.c.id == user_id))
    return msgspec.json.decode(kept, type=dict[str, Any]) if kept else {}


def set_settings(tx: Connection, user_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Change some of these choices; None takes one back. Returns all."""
    kept = {name: value for name, value in (settings(tx, user_id) | changes).items() if value is not None}
    written = msgspec.json.encode(kept).decode()
    tx.execute(update(auth_user).where(auth_user.c.id == user_id).values(settings=written))
    return kept


def user_of_entity(tx: Connection, entity_id: int) -> Viewer | None:
    """The active login of a person, if there is one."""
    found = _users(tx, auth_user.c.entity_id == entity_id, auth_user.c.active)
    return Viewer(found[0].id, found[0].name, found[0].grants, found[0].entity_id) if found else None


# --- the first administrator ----------


def setup_token(tx: Connection, key: str) -> bool:
    """Open the one-time setup link with a fresh ``key``; an older one is void. False once there is an administrator."""
    tx.execute(delete(counter).where(counter.c.name == _SETUP))
    if administrators(tx):
        return False
    tx.execute(insert(counter).values(name=_SETUP, key=hashed(key), user_id=0, value=1))
    return True


def setup_open(tx: Connection, key: str) -> bool:
    """Whether this is the setup link's key, still unused."""
    rows = select(counter.c.value).where(counter.c.name == _SETUP, counter.c.key == hashed(key))
    return tx.scalar(rows) is not None and not administrators(tx)


def set_up(tx: Connection, key: str, name: str, password_hash: str, now: float) -> User:
    """Make the first administrator; the setup link is used up.

    Raises:
        Refused: the link is used up or wrong, or the name cannot be had.
    """
    if not setup_open(tx, key):
        raise Refused(
            "This setup link has been used or is out of date. Log in, or print a new one with: msgserver init"
        )
    tx.execute(delete(counter).where(counter.c.name == _SETUP))
    hub = Viewer(0, "the hub", (Grant(Role.ADMINISTRATOR),))
    return create_user(tx, hub, name, password_hash, (Grant(Role.ADMINISTRATOR),), now)
