"""ARC: whose seals are looked at, and what a chain is worth; the sealer is dkimpy with keys of its own."""

from __future__ import annotations

import base64

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from msgserver.formats.arc import MOST_SEALS, check, keys_wanted
from msgserver.formats.signatures import MOST_KEY

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
RECORD = b"v=DKIM1; k=rsa; p=" + base64.b64encode(
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
LIST, HOST = "lists.example", "forward.example"
MAIL = (
    b"From: ana@example.org\r\nTo: floods@lists.example\r\nSubject: [floods] road\r\n\r\n"
    b"It is  closed.\r\n-- \r\nlist\r\n"
)
KEYS = {f"a1._domainkey.{domain}": RECORD for domain in (LIST, HOST)}


def sealed(mail: bytes = MAIL, by: str = LIST, found: str = "dmarc=pass header.from=example.org") -> bytes:
    """The mail as a domain hands it on, having found this."""
    server = f"mx.{by}".encode()
    said = b"Authentication-Results: " + server + b"; " + found.encode() + b"\r\n" + mail
    return b"".join(dkim.arc_sign(said, b"a1", by.encode(), PEM, server)) + mail


def test_a_good_chain_passes_and_tells_what_its_maker_found():
    raw = sealed()
    assert keys_wanted(raw, {LIST}) == (f"a1._domainkey.{LIST}",)
    (seal,) = check(raw, KEYS)
    assert (seal.domain, seal.result) == (LIST, "pass")
    assert "dmarc=pass header.from=example.org" in seal.found


def test_of_two_links_the_last_stands_first():
    changed = sealed().replace(b"list\r\n", b"list, and a line of the host's\r\n")
    raw = sealed(changed, HOST, "arc=pass; dmarc=fail header.from=example.org")
    assert [(one.domain, one.result) for one in check(raw, KEYS)] == [(HOST, "pass"), (LIST, "pass")]
    assert keys_wanted(raw, {LIST}) == ()  # whose seal is not the last


def test_strangers_seals_are_not_looked_at():
    assert keys_wanted(sealed(), {"other.example"}) == ()
    assert keys_wanted(sealed(), ()) == ()
    assert keys_wanted(MAIL, {LIST}) == ()
    assert check(sealed(), {}) == ()
    assert check(sealed(), {"k._domainkey.example.org": RECORD}) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"closed", b"opened"),
        (b"From: ana@", b"From: eve@"),
        (b"dmarc=pass", b"dmarc=none"),
        (b"cv=none", b"cv=pass"),
        (b"ARC-Authentication-Results: i=1", b"ARC-Authentication-Results: i=2"),
        (b"; d=lists.example", b"; d=forward.example"),
    ],
)
def test_whatever_is_changed_breaks_the_chain(old, new):
    raw = sealed()
    assert old in raw
    (seal,) = check(raw.replace(old, new), KEYS)
    assert seal.result == "fail"
    assert seal.why


def test_a_second_from_above_breaks_it():
    (seal,) = check(b"From: chief@example.org\r\n" + sealed(), KEYS)
    assert seal.result == "fail"


def test_a_chain_whose_maker_says_it_was_broken_is_worth_nothing():
    (seal,) = check(sealed(sealed(), HOST, "arc=fail; dmarc=pass header.from=example.org"), KEYS)
    assert (seal.domain, seal.result) == (HOST, "fail")


@pytest.mark.parametrize(
    ("keys", "result"),
    [({f"a1._domainkey.{LIST}": b""}, "fail"), ({f"a1._domainkey.{LIST}": b"p=" + b"A" * MOST_KEY}, "fail")],
)
def test_without_a_key_it_is_worth_nothing(keys, result):
    assert [one.result for one in check(sealed(), keys)] == [result]


def test_a_key_that_the_dns_did_not_give_decides_nothing():
    raw = sealed(sealed(), HOST, "arc=pass")
    (seal,) = check(raw, {f"a1._domainkey.{HOST}": RECORD})
    assert (seal.result, seal.why) == ("temperror", "a key could not be fetched")


def test_a_signature_that_leaves_out_the_sender_counts_for_nothing():
    raw = sealed()
    start = raw.index(b"h=", raw.index(b"ARC-Message-Signature"))
    head = raw[start : raw.index(b"bh=", start)]
    (seal,) = check(raw.replace(head, head.replace(b"from", b"form"), 1), KEYS)
    assert (seal.result, seal.why) == ("fail", "it does not cover who wrote the mail")


def test_a_chain_without_end_is_refused_and_takes_no_time():
    seal = sealed()[: -len(MAIL)]
    many = b"".join(seal.replace(b"i=1", b"i=%d" % n) for n in range(1, 40))
    (one,) = check(many + MAIL, KEYS)
    assert (one.result, one.why) == ("fail", "the chain is too long to be checked")
    assert MOST_SEALS < 40


@pytest.mark.parametrize(
    "junk", [b"ARC-Seal: \r\n", b"ARC-Seal: i=1; d=lists.example; s=a1\r\n", b"ARC-Seal: i=x;;=\r\n"]
)
def test_junk_is_no_chain(junk):
    keys_wanted(junk + MAIL, {LIST})
    assert all(one.result == "fail" for one in check(junk + MAIL, KEYS))
