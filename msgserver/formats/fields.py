"""The typed fields of a record: what somebody typed as it is kept, or why it cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from msgserver.formats.phones import read_address
from msgserver.records import Field

KINDS = ("text", "number", "date", "choice", "yes/no", "contact")
LONGEST = 2_000  # characters of one value
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,15})?")
_YES = frozenset({"yes", "true", "1", "on", "y"})
_NO = frozenset({"no", "false", "0", "off", "n"})


def number(words: str) -> str:
    """A number as it is kept: digits of any script, a comma or a point before the fraction, no gaps."""
    bare = "".join(str(int(sign)) if sign.isdecimal() else sign for sign in words if not sign.isspace())
    bare = bare.replace(",", ".") if bare.count(",") == 1 and "." not in bare else bare.replace(",", "")
    if not _NUMBER.fullmatch(bare):
        raise ValueError(f"{words[:60]!r} is not a number")
    try:
        found = Decimal(bare)
    except InvalidOperation:
        raise ValueError(f"{words[:60]!r} is not a number") from None
    written = format(found, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def value(field: Field, words: str, region: str = "") -> str:
    """One field's value as it is kept; empty where nothing was typed.

    Raises:
        ValueError: why not, for people, the field not named.
    """
    words = words.strip()
    if not words:
        if field.required:
            raise ValueError("must be filled in")
        return ""
    if len(words) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    match field.kind:
        case "number":
            return number(words)
        case "date":
            try:
                return date.fromisoformat(words).isoformat()
            except ValueError:
                raise ValueError(f"{words[:60]!r} is not a date: write it as in 2026-11-30") from None
        case "yes/no":
            if words.casefold() not in _YES | _NO:
                raise ValueError(f"{words[:60]!r} is neither yes nor no")
            return "yes" if words.casefold() in _YES else "no"
        case "contact":
            return str(read_address(words, region))
    if field.choices and words not in field.choices:
        raise ValueError(f"{words[:60]!r} is none of {', '.join(field.choices)}")
    return words


def checked(
    fields: Sequence[Field], values: Mapping[str, str], before: Mapping[str, str] | None = None, region: str = ""
) -> dict[str, str]:
    """The values of a record's fields as they are kept; those without a value are left out.

    A type that names no fields takes any. What an earlier shape of the type left in ``before`` is kept.

    Raises:
        ValueError: all that is wrong, for people, each field by its label.
    """
    known = {field.name: field for field in fields}
    kept = dict(before or {})
    strange = [name for name in values if fields and name not in known and name not in kept]
    wrong = [f"there is no field {name[:60]!r}" for name in strange]
    for name, words in values.items():
        if name not in known:
            kept[name] = words[:LONGEST]
    for field in fields:
        try:
            kept[field.name] = value(field, values.get(field.name, kept.get(field.name, "")), region)
        except ValueError as error:
            wrong.append(f"{field.label}: {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return {name: words for name, words in kept.items() if words}


def mistake(fields: Sequence[Field]) -> str:
    """What is wrong with a type's fields, for people; empty where nothing is."""
    seen = set()
    for field in fields:
        if not _NAME.fullmatch(field.name):
            return f"the field {field.label or field.name!r} needs a name of small letters, digits and _"
        if field.name in seen:
            return f"there are two fields named {field.name}"
        if not field.label.strip():
            return f"the field {field.name} needs a label"
        if field.kind not in KINDS:
            return f"{field.label}: {field.kind!r} is none of {', '.join(KINDS)}"
        if field.kind == "choice" and not field.choices:
            return f"{field.label}: say between what one chooses"
        seen.add(field.name)
    return ""


def name_for(label: str) -> str:
    """A field's name made of its label; empty where the label has no Latin letters."""
    bare = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:40].rstrip("_")
    return bare if _NAME.fullmatch(bare) else ""
