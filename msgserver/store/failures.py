"""How a database says no, in three words the rooms above understand and a person can act on."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

_BUSY, _LOCKED, _FULL, _IOERR, _CORRUPT, _NOTADB, _CANTOPEN, _READONLY = 5, 6, 13, 10, 11, 26, 14, 8
_REPEATABLE_SQLSTATES = {"40001", "40P01", "23505"}  # serialization, deadlock, a race for a unique key


class StoreError(Exception):
    """The store could not do it; the words say what happened, what is safe and what to do."""


class Busy(StoreError):
    """Not now: nothing is known to be written; the same call may be repeated, its ids make that harmless."""


class DiskFull(StoreError):
    """No room: nothing was written; works again as soon as there is space."""


def origin(error: BaseException) -> BaseException:
    """The driver's own error, out of SQLAlchemy's wrapping."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig
    return error


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five letters, empty for everything else."""
    return getattr(origin(error), "sqlstate", None) or ""


def repeatable(error: BaseException) -> bool:
    """Running the same unit again may well succeed: serialization failure, deadlock, unique key taken meanwhile."""
    return sqlstate(error) in _REPEATABLE_SQLSTATES


def disconnected(error: BaseException) -> bool:
    """The connection to PostgreSQL is gone (or the server is going down or full)."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    source = origin(error)
    if not type(source).__module__.startswith("psycopg"):
        return False
    state = sqlstate(error)
    if state:
        return state[:2] in ("08", "57") or state == "53300"
    return type(source).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout", "AdminShutdown")


def in_words(error: BaseException) -> BaseException:
    """Turn a driver's error into one of ours; anything else (a bug, a unit's own refusal) comes back as it is."""
    source = origin(error)
    if isinstance(source, sqlite3.Error):
        return _sqlite(source)
    state = sqlstate(error)
    if state == "53100":
        return DiskFull("the database server's disk is full: nothing was written; free some space there")
    if state in _REPEATABLE_SQLSTATES or state in ("55P03", "57014"):
        return Busy("the database was busy with the same rows: nothing was written; try again")
    if disconnected(error):
        return Busy("the database does not answer: it is not known whether this was written; try again")
    return error


def _sqlite(error: sqlite3.Error) -> BaseException:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (_BUSY, _LOCKED):
        return Busy("another program holds the database: nothing was written; try again")
    if code == _FULL:
        return DiskFull("the disk is full: nothing was written; free some space")
    if code == _IOERR:
        return StoreError(f"the disk refused ({error}): nothing was written; look at the disk and the system log")
    if code in (_CORRUPT, _NOTADB):
        return StoreError("the database file is damaged: nothing was written; run msgserver fsck, or restore a backup")
    if code in (_CANTOPEN, _READONLY):
        return StoreError(f"the database file cannot be written ({error}): look at its folder's owner and rights")
    return error
