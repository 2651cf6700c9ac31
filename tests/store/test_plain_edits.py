"""Rules, connectors, resources, subscriptions, the audit and kept answers."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import text

from msgserver.records import HUB, Field, Grant, Priority, ResourceType, Role, Rule, Viewer
from msgserver.store import audit, connectors, idempotency, messages, resource_types, resources, rules, subscriptions
from msgserver.store.edits import Refused, Stale
from tests.store.desk import NOW, conversation, message, user
from tests.store.people import entity

ANA = Viewer(1, "ana", (Grant(Role.ADMINISTRATOR),))


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


# --- rules ----------

FLOOD = Rule(id=0, name="flood", position=0, words=("water", "flood"), resource="incident", priority=Priority.HIGH)


def test_rules_are_kept_as_they_were_said(tx):
    assert rules.rule_set(tx) == rules.RuleSet()
    made = rules.create_rule(tx, ANA, FLOOD, NOW)
    other = rules.create_rule(tx, ANA, Rule(id=0, name="bank", position=0, sender="sms:BANK*", spam=True), NOW)
    assert made == msgspec.structs.replace(FLOOD, id=made.id, position=1)
    assert rules.rule_set(tx) == rules.RuleSet(2, (made, other))
    silent = msgspec.structs.replace(made, active=False, priority=None, actionable=True)
    assert rules.update_rule(tx, ANA, silent, NOW, 1) == silent
    assert rules.rule_of(tx, made.id) == (silent, 2)
    assert rules.rules(tx) == [silent, other]
    assert rules.rule_set(tx) == rules.RuleSet(3, (other,))
    with pytest.raises(Stale) as stale:
        rules.update_rule(tx, ANA, made, NOW, 1)
    assert stale.value.current == (silent, 2)
    assert rules.rule_set(tx).version == 3
    assert rules.update_rule(tx, ANA, msgspec.structs.replace(made, id=99), NOW) is None


def test_a_rule_can_be_undone_and_brought_back(tx):
    made = rules.create_rule(tx, ANA, FLOOD, NOW)
    rules.update_rule(tx, ANA, msgspec.structs.replace(made, words=("fire",)), NOW)
    assert rules.restore(tx, ANA, made.id, 1, NOW) == made
    assert rules.rule_of(tx, made.id) == (made, 3)
    assert rules.remove_rule(tx, ANA, made.id, NOW)
    assert not rules.remove_rule(tx, ANA, made.id, NOW)
    assert rules.rule_set(tx).rules == ()
    assert rules.restore(tx, ANA, made.id, 2, NOW).words == ("fire",)
    assert [wording.version for wording in rules.wordings(tx, made.id)] == [4, 3, 2, 1]
    assert rules.restore(tx, ANA, made.id, 9, NOW) is None


def test_the_order_of_rules(tx):
    ids = [rules.create_rule(tx, ANA, msgspec.structs.replace(FLOOD, name=name), NOW).id for name in "abc"]
    before = rules.rule_set(tx).version
    rules.arrange(tx, ANA, [ids[2], 99, ids[0]], NOW)
    assert [rule.id for rule in rules.rules(tx)] == [ids[2], ids[0], ids[1]]
    assert rules.rule_set(tx).version == before + 1


@pytest.mark.parametrize("changes", [{"name": " "}, {"words": ()}, {"resource": "", "priority": None}])
def test_a_rule_says_when_and_what(tx, changes):
    with pytest.raises(Refused):
        rules.create_rule(tx, ANA, msgspec.structs.replace(FLOOD, **changes), NOW)
    assert rules.rules(tx) == []


# --- connectors ----------


def test_what_connectors_remember(tx):
    assert connectors.recall(tx, "mail", "cursor") is None
    connectors.remember(tx, "mail", "cursor", b"\x00\xff", NOW)
    connectors.remember(tx, "mail", "cursor", b"2", NOW)
    connectors.remember(tx, "modem", "cursor", b"3", NOW)
    assert connectors.recall(tx, "mail", "cursor") == b"2"
    assert connectors.forget(tx, "mail", "cursor")
    assert not connectors.forget(tx, "mail", "cursor")
    assert connectors.recall(tx, "modem", "cursor") == b"3"


def test_status_since_when(tx):
    def put(able, words, now):
        connectors.put_status(tx, "modem1", "gsm", "node a", able, words, now, ["sms"], {"signal": -70.0})
        return connectors.connector(tx, "modem1")

    first = put(True, "", NOW)
    assert (first.since, first.schemes, first.gauges, first.paused) == (NOW, ("sms",), {"signal": -70.0}, False)
    assert put(True, "", NOW + 5).since == NOW
    assert connectors.set_paused(tx, ANA, "modem1", True, NOW).paused
    down = put(False, "unplugged", NOW + 9)
    assert (down.since, down.seen_at, down.able, down.paused) == (NOW + 9, NOW + 9, False, True)
    assert connectors.paused(tx) == {"modem1"}
    connectors.note_traffic(tx, "modem1", last_in=NOW + 1)
    connectors.note_traffic(tx, "modem1", last_out=NOW + 2)
    connectors.note_traffic(tx, "modem1")
    shown = connectors.connector(tx, "modem1")
    assert (shown.last_in, shown.last_out) == (NOW + 1, NOW + 2)
    assert not connectors.set_paused(tx, ANA, "modem1", False, NOW).paused
    assert connectors.set_paused(tx, ANA, "none", True, NOW) is None
    assert connectors.connector(tx, "none") is None
    assert connectors.remove(tx, ANA, "modem1", NOW)
    assert not connectors.remove(tx, ANA, "modem1", NOW)


def test_waiting_deliveries_are_counted(tx):
    from msgserver.store.schema import msg_delivery_status

    made = message(tx)
    for place, (connector, state) in enumerate([("a", "pending"), ("a", "pending"), ("a", "sent"), ("b", "failed")]):
        row = {"message_id": made, "address": str(place), "connector": connector, "state": state}
        tx.execute(msg_delivery_status.insert().values(created_at=NOW, changed_at=NOW, **row))
    for name in ("b", "a"):
        connectors.put_status(tx, name, "loopback", "n", True, "", NOW)
    assert [(one.name, one.waiting) for one in connectors.rows(tx)] == [("a", 2), ("b", 0)]


def test_nodes(tx):
    connectors.heartbeat(tx, "a", NOW, NOW)
    connectors.heartbeat(tx, "b", NOW, NOW)
    connectors.heartbeat(tx, "a", NOW, NOW + 60)
    seen = tx.execute(text("SELECT name, started_at, seen_at FROM node ORDER BY name")).all()
    assert seen == [("a", NOW, NOW + 60), ("b", NOW, NOW)]


# --- resources ----------


def test_types(tx):
    assert {one.name for one in resource_types.types(tx, HUB)} == {one.name for one in resource_types.BUILT_IN}
    resource_types.seed(tx)
    fields = (Field(name="beds", label="Beds", kind="number"), Field(name="kind", label="Kind", choices=("a", "b")))
    shelter = ResourceType(name="shelter", label="Shelter", fields=fields)
    assert resource_types.put_type(tx, ANA, shelter, NOW) == shelter == resource_types.type_of(tx, HUB, "shelter")
    incident = resource_types.put_type(tx, ANA, ResourceType(name="incident", label="Event"), NOW)
    assert incident.built_in
    resource_types.seed(tx)
    assert resource_types.type_of(tx, HUB, "incident").label == "Event"
    for name in ("Shelter", "a b", "", "1x", "x/y", "é"):
        with pytest.raises(Refused):
            resource_types.put_type(tx, ANA, ResourceType(name=name, label="x"), NOW)
    resources.create_record(tx, ANA, "s-1", "shelter", {"name": "School"}, NOW)
    for name in ("shelter", "incident"):
        with pytest.raises(Refused):
            resource_types.remove_type(tx, ANA, name, NOW)
    resources.remove_record(tx, ANA, "s-1", NOW)
    assert resource_types.remove_type(tx, ANA, "shelter", NOW)
    assert not resource_types.remove_type(tx, ANA, "shelter", NOW)


def test_records(tx):
    content = {"name": " Big  Flood", "code": "FL1", "fields": {"people": "2"}, "aliases": ("deluge",), "latitude": 1.5}
    made = resources.create_record(tx, ANA, "r-1", "incident", content, NOW)
    assert (made.name, made.code, made.fields, made.aliases, made.latitude) == (
        "Big Flood",
        "FL1",
        {"people": "2"},
        ("deluge",),
        1.5,
    )
    assert resources.record(tx, HUB, "r-1") == resources.record_by_id(tx, HUB, made.id) == made
    changed = resources.update_record(tx, ANA, "r-1", {"name": "Flood", "uid": "other"}, NOW + 1, 1)
    assert (changed.name, changed.uid, changed.version, changed.changed_at) == ("Flood", "r-1", 2, NOW + 1)
    with pytest.raises(Stale) as stale:
        resources.update_record(tx, ANA, "r-1", {"name": "x"}, NOW, 1)
    assert stale.value.current == changed
    assert resources.update_record(tx, ANA, "none", {}, NOW) is None
    for uid, resource, name in (("r-1", "incident", "x"), ("r-2", "nothing", "x"), ("r-2", "incident", " ")):
        with pytest.raises(Refused):
            resources.create_record(tx, ANA, uid, resource, {"name": name}, NOW)
    assert resources.remove_record(tx, ANA, "r-1", NOW)
    assert not resources.remove_record(tx, ANA, "r-1", NOW)


def test_records_are_found_by_name_and_code(tx):
    for uid, name, code in (("1", "Água Clara", "AC_1"), ("2", "Ponte da água", ""), ("3", "Dam", "acx1")):
        resources.create_record(tx, ANA, uid, "location", {"name": name, "code": code}, NOW)

    def found(query, **options):
        return [one.uid for one in resources.records(tx, HUB, query=query, **options).items]

    assert found("agua") == ["1", "2"]
    assert found("ac_1") == found("AC1") == ["1"]
    assert found("AC") == ["1", "3"]
    assert found("", code="acx1") == ["3"]
    assert found("agua", resource="incident") == []
    assert [one.uid for one in resources.complete(tx, HUB, "dam", "location")] == ["3"]
    first = resources.records(tx, HUB, limit=2)
    assert [one.uid for one in resources.records(tx, HUB, cursor_word=first.next).items] == ["2"]


def test_the_messages_column_counts_what_its_link_lists(tx):
    ana = user(tx, "ana", unread_from=1)
    made = [message(tx, conversation(tx), tags=("incident/r-1",)) for _ in range(5)]
    message(tx, conversation(tx), tags=("incident/r-1", "incident/r-2"), spam=True)
    message(tx, conversation(tx), tags=("incident/r-1",), direction="out")
    message(tx, conversation(tx), tags=("incident/r-3",))
    messages.mark_read(tx, ana, made[2:4], NOW)
    counted = resources.message_counts(tx, ana, "incident", ["r-1", "r-2", "r-3", "r-4"])
    assert counted == {"r-1": (2, 3), "r-3": (1, 0)}
    for record, (unread, read) in counted.items():
        assert len(messages.log(tx, ana, f"resource:incident/{record} is:unread").items) == unread
        assert len(messages.log(tx, ana, f"resource:incident/{record} is:read").items) == read


# --- subscriptions ----------


def test_subscriptions(tx):
    ana, crew = entity(tx, "ana"), entity(tx, "crew", kind="group")
    made = subscriptions.subscribe(tx, ANA, ana, "incident", "r-1", NOW, "sms", "daily", 22 * 60, 6 * 60)
    assert (made.pr_pe_id, made.digest, made.quiet_from, made.quiet_until, made.creator_id) == (
        ana,
        "daily",
        1320,
        360,
        1,
    )
    again = subscriptions.subscribe(tx, ANA, ana, "incident", "r-1", NOW, "sms")
    assert (again.id, again.digest, again.quiet_from) == (made.id, "", None)
    whole = subscriptions.subscribe(tx, ANA, crew, "incident", "", NOW)
    assert subscriptions.subscriptions(tx, ANA).items == (again, whole)
    assert subscriptions.subscriptions(tx, ANA, ana).items == (again,)
    assert subscriptions.subscriptions(tx, ANA, resource="incident", record="").items == (whole,)
    assert subscriptions.subscribers(tx, ANA, "incident", "r-1").items == ((again, "ana"), (whole, "crew"))
    assert subscriptions.subscribers(tx, ANA, "incident", "r-2").items == ((whole, "crew"),)
    first = subscriptions.subscribers(tx, ANA, "incident", "r-1", "", 1)
    second = subscriptions.subscribers(tx, ANA, "incident", "r-1", first.next, 1)
    assert (*first.items, *second.items) == ((again, "ana"), (whole, "crew"))
    assert second.next == ""
    assert subscriptions.subscription(tx, ANA, made.id) == again
    assert subscriptions.unsubscribe(tx, ANA, made.id, NOW)
    assert not subscriptions.unsubscribe(tx, ANA, made.id, NOW)
    assert subscriptions.unsubscribe_from(tx, ANA, crew, "incident", "", NOW) == 1
    assert subscriptions.unsubscribe_from(tx, ANA, crew, "incident", "", NOW) == 0
    assert subscriptions.subscribe(tx, ANA, 99, "incident", "", NOW) is None


@pytest.mark.parametrize("wrong", [{"digest": "yearly"}, {"quiet_from": 5}, {"quiet_from": 0, "quiet_until": 1440}])
def test_subscriptions_that_cannot_be(tx, wrong):
    with pytest.raises(Refused):
        subscriptions.subscribe(tx, ANA, entity(tx, "ana"), "incident", "", NOW, **wrong)


def test_ones_own_subscriptions_are_seen_with_any_scope(tx):
    me = entity(tx, "me")
    viewer = Viewer(5, "me", (Grant(Role.READER, "project"),), me)
    made = subscriptions.subscribe(tx, viewer, me, "incident", "", NOW)
    assert subscriptions.subscriptions(tx, viewer).items == (made,)


# --- audit and kept answers ----------


def test_audit(tx):
    ana = user(tx, "ana")
    audit.note(tx, ana, "done", "ticket/1", {"why": "said so"}, NOW)
    audit.note(tx, HUB, "done", "ticket/1", None, NOW + 1)
    audit.note(tx, Viewer(99, "gone"), "assign", "ticket/2", {}, NOW + 2)
    listed = audit.entries(tx, thing="ticket/1").items
    assert [(one.user, one.act, one.detail, one.at) for one in listed] == [
        ("the hub", "done", {}, NOW + 1),
        ("ana", "done", {"why": "said so"}, NOW),
    ]
    assert [one.user for one in audit.entries(tx, act="assign").items] == ["a former user"]
    assert [one.object for one in audit.entries(tx, user_id=ana.user_id).items] == ["ticket/1"]
    first = audit.entries(tx, limit=1)
    assert audit.entries(tx, cursor_word=first.next, limit=1).items == (listed[0],)


def test_a_repeated_request_gets_the_first_answer(tx):
    assert idempotency.get(tx, 1, "key") is None
    first = idempotency.put(tx, 1, "key", "POST /messages abc", "{}", NOW)
    assert idempotency.put(tx, 1, "key", "POST /messages xyz", "[]", NOW + 1) == first
    assert idempotency.get(tx, 1, "key") == idempotency.Answered("POST /messages abc", "{}", NOW)
    assert idempotency.get(tx, 2, "key") is None
    assert idempotency.forget_old(tx, NOW + idempotency.KEPT) == 0
    assert idempotency.forget_old(tx, NOW + idempotency.KEPT + 1) == 1
