"""Bytes too large for a row: files named by their sha256 under ``blobs/``, on disk before the row that names them.

A file is never changed and may be named by many rows; one that no row names any more is removed by a sweep after a
day (it may belong to a transaction that is still under way).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text

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
    if path.exists() and path.stat().st_size == len(content):
        os.utime(path)  # its day of grace begins anew
        return name
    path.parent.mkdir(parents=True, exist_ok=True)
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


def sweep(tx: Connection, now: float) -> int:
    """Remove files older than a day that no row names; returns how many."""
    state_dir, wanted, removed = folder(tx), named_by_rows(tx), 0
    for name, path in names(state_dir):
        if name not in wanted and path.stat().st_mtime < now - GRACE:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
