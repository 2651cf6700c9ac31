"""The line to a process: nothing waits, nothing is lost, and its end is told once."""

from __future__ import annotations

import os
import socket

import pytest

from msgserver.formats.frames import FrameCutter, pack
from msgserver.link import Link

MOST_UNREAD = 1 << 24  # bytes, more than any socket takes at once


class Other:
    """The reactor and the other side, and what the link told its owner."""

    def __init__(self) -> None:
        self.readers: set[Link] = set()
        self.writers: set[Link] = set()
        self.heard: list[bytes] = []
        self.ended: list[ValueError | None] = []
        self.link = Link(self, "test", self.begin, self.heard.extend, self.ended.append)

    def begin(self, descriptor: int) -> None:
        self.line = socket.socket(fileno=os.dup(descriptor))
        self.line.settimeout(5)

    def addReader(self, link: Link) -> None:
        self.readers.add(link)

    def removeReader(self, link: Link) -> None:
        self.readers.discard(link)

    def addWriter(self, link: Link) -> None:
        self.writers.add(link)

    def removeWriter(self, link: Link) -> None:
        self.writers.discard(link)

    def take(self) -> bytes:
        """All that was sent, until the link has finished."""
        out = bytearray()
        while got := self.line.recv(1 << 20):
            out += got
            for link in list(self.writers):
                link.doWrite()
        return bytes(out)


@pytest.fixture
def other():
    made = Other()
    yield made
    made.line.close()
    made.link.drain()


def test_what_is_not_taken_at_once_goes_later_and_the_end_after_it(other):
    frames = [pack(bytes([n]) * size) for n, size in enumerate((10, MOST_UNREAD, 10, 0, 100_000))]
    for frame in frames:
        other.link.write(frame)
    assert other.writers == {other.link}
    other.link.finish()
    assert other.take() == b"".join(frames)
    assert other.writers == set()
    other.line.sendall(pack(b"heard all the same"))
    other.link.doRead()
    assert other.heard == [b"heard all the same"]


def test_a_frame_in_pieces_is_heard_once_it_is_whole(other):
    frame = pack(b"x" * 100)
    for piece in (frame[:3], frame[3:50], frame[50:] + frame + frame[:1], frame[1:]):
        other.line.sendall(piece)
        other.link.doRead()
    assert other.heard == [b"x" * 100] * 3
    other.link.doRead()  # for nothing
    assert other.link.open


@pytest.mark.parametrize("unread", [b"", b"unread"])
def test_all_that_came_is_heard_before_the_end_which_is_told_once(other, unread):
    other.link.write(unread)
    sent = [b"x" * 20_000] * 3
    for frame in sent:
        other.line.sendall(pack(frame))
    other.line.close()
    other.link.write(b"too late")
    other.link.drain()
    assert other.heard == sent
    assert other.ended == [None]
    assert not other.link.open
    assert other.link.fileno() == -1
    assert other.readers == other.writers == set()
    other.link.drain()
    other.link.connectionLost(None)
    other.link.write(b"too late")
    other.link.finish()
    assert other.ended == [None]


def test_what_waits_for_one_that_is_gone_is_forgotten(other):
    other.link.write(b"x" * MOST_UNREAD)
    other.link.finish()
    other.line.close()
    other.link.doWrite()
    assert other.writers == set()
    other.link.doRead()
    other.link.doWrite()  # the reactor may have seen both at once
    assert other.ended == [None]


def test_a_socket_that_somebody_else_holds_too_is_not_waited_for(other):
    other.line.sendall(pack(b"last"))
    other.link.drain()
    assert other.heard == [b"last"]
    assert other.ended == [None]


def test_one_that_sends_no_frames_is_heard_no_more(other):
    other.line.sendall(b"\xff\xff\xff\xff")
    other.link.doRead()
    (wrong,) = other.ended
    assert isinstance(wrong, ValueError)
    assert other.line.recv(1) == b""


def test_one_that_is_not_started_leaves_nothing_open():
    def fail(descriptor: int) -> None:
        raise OSError("no more processes")

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no more") as raised:
        Link(None, "test", fail, print, print)
    assert len(os.listdir("/proc/self/fd")) == before, "closed, and not only forgotten"
    assert raised


def test_other_processes_know_nothing_of_our_end(other):
    assert not os.get_inheritable(other.link.fileno())


def test_it_takes_frames_larger_than_the_socket(other):
    other.link.write(pack(b"x" * MOST_UNREAD))
    other.link.finish()
    assert FrameCutter().feed(other.take()) == [b"x" * MOST_UNREAD]
