"""Signing in and out, and the one-time link that makes the first administrator."""

from __future__ import annotations

from msgserver.routing.passwords import SHORTEST, weakness
from msgserver.store import logins, users
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Cookie, Refusal, Tx, local, see_other
from msgserver.web.language import _
from msgserver.web.sessions import COOKIE, sign_in, stranger_form, too_many
from msgserver.web.words import sentence, span

WRONG = _("The name or the password is not right.")


async def login(ask: Ask) -> Answer:
    """The sign-in page."""
    if ask.session is not None:
        return see_other(local(ask.query("next")))
    return _show(ask)


def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    token, cookies = stranger_form(ask)
    back = local(ask.form("next") or ask.query("next"))
    name = ask.form("name")[:100]
    return ask.page("login.html", status, cookies, token=token, next=back, name=name, wrong=wrong)


async def enter(ask: Ask) -> Answer:
    """Check name and password: the same words and the same time, whether or not there is such a user."""
    name, password = ask.form("name")[:200], ask.form("password")
    wait = await ask.store.read(too_many, name, ask.peer, ask.at)
    if wait:
        return _show(ask, _("Too many tries. Wait %s, then try again.") % span(wait), 429)
    found = await ask.store.read(users.find_user, name)
    user, stored = found if found is not None and found[0].active else (None, "")
    matched = await ask.site.passwords.match(stored, password)
    await ask.store.write(logins.attempt, name, ask.peer, matched, ask.at)
    if user is None or not matched:
        return _show(ask, WRONG, 403)
    return see_other(local(ask.form("next")), await sign_in(ask, user.id))


async def logout(ask: Ask) -> Answer:
    """End this session here and in the store."""
    key = ask.cookies.get(COOKIE, "")
    await ask.store.write(logins.revoke_session, key)
    ask.site.streams.revoke(key)
    return see_other("/login", (Cookie(COOKIE, "", 0),))


# The first administrator -----------------------------------------------------------------------------------------


async def setup(ask: Ask) -> Answer:
    """The page behind the setup link."""
    key = ask.query("token")[:200]
    if not await ask.store.read(users.setup_open, key):
        raise Refusal(
            403,
            _("This setup link has been used or is out of date."),
            _("Sign in instead, or print a new link with: msgserver init"),
        )
    return _show_setup(ask, key)


def _show_setup(ask: Ask, key: str, wrong: str = "", status: int = 200) -> Answer:
    token, cookies = stranger_form(ask)
    return ask.page(
        "setup.html",
        status,
        cookies,
        token_form=token,
        token=key,
        name=ask.form("name")[:100],
        wrong=wrong,
        shortest=SHORTEST,
    )


async def make_administrator(ask: Ask) -> Answer:
    """Make the first administrator and sign them in; the link is used up."""
    key, name, password = ask.form("token")[:200], ask.form("name").strip(), ask.form("password")
    wrong = weakness(password, name)
    if not wrong and password != ask.form("again"):
        wrong = _("The two passwords are not the same. Write it twice.")
    if wrong:
        return _show_setup(ask, key, wrong, 422)
    if not await ask.store.read(users.setup_open, key):
        raise Refusal(403, _("This setup link has been used or is out of date."), _("Sign in instead."))
    hashed = await ask.site.passwords.hash(password)
    try:
        user = await ask.store.write(_set_up, key, name, hashed, ask.at)
    except Refused as refused:
        return _show_setup(ask, key, sentence(str(refused)), 422)
    return see_other("/?said=welcome", await sign_in(ask, user))


def _set_up(tx: Tx, key: str, name: str, hashed: str, now: float) -> int:
    return users.set_up(tx, key, name, hashed, now).id
