from __future__ import annotations

import base64

from msgserver.protocols.smtp.attempts import LIMITS, Attempts
from msgserver.protocols.smtp.auth import TOO_OFTEN, Exchange
from msgserver.settings import Secret

NOW = 1000.0


def wrong(attempts, account="ana", place="192.0.2.1", times=1, now=NOW):
    for _ in range(times):
        attempts.failed(account, place, now)


def test_an_account_is_closed_to_a_place_for_a_minute_then_for_an_hour():
    attempts = Attempts()
    wrong(attempts, times=4)
    assert attempts.may_try("ana", "192.0.2.1", NOW)
    wrong(attempts)
    assert not attempts.may_try("Ana", "192.0.2.1", NOW + 59)
    assert attempts.may_try("ana", "192.0.2.2", NOW)  # from elsewhere its owner comes in
    assert attempts.may_try("ana", "192.0.2.1", NOW + 61)
    for minute in range(1, 6):
        wrong(attempts, times=5, now=NOW + 70 * minute)
    assert not attempts.may_try("ana", "192.0.2.1", NOW + 1000)
    assert attempts.may_try("ana", "192.0.2.1", NOW + 3700)


def test_a_place_that_tries_many_accounts_is_closed():
    attempts = Attempts()
    for number in range(10):
        wrong(attempts, f"user{number}")
    assert not attempts.may_try("another", "192.0.2.1", NOW)
    assert attempts.may_try("another", "192.0.2.9", NOW)


def test_the_right_password_forgives_its_account_but_not_the_place():
    attempts = Attempts()
    wrong(attempts, times=4)
    attempts.succeeded("ana", "192.0.2.1")
    wrong(attempts, times=4)
    assert attempts.may_try("ana", "192.0.2.1", NOW)
    wrong(attempts, "bo", times=2)
    assert not attempts.may_try("ana", "192.0.2.1", NOW)


def test_memory_has_a_bound():
    attempts = Attempts()
    for number in range(12_000):
        wrong(attempts, f"user{number}", f"2001:db8::{number:x}", times=1)
    assert len(attempts._wrong) <= 10_000
    assert all(kept.maxlen == LIMITS[-1][2] for kept in attempts._wrong.values())


def plain(name, password):
    return b"PLAIN " + base64.b64encode(b"\0" + name + b"\0" + password)


def test_a_closed_account_does_not_say_whether_the_password_is_right():
    asked = []

    def never(name):
        asked.append(name)
        return False

    for password in (b"s3cret", b"wrong"):
        exchange = Exchange({"radio": Secret("s3cret")}, never)
        assert exchange.begin(plain(b"radio", password)) == TOO_OFTEN
        assert (exchange.user, exchange.tried, exchange.done) == ("", None, True)
    assert asked == ["radio", "radio"]


def test_a_judged_name_is_told():
    exchange = Exchange({"radio": Secret("s3cret")}, lambda name: True)
    assert exchange.begin(plain(b"radio", b"wrong")).startswith(b"535")
    assert (exchange.tried, exchange.user) == ("radio", "")
    exchange = Exchange({"radio": Secret("s3cret")}, lambda name: True)
    assert exchange.begin(plain(b"radio", b"s3cret")).startswith(b"235")
    assert (exchange.tried, exchange.user) == ("radio", "radio")
