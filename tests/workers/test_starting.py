"""Readers that cannot be started, say nothing or talk nonsense: by a reactor that only pretends to have processes."""

from __future__ import annotations

import os
import socket

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from msgserver.connector import TemporaryFailure
from msgserver.formats.frames import FrameCutter
from msgserver.formats.reading import Reading
from msgserver.workers.frames import ReadMail, Ready, Unreadable, answer, read_question
from msgserver.workers.pool import WorkerPool, WorkersUnavailable


class FakeProcess:
    """A process that does what the test says, at the other end of a real socket."""

    pid = 77

    def __init__(self, protocol, reactor, line: int) -> None:
        self.protocol = protocol
        self.reactor = reactor
        self.line = socket.socket(fileno=os.dup(line))
        self.frames = FrameCutter()
        self.signals: list[str] = []
        self._asked: list[bytes] = []
        self._closed = False

    @property
    def asked(self) -> list[bytes]:
        """What came and is not answered yet."""
        try:
            while got := self.line.recv(1 << 20, socket.MSG_DONTWAIT):
                self._asked += [read_question(frame)[2] for frame in self.frames.feed(got)]
                self.reactor.turn()
            self._closed = True
        except BlockingIOError:
            pass
        return self._asked

    @property
    def closed(self) -> bool:
        """Whether no more questions come."""
        return not self.asked and self._closed

    def signalProcess(self, signal: str) -> None:
        self.signals.append(signal)

    def say(self, words: bytes) -> None:
        self.line.sendall(words)
        self.reactor.turn()

    def ready(self) -> None:
        self.say(answer(Ready(self.pid)))

    def next_answer(self) -> bytes:
        return answer(ReadMail(Reading(subject=self.asked.pop(0).decode())))

    def answer_next(self) -> None:
        self.say(self.next_answer())

    def end(self, status: int | None = 1, signal: int | None = None) -> None:
        self.line.close()
        reason = ProcessDone(0) if status == 0 else ProcessTerminated(status, signal)
        self.protocol.processEnded(Failure(reason))


class FakeReactor(Clock):
    """Time and processes, both pretended; what is in sockets is seen at each turn."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.broken = False
        self.readers: set = set()
        self.writers: set = set()
        self.addReader = self.readers.add
        self.removeReader = self.readers.discard
        self.addWriter = self.writers.add
        self.removeWriter = self.writers.discard

    def spawnProcess(self, protocol, *args, childFDs, **kwargs):
        if self.broken:
            raise OSError("no more processes")
        assert childFDs[0] == childFDs[1]
        process = FakeProcess(protocol, self, childFDs[0])
        self.processes.append(process)
        protocol.makeConnection(process)
        return process

    def turn(self) -> None:
        for one in list(self.readers):
            one.doRead()
        for one in list(self.writers):
            one.doWrite()


@pytest.fixture
def reactor():
    return FakeReactor()


@pytest.fixture
def pool(reactor):
    made = WorkerPool(reactor, time_limit=5.0)
    made.startService()
    return made


def result(deferred: Deferred):
    out: list = []
    deferred.addBoth(out.append)
    return out


def stop(pool, reactor):
    stopped = result(pool.stopService())
    for process in reactor.processes:
        if process.protocol in pool._readers:
            assert process.closed
            process.end(0)
    assert stopped == [None]
    assert reactor.getDelayedCalls() == []
    assert not reactor.readers | reactor.writers


def ask(pool, *raws: bytes):
    return result(ensureDeferred(pool.read_mails(list(raws))))


def test_nothing_is_written_before_it_is_ready(pool, reactor):
    (process,) = reactor.processes
    out = ask(pool, b"a", b"b")
    assert process.asked == []
    process.ready()
    assert process.asked == [b"a", b"b"]
    process.answer_next()
    assert out == []
    process.answer_next()
    assert [one.subject for one in out[0]] == ["a", "b"]
    stop(pool, reactor)


def test_two_batches_are_under_way_and_no_more(pool, reactor):
    (process,) = reactor.processes
    process.ready()
    ask(pool, *[b"x"] * 200)
    assert len(process.asked) == 128
    for _ in range(64):
        process.answer_next()
    assert len(process.asked) == 128
    assert pool.waiting == 136
    for _ in range(136):
        process.answer_next()
    stop(pool, reactor)


def test_a_start_that_fails_is_tried_again_with_growing_pauses_and_told(pool, reactor):
    out = ask(pool, b"a")
    for count in range(1, 4):
        process = reactor.processes[-1]
        process.protocol.errReceived(b"ModuleNotFoundError: No module named 'msgserver'\n")
        process.end()
        assert len(reactor.processes) == count
        reactor.advance(0.1 * 2**count)
        assert len(reactor.processes) == count + 1
    failure = out[0].value
    assert isinstance(failure, WorkersUnavailable)
    assert isinstance(failure, TemporaryFailure)
    assert "No module named" in str(failure)
    assert isinstance(ask(pool, b"b")[0].value, WorkersUnavailable), "told at once while there is no hope"
    reactor.processes[-1].ready()
    assert pool.trouble == ""
    again = ask(pool, b"c")
    reactor.processes[-1].answer_next()
    assert again[0][0].subject == "c"
    stop(pool, reactor)


def test_a_system_without_processes_is_told_too(reactor):
    reactor.broken = True
    pool = WorkerPool(reactor)
    pool.startService()
    out = ask(pool, b"a")
    reactor.advance(0.2)
    reactor.advance(0.4)
    assert "no more processes" in str(out[0].value)
    reactor.broken = False
    reactor.advance(30)
    reactor.processes[0].ready()
    assert pool.trouble == ""
    stop(pool, reactor)


def test_one_that_never_says_ready_is_ended(pool, reactor):
    (process,) = reactor.processes
    reactor.advance(30)
    assert process.signals == ["KILL"]
    process.end(None, 9)
    reactor.advance(1)
    reactor.processes[-1].ready()
    stop(pool, reactor)


def test_the_guilty_one_is_found_by_trying_each_alone(pool, reactor):
    reactor.processes[0].ready()
    out = ask(pool, b"good", b"bad", b"fine")
    reactor.processes[0].end(None, 11)
    reactor.advance(0)
    for deadly in (False, True, True, False):
        process = reactor.processes[-1]
        if not process.protocol.ready:
            process.ready()
        assert len(process.asked) == 1, "a suspect is alone"
        if not deadly:
            process.answer_next()
            continue
        assert process.asked == [b"bad"]
        process.end(None, 11)
        reactor.advance(0)
        reactor.processes[-1].ready()
    good, bad, fine = out[0]
    assert (good.subject, fine.subject) == ("good", "fine")
    assert isinstance(bad, Unreadable)
    assert "SIGSEGV" in bad.why
    stop(pool, reactor)


def test_what_it_answered_last_is_taken_though_its_end_is_known_first(pool, reactor):
    (process,) = reactor.processes
    process.ready()
    out = ask(pool, b"a", b"b", b"c")
    process.line.sendall(process.next_answer() + process.next_answer())
    process.end(None, 11)
    reactor.advance(0)
    reactor.processes[-1].ready()
    assert reactor.processes[-1].asked == [b"c"]
    reactor.processes[-1].answer_next()
    assert [one.subject for one in out[0]] == ["a", "b", "c"]
    stop(pool, reactor)


def test_one_that_is_known_to_have_ended_is_given_nothing_more(pool, reactor):
    (process,) = reactor.processes
    out = [ask(pool, *[b"%d" % n] * 64) for n in range(3)]
    process.ready()
    process.line.sendall(b"".join(process.next_answer() for _ in range(128)))
    process.end(None, 9)
    assert [len(one) for one in out] == [1, 1, 0]
    reactor.advance(0)
    reactor.processes[-1].ready()
    assert len(reactor.processes[-1].asked) == 64, "together: nobody suspects them"
    for _ in range(64):
        reactor.processes[-1].answer_next()
    assert len(out[2]) == 1
    stop(pool, reactor)


def test_its_last_words_are_nonsense(pool, reactor):
    (process,) = reactor.processes
    process.ready()
    out = ask(pool, b"a")
    process.line.sendall(b"\xff\xff\xff\xff")
    process.end(0)
    reactor.advance(0)
    reactor.processes[-1].ready()
    reactor.processes[-1].answer_next()
    assert out[0][0].subject == "a"
    stop(pool, reactor)


def test_time_runs_anew_for_each_mail(pool, reactor):
    (process,) = reactor.processes
    process.ready()
    out = ask(pool, b"a", b"b", b"c")
    for _ in range(3):
        reactor.advance(5)
        process.answer_next()
    assert len(out[0]) == 3
    reactor.advance(100)
    assert process.signals == []
    stop(pool, reactor)


@pytest.mark.parametrize("nonsense", [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff"], ids=["no answer", "too long"])
def test_nonsense_ends_it(pool, reactor, nonsense):
    (process,) = reactor.processes
    process.ready()
    ask(pool, b"a")
    process.say(nonsense)
    assert process.signals == ["KILL"]
    process.end(None, 9)
    reactor.advance(0)
    reactor.processes[-1].ready()
    reactor.processes[-1].answer_next()
    stop(pool, reactor)


def test_a_stop_waits_five_seconds_and_no_longer(pool, reactor):
    (process,) = reactor.processes
    process.ready()
    out = ask(pool, b"a")
    stopped = result(pool.stopService())
    reactor.advance(4.9)
    assert process.signals == []
    assert stopped == []
    reactor.advance(0.2)
    assert process.signals == ["KILL"]
    process.end(None, 9)
    assert stopped == [None]
    assert isinstance(out[0].value, WorkersUnavailable)
    assert reactor.getDelayedCalls() == []
