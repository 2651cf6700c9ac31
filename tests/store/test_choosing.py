from __future__ import annotations

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from msgserver.records import Plan
from msgserver.store.choosing import our_ref
from msgserver.store.connecting import engine as _engine
from msgserver.store.recording import record
from tests.store.people import NOW, entity, plan

HOUR = 3600.0

arriving = st.fixed_dictionaries(
    {
        "sender": st.sampled_from(["sms:+1", "sms:+2", "sms:+3", "mailto:ana@x.org", None]),
        "later": st.sampled_from([0.0, 1.0, 40 * HOUR, 80 * HOUR]),
        "spam": st.booleans(),
        "robot": st.sampled_from(["", "a robot"]),
        "window": st.sampled_from([0.0, 72 * HOUR]),
        "token": st.one_of(st.none(), st.integers(1, 4)),
        "answers": st.one_of(st.none(), st.integers(0, 8)),
        "tagged": st.one_of(st.none(), st.integers(1, 4)),
    }
)


def plans(tx, wishes) -> list[Plan]:
    made, at = [], NOW
    for n, wish in enumerate(wishes):
        at += wish["later"]
        references = () if wish["answers"] is None else (f"w{wish['answers']}@x",)
        hints = {
            "window": wish["window"],
            "token": wish["token"],
            "references": references,
            "subject_tag": wish["tagged"],
        }
        fields = {"received_at": at, "spam": wish["spam"], "robot": wish["robot"], "wire_message_id": f"w{n}@x"}
        made.append(plan(tx, wish["sender"], hints=hints, **fields))
    return made


def outcome(tx, wishes, size):
    """What the log looks like when plans are recorded in groups of ``size``, after four tickets."""
    with tx.begin() as transaction:
        entity(tx, "Ana", "mailto:ana@x.org", "sms:+3")
        record(tx, [plan(tx, f"sms:+{n}") for n in (1, 2, 8, 9)])
        made = plans(tx, wishes)
        done = []
        for start in range(0, len(made), size):
            done += record(tx, made[start : start + size])
        query = "SELECT id, address, messages, last_at, snippet, priority, spam FROM ticket ORDER BY id"
        tickets = [tuple(row) for row in tx.execute(text(query))]
        transaction.rollback()
        return [(one.ticket_id, one.number, one.new_ticket) for one in done], tickets


@pytest.fixture(scope="module")
def connection(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("choosing")
    shutil.copy(sqlite_template, folder / "hub.db")
    engine = _engine(make_url(f"sqlite:///{folder}/hub.db"), folder, size=1, writing=True)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@settings(max_examples=40)
@given(wishes=st.lists(arriving, min_size=1, max_size=8))
def test_how_plans_are_grouped_makes_no_difference(connection, wishes):
    alone, threes, whole = (outcome(connection, wishes, size) for size in (1, 3, 8))
    assert alone == threes == whole


def test_our_own_references_are_known():
    assert our_ref("d42.0123456789ab") == (42, "0123456789ab")
    assert our_ref("d42.0123456789ab@hub.example") == (42, "0123456789ab")
    for other in ("42.0123456789ab", "d42", "d.0123456789ab", "d42.0123456789abc", "", "x@y"):
        assert our_ref(other) == (None, None)
