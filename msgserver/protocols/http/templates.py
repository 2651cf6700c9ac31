"""Words with holes, ``{to}``, filled so that what fills them cannot say more than it should."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

import msgspec

HOLES = ("to", "to_no_plus", "text", "from", "from_no_plus", "id", "user", "password", "callback")
_HOLE = re.compile(r"\{([a-z_]+)\}")
_BREAK = re.compile(r"[\x00-\x1f\x7f]")


def fill(template: str, values: Mapping[str, str], how: Callable[[str], str] = str) -> str:
    """Put values into the holes, each escaped by ``how``; a brace that is no hole of ours stays."""
    return _HOLE.sub(lambda hole: how(values[hole[1]]) if hole[1] in values else hole[0], template)


def unknown_holes(template: str) -> list[str]:
    """The holes that nothing fills."""
    return [name for name in _HOLE.findall(template) if name not in HOLES]


def in_url(word: str) -> str:
    """For a path or a query."""
    return quote(word.encode("utf-8", "replace"), safe="")


def in_json(word: str) -> str:
    """For the inside of a JSON string."""
    return msgspec.json.encode(word).decode()[1:-1]


def in_xml(word: str) -> str:
    """For text and attributes; control characters that XML 1.0 has not are left out."""
    return escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", word), {'"': "&quot;", "'": "&apos;"})


def in_header(word: str) -> str:
    """For a header: on one line."""
    return _BREAK.sub(" ", word)
