"""What is signed here is verified by somebody else's verifier (dkimpy), its DNS replaced."""

from __future__ import annotations

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgserver.formats.compose import compose_mail
from msgserver.formats.dkim import Signer, new_key
from msgserver.message import Address, Attachment, Envelope, Thread

KEYS = {"rsa": new_key("rsa"), "ed25519": new_key("ed25519")}
AT = 1_700_000_000.0


def signer(algorithm: str = "rsa", domain: str = "hub.example") -> Signer:
    return Signer(domain, "s2026", KEYS[algorithm])


def dns(*signers: Signer):
    """The zone in which their keys stand."""
    zone = {f"{one.selector}._domainkey.{one.domain}.": one.record() for one in signers}
    return lambda name, timeout=5: zone.get(name.decode() if isinstance(name, bytes) else name, "").encode()


def mail(**changes) -> bytes:
    values = {"ref": "d1", "attempt": 1, "sender": "Desk", "to": Address("mailto", "ana@x.example"), "text": "hello"}
    return compose_mail(Envelope(**{**values, **changes}), "desk@hub.example", "hub.example", AT, "seed")


def signed(one: Signer, message: bytes) -> bytes:
    return one.header(message, AT) + message


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_a_signature_holds(algorithm):
    one = signer(algorithm)
    thread = Thread(in_reply_to="q@x", references=tuple(f"{n}@{'x' * 60}" for n in range(20)), token="42.k7f3qz5hwa")
    files = (Attachment("map.png", "image/png", bytes(range(256)) * 40),)
    whole = signed(one, mail(subject="Größe " * 30, html="<p>x  y</p>\n\n", thread=thread, attachments=files))
    assert dkim.verify(whole, dnsfunc=dns(one))
    assert max(map(len, whole.split(b"\r\n"))) < 998


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"hello", b"hellO"),
        (b"Subject: Water", b"Subject: Wine"),
        (b"From: Desk <desk@", b"From: Desk <boss@"),
        (b"\r\n\r\n", b"\r\nSubject: another\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nFrom: evil@x.example\r\n\r\n"),
        (b"\r\n\r\n", b"\r\nReply-To: evil@x.example\r\n\r\n"),
    ],
)
def test_a_change_on_the_way_is_seen(algorithm, old, new):
    one = signer(algorithm)
    whole = signed(one, mail(subject="Water"))
    assert dkim.verify(whole, dnsfunc=dns(one))
    changed = whole.replace(old, new, 1)
    assert changed != whole
    assert not dkim.verify(changed, dnsfunc=dns(one))


def test_two_keys_of_one_domain_and_another_domain_are_told_apart():
    one, other = signer(), Signer("hub.example", "ed", KEYS["ed25519"])
    message = mail()
    both = other.header(message, AT) + one.header(message, AT) + message
    for index in (0, 1):
        assert dkim.DKIM(both).verify(index, dnsfunc=dns(one, other))
    assert not dkim.verify(signed(signer(domain="other.example"), message), dnsfunc=dns(one))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=400), st.text(max_size=100), st.text(alphabet=" \t\r\nab.", max_size=80))
def test_any_mail_can_be_signed(text, subject, spaces):
    one = signer("ed25519")
    assert dkim.verify(signed(one, mail(text=text + spaces, subject=subject)), dnsfunc=dns(one))


@pytest.mark.parametrize(
    "body", [b"", b"\r\n", b"\r\n\r\n\r\n", b" \t\r\n \r\n", b"a", b"a \r\n\t b\t\tc\r\n \r\n\r\n"]
)
def test_odd_bodies(body):
    for algorithm in KEYS:
        one = signer(algorithm)
        assert dkim.verify(signed(one, b"From: a@hub.example\r\n\r\n" + body), dnsfunc=dns(one)), body


@pytest.mark.parametrize(
    ("domain", "selector", "key", "words"),
    [
        ("hub example", "s", KEYS["rsa"], "domain"),
        ("hub.example", "s;x=y", KEYS["rsa"], "selector"),
        ("hub.example", "s", "nonsense", "no private key"),
        ("hub.example", "", KEYS["rsa"], "selector"),
    ],
)
def test_what_cannot_sign_is_said(domain, selector, key, words):
    with pytest.raises(ValueError, match=words):
        Signer(domain, selector, key)


def test_short_and_strange_keys_are_refused():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    odd = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="RSA or Ed25519"):
        Signer("hub.example", "s", odd.decode())
