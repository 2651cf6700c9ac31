"""Reader processes for real: batches, order, and what becomes of mail that kills its reader."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from msgserver.formats.reading import Reading
from msgserver.workers.pool import WorkerPool, WorkersUnavailable, WorkFailed

pytestmark = pytest.mark.slow

DOINGS = "tests.workers.doings:"
FUNCTIONS = tuple(DOINGS + name for name in ("upper", "same", "fail", "hang", "die", "eat", "tell", "nap"))


def mail(number: int, text: str = "hello") -> bytes:
    return f"Subject: number {number}\r\n\r\n{text}\r\n".encode()


@pytest_twisted.async_yield_fixture
async def pool():
    made = WorkerPool(reactor, time_limit=120.0, functions=FUNCTIONS)
    made.startService()
    yield made
    await made.stopService()


@pytest_twisted.ensureDeferred
async def test_answers_come_in_the_order_given(pool):
    readings = await pool.read_mails([mail(number) for number in range(200)])
    assert [one.subject for one in readings] == [f"number {number}" for number in range(200)]
    assert await pool.read_mails([]) == []


@pytest_twisted.ensureDeferred
async def test_many_callers_at_once(pool):
    asked = [ensureDeferred(pool.read_mails([mail(100 * caller + n) for n in range(5)])) for caller in range(20)]
    for caller, readings in enumerate(await gatherResults(asked)):
        assert [one.subject for one in readings] == [f"number {100 * caller + n}" for n in range(5)]


@pytest_twisted.ensureDeferred
async def test_a_large_mail_passes_whole(pool):
    body = "x" * 70 + "\r\n"
    (reading,) = await pool.read_mails([mail(1, body * 350_000)])
    assert isinstance(reading, Reading)
    assert not reading.complete
    assert len(reading.text) == 1_000_000


@pytest_twisted.ensureDeferred
async def test_calls_what_is_allowed_and_nothing_else(pool):
    assert await pool.call(DOINGS + "upper", b"abc") == b"ABC"
    with pytest.raises(WorkFailed, match="ValueError"):
        await pool.call(DOINGS + "fail", b"")
    with pytest.raises(ValueError, match="not among"):
        await pool.call("os:system", b"ls")


@pytest_twisted.ensureDeferred
async def test_what_hangs_is_ended_and_what_came_with_it_is_done(pool):
    hanging = ensureDeferred(pool.call(DOINGS + "hang", b"", time_limit=0.2))
    others = ensureDeferred(pool.read_mails([mail(1), mail(2)]))
    with pytest.raises(WorkFailed, match=r"took longer than 0\.2 s"):
        await hanging
    assert [one.subject for one in await others] == ["number 1", "number 2"]


@pytest_twisted.ensureDeferred
async def test_what_kills_its_reader_is_found_and_its_neighbours_are_done(pool):
    with pytest.raises(WorkFailed, match="SIGSEGV"):
        await pool.call(DOINGS + "die", b"")
    assert [one.subject for one in await pool.read_mails([mail(1)])] == ["number 1"]


@pytest_twisted.ensureDeferred
async def test_readers_killed_by_others_cost_nobody_a_mail(pool):
    await pool.read_mails([mail(0)])
    asked = ensureDeferred(pool.read_mails([mail(number) for number in range(300)]))
    killed = set()
    while len(killed) < 3:
        await deferLater(reactor, 0)
        for reader in pool._readers:
            # Which reader is at what is known; the same mail killing its reader twice would be another matter.
            at = [task for batch in reader.batches for task in batch.tasks]
            if reader.ready and at and not any(task.strikes for task in at) and reader.pid not in killed:
                killed.add(reader.pid)
                reader.transport.signalProcess("KILL")
        assert not asked.called
    assert [one.subject for one in await asked] == [f"number {number}" for number in range(300)]


@pytest_twisted.ensureDeferred
async def test_two_processes_share_the_work():
    pool = WorkerPool(reactor, count=2, time_limit=120.0, functions=FUNCTIONS)
    pool.startService()
    while not all(reader.ready for reader in pool._readers):
        await deferLater(reactor, 0.01)
    told = [ensureDeferred(pool.call(DOINGS + "nap", b"")) for _ in range(8)]
    assert len(set(await gatherResults(told))) == 2
    await pool.stopService()


@pytest_twisted.ensureDeferred
async def test_what_eats_memory_is_refused_it(pool):
    with pytest.raises(WorkFailed, match="more memory"):
        await pool.call(DOINGS + "eat", b"")
    assert [one.subject for one in await pool.read_mails([mail(1)])] == ["number 1"]


@pytest_twisted.ensureDeferred
async def test_a_reader_is_small_niced_and_knows_no_secrets(monkeypatch):
    monkeypatch.setenv("SMTP_PASSWORD", "canary")
    pool = WorkerPool(reactor, time_limit=120.0, functions=FUNCTIONS)
    pool.startService()
    told = (await pool.call(DOINGS + "tell", b"")).decode()
    await pool.stopService()
    nice, rss, *rest = told.split("\n")
    assert int(nice) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert int(nice) == min(os.nice(0) + 10, 19)
    assert int(rss) < 40_000, "kilobytes resident"
    assert "canary" not in told
    assert "twisted" not in rest[-1].split()


@pytest_twisted.ensureDeferred
async def test_not_started_or_stopped_means_later():
    pool = WorkerPool(reactor)
    with pytest.raises(WorkersUnavailable):
        await pool.read_mails([mail(1)])
    pool.startService()
    asked = ensureDeferred(pool.read_mails([mail(1)]))
    stopped = pool.stopService()
    with pytest.raises(WorkersUnavailable, match="stopping"):
        await asked
    await stopped
    assert pool.waiting == 0


@pytest_twisted.ensureDeferred
async def test_what_is_under_way_is_finished_before_the_stop():
    pool = WorkerPool(reactor)
    pool.startService()
    await pool.read_mails([mail(0)])
    asked = ensureDeferred(pool.read_mails([mail(number) for number in range(50)]))
    await pool.stopService()
    assert len(await asked) == 50


@pytest_twisted.ensureDeferred
async def test_much_travels_both_ways_at_once(pool):
    large = os.urandom(20_000_000)
    asked = [pool.call(DOINGS + "same", large), *(pool.call(DOINGS + "same", bytes([n]) * 300_000) for n in range(40))]
    asked.append(pool.read_mails([mail(number, "word " * 20_000) for number in range(100)]))
    first, *others, readings = await gatherResults([ensureDeferred(one) for one in asked])
    assert first == large
    assert others == [bytes([n]) * 300_000 for n in range(40)]
    assert [one.subject for one in readings] == [f"number {number}" for number in range(100)]


@pytest_twisted.ensureDeferred
async def test_readers_that_go_with_much_unsent_leave_nothing_open(pool):
    await pool.read_mails([mail(0)])
    before = len(os.listdir("/proc/self/fd"))
    large = mail(1, "x" * 70 + "\r\n") * 100_000
    for _ in range(5):
        (reader,) = pool._readers
        asked = ensureDeferred(pool.read_mails([large, mail(2)]))
        reader.transport.signalProcess("KILL")
        assert [one.subject for one in await asked] == ["number 1", "number 2"]
        assert len(os.listdir("/proc/self/fd")) == before


@pytest_twisted.ensureDeferred
async def test_a_reader_that_cannot_be_started_leaves_nothing_open(pool, monkeypatch):
    await pool.read_mails([mail(0)])
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    for _ in range(5):
        pool._start_reader()
    assert len(pool._readers) == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reader_whose_hub_is_gone_leaves_quietly():
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "msgserver.workers.child", "0"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        theirs.close()
        ours.recv(1, socket.MSG_PEEK)  # and no more: what it said is never read
        ours.close()
        assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == 0
