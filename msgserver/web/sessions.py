"""Who asks: sessions of browsers, tokens of programs, and what protects the forms.

The cookie holds a random key; the store keeps its hash, so that sessions survive a restart, can be revoked, and
whoever reads the database cannot use them. A form carries the session's token masked anew on each page (against
BREACH), and the browser's ``Origin`` is checked besides.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from urllib.parse import quote

from msgserver.records import Viewer
from msgserver.store import logins
from msgserver.web.ask import Ask, Cookie, Refusal, Session, Tx, changed
from msgserver.web.language import _

STRANGER = Viewer(-1, "")
COOKIE = "desk"
FORM_COOKIE = "desk_form"  # before there is a session: the sign-in and setup forms
TOUCH_EVERY = 60.0  # seconds
TOKEN_BYTES = 16

# Within so many seconds, failed tries at one account from one place, and from one place at all.
LIMITS = ((60.0, 5, 20), (3600.0, 30, 200))


async def by_cookie(ask: Ask) -> Ask:
    """Find the session that the cookie names; a stranger where it is none or has ended."""
    key = ask.cookies.get(COOKIE, "")
    found = await ask.store.read(logins.session, key, ask.at) if key else None
    if found is None:
        return ask
    session, viewer = found
    if ask.at - session.seen_at > TOUCH_EVERY:
        await ask.store.write(logins.touch_session, key, ask.at)
    return changed(ask, viewer=viewer, session=Session(key, viewer.user_id, session.csrf))


async def by_token(ask: Ask, *, required: bool) -> Ask:
    """Find whom a bearer token acts for (RFC 6750 section 2.1).

    Raises:
        Refusal: 401, there is none or it does not count; 429, it was used too often.
    """
    scheme, _space, key = ask.headers.get("authorization", "").partition(" ")
    found = None
    if scheme.lower() == "bearer" and key.strip():
        found = await ask.store.read(logins.token, key.strip(), ask.at)
    if found is None:
        if not required:
            return ask
        wrong = _("The token is unknown, out of date or revoked.") if key else _("This needs a token.")
        refusal = Refusal(401, wrong, _("Send “Authorization: Bearer …”; make one with: msgserver token add NAME"))
        refusal.headers = (("WWW-Authenticate", 'Bearer realm="msgserver"'),)
        raise refusal
    return await _with(ask, *found)


FEEDS = "feeds"  # the scope of keys that are good for feeds alone


async def by_feed_key(ask: Ask) -> Ask:
    """Find whose feeds are asked for: by a key as HTTP Basic's password (RFC 7617), a token, or a session.

    Raises:
        Refusal: 401, none of them; 429, the key was used too often.
    """
    scheme, _space, words = ask.headers.get("authorization", "").partition(" ")
    key, found = words.strip(), None
    if scheme.lower() == "basic":
        key = _password(key)
    if scheme.lower() in ("basic", "bearer") and key:
        found = await ask.store.read(logins.token, key, ask.at, FEEDS)
        if found is None and scheme.lower() == "bearer":
            found = await ask.store.read(logins.token, key, ask.at)
    if found is not None:
        return await _with(ask, *found)
    if not scheme:
        ask = await by_cookie(ask)
        if ask.session is not None:
            return ask
    refusal = Refusal(
        401,
        _("This feed needs a key."),
        _("Make one on your own page, and give it to the feed reader as the password, with any name."),
    )
    refusal.headers = (("WWW-Authenticate", 'Basic realm="msgserver feeds", charset="UTF-8"'),)
    raise refusal


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


async def _with(ask: Ask, token: logins.Token, viewer: Viewer) -> Ask:
    """The request in the name of a token's user, unless the token was used too often."""
    wait = ask.site.rates.wait(token.id, ask.at)
    if wait:
        refusal = Refusal(429, _("This token asks too often."), _("Nothing was done; wait, then go on more slowly."))
        refusal.headers = (("Retry-After", str(wait)),)
        raise refusal
    if token.used_at is None or ask.at - token.used_at > TOUCH_EVERY:
        await ask.store.write(logins.touch_token, token.id, ask.at)
    return changed(ask, viewer=viewer)


def sign_in_first(ask: Ask) -> Refusal:
    """Lead a stranger to the sign-in page and back again; a part of a page or a stream gets a plain 401."""
    if "x-part" in ask.headers or ask.path == "/events":
        return Refusal(401, _("You are signed out."), _("Sign in again; what you were writing is kept."))
    refusal = Refusal(303, "")
    back = f"?next={quote(ask.path, safe='/')}" if ask.path != "/" and ask.method == "GET" else ""
    refusal.headers = (("Location", f"/login{back}"),)
    return refusal


# Forms -----------------------------------------------------------------------------------------------------------


def form_token(session: Session | None) -> str:
    """The session's token as it stands in a form: another word each time, the same meaning."""
    if session is None:
        return ""
    mask = secrets.token_bytes(TOKEN_BYTES)
    return (mask + _xor(mask, bytes.fromhex(session.csrf))).hex()


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _unmasked(word: str) -> bytes:
    try:
        masked = bytes.fromhex(word)
    except ValueError:
        return b""
    return _xor(masked[:TOKEN_BYTES], masked[TOKEN_BYTES:]) if len(masked) == 2 * TOKEN_BYTES else b""


def check_form(ask: Ask) -> None:
    """Refuse a form that we did not write for this browser.

    Raises:
        Refusal: 403.
    """
    if ask.session is not None:
        good = hmac.compare_digest(_unmasked(ask.form("csrf")), bytes.fromhex(ask.session.csrf))
    else:
        cookie = ask.cookies.get(FORM_COOKIE, "")
        good = len(cookie) >= TOKEN_BYTES and hmac.compare_digest(cookie.encode(), ask.form("form").encode())
    if not good:
        raise Refusal(
            403,
            _("This form is out of date."),
            _("Nothing was sent or changed. Go back, load the page again and send it once more."),
        )


def stranger_form(ask: Ask) -> tuple[str, tuple[Cookie, ...]]:
    """The token of a form for somebody who has no session, and the cookie that goes with it."""
    known = ask.cookies.get(FORM_COOKIE, "")
    token = known if len(known) >= TOKEN_BYTES and known.isalnum() else secrets.token_hex(TOKEN_BYTES)
    return token, (Cookie(FORM_COOKIE, token, strict=True),)


# Signing in ------------------------------------------------------------------------------------------------------


def too_many(tx: Tx, account: str, peer: str, now: float) -> float:
    """Seconds to wait before another try is looked at; 0: none."""
    for window, here, there in LIMITS:
        by_account, by_peer = logins.failures(tx, account, peer, now - window)
        if by_account >= here or by_peer >= there:
            return window
    return 0.0


def begin(tx: Tx, user_id: int, key: str, csrf: str, now: float, agent: str, peer: str, old: str) -> None:
    """A session with a new key; whatever session the browser had before has ended (no fixation)."""
    if old:
        logins.revoke_session(tx, old)
    logins.forget_expired(tx, now)
    logins.create_session(tx, user_id, key, csrf, now, agent=agent, peer=peer)


async def sign_in(ask: Ask, user_id: int) -> tuple[Cookie, ...]:
    """Open a session; returns the cookies to set."""
    key, csrf = secrets.token_urlsafe(32), secrets.token_hex(TOKEN_BYTES)
    agent = ask.headers.get("user-agent", "")
    await ask.store.write(begin, user_id, key, csrf, ask.at, agent, ask.peer, ask.cookies.get(COOKIE, ""))
    return Cookie(COOKIE, key), Cookie(FORM_COOKIE, "", 0, strict=True)
