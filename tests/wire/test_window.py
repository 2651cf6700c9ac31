from hypothesis import given
from hypothesis import strategies as st

from msgserver.wire.window import SlidingWindow


@given(st.integers(1, 5), st.floats(0.5, 10), st.lists(st.floats(0, 3), max_size=60))
def test_no_window_of_that_length_holds_more(count, seconds, gaps):
    window, now, times = SlidingWindow(count, seconds), 1000.0, []
    for gap in gaps:
        now += gap
        wait = window.take(now)
        assert wait >= 0
        times.append(now + wait)
    assert times == sorted(times)
    for early, late in zip(times, times[count:], strict=False):
        assert late - early >= seconds - 1e-6


def test_a_free_place_is_had_at_once_and_a_place_given_back_is_free():
    window = SlidingWindow(2, 1.0)
    assert [window.take(0.0), window.take(0.0), window.take(0.0)] == [0.0, 0.0, 1.0]
    window.give_back()
    assert window.take(0.5) == 0.5
    assert window.take(5.0) == 0.0
