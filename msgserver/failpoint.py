"""Named places where a test makes the process die or fail: ``MSGSERVER_FAIL=C2.after:kill:3,R2.before:raise``.

Each entry is ``place:act[:nth]``; the act happens the nth time (default the first) the place is reached. Places are
named as in the pipeline: C1 journal, R1 acknowledge, C2 record, C3 claim, R2 bytes out, R3 answer in, C4 settle, each
``.before`` or ``.after``. Without the variable a place costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal


class FailPointReached(Exception):
    """Raised at a fail point whose act is ``raise``."""


def _read(words: str) -> dict[str, tuple[str, int]]:
    points: dict[str, tuple[str, int]] = {}
    for entry in filter(None, words.split(",")):
        place, act, nth = [*entry.split(":"), "1"][:3]
        if act not in ("kill", "raise"):
            raise ValueError(f"MSGSERVER_FAIL: {entry!r}: the act is kill or raise")
        points[place] = (act, int(nth))
    return points


_points = _read(os.environ.get("MSGSERVER_FAIL", ""))
_reached: dict[str, int] = {}


def reach(place: str) -> None:
    """Say that ``place`` is reached; returns unless a test asked for its act here.

    Raises:
        FailPointReached: the act is ``raise`` and this is the nth time.
    """
    point = _points.get(place)
    if point is None:
        return
    count = _reached[place] = _reached.get(place, 0) + 1
    if count != point[1]:
        return
    if point[0] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise FailPointReached(place)
