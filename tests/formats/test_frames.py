"""A stream of frames, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.frames import FrameCutter, pack


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 20))
def test_frames_come_out_as_they_went_in(frames, step):
    stream = b"".join(pack(frame) for frame in frames)
    cutter = FrameCutter()
    out = [frame for at in range(0, len(stream), step) for frame in cutter.feed(stream[at : at + step])]
    assert out == frames


def test_a_frame_too_long_to_be_true():
    with pytest.raises(ValueError, match="a frame of"):
        FrameCutter().feed(b"\xff\xff\xff\xff")
