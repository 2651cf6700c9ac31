"""The stream between pool and reader, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.reading import Bounce, Reading
from msgserver.message import Address, Attachment
from msgserver.workers.frames import (
    FrameCutter,
    ReadMail,
    Returned,
    Unreadable,
    answer,
    pack,
    question,
    read_answer,
    read_question,
)


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 20))
def test_frames_come_out_as_they_went_in(frames, step):
    stream = b"".join(pack(frame) for frame in frames)
    cutter = FrameCutter()
    out = [frame for at in range(0, len(stream), step) for frame in cutter.feed(stream[at : at + step])]
    assert out == frames


def test_a_frame_too_long_to_be_true():
    with pytest.raises(ValueError, match="a frame of"):
        FrameCutter().feed(b"\xff\xff\xff\xff")


def test_questions_and_answers_survive():
    assert read_question(question("m:f", 2.5, b"\x00\xff")[4:]) == ("m:f", 2.5, b"\x00\xff", {})
    assert read_question(question("", 1.0, b"x", {"k1._domainkey.x.org": b"p="})[4:])[3] == {
        "k1._domainkey.x.org": b"p="
    }
    reading = Reading(
        subject="é",
        sender=Address("mailto", "a@b.c"),
        to=(("n", Address("mailto", "d@e.f")),),
        attachments=(Attachment("n", "a/b", b"\xff"),),
        bounces=(Bounce(recipient=None, permanent=True),),
        quoted_from=3,
    )
    for said in (ReadMail(reading), Unreadable("why"), Returned(b"x")):
        assert read_answer(answer(said)[4:]) == said
