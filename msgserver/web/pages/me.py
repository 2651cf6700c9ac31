"""One's own page: another password, where one is signed in, tokens for programs."""

from __future__ import annotations

import secrets
from typing import Any

from msgserver.records import Viewer
from msgserver.routing.passwords import SHORTEST, weakness
from msgserver.store import logins
from msgserver.store import users as kept_users
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.sessions import COOKIE, FEEDS, sign_in


def look(tx: Tx, viewer: Viewer, now: float) -> tuple[Around, list[logins.Session], list[logins.Token]]:
    """Where one is signed in, and one's tokens."""
    return around(tx, viewer), logins.sessions(tx, viewer.user_id, now), logins.tokens(tx, viewer.user_id)


async def me(ask: Ask) -> Answer:
    """One's own page."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200, key: str = "") -> Answer:
    here, sessions, tokens = await ask.store.read(look, ask.viewer, ask.at)
    values: dict[str, Any] = {"sessions": sessions, "tokens": tokens, "shortest": SHORTEST, "key": key}
    return desk_page(ask, "me.html", here, "me", status=status, wrong=wrong, **values)


async def change_password(ask: Ask) -> Answer:
    """Take another password; every session ends but a new one here."""
    old, new = ask.form("old"), ask.form("password")
    stored = await ask.store.read(kept_users.password_hash, ask.viewer.user_id)
    wrong = weakness(new, ask.viewer.name)
    if not wrong and new != ask.form("again"):
        wrong = _("The two passwords are not the same. Write it twice.")
    if not wrong and not await ask.site.passwords.match(stored, old):
        await ask.store.write(logins.attempt, ask.viewer.name, ask.peer, False, ask.at)
        wrong = _("The old password is not right.")
    if wrong:
        return await _show(ask, wrong, 422)
    hashed = await ask.site.passwords.hash(new)
    await ask.store.write(kept_users.set_password, ask.viewer, ask.viewer.user_id, hashed, ask.at)
    ask.site.streams.revoke(ask.cookies.get(COOKIE, ""))
    return see_other("/me?said=password", await sign_in(ask, ask.viewer.user_id))


async def leave_elsewhere(ask: Ask) -> Answer:
    """Sign out everywhere but here."""
    await ask.store.write(_leave, ask.viewer.user_id, ask.cookies.get(COOKIE, ""))
    return see_other("/me?said=left")


def _leave(tx: Tx, user_id: int, key: str) -> int:
    return logins.revoke_sessions(tx, user_id, but=key)


async def add_token(ask: Ask) -> Answer:
    """Make a token; its key is shown this once."""
    if not ask.form("name").strip():
        return await _show(ask, _("Give the token a name, so that you know it later."), 422)
    key, name = secrets.token_urlsafe(32), ask.form("name").strip()
    await ask.store.write(logins.create_token, ask.viewer, ask.viewer.user_id, name, key, ask.at)
    return await _show(ask, key=key)


def _make_feed_key(tx: Tx, actor: Viewer, name: str, key: str, now: float) -> int:
    return logins.create_token(tx, actor, actor.user_id, name, key, now, scope=FEEDS).id


async def add_feed_key(ask: Ask) -> Answer:
    """Make a key that is good for feeds alone; it is shown this once."""
    if not ask.form("name").strip():
        return await _show(ask, _("Give the key a name, so that you know it later."), 422)
    key, name = secrets.token_urlsafe(32), ask.form("name").strip()
    await ask.store.write(_make_feed_key, ask.viewer, name, key, ask.at)
    return await _show(ask, key=key)


def _revoke(tx: Tx, actor: Viewer, token_id: int, now: float) -> bool:
    return logins.revoke_token(tx, actor, token_id, now, user_id=actor.user_id)


async def revoke_token(ask: Ask) -> Answer:
    """End one of one's tokens."""
    if not await ask.store.write(_revoke, ask.viewer, ask.part["token"], ask.at):
        raise not_found("token")
    return see_other("/me?said=removed")
