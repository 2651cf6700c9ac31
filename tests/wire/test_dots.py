"""Dots and line ends: what one side puts in, the other takes out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from msgserver.wire.dots import stuff, with_crlf

lines = st.lists(st.sampled_from([b".", b"..", b"a", b"\n", b"\r", b"\r\n", b"", b"x" * 100]), max_size=30).map(
    b"".join
)


@settings(deadline=None)
@given(lines)
def test_a_stuffed_message_ends_once_and_unstuffs_to_itself(message):
    wire = stuff(message)
    assert wire == b".\r\n" or wire.endswith(b"\r\n.\r\n")
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    assert wire.count(b"\r\n") == wire.count(b"\r") == wire.count(b"\n")
    expected = with_crlf(message)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    undone = b"".join(line.removeprefix(b".") for line in wire[:-3].splitlines(keepends=True))
    assert undone == expected


@settings(deadline=None)
@given(lines)
def test_every_line_end_becomes_crlf(message):
    mended = with_crlf(message)
    assert mended.count(b"\r\n") == mended.count(b"\r") == mended.count(b"\n")
    assert mended.split(b"\r\n") == message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
