import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.reading import Reading
from msgserver.message import Address, Arrival
from msgserver.records import Grant, Role, Viewer
from msgserver.routing import retry
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens, mail_hints, text_hints
from msgserver.routing.loopguard import Notices, judge
from msgserver.routing.may import ROLES, Act, Forbidden, may, require

HUB = Address("mailto", "hub@hub.example")


# --- tokens and hints ----------


def test_a_token_is_known_again_and_no_other_is():
    tokens, others = Tokens(b"k" * 32), Tokens(b"o" * 32)
    token = tokens.sign(42)
    assert token.startswith("42.")
    assert len(token) == 13
    assert tokens.ticket(token) == 42
    assert tokens.ticket(token.upper()) == 42
    assert others.ticket(token) is None
    assert tokens.ticket(token.replace("42.", "43.")) is None
    assert tokens.ticket("42.aaaaaaaaaa") is None


def test_a_token_for_an_address_names_the_ticket_to_all_and_proves_its_bearer_to_be_there():
    tokens, bo, eve = Tokens(b"k" * 32), Address("mailto", "bo@x.example"), Address("mailto", "eve@x.example")
    token = tokens.sign(42, str(bo))
    assert len(token) == 24
    assert {tokens.ticket(words) for words in (token, tokens.sign(42), token[:-1] + "=", token.upper())} == {42, None}
    assert tokens.made_for(token.upper(), bo)
    assert not tokens.made_for(token, eve)
    assert not tokens.made_for(tokens.sign(42), bo)
    assert not tokens.made_for(tokens.sign(43, str(bo)).replace("43.", "42.", 1), bo)
    to = Address("mailto", f"hub+{token}@hub.example")
    assert mail_hints(tokens, (HUB, to), "", (), "", bo).own_token
    assert not mail_hints(tokens, (HUB, to), "", (), "", eve).own_token


@given(st.text())
def test_no_text_is_a_token_by_chance(text: str):
    assert Tokens(b"k" * 32).ticket(text) is None


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path):
    token = Tokens.kept_in(tmp_path).sign(7)
    assert Tokens.kept_in(tmp_path).ticket(token) == 7
    assert stat.S_IMODE((tmp_path / "token.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        Tokens(b"short")


def test_mail_hints_take_the_signed_plus_address_and_the_nearest_reference_first():
    tokens = Tokens(b"k" * 32)
    to = Address("mailto", f"hub+{tokens.sign(42)}@hub.example")
    hints = mail_hints(tokens, (HUB, to), "c@x", ("a@x", "b@x", "c@x"), "Re: [#43] water")
    assert hints.token == 42
    assert hints.references == ("c@x", "b@x", "a@x")
    assert hints.subject_tag == 43
    assert hints.window == 0.0


def test_a_forged_plus_address_gives_no_ticket():
    hints = mail_hints(Tokens(b"k" * 32), (Address("mailto", "hub+42.aaaaaaaaaa@hub.example"),), "", (), "water")
    assert (hints.token, hints.references, hints.subject_tag) == (None, (), None)


@pytest.mark.parametrize(
    ("text", "tag"),
    [("#42 done", 42), (" #42.3: done", 42), ("#42", 42), ("#42nd", None), ("in #42", None), ("", None)],
)
def test_text_hints_take_a_leading_number(text, tag):
    hints = text_hints(Tokens(b"k" * 32), Arrival(wire_id="1", sender=None, text=text, in_reply_to="r"))
    assert hints.subject_tag == tag
    assert hints.references == ("r",)
    assert hints.window == 72 * 3600


def test_text_hints_take_the_token_of_a_chat_thread():
    tokens = Tokens(b"k" * 32)
    for where in ({"facts": {"thread": tokens.sign(5)}}, {"in_reply_to": tokens.sign(5)}):
        assert text_hints(tokens, Arrival(wire_id="1", sender=None, text="hi", **where)).token == 5


# --- the loop guard ----------


def test_our_own_mail_coming_back_is_copied_to_nobody():
    verdict = judge(Reading(loop_tokens=("hub.example",)), frozenset({"hub.example"}))
    assert (verdict.robot, verdict.forward) == ("our own message", False)


def test_copies_of_another_hub_and_long_ways_are_copied_to_nobody():
    ours = frozenset({"hub.example"})
    assert not judge(Reading(loop_tokens=("other.example",)), ours).forward
    assert not judge(Reading(hops=26), ours).forward
    assert judge(Reading(hops=25), ours).forward


def test_a_robots_mail_is_still_copied_and_a_persons_is_a_persons():
    assert judge(Reading(robot="auto-replied"), frozenset()) == judge(Reading(robot="auto-replied"), frozenset({"x"}))
    assert judge(Reading(robot="auto-replied"), frozenset()).forward
    assert judge(Reading(), frozenset()).robot == ""


def test_automatic_messages_to_one_address_are_ten_an_hour():
    notices = Notices()
    assert [notices.allow("a", 0.0) for _ in range(11)] == [True] * 10 + [False]
    assert notices.allow("b", 0.0)
    assert not notices.allow("a", 3599.0)
    assert notices.allow("a", 3601.0)


# --- retries ----------


def test_the_first_waits_are_short_and_the_life_is_the_policys():
    waits = [retry.wait_after("mailto", attempt, 0.5) for attempt in range(1, 9)]
    assert waits == [15, 60, 300, 900, 3600, 7200, 14400, 14400]
    assert 44 * 3600 < retry.life("mailto") <= 48 * 3600
    assert 23 * 3600 < retry.life("sms") <= 24 * 3600
    assert [retry.wait_after("sms", attempt, 0.5) for attempt in (1, 5, 6)] == [15, 3600, 3600]


def test_it_ends():
    assert retry.wait_after("sms", 1000, 0.5) is None


@given(st.integers(1, 20), st.floats(0, 1))
def test_jitter_is_at_most_a_fifth(attempt, chance):
    middle, wait = retry.wait_after("mailto", attempt, 0.5), retry.wait_after("mailto", attempt, chance)
    if middle is None:
        assert wait is None
    else:
        assert 0.799 * middle <= wait <= 1.201 * middle


def test_what_may_have_arrived_is_repeated_a_few_times_only_ever_later():
    assert [retry.wait_to_repeat("mailto", attempt, 0.5) for attempt in range(1, 7)] == [60, 60, 300, 900, 3600, None]
    assert retry.wait_to_repeat("xmpp", 9, 0.5) is None


def test_a_longer_wish_is_granted_within_reason():
    assert retry.wait_after("sms", 1, 0.5, wish=120) == 120
    assert retry.wait_after("sms", 1, 0.5, wish=1) == 15
    assert retry.wait_after("sms", 1, 0.5, wish=1e9) == 4 * 3600


# --- the bell ----------


def test_the_bell_reaches_who_listens_and_a_broken_ear_harms_nobody():
    bus, heard = Bus(), []

    def broken(topic, ids):
        raise RuntimeError("broken ear")

    bus.listen(broken)
    stop = bus.listen(lambda topic, ids: heard.append((topic, ids)), "ticket")
    bus.ring("ticket", [1, 2])
    bus.ring("raw", [3])
    bus.ring("ticket", [])
    stop()
    stop()
    bus.ring("ticket", [4])
    assert heard == [("ticket", (1, 2))]


# --- who may ----------


def viewer(*grants: Grant) -> Viewer:
    return Viewer(1, "ana", grants)


def test_the_administrator_may_everything_and_a_stranger_nothing():
    for act in Act:
        assert may(viewer(Grant(Role.ADMINISTRATOR)), act)
        assert not may(viewer(), act)


def test_every_role_is_in_the_table():
    assert set(ROLES) == set(Role)


@pytest.mark.parametrize(
    ("role", "yes", "no"),
    [
        (Role.READER, {Act.SEE, Act.MARK}, {Act.REPLY, Act.TAG, Act.ASSIGN, Act.WRITE, Act.ALERT, Act.RAW, Act.RULES}),
        (
            Role.RESPONDER,
            {Act.REPLY, Act.TAG, Act.ASSIGN, Act.TICKET, Act.WRITE},
            {Act.ALERT, Act.CONNECTORS, Act.USERS},
        ),
        (Role.ALERT_SENDER, {Act.ALERT, Act.WRITE}, {Act.REPLY, Act.CONNECTORS, Act.USERS}),
        (Role.OPERATOR, {Act.CONNECTORS, Act.DELIVERIES, Act.RULES}, {Act.REPLY, Act.USERS, Act.ALERT}),
    ],
)
def test_what_the_roles_may(role, yes, no):
    who = viewer(Grant(role))
    assert {act for act in Act if may(who, act)} >= yes
    assert not any(may(who, act) for act in no)


def test_a_scope_narrows():
    who = viewer(Grant(Role.RESPONDER, "site", "17"))
    assert may(who, Act.TAG, "site", "17")
    assert not may(who, Act.TAG, "site", "18")
    assert not may(who, Act.TAG, "incident", "17")
    assert may(who, Act.REPLY)
    assert not may(who, Act.WRITE)
    assert not may(viewer(Grant(Role.ADMINISTRATOR, "site")), Act.USERS)


def test_a_refusal_says_which_role_it_takes():
    with pytest.raises(Forbidden, match="responder or administrator"):
        require(viewer(Grant(Role.READER)), Act.REPLY)
    require(viewer(Grant(Role.RESPONDER)), Act.REPLY)
