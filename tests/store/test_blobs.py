from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import text

from msgserver.message import Attachment
from msgserver.store import blobs
from msgserver.store.recording import record
from tests.store.people import plan

LARGE = b"z" * 300_000


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


def aged(path, seconds=blobs.GRACE + 60):
    then = time.time() - seconds
    os.utime(path, (then, then))


def swept(tx):
    return sum(blobs.sweep(tx, place, time.time()) for place in blobs.FOLDERS)


def test_what_no_row_names_goes_after_a_day(tx, tmp_path):
    lost, young = (blobs.path_of(tmp_path, blobs.put(tmp_path, content)) for content in (b"lost", b"young"))
    aged(lost)
    assert swept(tx) == 1
    assert not lost.exists()
    assert young.exists()
    assert swept(tx) == 0


def test_what_a_row_names_stays(tx, tmp_path):
    record(tx, [plan(tx, attachments=(Attachment("a", "x/y", LARGE),))])
    [name] = tx.execute(text("SELECT blob FROM msg_attachment")).scalars()
    raw = blobs.put(tmp_path, b"raw")
    tx.execute(text("DELETE FROM msg_raw_bytes"))
    tx.execute(text("UPDATE msg_raw SET blob = :name"), {"name": raw})
    for one in (name, raw):
        aged(blobs.path_of(tmp_path, one))
    assert swept(tx) == 0
    assert blobs.get(tmp_path, name) == LARGE


def test_the_same_bytes_put_again_have_their_day_anew(tx, tmp_path):
    path = blobs.path_of(tmp_path, blobs.put(tmp_path, LARGE))
    aged(path)
    blobs.put(tmp_path, LARGE)
    assert swept(tx) == 0
    assert path.exists()


def test_put_again_while_the_sweep_is_at_it(tx, tmp_path, monkeypatch):
    path = blobs.path_of(tmp_path, blobs.put(tmp_path, LARGE))
    aged(path)

    class Renewing:
        def fetch(self, tx, rows):
            os.utime(path)
            return []

    monkeypatch.setattr(blobs, "_NAMED", Renewing())
    assert swept(tx) == 0
    assert path.exists()


def test_a_write_that_was_cut_off_leaves_nothing_for_ever(tx, tmp_path):
    half = blobs.path_of(tmp_path, blobs.put(tmp_path, b"whole")).with_name(".half")
    half.write_bytes(b"wh")
    aged(half)
    assert swept(tx) == 1
    assert not half.exists()
