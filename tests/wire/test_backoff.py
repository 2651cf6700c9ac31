"""Waits that grow, bytes that are shared."""

import pytest

from msgserver.wire.backoff import BackOff
from msgserver.wire.budget import ByteBudget


def test_waits_double_up_to_the_longest():
    back_off = BackOff(first=1.0, longest=10.0, chance=lambda: 0.5)
    assert [back_off.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    back_off.reset()
    assert back_off.next() == 1.0


def test_waits_are_spread_by_a_fifth():
    assert BackOff(first=10.0, chance=lambda: 0.0).next() == 8.0
    assert BackOff(first=10.0, chance=lambda: 1.0).next() == pytest.approx(12.0)


def test_many_tries_do_not_overflow():
    back_off = BackOff(longest=60.0, chance=lambda: 0.5)
    assert [back_off.next() for _ in range(5000)][-1] == 60.0


def test_a_budget_gives_no_more_than_it_has():
    budget = ByteBudget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.taken == 6
    budget.give(6)
    assert budget.take(10)
