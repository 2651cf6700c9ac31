from __future__ import annotations

from msgserver.web.rates import Rates


def test_a_minutes_worth_at_once_then_as_it_comes_back() -> None:
    rates = Rates(6)
    assert [rates.wait(1, 100.0) for _ in range(8)] == [0] * 6 + [10, 10]
    assert rates.wait(2, 100.0) == 0
    assert rates.wait(1, 104.0) == 6
    assert [rates.wait(1, 110.0), rates.wait(1, 110.0)] == [0, 10]
    assert [rates.wait(1, 1000.0) for _ in range(7)] == [0] * 6 + [10]


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    rates = Rates(1)
    assert [rates.wait(1, 100.0), rates.wait(1, 50.0), rates.wait(1, 110.0)] == [0, 60, 0]


def test_it_remembers_no_more_than_it_must() -> None:
    rates = Rates(1)
    for number in range(20_000):
        rates.wait(number, 100.0)
    assert len(rates._left) == 10_000
