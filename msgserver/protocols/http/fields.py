"""Named values out of a call in whatever clothes: query, form, JSON or XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Tree
from collections.abc import Callable, Sequence

from msgserver.protocols.http.reading import Thing
from msgserver.wire.webhook import Call, Refused

_DECLARATION = re.compile(rb"<!(?!--|\[CDATA\[)")

Find = Callable[[Sequence[str]], str]


def read_fields(call: Call, charset: str = "utf-8") -> Find:
    """A function that gives the first of some names that has a value, else an empty text.

    Raises:
        Refused: the body is not what it says it is.
    """
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.endswith("json"):
        told = Thing(call.json())
        asked = call.fields()
        return lambda names: (
            next((told.at(name).text for name in names if told.at(name).text), "") or asked.text(*names)
        )
    if kind.endswith("xml"):
        root = read_xml(call.body)
        return lambda names: next(filter(None, (_of_xml(root, name) for name in names)), "")
    fields = call.fields()
    named = fields.text("charset") or charset
    return lambda names: fields.text(*names, charset=named)


def read_xml(body: bytes) -> Tree.Element:
    """A small document without declarations of its own: no DTD, so no entities.

    Raises:
        Refused: it has one, or is no XML.
    """
    if _DECLARATION.search(body) or b"\x00" in body:
        raise Refused(400, "XML with a document type is not taken")
    try:
        return Tree.fromstring(body)  # noqa: S314 - without a DTD there is nothing to expand
    except Tree.ParseError:
        raise Refused(400, "the body must be XML") from None


def _of_xml(root: Tree.Element, name: str) -> str:
    """The text at a path, or of an attribute: ``sms/@from``."""
    path, at, attribute = name.rpartition("@")
    try:
        if at:
            found = root if path in ("", "./") else root.find(path.rstrip("/"))
            return found.get(attribute, "") if found is not None else ""
        return (root.findtext(path or name) or "").strip() or (root.findtext(f".//{name}") or "").strip()
    except (SyntaxError, KeyError):
        return ""
