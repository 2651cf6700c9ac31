"""Files of people: looked at, written slice by slice, written out and read back."""

from __future__ import annotations

import pytest

from msgserver.records import HUB, EntityKind, Grant, Role, Viewer
from msgserver.routing.imports import Steps
from msgserver.store import audit, exporting, importing, imports, membership, messages, people
from msgserver.store.edits import Refused
from msgserver.store.importing import Report
from tests.store.desk import NOW, conversation, message

ANA = Viewer(1, "ana", (Grant(Role.RESPONDER),))


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def bring(tx, table, dry=False, region="AF"):
    steps = Steps(table.encode() if isinstance(table, str) else table, region)
    while (rows := steps.take()) is not None:
        if dry:
            steps.add(importing.check(tx, rows, steps.seen))
        else:
            steps.add(importing.write(tx, ANA, rows, steps.seen, "crew.csv", NOW))
    return steps.report


def export(tx, viewer=HUB):
    place, lines = "", b""
    while True:
        piece, place = exporting.page(tx, viewer, place)
        lines += piece
        if not place:
            return lines


def only(tx, query):
    [found] = people.entities(tx, HUB, query).items
    return found


TABLE = """name,phone,mail,groups,language,tz,quiet hours,verified,preferred,opted out,comments,company,role
Ana Noori,+93701234567,ana@x.org,Water|driver;North,fa,Asia/Kabul,22:00-06:00,+93701234567,ana@x.org,,"a, b",Aid,nurse
Bo,,,Water,,,,,,,,,
Cem,+93702222222,,,,,,,,+93702222222,,,
"""


def test_a_file_becomes_people_and_once_more_changes_nothing(tx):
    heard = message(tx, conversation(tx, address="sms:+93701234567"), sender="sms:+93701234567")
    looked = bring(tx, TABLE, dry=True)
    assert people.entities(tx, HUB).items == ()
    report = bring(tx, TABLE)
    assert (report.rows, report.new, report.known, report.left_out, report.problems) == (3, 3, 0, 0, [])
    assert sorted(report.new_groups) == sorted(looked.new_groups) == ["Aid", "North", "Water"]
    assert (looked.rows, looked.new, looked.known) == (3, 3, 0)
    ana = only(tx, "ana noori")
    assert (ana.language, ana.timezone, ana.quiet_from, ana.quiet_until, ana.comments) == (
        "fa", "Asia/Kabul", 1320, 360, "a, b",
    )  # fmt: skip
    told = [(one.address, one.verified_at, one.preferred) for one in people.contacts(tx, HUB, ana.id)]
    assert told == [("mailto:ana@x.org", None, True), ("sms:+93701234567", NOW, False)]
    groups = [(one.entity.name, one.entity.kind, one.role) for one in membership.groups_of(tx, HUB, ana.id)]
    assert groups == [
        ("Aid", EntityKind.ORGANISATION, "nurse"),
        ("North", EntityKind.GROUP, ""),
        ("Water", EntityKind.GROUP, "driver"),
    ]
    assert people.suppressed(tx, ["sms:+93702222222"]) == {"sms:+93702222222": "as in crew.csv"}
    assert messages.message(tx, HUB, heard).entity_id == ana.id
    assert only(tx, "0701234567") == only(tx, "ana@x.org") == ana
    [entry] = audit.entries(tx, thing=f"entity/{ana.id}").items
    assert (entry.act, entry.detail, entry.user_id) == (
        "import person", {"name": "Ana Noori", "file": "crew.csv", "line": 2}, 1,
    )  # fmt: skip
    before = export(tx)
    again = bring(tx, TABLE)
    assert (again.new, again.known, again.left_out, again.new_groups, again.problems) == (0, 3, 0, [], [])
    assert export(tx) == before


def test_what_is_known_is_added_to_and_never_taken_away(tx):
    bring(tx, "name,phone,language\nAna,+93701234567,fa\n")
    people.suppress(tx, "sms:+93701234567", "STOP", NOW)
    report = bring(tx, "name,phone,mail,comments,groups\nAna,+93701234567,ana@example.org,nights,Water|cook\n")
    assert (report.new, report.known) == (0, 1)
    ana = only(tx, "ana")
    assert (ana.language, ana.comments) == ("fa", "nights")
    assert {one.address for one in people.contacts(tx, HUB, ana.id)} == {"sms:+93701234567", "mailto:ana@example.org"}
    assert only(tx, "ana@example.org") == ana
    bring(tx, "name,phone,groups,verified,preferred\nAna,+93701234567,Water|lead,+93701234567,+93701234567\n")
    assert [one.role for one in membership.groups_of(tx, HUB, ana.id)] == ["lead"]
    phone = people.contacts(tx, HUB, ana.id)[0]
    assert (phone.preferred, phone.verified_at, phone.stopped_why) == (True, NOW, "STOP")


PROBLEMS = """uid,kind,name,phone,language,time zone,groups
,person,Ana,+93701234567,,,
,person,ana,+93701234567,,,
,person,Bo,+93701234567,,,
,person,Cem,,not a language,,
,person,Dee,,,Mars/Base,
,person,Known,+93709999999,,,
u1,person,Eve,,,,
u1,person,Fay,,,,
,group,Loop,,,,Loop
taken,group,Gus,,,,
"""


def test_every_problem_is_named_with_its_line(tx):
    people.create_entity(tx, ANA, "taken", EntityKind.PERSON, "Gus", NOW)
    bring(tx, "name,phone\nSomebody else,+93709999999\n")
    for dry in (True, False):
        report = bring(tx, PROBLEMS, dry=dry)
        told = {one.line: (one.words, one.left_out) for one in report.problems}
        assert told[3] == ("is Ana of line 2 once more (sms:+93701234567): left out", True)
        assert told[4] == ("sms:+93701234567 is also that of Ana (line 2): both have it", False)
        assert told[5] == ("'not a language' is no language: left out", False)
        assert told[6] == ("there is no time zone 'Mars/Base': left out", False)
        assert len(report.problems) == len(told), "each once"
        assert told[7] == ("sms:+93709999999 is Somebody else's already: both have it", False)
        assert told[9] == ("is the uid of line 8 once more: left out", True)
        assert told[11] == ("Gus is a person here, not a group", True)
        assert (report.rows, report.new, report.known, report.left_out) == (10, 7, 0, 3), dry
    assert "contain itself" in told[10][0]
    names = {one.name for one in people.entities(tx, HUB).items}
    assert names == {"Gus", "Somebody else", "Ana", "Bo", "Cem", "Dee", "Known", "Eve", "Loop"}


def test_once_more_after_a_group_was_renamed(tx):
    table = "name,groups\nAna,Water\n"
    bring(tx, table)
    water = only(tx, "water")
    people.update_entity(tx, ANA, water.id, {"name": "Wells"}, NOW)
    assert bring(tx, table).known == 1
    assert [one.entity.name for one in membership.groups_of(tx, HUB, only(tx, "ana").id)] == ["Wells"]
    assert people.entities(tx, HUB, kind=EntityKind.GROUP).items == (people.entity(tx, HUB, water.id),)


def test_two_groups_of_one_name(tx):
    for uid in ("1", "2"):
        people.create_entity(tx, ANA, uid, EntityKind.GROUP, "Water", NOW)
    report = bring(tx, "name,groups\nAna,water\n")
    assert [(one.line, one.column) for one in report.problems] == [(2, "groups")]
    assert report.new_groups == []


def test_what_is_written_out_can_be_read_back(database, tmp_path):
    """Into an empty hub: the same people, groups in groups, roles, flags; evil names stay harmless and whole."""
    table = TABLE + '=HYPERLINK(1),,,"Nes\\;ted|+1",,,,,,,"-x\n=y",,\n'
    with database() as tx:
        bring(tx, table)
        outer = people.create_entity(tx, ANA, "outer", EntityKind.ORGANISATION, "Outer", NOW)
        membership.add_member(tx, ANA, outer.id, only(tx, "north").id, NOW, "part")
        before = export(tx)
        assert b'"\'=HYPERLINK(1)"' in before
        tx.exec_driver_sql("delete from pe_membership")
        tx.exec_driver_sql("delete from pe_contact")
        tx.exec_driver_sql("delete from name_word")
        tx.exec_driver_sql("delete from suppression")
        tx.exec_driver_sql("delete from pe_entity")
        report = bring(tx, before, region="")
        assert report.problems == []
        assert report.new == 9
        assert sorted(export(tx).splitlines()) == sorted(before.splitlines())


def test_the_number_of_a_service_is_written_out_as_such(tx):
    bring(tx, "name,addresses\nHotline,sms:1212\n")
    assert b'"sms:1212"' in export(tx)
    again = bring(tx, export(tx), region="")
    assert (again.known, again.problems) == (1, [])


def test_an_export_shows_what_one_may_see(tx):
    bring(tx, TABLE)
    scoped = Viewer(9, "scoped", (Grant(Role.RESPONDER, "site", "north"),))
    assert export(tx, scoped).count(b"\r\n") == 1
    assert export(tx).count(b"\r\n") == 7


def test_pages_of_the_export_miss_nobody(tx, monkeypatch):
    monkeypatch.setattr(exporting, "PAGE", 2)
    bring(tx, TABLE)
    lines = export(tx).decode("utf-8-sig").splitlines()
    assert len(lines) == len(set(lines)) == 7


def test_slices_together_are_the_file(tx, monkeypatch):
    monkeypatch.setattr(importing, "SLICE", 2)
    report = bring(tx, "name,phone\n" + "".join(f"P{n},+937012345{n:02}\n" for n in range(7)) + "P0,+93701234500\n")
    assert (report.rows, report.new, report.left_out) == (8, 7, 1)


def test_an_upload_is_kept_begun_once_and_can_be_begun_again_when_interrupted(tx):
    work = imports.Work(blob="0" * 64, file="crew.csv", user_id=1, region="AF")
    number = imports.keep(tx, work, Report(rows=3), NOW)
    assert imports.find(tx, Viewer(2, "bo"), number, NOW) is None
    assert imports.find(tx, ANA, number, NOW).report.rows == 3
    assert imports.begin(tx, ANA, 99, NOW) is None
    assert imports.begin(tx, ANA, number, NOW).state == "checked"
    with pytest.raises(Refused, match="is running"):
        imports.begin(tx, ANA, imports.keep(tx, work, Report(), NOW), NOW + 1)
    imports.tell(tx, number, Report(rows=1), NOW + 10)
    assert imports.find(tx, ANA, number, NOW + 60).state == "running"
    assert imports.find(tx, ANA, number, NOW + 90).state == "interrupted"
    assert imports.begin(tx, ANA, number, NOW + 90).state == "interrupted"
    imports.tell(tx, number, Report(rows=3), NOW + 95, "done")
    with pytest.raises(Refused, match="already"):
        imports.begin(tx, ANA, number, NOW + 96)
    with pytest.raises(Refused, match="Upload it again"):
        imports.content(tx, "0" * 64)
    imports.keep(tx, work, Report(), NOW + 30 * 86400)
    assert imports.find(tx, ANA, number, NOW) is None
