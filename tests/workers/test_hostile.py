"""Hostile mail through a real reader process: in time, in memory, and the reactor hardly notices."""

from __future__ import annotations

import time
from base64 import encodebytes

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall

from msgserver.formats.reading import Reading
from msgserver.workers.pool import WorkerPool
from tests.formats.hostile import HOSTILE


@pytest_twisted.async_yield_fixture(scope="module")
async def pool():
    made = WorkerPool(reactor, time_limit=120.0)
    made.startService()
    yield made
    await made.stopService()


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_the_hostile_set_and_a_friend_behind_each(pool):
    for name, raw in HOSTILE.items():
        bad, good = await pool.read_mails([raw, b"Subject: friend\r\n\r\nhello"])
        assert isinstance(bad, Reading), (name, bad)
        assert good.subject == "friend", name


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_the_largest_mail_fits_the_memory(pool):
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n"
    body = encodebytes(bytes(range(256)) * 72_000).replace(b"\n", b"\r\n")
    raw = head + b"Content-Disposition: attachment; filename=x.bin\r\n\r\n" + body + b"--b--\r\n"
    assert len(raw) > 25_000_000
    (reading,) = await pool.read_mails([raw])
    assert len(reading.attachments[0].content) == 256 * 72_000


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_the_reactor_goes_on_while_large_mail_is_read(pool):
    head = b"Content-Disposition: attachment; filename=x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    raw = head + encodebytes(b"x" * 3_700_000)
    gaps: list[float] = []  # in seconds of this thread's own work: others on the machine do not count
    last = time.thread_time()

    def tick() -> None:
        nonlocal last
        now = time.thread_time()
        gaps.append(now - last)
        last = now

    ticking = LoopingCall(tick)
    ticking.start(0.002, now=False)
    readings = await ensureDeferred(pool.read_mails([raw] * 4))
    ticking.stop()
    assert len(readings) == 4
    assert len(gaps) > 20, "it waited for the readers"
    assert sorted(gaps)[int(len(gaps) * 0.95)] < 0.05
    assert max(gaps) < 0.25
