"""What pool and reader say to each other."""

from __future__ import annotations

from msgserver.formats.reading import Bounce, Reading
from msgserver.message import Address, Attachment
from msgserver.workers.frames import (
    ReadMail,
    Returned,
    Unreadable,
    answer,
    question,
    read_answer,
    read_question,
)


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
