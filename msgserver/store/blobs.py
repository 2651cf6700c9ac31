"""Bytes too large for a row: files named by their sha256 under ``blobs/``, on disk before the row that names them.

A file is never changed and may be named by many rows; one that no row names any more is removed by a sweep after a
day (it may belong to a transaction that is still under way).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from msgserver.store import bulk

LARGEST_IN_ROW = 256 * 1024
GRACE = 24 * 3600.0


def folder(tx: Connection) -> Path:
    """Where this transaction's store keeps its state."""
    return Path(tx.get_execution_options()["state_dir"])


def path_of(state_dir: Path, name: str) -> Path:
    """The file of a blob.

    Raises:
        ValueError: that is not a sha256 in hex.
    """
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise ValueError(f"not a blob's name: {name[:80]!r}")
    return state_dir / "blobs" / name[:2] / name


def put(state_dir: Path, content: bytes) -> str:
    """Write bytes and sync file and folder; returns the name. Writing the same bytes again costs a look."""
    name = hashlib.sha256(content).hexdigest()
    path = path_of(state_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        with _alone(path.parent):
            if path.exists() and path.stat().st_size == len(content):
                os.utime(path)  # its day of grace begins anew
                return name
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for place in (path.parent, path.parent.parent, path.parent.parent.parent):
        _sync_folder(place)
    return name


def get(state_dir: Path, name: str) -> bytes:
    """Read a blob.

    Raises:
        FileNotFoundError: it is gone (fsck says so too).
    """
    return path_of(state_dir, name).read_bytes()


def names(state_dir: Path) -> Iterator[tuple[str, Path]]:
    """Every file in the blob store with its name, temporary ones included."""
    root = state_dir / "blobs"
    if root.is_dir():
        for path in sorted(root.glob("??/*")):
            yield path.name, path
        for path in sorted(root.glob("??/.*")):
            yield path.name, path


def named_by_rows(tx: Connection) -> set[str]:
    """Every blob's name that some row holds."""
    query = "SELECT blob FROM msg_raw WHERE blob <> '' UNION SELECT blob FROM msg_attachment WHERE blob <> ''"
    return set(tx.execute(text(query)).scalars())


FOLDERS = tuple(f"{number:02x}" for number in range(256))

_NAMED = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT name FROM r WHERE EXISTS (SELECT 1 FROM msg_raw WHERE blob = r.name AND blob <> '')
      OR EXISTS (SELECT 1 FROM msg_attachment WHERE blob = r.name AND blob <> '')
    """,
    rows="name:text",
    out="name",
)


def sweep(tx: Connection, place: str, now: float) -> int:
    """Of one of ``FOLDERS``, remove the files older than a day that no row names; returns how many. Only reads rows."""
    root = folder(tx) / "blobs" / place
    old = [path for path in (root.iterdir() if root.is_dir() else ()) if _age(path, now) > GRACE]
    if not old:
        return 0
    named = {name for (name,) in _NAMED.fetch(tx, [(path.name,) for path in old])}
    removed = 0
    for path in old:
        if path.name not in named:
            with _alone(root):
                if _age(path, now) > GRACE:  # nobody has put the same bytes there meanwhile
                    path.unlink(missing_ok=True)
                    removed += 1
    return removed


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody renews a file of this folder while another takes it away, in whatever process."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
