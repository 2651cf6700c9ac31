"""When a delivery is tried again, and when it is given up: pure arithmetic.

Urgent first, then patient. Waits count from the attempt that failed; the life of a delivery is the sum of its waits,
so an attempt that used nothing up ("not connected") does not shorten it.
"""

from __future__ import annotations

from itertools import accumulate

HOUR = 3600.0
_FIRST = (15.0, 60.0, 300.0, 900.0, HOUR)
_MAIL = (*_FIRST, 2 * HOUR, 4 * HOUR)
_MAIL_LIFE = 48 * HOUR
_OTHER_LIFE = 24 * HOUR
JITTER = 0.2  # a wait is at most this much shorter or longer
REPEAT_UNKNOWN = 60.0  # seconds, at least, until an unknown send is repeated where that is harmless
MOST_REPEATS = 5  # of one delivery; then an unknown one waits for a person
MOST_MISTAKES = 10  # attempts that ended in an error of our own


def _waits(first: tuple[float, ...], last: float, life: float) -> tuple[float, ...]:
    waits = list(first)
    while sum(waits) + last <= life:
        waits.append(last)
    return tuple(waits)


_SCHEDULES = {"mailto": _waits(_MAIL, 4 * HOUR, _MAIL_LIFE)}
_OTHERS = _waits(_FIRST, HOUR, _OTHER_LIFE)


def wait_after(scheme: str, attempt: int, chance: float, wish: float | None = None) -> float | None:
    """How long to wait after a failed attempt.

    Args:
        scheme: of the address; mail is tried for 48 h, all else for 24 h.
        attempt: the number of the attempt that failed, from 1.
        chance: a random number from 0 to 1; spreads the waits by 20 % either way.
        wish: seconds that the far side asked for, if it did; a longer wait than ours is granted up to 4 h.

    Returns:
        seconds; None: the schedule is used up, give up.
    """
    waits = _SCHEDULES.get(scheme, _OTHERS)
    if attempt > len(waits):
        return None
    wait = waits[max(attempt, 1) - 1]
    if wish is not None and wish > wait:
        wait = min(wish, 4 * HOUR)
    return wait * (1 - JITTER + 2 * JITTER * chance)


def wait_to_repeat(scheme: str, attempt: int, chance: float) -> float | None:
    """How long an unknown send waits until it is repeated; None: a person shall decide.

    The far side may have taken every one of them: so few, further and further apart.
    """
    if attempt > MOST_REPEATS:
        return None
    wait = wait_after(scheme, attempt, chance)
    return None if wait is None else max(wait, REPEAT_UNKNOWN)


def life(scheme: str) -> float:
    """Seconds from the first attempt to the last."""
    return list(accumulate(_SCHEDULES.get(scheme, _OTHERS)))[-1]
