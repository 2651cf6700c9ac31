"""Signing in, sessions and the protection of forms (THREATS T18, T19, T20, T34)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from msgserver.records import Role
from msgserver.store import logins, users
from tests.web.conftest import PASSWORD, Web


def test_the_setup_link_makes_one_administrator_once(web: Web) -> None:
    web.store.now(users.setup_token, "the-key")
    newcomer = web.browser()
    assert newcomer.get("/setup?token=wrong").status == 403
    page = "/setup?token=the-key"
    weak = newcomer.submit(page, "/setup", name="ana", password="short", again="short")
    assert weak.status == 422
    assert "too short" in weak.text
    twice = newcomer.submit(page, "/setup", name="ana", password=PASSWORD, again="another pass phrase")
    assert "not the same" in twice.text
    made = newcomer.submit(page, "/setup", name="Ana", password=PASSWORD, again=PASSWORD)
    assert made.status == 303
    assert newcomer.get("/").status == 200
    assert newcomer.get("/rules").status == 200
    assert web.browser().get(page).status == 403
    assert web.browser().login("ana").status == 303


def test_cookie_flags(make_web: Callable[..., Web]) -> None:
    for url, secure in (("http://desk.example", False), ("https://desk.example", True)):
        web = make_web(url=url)
        web.user("ana")
        answer = web.browser().login("ana")
        (cookie,) = (c for c in answer.headers["set-cookie"] if c.startswith("desk="))
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert ("Secure" in cookie) is secure
        assert bool(answer.header("strict-transport-security")) is secure


def test_signing_in_gives_a_new_key_and_ends_the_old_session(web: Web) -> None:
    ana = web.signed_in("ana")
    old = ana.cookies["desk"]
    thief = web.browser()
    thief.cookies["desk"] = old
    assert thief.get("/").status == 200
    token = ana.cookies["desk_form"] = "a" * 32
    again = ana.post("/login", name="ana", password=PASSWORD, form=token, csrf="")
    assert again.status == 403, "a session's forms need the session's token"
    del ana.cookies["desk"]
    assert ana.login("ana").status == 303
    assert ana.cookies["desk"] != old


def test_a_planted_session_key_is_never_taken_over(web: Web) -> None:
    web.user("ana")
    victim = web.browser()
    victim.cookies["desk"] = "planted"
    assert victim.login("ana").status == 303
    assert victim.cookies["desk"] != "planted"


def test_signing_out_ends_the_session_everywhere_it_was_copied(web: Web) -> None:
    ana = web.signed_in("ana")
    copy = web.browser()
    copy.cookies = dict(ana.cookies)
    assert ana.submit("/", "/logout").status == 303
    answer = copy.get("/")
    assert answer.status == 303
    assert answer.header("location") == "/login"
    assert "desk" not in ana.cookies


def test_eight_idle_hours_end_it_and_a_look_keeps_it(web: Web) -> None:
    ana = web.signed_in("ana")
    for _ in range(3):
        web.clock.advance(7 * 3600)
        assert ana.get("/").status == 200
    web.clock.advance(8 * 3600 + 1)
    assert ana.get("/").status == 303


def test_a_new_password_or_a_login_switched_off_ends_sessions(web: Web) -> None:
    admin = web.user("root", role=Role.ADMINISTRATOR)
    for end in (
        lambda user_id: web.store.now(users.set_password, admin, user_id, "other", 1.0),
        lambda user_id: web.store.now(users.set_active, admin, user_id, False, 1.0),
    ):
        name = f"user{id(end)}"
        browser = web.signed_in(name)
        found = web.store.now(users.find_user, name)
        assert found is not None
        end(found[0].id)
        assert browser.get("/").status == 303


def test_the_store_keeps_no_key(web: Web) -> None:
    ana = web.signed_in("ana")
    rows = web.store.now(lambda tx: tx.exec_driver_sql("select key_hash from auth_session").all())
    assert rows
    assert all(ana.cookies["desk"] not in row for row in rows)


def test_wrong_name_and_wrong_password_look_the_same(web: Web) -> None:
    web.user("ana")
    one = web.browser().login("ana", "not the password")
    other = web.browser().login("nobody", "not the password")
    assert one.status == other.status == 403
    assert "not right" in one.text
    assert one.text.replace("ana", "*").count("*") == other.text.replace("nobody", "*").count("*")


def test_an_unknown_user_costs_a_hash_too(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def match(stored: str, password: str) -> bool:
        tried.append(stored)
        return False

    monkeypatch.setattr("msgserver.routing.passwords.password_matches", match)
    web.browser().login("nobody", "x")
    assert tried == [""]


def test_back_off_after_five_failures_even_with_the_right_password(web: Web) -> None:
    web.user("ana")
    attacker = web.browser()
    for _ in range(5):
        assert attacker.login("ana", "guess").status == 403
    held = attacker.login("ana")
    assert held.status == 429
    assert "Too many tries" in held.text
    web.clock.advance(61)
    assert attacker.login("ana").status == 303


def test_back_off_counts_unknown_names_alike(web: Web) -> None:
    for _ in range(5):
        assert web.browser().login("nobody", "guess").status == 403
    assert web.browser().login("nobody", "guess").status == 429


def test_a_form_without_our_token_does_nothing(web: Web) -> None:
    ana = web.signed_in("ana")
    for token in ("", "0" * 64, "zz", "ab"):
        answer = ana.post("/logout", csrf=token)
        assert answer.status == 403
    assert ana.get("/").status == 200


def test_a_form_from_another_site_does_nothing(web: Web) -> None:
    ana = web.signed_in("ana")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        page = ana.get("/").text
        token = page.split('name="csrf" value="')[1].split('"')[0]
        answer = ana.post("/logout", headers, csrf=token)
        assert answer.status == 403
        assert "another site" in answer.text
    assert ana.get("/").status == 200


def test_the_sign_in_form_cannot_be_sent_for_somebody(web: Web) -> None:
    web.user("ana")
    victim = web.browser()
    assert victim.post("/login", name="ana", password=PASSWORD, form="a" * 32).status == 403
    assert "desk" not in victim.cookies


def test_each_page_masks_the_token_anew(web: Web) -> None:
    ana = web.signed_in("ana")
    tokens = {ana.get("/").text.split('name="csrf" value="')[1].split('"')[0] for _ in range(3)}
    assert len(tokens) == 3


@pytest.mark.parametrize(
    "place",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", "evil"]
)  # fmt: skip
def test_after_signing_in_one_stays_on_this_site(web: Web, place: str) -> None:
    web.user("ana")
    answer = web.browser().submit("/login", "/login", name="ana", password=PASSWORD, next=place)
    assert answer.status == 303
    assert answer.header("location") == "/"


def test_one_is_led_back_to_where_one_was_going(web: Web) -> None:
    web.user("ana")
    stranger = web.browser()
    there = stranger.get("/people")
    assert there.header("location") == "/login?next=/people"
    answer = stranger.submit(there.header("location"), "/login", name="ana", password=PASSWORD)
    assert answer.header("location") == "/people"


def test_the_host_header_is_never_in_what_we_send(web: Web) -> None:
    web.user("ana")
    for path in ("/", "/login", "/nowhere", "/api/v1/openapi.json"):
        answer = web.browser().get(path, Host="evil.example")
        assert b"evil.example" not in answer.body
        assert "evil.example" not in str(answer.headers)


def test_get_never_writes(web: Web) -> None:
    """Every GET of the site, as an administrator: nothing in the database is another than before."""
    ana = web.signed_in("ana", role=Role.ADMINISTRATOR)
    tables = "auth_session auth_user msg_read_status ticket audit idempotency rule pe_entity msg_delivery_status"

    def everything() -> list[object]:
        return [web.store.now(lambda tx, t=t: tx.exec_driver_sql(f"select * from {t}").all()) for t in tables.split()]

    before = everything()
    for row in web.site.rows:
        if row.method == "GET" and row.pattern != "/events":
            ana.get(row.pattern.replace("{name:word}", "mail").replace("{", "1").replace("}", ""))
    assert everything() == before


def test_trusted_proxies_tell_who_is_there(make_web: Callable[..., Web]) -> None:
    web = make_web(proxies=["192.0.2.7"])
    web.user("ana")
    browser = web.browser()
    form = {"name": "ana", "password": "wrong"}
    for forwarded in ("203.0.113.9", "10.0.0.1, 203.0.113.9", "203.0.113.9, 192.0.2.7"):
        page = browser.get("/login").text
        token = page.split('name="form" value="')[1].split('"')[0]
        browser.post("/login", {"X-Forwarded-For": forwarded}, form=token, **form)
    peers = web.store.now(lambda tx: tx.exec_driver_sql("select distinct peer from login_attempt").all())
    assert [tuple(row) for row in peers] == [("203.0.113.9",)]


def test_an_untrusted_peer_may_claim_nothing(web: Web) -> None:
    browser = web.browser()
    token = browser.get("/login").text.split('name="form" value="')[1].split('"')[0]
    browser.post("/login", {"X-Forwarded-For": "203.0.113.9"}, form=token, name="x", password="y")
    assert web.store.now(logins.failures, "x", "192.0.2.7", 0.0) == (1, 1)
