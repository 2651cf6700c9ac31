"""Mail that nobody here wrote, through the way in: kept byte for byte, read by a real worker, understood."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor

from msgserver.message import Address, Arrival
from msgserver.records import HUB
from msgserver.routing.reader import Reader
from msgserver.routing.router import Router
from msgserver.routing.trust import Examiner
from msgserver.store import blobs, journal
from msgserver.workers.pool import WorkerPool
from tests.formats.corpora import everything, has_words
from tests.routing.conftest import Dns, WayIn

pytestmark = pytest.mark.peer


@pytest_twisted.ensureDeferred
async def test_every_mail_is_kept_and_nearly_all_are_read(way_in: WayIn, tmp_path, capfd):
    mails = everything()
    assert len(mails) > 200
    await way_in.reader.stop()
    pool = WorkerPool(reactor, time_limit=120.0)
    pool.startService()
    examiner = Examiner(pool, Dns(), {}, reactor)
    way_in.reader = Reader(way_in.store, way_in.recorder, examiner, lambda name: blobs.get(tmp_path, name), reactor)
    way_in.router = Router(way_in.store, way_in.bus, way_in.reader, reactor)
    way_in.reader.start()
    try:
        for name, raw in mails.items():
            await way_in.router.accept("mail", arrival(name, raw))
        await way_in.read()
    finally:
        await pool.stopService()

    kept = {}
    for (number,) in await way_in.rows("SELECT id FROM msg_raw"):
        raw = await way_in.store.read(journal.raw, HUB, number)
        kept[raw.wire_id] = blobs.get(tmp_path, raw.blob) if raw.blob else raw.raw
    assert kept == mails  # 100 % stored byte for byte
    assert await way_in.rows("SELECT wire_id, reason FROM msg_raw WHERE state = 'unreadable'") == []
    assert "Traceback" not in capfd.readouterr().err

    bodies = dict(await way_in.rows("SELECT r.wire_id, m.body FROM msg_raw r JOIN msg_log m ON m.raw_id = r.id"))
    assert set(bodies) == set(mails)
    wordless = [name for name, raw in mails.items() if has_words(raw) and not readable(bodies[name], raw)]
    assert len(wordless) <= 0.02 * len(mails), wordless


def arrival(name: str, raw: bytes) -> Arrival:
    return Arrival(
        wire_id=name,
        sender=Address("mailto", "somebody@example.org"),
        recipients=(Address("mailto", "hub@hub.example"),),
        media_type="message/rfc822",
        raw=raw,
    )


def readable(body: str, raw: bytes) -> bool:
    """Words, and hardly a character that could not be read (but for those that were lost before)."""
    lost = body.count("\ufffd") - raw.count("\ufffd".encode())
    return bool(body.strip()) and lost <= len(body) / 100
