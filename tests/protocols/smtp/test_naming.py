"""By what a mail is known again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.message import Address
from msgserver.protocols.smtp.naming import minute, wire_id

ANA = Address("mailto", "ana@far.example")
DESK = Address("mailto", "desk@hub.example")
DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"Date: Wed, 25 Nov 2026 08:05:59 +0000\r\n", "202611250805-"),
        (b"Subject: x\r\nDate:\r\n 1 JAN 2026 23:59 -0800\r\n", "202601012359-"),
        (b"Subject: x\r\n\r\nDate of birth: 1 Jan 2026 23:59\r\n", ""),
        (b"Date: yesterday\r\n", ""),
        (b"Date: 1 Foo 2026 23:59 +0000\r\n", ""),
        (b"Resent-Date: 1 Jan 2026 23:59 +0000\r\n", ""),
        (b"", ""),
    ],
)
def test_the_minute_is_that_of_the_date_field(head: bytes, said: str):
    assert minute(head) == said


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_have_a_minute_or_none(before: bytes, after: bytes):
    said = minute(before + b"\r\nDate: " + after)
    assert said == "" or (len(said) == 13 and said[:12].isdigit())


def test_another_sender_recipient_or_content_is_another_mail():
    raw = b"Date: 1 Jan 2026 23:59 +0000\r\n\r\nx"
    names = {
        wire_id(ANA, [DESK], raw, DIGEST),
        wire_id(None, [DESK], raw, DIGEST),
        wire_id(ANA, [DESK, ANA], raw, DIGEST),
        wire_id(ANA, [ANA], raw, DIGEST),
        wire_id(ANA, [DESK], raw, "1" * 64),
    }
    assert len(names) == 5
    assert {name[:13] for name in names} == {"202601012359-"}
    assert wire_id(ANA, [DESK], raw, DIGEST) == wire_id(ANA, [DESK], raw, DIGEST)
