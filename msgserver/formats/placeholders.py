"""Texts with gaps that are filled: ``{name}``, ``{ticket}``, ``{hub}``. Pure; what is no known gap stays as written."""

from __future__ import annotations

import re
from collections.abc import Mapping

_GAP = re.compile(r"\{(\w+)\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Fill the gaps of a text; a value is never looked through for gaps itself."""
    return _GAP.sub(lambda gap: values.get(gap[1], gap[0]), text)
