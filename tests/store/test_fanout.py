from __future__ import annotations

import pytest
from sqlalchemy import text

from msgserver.records import HUB, Grant, Role
from msgserver.routing.may import Act, may
from msgserver.store import fanout, subscriptions
from msgserver.store.recording import record
from tests.store.desk import user
from tests.store.people import NOW, connector, entity, member, plan, subscribe


@pytest.fixture
def tx(database):
    with database() as tx:
        connector(tx, "mail", "mailto")
        yield tx


def states(tx):
    found = tx.execute(text("SELECT address, state FROM msg_delivery_status")).all()
    return {address.removeprefix("mailto:").partition("@")[0]: state for address, state in found}


def flood(tx, *tags):
    tx.execute(text("DELETE FROM msg_delivery_status"))
    record(tx, [plan(tx, "sms:+99", tags=tags or ("incident/flood",))])
    return states(tx)


def test_the_roles_that_send_for_others_are_those_that_may_subscribe_others():
    for role in Role:
        viewer = HUB.__class__(1, "x", grants=(Grant(role),))
        assert (role in fanout.SENDING) == may(viewer, Act.SUBSCRIBE_OTHERS)


def test_oneself_gets_copies_of_what_one_may_see(tx):
    ana, bo, cy = (entity(tx, name, f"mailto:{name}@x.org") for name in ("ana", "bo", "cy"))
    for number, grant in ((ana, Grant(Role.READER)), (bo, Grant(Role.READER, "incident", "flood"))):
        login = user(tx, f"login {number}", grant, entity_id=number)
        subscribe(tx, number, "incident", creator_id=login.user_id)
    subscribe(tx, cy, "incident", creator_id=user(tx, "cy", Grant(Role.READER, "project"), entity_id=cy).user_id)
    assert flood(tx) == {"ana": "pending", "bo": "pending", "cy": "cancelled"}
    assert flood(tx, "incident/fire") == {"ana": "pending", "bo": "cancelled", "cy": "cancelled"}


def test_others_get_copies_by_the_right_of_whoever_subscribed_them(tx):
    ana, bo, cy, di = (entity(tx, name, f"mailto:{name}@x.org") for name in ("ana", "bo", "cy", "di"))
    team = entity(tx, "team", kind="group")
    member(tx, team, bo)
    chief, clerk = user(tx, "chief", Grant(Role.ADMINISTRATOR)), user(tx, "clerk", Grant(Role.RESPONDER))
    herald = user(tx, "herald", Grant(Role.ALERT_SENDER, "incident"))  # not everywhere
    for number, login in ((ana, chief), (team, chief), (cy, clerk), (di, herald)):
        subscribe(tx, number, "incident", creator_id=login.user_id)
    assert flood(tx) == {"ana": "pending", "bo": "pending", "cy": "cancelled", "di": "cancelled"}
    tx.execute(text("UPDATE auth_user SET active = false WHERE name = 'chief'"))
    assert flood(tx)["ana"] == "pending"  # what he set up for others outlasts his login
    tx.execute(text("DELETE FROM auth_grant WHERE user_id = :chief"), {"chief": chief.user_id})
    assert flood(tx)["ana"] == "cancelled"
    [reason] = tx.execute(text("SELECT DISTINCT reason FROM msg_delivery_status")).scalars()
    assert "may not send this there" in reason


def test_whoever_was_switched_off_gets_nothing_more(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    login = user(tx, "ana", Grant(Role.ADMINISTRATOR), entity_id=ana)
    subscribe(tx, ana, "incident", creator_id=login.user_id)
    assert flood(tx) == {"ana": "pending"}
    tx.execute(text("UPDATE auth_user SET active = false"))
    assert flood(tx) == {"ana": "cancelled"}


def test_one_good_subscription_is_enough(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    clerk = user(tx, "clerk", Grant(Role.RESPONDER))
    subscribe(tx, ana, "incident", creator_id=clerk.user_id)
    subscribe(tx, ana, "incident", "flood")
    assert flood(tx) == {"ana": "pending"}


def test_subscribed_once_more_it_stands_by_the_right_of_the_latter(tx):
    ana = entity(tx, "ana", "mailto:ana@x.org")
    subscribe(tx, ana, "incident", creator_id=user(tx, "clerk", Grant(Role.RESPONDER)).user_id)
    assert flood(tx) == {"ana": "cancelled"}
    subscriptions.subscribe(tx, user(tx, "chief", Grant(Role.ADMINISTRATOR)), ana, "incident", "", NOW)
    assert flood(tx) == {"ana": "pending"}
