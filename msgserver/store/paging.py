"""Pages of rows by key, never by offset: a page costs the same however deep it lies."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

T = TypeVar("T")

MOST = 500  # rows that one page may hold, whatever was asked


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows and where the next ones begin; ``next`` is empty on the last page."""

    items: tuple[T, ...] = ()
    next: str = ""
    ignored: tuple[str, ...] = ()  # bits of the query that were not understood, for people


def cursor(*key: int | float | str) -> str:
    """The key of a page's last row as an opaque word."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode("ascii")


def position(word: str, *kinds: type) -> tuple[Any, ...] | None:
    """The key out of a cursor; None (the first page) where it is empty or not one of ours.

    ``kinds`` are the types of its parts; an int passes for a float.
    """
    if not word or len(word) > 1000:
        return None
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    if not isinstance(key, list) or len(key) != len(kinds):
        return None
    found: list[Any] = []
    for part, kind in zip(key, kinds, strict=True):
        if kind is float and type(part) is int:
            part = float(part)
        if type(part) is not kind or (isinstance(part, int) and abs(part) >= 2**63):
            return None
        found.append(part)
    return tuple(found)


def size(limit: int) -> int:
    """A page's length within sane bounds."""
    return max(1, min(limit, MOST))


class database_clock(FunctionElement[float]):  # noqa: N801
    """POSIX seconds by the database's clock, for reads that were not given a time."""

    type = Double()
    inherit_cache = True


@compiles(database_clock, "sqlite")
def _sqlite_clock(_element: Any, _compiler: Any, **_kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_clock, "postgresql")
def _postgresql_clock(_element: Any, _compiler: Any, **_kw: Any) -> str:
    return "CAST(extract(epoch FROM now()) AS double precision)"
