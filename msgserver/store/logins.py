"""What browsers and programs are let in with: sessions, API tokens, and the attempts that back-off counts."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from msgserver.records import Viewer
from msgserver.store import audit
from msgserver.store.keys import hashed
from msgserver.store.schema import auth_session, auth_token, login_attempt
from msgserver.store.users import login_name, viewer

IDLE = 8 * 3600.0  # seconds without a look after which a session ends
LONGEST = 7 * 86400.0  # seconds after its login at which it ends for sure

# --- sessions ----------


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One browser that is logged in."""

    user_id: int
    csrf: str
    created_at: float
    seen_at: float
    expires_at: float
    agent: str
    peer: str


def _session(row: Any) -> Session:
    return Session(**{name: getattr(row, name) for name in Session.__struct_fields__})


def create_session(
    tx: Connection,
    user_id: int,
    key: str,
    csrf: str,
    now: float,
    *,
    idle: float = IDLE,
    agent: str = "",
    peer: str = "",
) -> Session:
    """Log in: ``idle`` seconds without a look and it ends."""
    row: dict[str, Any] = {
        "user_id": user_id,
        "csrf": csrf,
        "created_at": now,
        "seen_at": now,
        "expires_at": now + idle,
    }
    row |= {"agent": agent[:200], "peer": peer[:100]}
    tx.execute(insert(auth_session).values(key_hash=hashed(key), **row))
    return Session(**row)


def session(tx: Connection, key: str, now: float) -> tuple[Session, Viewer] | None:
    """Who has this session's key; None once it has ended or the login is switched off."""
    rows = select(auth_session).where(auth_session.c.key_hash == hashed(key), auth_session.c.expires_at > now)
    row = tx.execute(rows).one_or_none()
    who = viewer(tx, row.user_id) if row is not None else None
    return (_session(row), who) if who is not None else None


def touch_session(tx: Connection, key: str, now: float, *, idle: float = IDLE, longest: float = LONGEST) -> None:
    """Slide a session's end (call it once a minute, not at each page); never beyond ``longest`` after its login."""
    row = auth_session.c
    end = (
        func.min(now + idle, row.created_at + longest)
        if tx.dialect.name == "sqlite"
        else func.least(now + idle, row.created_at + longest)
    )
    tx.execute(
        update(auth_session)
        .where(row.key_hash == hashed(key), row.expires_at > now)
        .values(seen_at=now, expires_at=end)
    )


def revoke_session(tx: Connection, key: str) -> bool:
    """Log out."""
    return tx.execute(delete(auth_session).where(auth_session.c.key_hash == hashed(key))).rowcount > 0


def revoke_sessions(tx: Connection, user_id: int, *, but: str = "") -> int:
    """Log a user out everywhere, or everywhere but here."""
    row = auth_session.c
    gone = delete(auth_session).where(row.user_id == user_id)
    return tx.execute(gone.where(row.key_hash != hashed(but)) if but else gone).rowcount


def sessions(tx: Connection, user_id: int, now: float) -> list[Session]:
    """Where a user is logged in, latest first."""
    row = auth_session.c
    rows = select(auth_session).where(row.user_id == user_id, row.expires_at > now).order_by(row.seen_at.desc())
    return [_session(found) for found in tx.execute(rows)]


def forget_expired(tx: Connection, now: float) -> int:
    """Delete ended sessions, and login attempts older than a day."""
    tx.execute(delete(login_attempt).where(login_attempt.c.at < now - 86400.0))
    return tx.execute(delete(auth_session).where(auth_session.c.expires_at <= now)).rowcount


# --- API tokens ----------


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An API token without its key, which nobody keeps."""

    id: int
    user_id: int
    name: str
    created_at: float
    used_at: float | None
    expires_at: float | None
    scope: str = ""


_TOKEN = [auth_token.c[name] for name in Token.__struct_fields__]


def create_token(
    tx: Connection,
    actor: Viewer,
    user_id: int,
    name: str,
    key: str,
    now: float,
    *,
    expires_at: float | None = None,
    scope: str = "",
) -> Token:
    """A new key for programs that act as a user; with a ``scope`` ("feeds") for that alone."""
    row: dict[str, Any] = {
        "user_id": user_id,
        "name": name[:100] or "token",
        "created_at": now,
        "expires_at": expires_at,
        "scope": scope,
    }
    made = insert(auth_token).values(key_hash=hashed(key), **row).returning(auth_token.c.id)
    token_id = tx.execute(made).scalar_one()
    audit.note(tx, actor, "create token", f"token/{token_id}", {"user": user_id, "name": name[:100]}, now)
    return Token(id=token_id, used_at=None, **row)


def token(tx: Connection, key: str, now: float, scope: str = "") -> tuple[Token, Viewer] | None:
    """Who a token's key acts as; None where it is unknown, of another scope, out of date, or the login switched off."""
    rows = select(*_TOKEN).where(auth_token.c.key_hash == hashed(key), auth_token.c.scope == scope)
    row = tx.execute(rows).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    who = viewer(tx, row.user_id)
    return (Token(**row._mapping), who) if who is not None else None


def touch_token(tx: Connection, token_id: int, now: float) -> None:
    """Note that a token was used (call it once a minute at most)."""
    tx.execute(update(auth_token).where(auth_token.c.id == token_id).values(used_at=now))


def tokens(tx: Connection, user_id: int | None = None) -> list[Token]:
    """A user's tokens, or everybody's."""
    rows = select(*_TOKEN).order_by(auth_token.c.id)
    return [
        Token(**row._mapping)
        for row in tx.execute(rows if user_id is None else rows.where(auth_token.c.user_id == user_id))
    ]


def revoke_token(tx: Connection, actor: Viewer, token_id: int, now: float, *, user_id: int | None = None) -> bool:
    """End a token; with ``user_id``, only if it is that user's."""
    gone = delete(auth_token).where(auth_token.c.id == token_id)
    if user_id is not None:
        gone = gone.where(auth_token.c.user_id == user_id)
    if not tx.execute(gone).rowcount:
        return False
    audit.note(tx, actor, "revoke token", f"token/{token_id}", {}, now)
    return True


# --- attempts ----------


def attempt(tx: Connection, account: str, peer: str, succeeded: bool, now: float) -> None:
    """Write down a try to log in."""
    row = {"account": login_name(account)[:100], "peer": peer[:100], "succeeded": succeeded, "at": now}
    tx.execute(insert(login_attempt).values(**row))


def failures(tx: Connection, account: str, peer: str, since: float) -> tuple[int, int]:
    """How often logins failed since then: for the account from this peer after its last success, and for the peer."""
    row = login_attempt.c
    name = login_name(account)[:100]
    last = select(func.max(row.at)).where(row.account == name, row.peer == peer[:100], row.succeeded).scalar_subquery()
    failed = select(func.count()).select_from(login_attempt).where(row.succeeded.is_(False), row.at > since)
    here = failed.where(row.account == name, row.peer == peer[:100], row.at > func.coalesce(last, 0.0))
    return tx.scalar(here) or 0, tx.scalar(failed.where(row.peer == peer[:100])) or 0
