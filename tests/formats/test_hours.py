"""Times of day, as written and as kept."""

from __future__ import annotations

import pytest

from msgserver.formats.hours import hour_words, read_hour


@pytest.mark.parametrize(
    ("words", "minutes"), [("22:00", 1320), (" 7.30 ", 450), ("7h30", 450), ("0", 0), ("23:59", 1439)]
)
def test_as_written(words: str, minutes: int) -> None:
    assert read_hour(words) == minutes
    assert read_hour(hour_words(minutes)) == minutes


@pytest.mark.parametrize("words", ["", "24:00", "7:60", "noon", "1:2", "-1", "٧:٠٠", "22:000"])
def test_no_time_of_day(words: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        read_hour(words)


def test_none_is_empty() -> None:
    assert hour_words(None) == ""
