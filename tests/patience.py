"""Limits of time that are met exactly, however busy the machine is."""

from __future__ import annotations

import time

from twisted.internet import reactor


def let_run_out(seconds: float) -> None:
    """Let pass now what was given so many seconds (hundreds, so that nothing else has as many) a moment ago.

    A limit short enough to be waited for is also short enough to be met by chance, before what is to be late has begun.
    """
    end = reactor.seconds() + seconds
    (call,) = [one for one in reactor.getDelayedCalls() if end - seconds / 3 < one.getTime() <= end]
    call.reset(0)


def stay_within_a_day(seconds: float) -> None:
    """Where a day (UTC) ends within so many seconds, let it end first: what is counted by the day is counted once."""
    left = 86_400 - time.time() % 86_400
    if left < seconds:
        time.sleep(left)
