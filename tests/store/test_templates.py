"""Templates and their versions, and that what goes out has the words of the version it was written with."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from msgserver.connector import Limits, PermanentFailure
from msgserver.formats.wording import Wording
from msgserver.message import Address
from msgserver.records import HUB, Draft
from msgserver.routing.conversation import Tokens
from msgserver.routing.render import envelope_of
from msgserver.store import deliveries, templates
from msgserver.store.edits import Refused, Stale
from msgserver.store.schema import connector_status, msg_log
from msgserver.store.writing import write_draft
from tests.store.desk import NOW

WORDS = Wording("Water at {{ place }}", "Dear {{ to.name }}, {{ place }} has water.", "<p>Dear {{ to.name }}</p>")
MAIL = Limits(html=True, attachments=True)
ANA, BO = Address("mailto", "ana@x.example"), Address("mailto", "bo@x.example")


@pytest.fixture
def tx(database):
    with database() as tx:
        tx.execute(connector_status.insert().values(name="mail", schemes='["mailto"]', since=0, seen_at=0))
        yield tx


def save(tx, words=WORDS, name="Water", **more):
    return templates.save(tx, HUB, name, words, NOW, **more)


def write(tx, template, **values):
    draft = Draft(uid=f"00000000-0000-4000-8000-{template:012d}", to=(ANA, BO), template=template, values=values)
    return write_draft(tx, HUB, draft, {"mailto": "mail"}, NOW)


def envelopes(tx):
    claims = deliveries.claim(tx, "mail", "n1", 10, NOW + 1)
    return {str(one.to): one for one in (envelope_of(claim, MAIL, Tokens(b"k" * 32), "Desk") for claim in claims)}


def test_each_wording_is_a_version_that_stays(tx):
    first = save(tx)
    second = save(tx, Wording(text="other"), expected_version=1)
    assert (first.version, second.version) == (1, 2)
    assert templates.template_of(tx, first.id).text == WORDS.text
    assert templates.newest(tx, first.id) == second
    assert [one.id for one in templates.templates(tx)] == [second.id]
    with pytest.raises(Stale):
        save(tx, expected_version=1)
    with pytest.raises(Stale):
        save(tx, expected_version=0)


def test_a_removed_one_is_gone_and_may_come_back(tx):
    first = save(tx)
    assert templates.remove(tx, HUB, first.id, NOW)
    assert not templates.remove(tx, HUB, first.id, NOW)
    assert templates.templates(tx) == []
    assert templates.newest(tx, first.id) is None
    assert save(tx, expected_version=0).version == 3


@pytest.mark.parametrize(
    ("name", "words", "why"),
    [
        (" ", WORDS, "give the template a name"),
        ("x", Wording("s", " ", ""), "says nothing"),
        ("x", Wording(text="{{ range(9) }}"), "text: line 1: call is not allowed"),
    ],
)
def test_what_cannot_be_used_is_refused(tx, name, words, why):
    with pytest.raises(Refused, match=why):
        save(tx, words, name)


def test_every_recipient_gets_their_own_words_of_the_version_it_was_written_with(tx):
    from msgserver.records import EntityKind
    from msgserver.store import people

    ana = people.create_entity(tx, HUB, "uid-a", EntityKind.PERSON, "Ana <b>", NOW)
    people.add_contact(tx, HUB, ana.id, ANA, NOW)
    first = save(tx)
    draft = Draft(uid="00000000-0000-4000-8000-000000000001", to=(BO,), entities=(ana.id,), template=first.id,
                  values={"place": "Camp 3"})  # fmt: skip
    recorded = write_draft(tx, HUB, draft, {"mailto": "mail"}, NOW)
    save(tx, Wording("Changed", "Changed", "Changed"))
    templates.remove(tx, HUB, first.id, NOW)
    row = tx.execute(select(msg_log.c.subject, msg_log.c.body).where(msg_log.c.id == recorded.message_id)).one()
    assert tuple(row) == ("Water at Camp 3", "Dear …, Camp 3 has water.")
    sent = envelopes(tx)
    assert sent[str(ANA)].text.startswith("Dear Ana <b>, Camp 3 has water.")
    assert "<p>Dear Ana &lt;b&gt;</p>" in sent[str(ANA)].html
    assert sent[str(BO)].text.startswith("Dear , Camp 3")
    assert "Water at Camp 3" in sent[str(BO)].subject


def test_a_value_that_is_missing_is_said_before_anything_is_sent(tx):
    with pytest.raises(Refused, match="'place' is undefined"):
        write(tx, save(tx).id)
    with pytest.raises(Refused, match="no such template"):
        write(tx, 99)
    assert envelopes(tx) == {}


def test_a_template_that_cannot_be_filled_any_more_fails_for_good(tx):
    first = save(tx, Wording(text="{% if to.name == 'x' %}{{ missing }}{% endif %}ok"))
    write(tx, first.id)
    (claim, _) = deliveries.claim(tx, "mail", "n1", 10, NOW + 1)
    import msgspec

    for_x = msgspec.structs.replace(claim, to_name="x")
    with pytest.raises(PermanentFailure, match="'missing' is undefined"):
        envelope_of(for_x, MAIL, Tokens(b"k" * 32), "Desk")
