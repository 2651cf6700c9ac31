"""Dots and line ends: what one side puts in, the other takes out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msgserver.wire.dots import has_bare_newline, stuff, unstuff, with_crlf

lines = st.lists(st.sampled_from([b".", b"..", b"a", b"\n", b"\r", b"\r\n", b"", b"x" * 100]), max_size=30).map(
    b"".join
)


@given(lines)
def test_a_stuffed_message_ends_once_and_unstuffs_to_itself(message):
    wire = stuff(message)
    assert wire == b".\r\n" or wire.endswith(b"\r\n.\r\n")
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    assert not has_bare_newline(wire)
    expected = with_crlf(message)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    assert unstuff(wire[:-3]) == expected


@given(lines)
def test_bare_newlines_are_seen_and_mended(message):
    without = message.replace(b"\r\n", b"")
    assert has_bare_newline(message) == (b"\r" in without or b"\n" in without or b"\r\n" in without)
    assert not has_bare_newline(with_crlf(message))
