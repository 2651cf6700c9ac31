"""A backup holds what was committed, comes back whole, and never costs what was there."""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import text

from msgserver.store import blobs
from msgserver.store.backup import backup, restore
from msgserver.store.connecting import once
from msgserver.store.door import StoreError


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with one row, ``before``, and a blob beside it."""
    address = f"sqlite:///{tmp_path}/state/hub.db"
    (tmp_path / "state").mkdir()
    remember(address, "before")
    blobs.put(tmp_path / "state", b"large")
    return address


def remember(url: str, name: str) -> None:
    with once(url) as tx:
        tx.execute(
            text("INSERT INTO connector_state (connector, key, value, at) VALUES ('x', :key, x'00', 0)"), {"key": name}
        )


def remembered(url: str) -> list[str]:
    with once(url) as tx:
        return list(tx.execute(text("SELECT key FROM connector_state ORDER BY key")).scalars())


def test_there_and_back(url: str, tmp_path: Path) -> None:
    state, saved = tmp_path / "state", tmp_path / "saved"
    (state / "token.key").write_bytes(b"old")
    backup(url, state, saved)
    (state / "token.key").write_bytes(b"new")
    assert saved.stat().st_mode & 0o777 == 0o600
    remember(url, "after")
    blobs.path_of(state, hashlib.sha256(b"large").hexdigest()).unlink()

    kept = restore(url, state, saved, "now")
    assert remembered(url) == ["before"]
    assert (state / "token.key").read_bytes() == b"old"
    assert blobs.get(state, hashlib.sha256(b"large").hexdigest()) == b"large"
    assert kept == state / "hub.db.replaced-now"
    assert remembered(f"sqlite:///{kept}") == ["after", "before"]


def test_a_backup_beside_an_open_transaction_holds_what_is_committed(url: str, tmp_path: Path) -> None:
    with once(url) as tx:
        tx.execute(text("INSERT INTO connector_state (connector, key, value, at) VALUES ('x', 'not yet', x'00', 0)"))
        backup(url, tmp_path / "state", tmp_path / "saved")
    restore(url, tmp_path / "state", tmp_path / "saved", "now")
    assert remembered(url) == ["before"]


def test_secrets_and_half_written_files_are_left_out(url: str, tmp_path: Path) -> None:
    (tmp_path / "state/xmpp.password").write_text("canary")
    blobs.path_of(tmp_path / "state", "0" * 64).parent.mkdir()
    (tmp_path / "state/blobs/00/.half").write_text("half")
    backup(url, tmp_path / "state", tmp_path / "saved")
    with tarfile.open(tmp_path / "saved") as tar:
        name = hashlib.sha256(b"large").hexdigest()
        assert tar.getnames() == ["database", f"blobs/{name[:2]}/{name}"]


def test_a_backup_is_never_written_over(url: str, tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("precious")
    with pytest.raises(StoreError, match="is there already"):
        backup(url, tmp_path / "state", tmp_path / "saved")
    assert (tmp_path / "saved").read_text() == "precious"


def test_a_folder_that_is_not_there(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        backup(url, tmp_path / "state", tmp_path / "gone/saved")


def test_nothing_is_restored_under_a_running_hub(url: str, tmp_path: Path) -> None:
    backup(url, tmp_path / "state", tmp_path / "saved")
    remember(url, "after")
    with (tmp_path / "state/hub.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="a hub runs"):
            restore(url, tmp_path / "state", tmp_path / "saved", "now")
    assert remembered(url) == ["after", "before"]


def tar_of(saved: Path, files: dict[str, bytes]) -> Path:
    folder = saved.with_name("parts")
    with tarfile.open(saved, "w") as tar:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            tar.add(folder / name, name)
    return saved


def foreign_database(tmp_path: Path) -> bytes:
    connection = sqlite3.connect(tmp_path / "foreign")
    connection.execute("CREATE TABLE x (y)")
    connection.commit()
    connection.close()
    return (tmp_path / "foreign").read_bytes()


@pytest.mark.parametrize("kind", ["no tar", "no database", "not a database", "another's", "bad blob"])
def test_a_damaged_backup_changes_nothing(url: str, tmp_path: Path, kind: str) -> None:
    saved = tmp_path / "saved"
    if kind == "no tar":
        saved.write_bytes(b"nonsense" * 100)
    elif kind == "bad blob":
        backup(url, tmp_path / "state", tmp_path / "good")
        with tarfile.open(tmp_path / "good") as tar:
            database = tar.extractfile("database")
            assert database is not None
            tar_of(saved, {"database": database.read(), f"blobs/ab/{'ab' * 32}": b"other bytes"})
    else:
        foreign = foreign_database(tmp_path)
        content = {
            "no database": {"x": b""},
            "not a database": {"database": b"x" * 5000},
            "another's": {"database": foreign},
        }
        tar_of(saved, content[kind])
    with pytest.raises(StoreError):
        restore(url, tmp_path / "state", saved, "now")
    assert remembered(url) == ["before"]
    assert list((tmp_path / "state").glob("*.replaced-*")) == []


def test_postgresql_has_its_own_way(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="pg_dump"):
        backup("postgresql+psycopg://a@b/c", tmp_path, tmp_path / "saved")
