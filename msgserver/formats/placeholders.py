"""Texts with gaps that are filled: ``{name}``, ``{ticket}``, ``{hub}``. Pure; what is no known gap stays as written."""

from __future__ import annotations

import re
from collections.abc import Mapping

_GAP = re.compile(r"(\s*)(#?)\{(\w+)\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Fill the gaps of a text; a value is never looked through for gaps itself.

    An empty value takes the space before it along ("Thanks {name}, ..."), at the head of the text the comma behind it;
    a "#" is not doubled ("#{ticket}").
    """

    def filled(gap: re.Match[str]) -> str:
        space, sign, name = gap.groups()
        if name not in values:
            return gap[0]
        value = values[name]
        return f"{space}{'' if value.startswith('#') else sign}{value}" if value or sign else ""

    whole = _GAP.sub(filled, text)
    return whole if whole[:1] == text[:1] else whole.lstrip(" ,")  # an empty one stood first
