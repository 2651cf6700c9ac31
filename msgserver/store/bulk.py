"""Whole groups of rows in one statement, on SQLite and on PostgreSQL.

Every statement that a thread steps through gives up the interpreter's lock and waits to get it back, so the hot path
issues one statement a table and reads its answers as one value. ``Statement`` holds one SQL text for both databases:

* ``{rows}`` stands for the rows handed in, to be used as ``WITH r AS MATERIALIZED ({rows})``; its columns are named
  with their kinds: ``"id:int name:text at:float done:bool"``.
* ``:name`` is a parameter.
* ``{gather}`` is the aggregate that makes a JSON array of values.
"""

# ruff: noqa: S608 -- SQL is put together of names in the code only; every value is a parameter

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Double, Table
from sqlalchemy.dialects import postgresql

_encode = msgspec.json.Encoder().encode
_KINDS = {"int": "bigint", "text": "text", "float": "double precision", "bool": "boolean"}
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_CHUNK = 64  # rows of one INSERT on SQLite; powers of two above _EXACT, so that few statements are ever prepared
_EXACT = 16  # rows up to which there is a statement for each number, so that a small group takes one

Row = Sequence[Any]


def clean(words: str) -> str:
    """Words that both databases can hold: no NUL, no lone surrogate."""
    if "\0" in words:
        words = words.replace("\0", "")
    try:
        words.encode()
    except UnicodeEncodeError:
        words = words.encode("utf-8", "replace").decode()
    return words


def encode(rows: Sequence[Any]) -> str:
    """Rows (or plain values) as one JSON text."""
    try:
        encoded = _encode(rows)
    except UnicodeEncodeError:
        encoded = _encode(_cleaned(rows))
    if b"\\u0000" in encoded:
        encoded = _encode(_cleaned(rows))
    return encoded.decode()


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    return [_cleaned(one) for one in value] if isinstance(value, list | tuple) else value


class Statement:
    """One SQL text for both databases (see the module); ``out`` names the columns of what it returns."""

    def __init__(self, sql: str, rows: str = "", out: str = "", **words: tuple[str, str]) -> None:
        columns = [column.split(":") for column in rows.split()]
        self._out = out.split()
        lite = ", ".join(f"value->>{n} AS {name}" for n, (name, _) in enumerate(columns))
        great = ", ".join(f"(value->>{n})::{_KINDS[kind]} AS {name}" for n, (name, kind) in enumerate(columns))
        fixed = {"gather": ("json_group_array", "json_agg"), "for_update": ("", "FOR UPDATE")}
        both = fixed | words
        self._sqlite = sql.format(
            rows=f"SELECT {lite} FROM json_each(:rows)", **{name: pair[0] for name, pair in both.items()}
        )
        if self._out:
            listed = ", ".join(self._out)
            self._sqlite = f"SELECT json_group_array(json_array({listed})) FROM ({self._sqlite})"
        self._postgresql = _PARAMETER.sub(
            r"%(\1)s",
            sql.replace("%", "%%").format(
                rows=f"SELECT {great} FROM json_array_elements(:rows ::json)",
                **{name: pair[1] for name, pair in both.items()},
            ),
        )

    def run(self, tx: Connection, rows: Sequence[Row] | None = None, **parameters: Any) -> None:
        """Carry it out."""
        if rows is not None:
            parameters["rows"] = encode(rows)
        raw(tx).execute(self._sqlite if is_sqlite(tx) else self._postgresql, parameters).close()

    def fetch(self, tx: Connection, rows: Sequence[Row] | None = None, **parameters: Any) -> list[Any]:
        """Carry it out; returns the rows of its answer, each a sequence in the order of ``out``."""
        if rows is not None:
            parameters["rows"] = encode(rows)
        if is_sqlite(tx):
            cursor = raw(tx).execute(self._sqlite, parameters)
            answer: list[Any] = msgspec.json.decode(cursor.fetchone()[0])
        else:
            cursor = raw(tx).execute(self._postgresql, parameters)
            answer = cursor.fetchall()
        cursor.close()
        return answer


def is_sqlite(tx: Connection) -> bool:
    """Which of the two databases this is."""
    return tx.dialect.name == "sqlite"


def raw(tx: Connection) -> Any:
    """The driver's own connection, inside the transaction that ``tx`` has begun."""
    return tx.connection.dbapi_connection


def take_ids(tx: Connection, table: str, count: int) -> Sequence[int]:
    """Take ids of a table, ascending, that nobody had before and nobody gets after."""
    if not count:
        return ()
    connection = raw(tx)
    if not is_sqlite(tx):
        query = f"SELECT array_agg(nextval('{table}_id_seq')) FROM generate_series(1, %s)"
        taken: list[int] = connection.execute(query, (count,)).fetchone()[0]
        return sorted(taken)
    cursor = connection.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ? RETURNING seq", (count, table))
    found = cursor.fetchone()
    cursor.close()
    if found is None:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, count))
        found = (count,)
    return range(found[0] - count + 1, found[0] + 1)


def insert_rows(
    tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row], *, skip_existing: bool = False
) -> int:
    """Insert rows, values in the order of ``columns``; returns how many went in.

    ``skip_existing``: a row whose unique key is taken is left out, instead of failing.
    """
    if not rows:
        return 0
    if is_sqlite(tx):
        return _insert_sqlite(raw(tx), table.name, tuple(columns), rows, skip_existing)[0]
    return _insert_postgresql(raw(tx), _unnest(table, tuple(columns), skip_existing, ""), rows)


def insert_numbered(
    tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
) -> tuple[Sequence[int], int]:
    """Insert rows, but those whose unique key is taken, and give them ids, ascending.

    Returns the ids and how many went in. Where that is all of them, the ids are theirs in order; else ``went_in`` says
    which there are.
    """
    if not is_sqlite(tx):
        ids = take_ids(tx, table.name, len(rows))
        numbered = [(number, *row) for number, row in zip(ids, rows, strict=True)]
        return ids, insert_rows(tx, table, ("id", *columns), numbered, skip_existing=True)
    inserted, last = _insert_sqlite(raw(tx), table.name, tuple(columns), rows, True)
    return range(last - len(rows) + 1, last + 1), inserted


def went_in(tx: Connection, ids: Sequence[int], found: Sequence[int], inserted: int) -> set[int]:
    """Of ids that are there, ascending, those that ``insert_numbered`` has given just now."""
    if is_sqlite(tx):  # one writer: what it gives is above all that was there
        return set(found[len(found) - inserted :])
    return set(found).intersection(ids)


def insert_indexed(
    tx: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row], words: Sequence[str]
) -> None:
    """Insert rows of messages (the id first), each with its search tokens, joined (formats.tokens)."""
    if not rows:
        return
    if is_sqlite(tx):
        _insert_sqlite(raw(tx), table.name, tuple(columns), rows, False)
        found = [(row[0], tokens) for row, tokens in zip(rows, words, strict=True) if tokens]
        _insert_sqlite(raw(tx), "msg_search", ("rowid", "tokens"), found, False)
        return
    vectors = [(*row, _tsvector(tokens)) for row, tokens in zip(rows, words, strict=True)]
    _insert_postgresql(raw(tx), _unnest(table, tuple(columns), False, "search"), vectors)


def index(tx: Connection, items: Sequence[tuple[int, str]]) -> None:
    """Put joined search tokens of messages that are in the log already into the index, under their ids."""
    found = [(message_id, words) for message_id, words in items if words]
    if not found:
        return
    if is_sqlite(tx):
        _insert_sqlite(raw(tx), "msg_search", ("rowid", "tokens"), found, False)
        return
    raw(tx).execute(
        "UPDATE msg_log SET search = u.v::tsvector FROM unnest(%s::bigint[], %s::text[]) AS u(id, v)"
        " WHERE msg_log.id = u.id",
        [[message_id for message_id, _ in found], [_tsvector(words) for _, words in found]],
    )


def index_again(tx: Connection, message_id: int, before: str, after: str) -> None:
    """A message has other words now; ``before`` are the joined tokens it was put into the index with."""
    if is_sqlite(tx) and before:
        out = "INSERT INTO msg_search (msg_search, rowid, tokens) VALUES ('delete', ?, ?)"
        raw(tx).execute(out, (message_id, before)).close()
    index(tx, [(message_id, after)])


def _insert_postgresql(connection: Any, statement: tuple[str, tuple[int, ...]], rows: Sequence[Row]) -> int:
    sql, floats = statement
    values: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    for place in floats:
        values[place] = [None if value is None else float(value) for value in values[place]]
    cursor = connection.execute(sql, values)
    inserted: int = cursor.rowcount
    cursor.close()
    return inserted


def _insert_sqlite(
    connection: Any, table: str, columns: tuple[str, ...], rows: Sequence[Row], skip: bool
) -> tuple[int, int]:
    """Returns how many went in, and the id of the last that did."""
    inserted = start = last = 0
    while start < len(rows):
        left = len(rows) - start
        size = left if left <= _EXACT else min(1 << (left.bit_length() - 1), _CHUNK)
        cursor = connection.execute(
            _values(table, columns, size, skip), [value for row in rows[start : start + size] for value in row]
        )
        inserted += cursor.rowcount
        last = cursor.lastrowid
        cursor.close()
        start += size
    return inserted, last


@functools.cache
def _values(table: str, columns: tuple[str, ...], size: int, skip: bool) -> str:
    row = "(" + ", ".join("?" * len(columns)) + ")"
    end = " ON CONFLICT DO NOTHING" if skip else ""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * size)}{end}"


@functools.cache
def _unnest(table: Table, columns: tuple[str, ...], skip: bool, vector: str) -> tuple[str, tuple[int, ...]]:
    """The INSERT, and which of its arrays hold floats; ``vector`` names the last column, a tsvector, if any."""
    great = postgresql.dialect()  # type: ignore[no-untyped-call]
    types = [table.c[name].type.dialect_impl(great) for name in columns]
    arrays = [f"%b::{kind.compile(great).partition(' COLLATE ')[0]}[]" for kind in types]
    chosen = [f"u.c{number}" for number in range(len(columns))]
    if vector:
        columns, arrays, chosen = (*columns, vector), [*arrays, "%b::text[]"], [*chosen, f"u.c{len(chosen)}::tsvector"]
    named = ", ".join(f"c{number}" for number in range(len(columns)))
    end = " ON CONFLICT DO NOTHING" if skip else ""
    sql = (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(chosen)}"
        f" FROM unnest({', '.join(arrays)}) AS u({named}){end}"
    )
    return sql, tuple(place for place, kind in enumerate(types) if isinstance(kind, Double))


_PLACES = [f"':{place} '" for place in range(1, 10_001)]


def _tsvector(words: str) -> str:
    """Joined tokens with their places, as PostgreSQL writes them."""
    if not words:
        return ""
    if "'" in words or "\\" in words:
        words = words.replace("\\", "\\\\").replace("'", "''")
    return "'" + "".join(map(operator.add, words.split(), _PLACES))[:-1]
