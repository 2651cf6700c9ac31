"""Words that people read are marked here for translation; English is the source."""

from __future__ import annotations


def _(text: str) -> str:
    """Mark a text for translation (gettext extracts what stands in ``_(...)``)."""
    return text


def plural(one: str, many: str, n: int) -> str:
    """Choose between two texts by a number, which ``%(n)d`` in them shows."""
    return (one if n == 1 else many) % {"n": n}
