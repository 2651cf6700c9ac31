"""Saved searches, drafts, and what people find out about messages."""

from __future__ import annotations

import pytest

from msgserver.records import Grant, Role
from msgserver.store import audit, judging, messages, saved
from msgserver.store.edits import Refused
from tests.store.desk import NOW, message, user


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


@pytest.fixture
def ana(tx):
    return user(tx, "ana")


def test_saved_searches_are_ones_own_or_everybodys(tx, ana):
    bo = user(tx, "bo")
    mine = saved.save_view(tx, ana, " My  floods ", "tag:flood is:unread", NOW)
    ours = saved.save_view(tx, bo, "All floods", "tag:flood", NOW, True)
    assert (mine.name, mine.user_id, ours.user_id) == ("My floods", ana.user_id, None)
    assert saved.saved_views(tx, ana) == [ours, mine]
    assert saved.saved_views(tx, bo) == saved.shared(tx) == [ours]
    assert saved.change_view(tx, bo, mine.id, "x", "y", NOW) is None
    assert not saved.remove_view(tx, bo, mine.id, NOW)
    assert saved.change_view(tx, ana, mine.id, "Mine", "tag:fire", NOW).query == "tag:fire"
    for name, query in ((" ", "x"), ("x", " ")):
        with pytest.raises(Refused):
            saved.save_view(tx, ana, name, query, NOW)
        with pytest.raises(Refused):
            saved.change_view(tx, ana, mine.id, name, query, NOW)
    assert saved.remove_view(tx, ana, mine.id, NOW)
    assert saved.saved(tx, ana, mine.id) is None


def test_drafts(tx, ana):
    bo = user(tx, "bo")
    saved.keep_draft(tx, ana, "ticket/1", {"text": "we co", "subject": ""}, NOW)
    saved.keep_draft(tx, ana, "ticket/1", {"text": "we come\x00", "subject": ""}, NOW + 1)
    saved.keep_draft(tx, ana, "new", {"text": "hello"}, NOW + 2)
    assert saved.draft_of(tx, ana, "ticket/1") == {"text": "we come", "subject": ""}
    assert saved.draft_of(tx, bo, "ticket/1") == {}
    assert saved.drafts(tx, ana) == [("new", NOW + 2), ("ticket/1", NOW + 1)]
    saved.keep_draft(tx, ana, "new", {"text": "  "}, NOW + 3)
    assert saved.drop_draft(tx, ana, "ticket/1")
    assert not saved.drop_draft(tx, ana, "ticket/1")
    assert saved.drafts(tx, ana) == []
    with pytest.raises(Refused):
        saved.keep_draft(tx, ana, "new", {"text": "x" * (saved.LONGEST_DRAFT + 1)}, NOW)


def test_verified_and_actionable(tx, ana):
    made = message(tx, tags=("incident/a",))
    stranger = user(tx, "stranger", Grant(Role.READER, "project"))
    one = judging.set_verified(tx, ana, made, True, NOW)
    assert (one.verified, one.verified_at) == ("ana", NOW)
    one = judging.set_actionable(tx, ana, made, True, NOW)
    assert (one.actionable, one.verified) == (True, "ana")
    assert len(messages.log(tx, ana, "is:verified is:actionable").items) == 1
    one = judging.set_verified(tx, ana, made, False, NOW)
    one = judging.set_actionable(tx, ana, made, None, NOW)
    assert (one.verified, one.verified_at, one.actionable) == ("", None, None)
    assert judging.set_verified(tx, stranger, made, True, NOW) is None
    assert judging.set_actionable(tx, stranger, made, True, NOW) is None
    acts = [entry.act for entry in audit.entries(tx, thing=f"message/{made}").items]
    assert acts == ["actionable", "unverify", "actionable", "verify"]
