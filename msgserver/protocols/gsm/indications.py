"""How a modem shall tell of what arrives: the best of what it offers (3GPP TS 27.005 section 3.4.1).

-> AT+CNMI=?   <- +CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)     mode, texts, broadcasts, reports, buffer
"""

from __future__ import annotations

import re
from itertools import product

_MODES = (2, 1, 3, 0)  # 2: kept while the line is busy, then told
_STORED, _DIRECT = 1, 2
_REPORTS = (1, 2, 0)  # as they come, into the store, not at all


def settings_to_try(offer: str, direct: bool) -> list[str]:
    """Values for ``AT+CNMI=``, best first; the last resort, looking at the store now and then, needs none.

    Args:
        offer: the answer to ``AT+CNMI=?``, or "".
        direct: texts are handed over as they come (else: stored, and their place told).
    """
    texts = _DIRECT if direct else _STORED
    fields = [_values(group) for group in re.findall(r"\(([^)]*)\)", offer)]
    if len(fields) < 4:
        return [f"{mode},{texts},0,{reports},0" for mode, reports in product((2, 1), (1, 2, 0))]
    modes = [mode for mode in _MODES if mode in fields[0]]
    reports = [kind for kind in _REPORTS if kind in fields[3]] or [0]
    buffer = 0 if len(fields) < 5 or 0 in fields[4] else min(fields[4], default=0)
    if texts not in fields[1]:
        return []
    return [f"{mode},{texts},0,{kind},{buffer}" for mode, kind in product(modes, reports)][:6]


def _values(group: str) -> set[int]:
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", group):
        found |= set(range(int(first), min(int(last or first), 9) + 1))
    return found
