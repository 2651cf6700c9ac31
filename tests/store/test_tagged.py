"""The messages of a record or a type, for each viewer their own; records that live elsewhere."""

from __future__ import annotations

import pytest

from msgserver.records import HUB, Grant, ResourceType, Role
from msgserver.store import messages, resource_types, resources, tagged
from msgserver.store.edits import Refused
from msgserver.store.tagged import Shown
from tests.store.desk import NOW, message, user


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def ids(page):
    return [one.id for one in page.items]


def test_of_a_record_newest_first_unread_and_read_as_the_counts_say(tx):
    ana = user(tx, "ana")
    made = [message(tx, tags=("incident/i-1",)) for _ in range(5)]
    out = message(tx, direction="out", tags=("incident/i-1",))
    message(tx, tags=("incident/i-2",))
    messages.mark_read(tx, ana, made[:2], NOW)
    assert ids(tagged.of_record(tx, ana, "incident", "i-1")) == [out, *reversed(made)]
    unread = tagged.of_record(tx, ana, "incident", "i-1", Shown.UNREAD)
    read = tagged.of_record(tx, ana, "incident", "i-1", Shown.READ)
    assert (ids(unread), ids(read)) == (made[:1:-1], made[1::-1])
    counted = resources.message_counts(tx, ana, "incident", ["i-1"])["i-1"]
    assert counted == (len(unread.items), len(read.items))


def test_pages_follow_each_other(tx):
    made = [message(tx, tags=("incident/i-1",)) for _ in range(5)]
    for page_of in (
        lambda after: tagged.of_record(tx, HUB, "incident", "i-1", Shown.ALL, after, 2),
        lambda after: tagged.of_type(tx, HUB, "incident", Shown.ALL, after, 2),
    ):
        found, after = [], ""
        while True:
            page = page_of(after)
            found += ids(page)
            if not (after := page.next):
                break
        assert found == made[::-1]


def test_of_a_type_each_message_once_and_no_spam(tx):
    both = message(tx, tags=("incident/i-1", "incident/i-2", "incident"))
    message(tx, tags=("incident/i-1",), spam=True)
    checked = message(tx, tags=("incident",), verified="ana", verified_at=NOW)
    assert ids(tagged.of_type(tx, HUB, "incident")) == [checked, both]
    assert ids(tagged.of_type(tx, HUB, "incident", Shown.VERIFIED)) == [checked]
    assert ids(tagged.of_record(tx, HUB, "incident", "", Shown.VERIFIED)) == [checked]
    assert len(ids(tagged.of_record(tx, HUB, "incident", "i-1"))) == 2
    assert len(ids(tagged.of_record(tx, HUB, "incident", "i-1", spam=False))) == 1


def test_a_scope_is_kept(tx):
    scoped = user(tx, "scoped", Grant(Role.READER, "site", "north"))
    mine, other = message(tx, tags=("site/north",)), message(tx, tags=("site/south",))
    both = message(tx, tags=("site/north", "site/south"))
    assert ids(tagged.of_type(tx, scoped, "site")) == [both, mine]
    assert other not in ids(tagged.of_record(tx, scoped, "site", "south"))
    assert [tagged.known(tx, scoped, "site", uid) for uid in ("north", "south", "west")] == [True, False, False]
    assert tagged.known(tx, HUB, "site", "south")


def test_a_record_of_another_application_is_known_by_its_messages_and_linked_by_its_type(tx):
    message(tx, tags=("project/theirs 17",))
    assert tagged.known(tx, HUB, "project", "theirs 17")
    assert resources.record(tx, HUB, "theirs 17") is None
    other = ResourceType(name="project", label="Project", url="https://eden.example/p/{uid}/read")
    found = resource_types.put_type(tx, HUB, other, NOW)
    assert found.built_in
    assert resource_types.type_of(tx, HUB, "project") == found
    assert resource_types.address(found, "theirs 17") == "https://eden.example/p/theirs%2017/read"
    assert resource_types.address(ResourceType(name="x", label="X"), "17") == ""
    for url in ("javascript:{uid}", "https://eden.example/p"):
        with pytest.raises(Refused):
            resource_types.put_type(tx, HUB, ResourceType(name="project", label="P", url=url), NOW)
    with pytest.raises(Refused, match="meaning of its own"):
        resource_types.put_type(tx, HUB, ResourceType(name="entity", label="E"), NOW)


def test_records_are_meant_by_uid_or_code(tx):
    scoped = user(tx, "scoped", Grant(Role.READER, "site", "north"))
    resources.create_record(tx, HUB, "i-1", "incident", {"name": "Flood", "code": "FL-12"}, NOW)
    for words, uid in (("i-1", "i-1"), ("fl-12", "i-1"), ("FL12", "FL12"), ("Flood", "Flood"), ("--", "--")):
        assert resources.uid_of(tx, HUB, "incident", words) == uid
    assert resources.uid_of(tx, HUB, "project", "FL-12") == "FL-12"
    assert resources.uid_of(tx, scoped, "incident", "FL-12") == "FL-12"
    assert resource_types.how_many(tx, HUB) == {"incident": 1}
    assert resource_types.how_many(tx, scoped) == {}


@pytest.mark.parametrize("uid", ["", "a/b", "a b", "x" * 201, "a\nb"])
def test_a_uid_stands_in_a_path(tx, uid):
    with pytest.raises(Refused):
        resources.create_record(tx, HUB, uid, "incident", {"name": "Flood"}, NOW)
