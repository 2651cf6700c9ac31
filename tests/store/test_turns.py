"""Which errands are committed together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.store.committing import Job
from msgserver.store.journal import journal
from msgserver.store.recording import record
from msgserver.store.turns import FEW, Errand, Turns, halves


def errand(number: int, unit: Any, units: int = 1) -> Errand:
    return number, [Job(unit, (), True, {}) for _ in range(units)]


def numbers(taken: list[Errand]) -> list[int]:
    return [number for number, _ in taken]


def test_arrivals_go_before_what_came_earlier_but_not_for_ever():
    turns = Turns()
    turns.add(errand(1, record))
    order = []
    for number in range(2, 6):
        turns.add(errand(number, journal))
        order.append(numbers(turns.take()))
    assert order == [[2], [3], [1], [4, 5]]
    assert turns.units == 0


def test_few_arrivals_are_committed_at_once_and_of_many_half():
    turns = Turns()
    for number in range(FEW - 1):
        turns.add(errand(number, journal))
    assert len(turns.take()) == FEW - 1
    turns.add(errand(1, journal, 5))
    turns.add(errand(2, journal, 5))
    assert numbers(turns.take()) == [1]
    assert numbers(turns.take()) == [2]
    assert turns.take() == []


@pytest.mark.parametrize(("many", "parts"), [(0, []), (1, [1]), (FEW - 1, [FEW - 1]), (FEW, [4, 4]), (11, [6, 5])])
def test_halves(many: int, parts: list[int]):
    assert [len(half) for half in halves(range(many))] == parts


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=30), st.data())
def test_everything_gets_its_turn_once_and_arrivals_in_their_order(
    errands: list[tuple[bool, int]], data: st.DataObject
):
    turns, taken = Turns(), []
    for number, (arrival, units) in enumerate(errands):
        turns.add(errand(number, journal if arrival else record, units))
        if data.draw(st.booleans()):
            taken.append(turns.take())
    while turns.units:
        taken.append(turns.take())
    assert all(taken)
    assert turns.take() == []
    assert sorted(number for group in taken for number in numbers(group)) == list(range(len(errands)))
    arrivals = [number for group in taken for number in numbers(group) if errands[number][0]]
    assert arrivals == sorted(arrivals)
    assert all(len({errands[number][0] for number in numbers(group)}) == 1 for group in taken)
