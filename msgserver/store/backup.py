"""All that a hub on SQLite remembers in one tar file, taken while it runs, and its return.

The key that signs reply addresses is in it, so that answers to mails sent before still find their ticket. The
configuration and the secrets it names are not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from msgserver.store import blobs
from msgserver.store.failures import StoreError

KEY = "token.key"  # the one key in the state directory that is the hub's own
DATABASE = "database"  # its name in the tar; blobs keep theirs, "blobs/ab/ab..."


def backup(url: str, state_dir: Path, target: Path) -> None:
    """Write a copy as of now to ``target``, complete or not at all; beside a running hub.

    Blobs are on disk before the row that names them, and are copied after the rows: none can be missing.

    Raises:
        StoreError: the database is not SQLite, cannot be read, or the file cannot be written.
    """
    database = _file(url)
    if target.exists():
        raise StoreError(f"{target} is there already: nothing was written; name another file")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            copy, whole = Path(folder, DATABASE), Path(folder, "whole")
            _copy_database(database, copy)
            with tarfile.open(whole, "x") as tar:
                tar.add(copy, DATABASE)
                if (state_dir / KEY).exists():
                    tar.add(state_dir / KEY, KEY)
                for name, path in blobs.names(state_dir):
                    if not name.startswith("."):
                        tar.add(path, path.relative_to(state_dir))
            with whole.open("rb") as file:
                os.fsync(file.fileno())
            whole.chmod(0o600)
            os.link(whole, target)  # never over a file that came meanwhile
    except OSError as error:
        raise StoreError(f"{target} cannot be written ({error.strerror}): there is no backup") from error
    except sqlite3.Error as error:
        raise StoreError(f"the database cannot be read ({error}): there is no backup; run msgserver fsck") from error


def restore(url: str, state_dir: Path, source: Path, stamp: str) -> Path | None:
    """Put a backup in the place of the database; no hub may run on it.

    Blobs that are there stay. Returns where the database that was there is
    kept (its name with ``.replaced-<stamp>``), None where there was none.

    Raises:
        StoreError: a hub runs, or the backup is damaged; nothing was changed.
    """
    database = _file(url)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(database), tempfile.TemporaryDirectory(dir=database.parent, prefix=".restore-") as folder:
            with tarfile.open(source) as tar:
                tar.extractall(folder, filter="data")
            copy = Path(folder, DATABASE)
            _look_at(copy)
            _put_blobs(Path(folder), state_dir)
            kept = _set_aside(database, stamp)
            copy.replace(database)
            if Path(folder, KEY).is_file():
                Path(folder, KEY).replace(state_dir / KEY)
            return kept
    except (OSError, tarfile.TarError) as error:
        raise StoreError(f"{source} cannot be restored: {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"the database in {source} is damaged ({error}): nothing was changed") from error


def _file(url: str) -> Path:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise StoreError(
            "this is for SQLite; with PostgreSQL take pg_dump and pg_restore, and copy the state directory"
        )
    return Path(parsed.database)


def _copy_database(database: Path, copy: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as there,
        closing(sqlite3.connect(copy)) as here,
    ):
        there.backup(here, pages=4000)
        here.execute("PRAGMA journal_mode=DELETE")  # one file, whole


def _look_at(copy: Path) -> None:
    if not copy.is_file():
        raise sqlite3.DatabaseError("there is none")
    with closing(sqlite3.connect(copy)) as tx:
        words = tx.execute("PRAGMA integrity_check").fetchone()[0]
        if words != "ok" or not tx.execute("SELECT 1 FROM sqlite_master WHERE name = 'msg_raw'").fetchone():
            raise sqlite3.DatabaseError(words if words != "ok" else "it is not a hub's")


def _put_blobs(saved: Path, state_dir: Path) -> None:
    for name, path in blobs.names(saved):
        if hashlib.sha256(path.read_bytes()).hexdigest() != name:
            raise StoreError(f"the backup is damaged: blob {name[:80]}; the database was not changed")
        to = blobs.path_of(state_dir, name)
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.replace(to)


def _set_aside(database: Path, stamp: str) -> Path | None:
    """Rename the database with what its last transactions may still be in."""
    if not database.exists():
        return None
    kept = database.with_name(f"{database.name}.replaced-{stamp}")
    for end in ("-wal", "-shm", "-journal"):
        companion = database.with_name(database.name + end)
        if companion.exists():
            companion.rename(kept.with_name(kept.name + end))
    return database.rename(kept)


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Hold the lock that a running hub holds."""
    lock = os.open(database.with_name(database.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"a hub runs on {database}: nothing was changed; stop it first") from None
        yield
    finally:
        os.close(lock)
