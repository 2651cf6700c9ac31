"""DKIM: whose keys are asked for, and what a signature is worth; the signer is dkimpy with a key of its own."""

from __future__ import annotations

import base64
import time

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from msgserver.formats.signatures import MOST_SIGNATURES, check, keys_wanted, relax

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
RECORD = b"v=DKIM1; k=rsa; p=" + base64.b64encode(
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
NAME = "k1._domainkey.example.org"
MAIL = b"From: ana@example.org\r\nTo: desk@hub.example\r\nSubject: road \r\n\r\nIt is  closed. \r\n\r\n\r\n"


def signed(mail: bytes = MAIL, how: tuple[bytes, bytes] = (b"relaxed", b"relaxed"), **more: object) -> bytes:
    return dkim.sign(mail, b"k1", b"example.org", PEM, canonicalize=how, **more) + mail


@pytest.mark.parametrize("head", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
def test_a_good_signature_passes(head, body):
    raw = signed(how=(head, body))
    assert keys_wanted(raw) == (NAME,)
    assert [(one.domain, one.result) for one in check(raw, {NAME: RECORD})] == [("example.org", "pass")]


def test_what_was_changed_on_the_way_fails_and_says_so():
    (one,) = check(signed().replace(b"closed", b"opened"), {NAME: RECORD})
    assert (one.result, one.why) == ("fail", "the text was changed on the way")
    (one,) = check(signed().replace(b"Subject: road", b"Subject: rode"), {NAME: RECORD})
    assert one.result == "fail"


def test_a_second_from_above_a_signed_mail_breaks_it():
    (one,) = check(b"From: chief@example.org\r\n" + signed(), {NAME: RECORD})
    assert one.result == "fail"


def test_no_key_no_answer_and_a_huge_key_are_told_apart():
    assert [one.result for one in check(signed(), {NAME: b""})] == ["permerror"]
    assert [one.result for one in check(signed(), {})] == ["temperror"]
    (one,) = check(signed(), {NAME: RECORD + b"A" * 5_000})
    assert (one.result, one.why) == ("permerror", "its key is too long")


def test_a_signature_over_the_beginning_only_is_worth_nothing():
    raw = signed(length=True) + b"and whatever somebody added"
    (one,) = check(raw, {NAME: RECORD})
    assert (one.result, one.why) == ("policy", "it covers a part of the text only")


def test_only_the_first_few_signatures_are_looked_at():
    raw = signed()
    for number in range(20):
        raw = b"DKIM-Signature: v=1; a=rsa-sha256; d=d%d.org; s=k; h=from; bh=AA==; b=AA==\r\n" % number + raw
    assert len(keys_wanted(raw)) == MOST_SIGNATURES
    assert len(check(raw, dict.fromkeys(keys_wanted(raw), RECORD))) == MOST_SIGNATURES


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"v=1",
        b"d=../../etc; s=x",
        b"d=a b; s=c",
        b"d=\xff; s=\xfe",
        b"d=x.org; s=k; h=from; bh=!!; b=\xff; a=rsa-sha256; v=1",
        b"d=x.org; s=k; h=from; c=odd/odd; bh=AA==; b=AA==; a=rsa-sha256; v=1",
        b"d=x.org; s=k; a=rsa-sha999; h=from; bh=AA==; b=AA==; v=1",
        b"d=" + b"a." * 200 + b"org; s=k",
    ],
)
def test_whatever_a_stranger_writes_is_no_pass_and_no_error(value):
    raw = b"DKIM-Signature: " + value + b"\r\n" + MAIL
    for keys in ({}, {"k._domainkey.x.org": RECORD}, {"k._domainkey.x.org": b"p=\xff"}):
        assert all(one.result != "pass" for one in check(raw, keys))


def test_hostile_blanks_take_no_time():
    begin = time.process_time()
    value = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=x.org; s=k; h=from; bh=AA==; b=AA==\r\n"
    keys = {"k._domainkey.x.org": RECORD}
    check(value + MAIL + b" " * 5_000_000, keys)
    check(value + MAIL + (b" " * 2_000 + b"x") * 2_500, keys)
    check(value[:-2] + b"; x=" + b" " * 90_000 + b"\r\n" + MAIL, keys)
    check(value.replace(b"h=from", b"h=from" + b"\r\n " * 30_000) + MAIL, keys)
    keys_wanted(b"DKIM-Signature: " + b"s=" * 45_000 + b"\r\n\r\n")
    assert time.process_time() - begin < 5  # quadratic would be minutes


def test_relaxing_does_what_the_rfc_says():
    assert relax(b" C \r\nD \t E\r\n\r\n\r\n") == b" C\r\nD E\r\n\r\n\r\n"
