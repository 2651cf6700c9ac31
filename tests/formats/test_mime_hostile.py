"""Whatever comes, reading ends soon, raises nothing and gives clean text."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msgserver.formats.mime import read_mail
from msgserver.formats.reading import Reading
from tests.formats.hostile import HOSTILE


def assert_clean(reading: Reading) -> None:
    """All text is Unicode that any database takes; fields are one line each."""
    fields = [reading.subject, reading.sender_name, reading.message_id, reading.in_reply_to, *reading.references]
    fields += [name for name, _ in (*reading.to, *reading.cc, *reading.reply_to)]
    fields += [str(address) for _, address in (*reading.to, *reading.cc, *reading.reply_to)]
    fields += [part for file in reading.attachments for part in (file.name, file.media_type, file.content_id)]
    fields += [str(reading.sender), *reading.loop_tokens, *reading.languages, *reading.trouble, reading.robot]
    fields += [word for bounce in reading.bounces for word in (bounce.words, bounce.message_id, bounce.envelope_id)]
    for field in fields:
        assert field.isprintable() or not any(ord(letter) < 32 or letter in "\x7f\x85\u2028\u2029" for letter in field)
        assert not any("\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069" for letter in field)
        field.encode("utf-8")
    for text in (reading.text, reading.html):
        text.encode("utf-8")
        assert "\0" not in text
        assert "\r" not in reading.text
    for file in reading.attachments:
        assert file.name
        assert "/" not in file.name
        assert len(file.name) <= 120
    if reading.quoted_from is not None:
        assert 0 < reading.quoted_from < len(reading.text)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_is_read_in_time(name):
    start = time.process_time()
    reading = read_mail(HOSTILE[name])
    assert time.process_time() - start < 2.0
    assert_clean(reading)


@given(st.binary(max_size=2_000))
def test_any_bytes_can_be_read(raw):
    assert_clean(read_mail(raw))


PIECES = st.sampled_from(
    [
        b"Subject: ", b"From: ", b"To: ", b"Content-Type: ", b"text/plain", b"text/html", b"multipart/mixed",
        b"\r\n", b"\n", b"; boundary=b", b"; charset=", b"utf-8", b"iso-2022-jp", b"--b", b"--b--", b"\r\n\r\n",
        b"=?utf-8?q?=0a=00?=", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"=0d=0a", b"<",
        b">", b"(", b")", b"a@b.c", b"message/rfc822", b"multipart/report", b"message/delivery-status",
        b"Final-Recipient: rfc822;a@b", b"\x00", b"\xff", b"\xe2\x80\xae",
        b"Content-Disposition: attachment; filename", b"*=", b"*0*=utf-8''%e2%80%ae", b"=\"../x\"", b" ", b"\r",
        b"multipart/alternative", b"; format=flowed", b"> ", b"On 1:00 <a@b.c> wrote:", b"-- ", b"<p>",
        b"<a href=x>", b"&#0;", b"Date: Mon, 3 Nov 2025 10:00:00 +0000", b"References: <a@b>",
        b"Message-ID: <\xff@x>", b"\xed\xa0\x80", b"multipart/signed",
    ]
)  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_any_pieces_of_mail_can_be_read(raw):
    assert_clean(read_mail(raw))


@pytest.mark.parametrize("seed", range(4))
def test_damaged_mail_can_be_read(seed, standard_mails):
    """Mails of the standard library's own tests with bytes changed, cut, doubled and mixed."""
    chance = random.Random(seed)
    for _ in range(150):
        raw = bytearray(chance.choice(standard_mails))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(raw) + 1)
            other = chance.choice(standard_mails)
            start = chance.randrange(len(other))
            raw[at : at + chance.choice((0, 1, 40))] = chance.choice(
                (b"", bytes([chance.randrange(256)]), other[start : start + 60], b"\r\n", b"\n\n")
            )
        assert_clean(read_mail(bytes(raw)))
