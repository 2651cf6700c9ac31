"""Long messages in parts: out of order, doubled, missing, late, under a number used again, over a restart (F7)."""

from __future__ import annotations

import itertools
import uuid

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from msgserver.message import Address, Arrival, Part
from msgserver.records import HUB, EntityKind, Rule
from msgserver.routing import joining
from msgserver.store import parts, people, rules, subscriptions
from tests.routing.conftest import ANA, WayIn

pytestmark = pytest.mark.slow

async_test = pytest_twisted.ensureDeferred


def part(place: int, total: int, words: str = "", reference: str = "r", copy: str = "", sender: Address = ANA):
    words = words or f"<{place}>"
    wire_id = f"{reference}/{place}/{total}/{words}/{copy}/{sender}"
    return Arrival(wire_id=wire_id, sender=sender, text=words, part=Part(reference, place, total))


async def bring(way_in: WayIn, *arrivals: Arrival) -> None:
    for arrival in arrivals:
        await way_in.router.accept("modem1", arrival)
    await way_in.read()


async def bodies(way_in: WayIn) -> list[str]:
    return [body for (body,) in await way_in.rows("SELECT body FROM msg_log ORDER BY id")]


async def nobody_waits(way_in: WayIn) -> bool:
    return not await way_in.rows("SELECT 1 FROM msg_part WHERE message_id IS NULL")


@async_test
@pytest.mark.parametrize("total", [2, 3, 4])
async def test_every_order_makes_the_message(way_in: WayIn, total):
    orders = list(itertools.permutations(range(1, total + 1)))
    for n, order in enumerate(orders):
        await bring(way_in, *(part(place, total, reference=f"r{n}") for place in order))
    assert await bodies(way_in) == ["".join(f"<{n}>" for n in range(1, total + 1))] * len(orders)
    assert await nobody_waits(way_in)


@async_test
@pytest.mark.parametrize("total", [2, 3])
async def test_every_order_with_each_part_doubled(way_in: WayIn, total):
    places = [(place, copy) for place in range(1, total + 1) for copy in "ab"]
    orders = [order for n, order in enumerate(itertools.permutations(places)) if n % (1 if total == 2 else 40) == 0]
    for n, order in enumerate(orders):
        await bring(way_in, *(part(place, total, reference=f"r{n}", copy=copy) for place, copy in order))
    assert await bodies(way_in) == ["".join(f"<{n}>" for n in range(1, total + 1))] * len(orders)
    assert await nobody_waits(way_in)


@async_test
@pytest.mark.parametrize("total", [2, 3, 4])
async def test_each_missing_part_is_shown_as_missing_and_completed_when_it_comes(way_in: WayIn, total, monkeypatch):
    for lost in range(1, total + 1):
        there = [place for place in range(1, total + 1) if place != lost]
        await bring(way_in, *(part(place, total, reference=f"r{lost}") for place in reversed(there)))
    await way_in.recorder.show_overdue()
    assert await bodies(way_in) == []  # not yet: ten minutes have not passed
    monkeypatch.setattr(joining, "PATIENCE", -1.0)
    await way_in.recorder.show_overdue()
    marks = {lost: f"[part {lost}/{total} missing]" for lost in range(1, total + 1)}
    whole = [f"<{place}>" for place in range(1, total + 1)]
    shown = ["".join(marks[lost] if place == lost else word for place, word in enumerate(whole, 1)) for lost in marks]
    assert await bodies(way_in) == shown
    ((trouble,),) = await way_in.rows("SELECT trouble FROM msg_log WHERE id = 1")
    assert f"part 1 of {total} did not arrive (yet)" in trouble
    for lost in marks:
        await bring(way_in, part(lost, total, reference=f"r{lost}"))
    assert await bodies(way_in) == ["".join(whole)] * total
    assert await way_in.rows("SELECT DISTINCT trouble FROM msg_log") == [("[]",)]
    assert await nobody_waits(way_in)
    assert ("message", (1,)) in way_in.rung[-40:]


@async_test
async def test_two_missing_parts_come_late_one_after_the_other(way_in: WayIn, monkeypatch):
    monkeypatch.setattr(joining, "PATIENCE", -1.0)
    await bring(way_in, part(2, 3))
    await way_in.recorder.show_overdue()
    assert await bodies(way_in) == ["[part 1/3 missing]<2>[part 3/3 missing]"]
    await bring(way_in, part(3, 3))
    assert await bodies(way_in) == ["[part 1/3 missing]<2><3>"]
    await bring(way_in, part(1, 3))
    assert await bodies(way_in) == ["<1><2><3>"]
    await bring(way_in, part(1, 3, copy="again"), part(2, 3, copy="again"))  # doubled after all was there
    assert await bodies(way_in) == ["<1><2><3>"]
    assert await nobody_waits(way_in)
    assert await way_in.rows("SELECT DISTINCT outcome_id FROM msg_raw") == [(1,)]


@async_test
async def test_a_number_used_again_begins_a_new_message(way_in: WayIn):
    await bring(way_in, part(1, 2, "old "), part(1, 2, "new "), part(2, 2, "words"))
    assert await bodies(way_in) == ["old [part 2/2 missing]", "new words"]
    await bring(way_in, part(1, 2, "third "), part(2, 2, "message"))
    assert (await bodies(way_in))[-1] == "third message"
    assert await nobody_waits(way_in)


@async_test
async def test_parts_that_reached_the_network_hours_apart_are_of_different_messages(way_in: WayIn, monkeypatch):
    def at(arrival: Arrival, sent_at: float) -> Arrival:
        return msgspec.structs.replace(arrival, sent_at=sent_at, wire_id=f"{arrival.wire_id}@{sent_at}")

    day = 86400.0
    await bring(way_in, at(part(1, 2, "old "), 0), at(part(2, 2, "new words"), day), at(part(1, 2, "all "), day + 60))
    assert await bodies(way_in) == ["old [part 2/2 missing]", "all new words"]
    await bring(way_in, at(part(1, 2, "all "), 2 * day), at(part(2, 2, "new words"), 2 * day))  # said once more
    assert (await bodies(way_in))[-1] == "all new words"
    await bring(way_in, at(part(2, 2, "end"), 60))  # late, and of the first
    assert await bodies(way_in) == ["old end", "all new words", "all new words"]
    assert await nobody_waits(way_in)


@async_test
async def test_parts_of_other_senders_and_totals_are_other_messages(way_in: WayIn):
    ben = Address("sms", "+1999")
    await bring(way_in, part(1, 2, "a"), part(2, 2, "b", sender=ben), part(1, 3, "c"), part(1, 2, "d", sender=ben))
    assert await bodies(way_in) == ["db"]
    await bring(way_in, part(2, 2, "e"))
    assert await bodies(way_in) == ["db", "ae"]


@async_test
async def test_parts_wait_over_a_restart(way_in: WayIn, store, tmp_path, monkeypatch):
    await bring(way_in, part(1, 3), part(3, 3))
    await way_in.reader.stop()
    again = WayIn(store, tmp_path)
    again.reader.start()
    await bring(again, part(2, 3))
    assert await bodies(again) == ["<1><2><3>"]
    monkeypatch.setattr(joining, "PATIENCE", -1.0)
    await bring(again, part(1, 2, reference="s"))
    await again.reader.stop()
    third = WayIn(store, tmp_path)
    third.recorder._new_uid = lambda: str(uuid.uuid4())
    third.reader.start()  # its first look shows what is overdue
    for _ in range(6000):
        if len(await bodies(third)) == 2:
            break
        await deferLater(reactor, 0.02)
    assert (await bodies(third))[-1] == "<1>[part 2/2 missing]"
    await third.reader.stop()


@async_test
async def test_a_late_part_brings_its_tags_and_the_copies_for_them_once(way_in: WayIn, monkeypatch):
    monkeypatch.setattr(joining, "PATIENCE", -1.0)
    for n, word in enumerate(("well", "flood"), 1):
        rule = Rule(id=0, name=word, position=n, words=(word,), resource=("location", "incident")[n - 1])
        await way_in.store.write(rules.create_rule, HUB, rule, 1.0)
    bo = await way_in.store.write(people.create_entity, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
    await way_in.store.write(people.add_contact, HUB, bo.id, Address("mailto", "bo@example.org"), 1.0)
    await way_in.store.write(subscriptions.subscribe, HUB, bo.id, "incident", "", 1.0)
    await bring(way_in, part(1, 2, "all is well, "))
    await way_in.recorder.show_overdue()
    assert await way_in.rows("SELECT count(*) FROM msg_delivery_status") == [(0,)]
    await bring(way_in, part(2, 2, "but a flood comes"), part(2, 2, "but a flood comes", copy="again"))
    assert await bodies(way_in) == ["all is well, but a flood comes"]
    assert await way_in.rows("SELECT resource FROM msg_tag ORDER BY id") == [("location",), ("incident",)]
    assert await way_in.rows("SELECT address FROM msg_delivery_status") == [("mailto:bo@example.org",)]


@async_test
async def test_another_process_that_was_faster_leaves_nothing_to_show(way_in: WayIn, monkeypatch):
    await bring(way_in, part(1, 2))
    (group,) = await way_in.store.read(parts.overdue, 1e12)
    pieces = await way_in.store.read(parts.find, group, 0.0)
    await bring(way_in, part(2, 2))
    await way_in.recorder._joiner._give_up(group, pieces)
    assert await bodies(way_in) == ["<1><2>"]
