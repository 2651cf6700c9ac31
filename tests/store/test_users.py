"""Users and their rights, the setup link, sessions, tokens, and login attempts."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.store import audit, logins, users
from msgserver.store.edits import Refused
from msgserver.store.schema import auth_session, auth_token, counter
from tests.store.desk import ADMINISTRATOR, NOW, RESPONDER, conversation, message
from tests.store.people import entity

SCOPED = Grant(Role.READER, "incident", "flood")


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def make(tx, name="ana", *grants, **options):
    return users.create_user(tx, HUB, name, "argon2 words", grants or (RESPONDER,), NOW, **options)


def test_a_new_user(tx):
    message(tx, conversation(tx))
    newest = message(tx, conversation(tx))
    ana = make(tx, "  Ana ", RESPONDER, SCOPED, RESPONDER)
    assert (ana.name, ana.active, ana.unread_from) == ("ana", True, newest)
    assert set(ana.grants) == {RESPONDER, SCOPED}
    assert users.user(tx, ana.id) == ana
    assert users.find_user(tx, "ANA") == (ana, "argon2 words")
    assert users.find_user(tx, "bo") is None
    assert users.viewer(tx, ana.id) == Viewer(ana.id, "ana", ana.grants, None)
    assert users.viewer(tx, 99) is None
    assert users.users(tx) == users.users(tx, active=True) == [ana]
    for name in ("ana", "", "   ", "a" * 101, "a\x00b", "a\nb"):
        with pytest.raises(Refused):
            make(tx, name)


def test_rights_change_but_an_administrator_stays(tx):
    ana, bo = make(tx, "ana", ADMINISTRATOR), make(tx, "bo")
    assert users.administrators(tx) == 1
    with pytest.raises(Refused, match="only administrator"):
        users.set_active(tx, HUB, ana.id, False, NOW)
    with pytest.raises(Refused, match="only administrator"):
        users.set_grants(tx, HUB, ana.id, (Grant(Role.ADMINISTRATOR, "incident"),), NOW)
    assert users.set_grants(tx, HUB, bo.id, (ADMINISTRATOR, SCOPED), NOW).grants == (ADMINISTRATOR, SCOPED)
    assert users.set_grants(tx, HUB, ana.id, (), NOW).grants == ()
    assert users.set_grants(tx, HUB, 99, (), NOW) is None
    assert users.set_active(tx, HUB, 99, False, NOW) is None
    acts = [entry.act for entry in audit.entries(tx, user_id=0).items]
    assert acts[:2] == ["grants", "grants"]


def test_switched_off_means_out(tx):
    ana = make(tx)
    logins.create_session(tx, ana.id, "key", "csrf", NOW)
    logins.create_token(tx, HUB, ana.id, "script", "secret", NOW)
    assert not users.set_active(tx, HUB, ana.id, False, NOW).active
    assert logins.session(tx, "key", NOW) is None
    assert logins.token(tx, "secret", NOW) is None
    assert users.viewer(tx, ana.id) is None
    users.set_active(tx, HUB, ana.id, True, NOW)
    assert logins.session(tx, "key", NOW) is None
    assert logins.token(tx, "secret", NOW) is not None


def test_passwords_person_and_settings(tx):
    ana, person = make(tx), entity(tx, "Ana")
    logins.create_session(tx, ana.id, "key", "csrf", NOW)
    assert users.set_password(tx, HUB, ana.id, "other words", NOW)
    assert users.password_hash(tx, ana.id) == "other words"
    assert logins.session(tx, "key", NOW) is None
    assert not users.set_password(tx, HUB, 99, "x", NOW)
    assert users.user_of_entity(tx, person) is None
    assert users.set_entity(tx, HUB, ana.id, person, NOW)
    assert users.user_of_entity(tx, person) == users.viewer(tx, ana.id)
    assert not users.set_entity(tx, HUB, 99, person, NOW)
    assert users.settings(tx, ana.id) == {}
    assert users.set_settings(tx, ana.id, {"keys": True, "theme": "dark"}) == {"keys": True, "theme": "dark"}
    assert users.set_settings(tx, ana.id, {"theme": None}) == users.settings(tx, ana.id) == {"keys": True}


def test_the_setup_link_works_once(tx):
    assert users.setup_token(tx, "first")
    assert users.setup_token(tx, "second")
    assert not users.setup_open(tx, "first")
    assert users.setup_open(tx, "second")
    assert "second" not in str(tx.execute(select(counter)).all())
    with pytest.raises(Refused):
        users.set_up(tx, "first", "mallory", "hash", NOW)
    made = users.set_up(tx, "second", "ana", "hash", NOW)
    assert made.grants == (ADMINISTRATOR,)
    with pytest.raises(Refused):
        users.set_up(tx, "second", "mallory", "hash", NOW)
    assert not users.setup_token(tx, "third")
    assert not users.setup_open(tx, "third")


def test_sessions_slide_and_end(tx):
    ana = make(tx)
    kept = logins.create_session(tx, ana.id, "key", "csrf", NOW, idle=100, agent="x" * 500, peer="::1")
    assert (kept.expires_at, len(kept.agent)) == (NOW + 100, 200)
    assert logins.session(tx, "key", NOW + 99) == (kept, users.viewer(tx, ana.id))
    assert logins.session(tx, "key", NOW + 100) is None
    assert logins.session(tx, "other", NOW) is None
    logins.touch_session(tx, "key", NOW + 60, idle=100, longest=130)
    assert logins.session(tx, "key", NOW + 129)[0].expires_at == NOW + 130
    logins.touch_session(tx, "key", NOW + 131, idle=100)
    assert logins.session(tx, "key", NOW + 131) is None
    assert "key" not in tx.scalars(select(auth_session.c.key_hash)).all()


def test_logging_out(tx):
    ana, bo = make(tx, "ana"), make(tx, "bo")
    for key in ("a1", "a2", "a3"):
        logins.create_session(tx, ana.id, key, "csrf", NOW)
    logins.create_session(tx, bo.id, "b", "csrf", NOW, idle=10)
    assert logins.revoke_session(tx, "a1")
    assert not logins.revoke_session(tx, "a1")
    assert logins.revoke_sessions(tx, ana.id, but="a3") == 1
    assert logins.session(tx, "a3", NOW) is not None
    assert len(logins.sessions(tx, ana.id, NOW)) == 1
    assert logins.forget_expired(tx, NOW + 10) == 1
    assert logins.sessions(tx, bo.id, NOW) == []


def test_tokens(tx):
    ana, bo = make(tx, "ana"), make(tx, "bo")
    kept = logins.create_token(tx, HUB, ana.id, "script", "secret", NOW, expires_at=NOW + 10)
    assert logins.token(tx, "secret", NOW) == (kept, users.viewer(tx, ana.id))
    assert logins.token(tx, "secret", NOW + 10) is None
    assert logins.token(tx, "guess", NOW) is None
    assert "secret" not in tx.scalars(select(auth_token.c.key_hash)).all()
    logins.touch_token(tx, kept.id, NOW + 3)
    assert [one.used_at for one in logins.tokens(tx, ana.id)] == [NOW + 3]
    assert len(logins.tokens(tx)) == 1
    assert not logins.revoke_token(tx, HUB, kept.id, NOW, user_id=bo.id)
    assert logins.revoke_token(tx, HUB, kept.id, NOW, user_id=ana.id)
    assert logins.token(tx, "secret", NOW) is None
    assert "secret" not in str(audit.entries(tx).items)


def test_failed_logins_are_counted_until_one_succeeds(tx):
    for at in range(3):
        logins.attempt(tx, "Ana", "10.0.0.1", False, NOW + at)
    logins.attempt(tx, "bo", "10.0.0.1", False, NOW)
    logins.attempt(tx, "ana", "10.0.0.2", False, NOW)
    assert logins.failures(tx, "ana", "10.0.0.1", NOW - 1) == (3, 4)
    assert logins.failures(tx, "ana", "10.0.0.1", NOW + 1) == (1, 1)
    logins.attempt(tx, "ana", "10.0.0.1", True, NOW + 5)
    logins.attempt(tx, "ana", "10.0.0.1", False, NOW + 6)
    assert logins.failures(tx, "ana", "10.0.0.1", NOW - 1) == (1, 5)
    logins.forget_expired(tx, NOW + 2 * 86400)
    assert logins.failures(tx, "ana", "10.0.0.1", NOW - 1) == (0, 0)
