"""What lies inside an S/MIME wrap; the wraps are made by the cryptography library, and one by hand."""

from __future__ import annotations

import datetime
from base64 import encodebytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.mime import read_mail
from msgserver.formats.opaque import signed_content

INNER = b"Content-Type: text/plain; charset=utf-8\r\n\r\nDie Stra\xc3\x9fe ist zu.\r\n"
HEAD = b"From: Bo <bo@x.example>\r\nSubject: road\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n"


@pytest.fixture(scope="module")
def wrap():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bo")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip

    def made(content: bytes, *options: pkcs7.PKCS7Options) -> bytes:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
        return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, *options])

    return made


def mail(der: bytes, kind: str = "signed-data") -> bytes:
    how = f"Content-Type: application/pkcs7-mime; smime-type={kind}; name=smime.p7m\r\n\r\n"
    return HEAD + how.encode() + encodebytes(der)


def test_what_was_signed_is_read(wrap):
    assert signed_content(wrap(INNER)) == INNER
    for kind in ("signed-data", "enveloped-data", ""):  # whatever its label says
        reading = read_mail(mail(wrap(INNER), kind))
        assert reading.text == "Die Straße ist zu."
        assert reading.seal == "signed"
        assert [one.name for one in reading.attachments] == ["smime.p7m"]
        assert any("not checked" in words for words in reading.trouble)


def test_a_mail_within_brings_its_own_parts(wrap):
    inner = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the map.\r\n--b\r\n"
        b'Content-Type: image/png; name="map.png"\r\n\r\nx\r\n--b--\r\n'
    )
    reading = read_mail(mail(wrap(inner)))
    assert reading.text == "See the map."
    assert [one.name for one in reading.attachments] == ["map.png", "smime.p7m"]


def test_where_the_words_are_not_inside_it_is_encrypted_or_empty(wrap):
    detached = wrap(INNER, pkcs7.PKCS7Options.DetachedSignature)
    assert signed_content(detached) is None
    sealed = read_mail(mail(b"\x30\x80" + b"\x06\x09*\x86H\x86\xf7\r\x01\x07\x03" + b"x" * 50, "enveloped-data"))
    assert (sealed.text, sealed.seal) == ("", "encrypted")


def test_wraps_in_wraps_come_to_an_end(wrap):
    inner = INNER
    for _ in range(8):
        inner = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encodebytes(
            wrap(inner)
        )
    reading = read_mail(HEAD.replace(b"Content-Transfer-Encoding: base64\r\n", b"") + inner)
    assert reading.text == ""
    assert len(reading.attachments) <= 5


def test_pieces_of_unsaid_length_are_put_together():
    """As programs write that sign while they send (BER)."""
    pieces = b"\x24\x80" + b"\x04\x03abc" + b"\x24\x05\x04\x03def" + b"\0\0"
    content = b"\x30\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x01\xa0\x80" + pieces + b"\0\0\0\0"
    signed = b"\x30\x80\x02\x01\x01\x31\x00" + content + b"\x31\x00\0\0"
    whole = b"\x30\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x02\xa0\x80" + signed + b"\0\0\0\0"
    assert signed_content(whole) == b"abcdef"
    for end in range(len(whole) - 4):
        assert signed_content(whole[:end]) is None


@given(st.binary())
def test_other_bytes_are_nothing(raw):
    assert signed_content(raw) is None


@pytest.mark.parametrize("raw", [b"\x30\x80" * 50_000, b"\x24\x80" * 50_000, b"\x30\x84\xff\xff\xff\xff", b"\x30\x80"])
def test_depth_and_length_have_ends(raw):
    assert signed_content(raw) is None
