"""SCRAM against the examples of its RFCs, and a server that only pretends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.protocols.xmpp.scram import Scram, ScramRefused

EXAMPLES = [
    (  # RFC 5802 section 5
        "SCRAM-SHA-1",
        "fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (  # RFC 7677 section 3
        "SCRAM-SHA-256",
        "rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


def scram(name: str = EXAMPLES[0][0], nonce: str = EXAMPLES[0][1]) -> Scram:
    return Scram(name, "user", "pencil", lambda: nonce)


@pytest.mark.parametrize(("name", "nonce", "challenge", "answer", "proof"), EXAMPLES)
def test_the_examples_of_the_rfcs(name: str, nonce: str, challenge: bytes, answer: bytes, proof: bytes) -> None:
    exchange = scram(name, nonce)
    assert exchange.getInitialResponse() == f"n,,n=user,r={nonce}".encode()
    assert exchange.getResponse(challenge) == answer
    exchange.verify(proof)


def test_the_proof_may_come_as_a_challenge() -> None:
    exchange = scram()
    exchange.getResponse(EXAMPLES[0][2])
    assert exchange.getResponse(EXAMPLES[0][4]) == b""
    exchange.verify(b"")


@pytest.mark.parametrize("proof", [b"", b"v=", b"v=AAAA", b"e=other-error", EXAMPLES[1][4]])
def test_a_server_that_cannot_prove_itself(proof: bytes) -> None:
    exchange = scram()
    exchange.getResponse(EXAMPLES[0][2])
    with pytest.raises(ScramRefused):
        exchange.verify(proof)


def test_success_without_any_exchange() -> None:
    with pytest.raises(ScramRefused):
        scram().verify(EXAMPLES[0][4])


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096",  # the server added nothing
        b"r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=0",
        b"r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=999999999",
        b"m=x,r=fyko+d2lbbFgONRv9qkxdawLx,s=QSXCR+Q6sek8bf92,i=4096",
    ],
)
def test_challenges_that_are_none(challenge: bytes) -> None:
    with pytest.raises(ScramRefused):
        scram().getResponse(challenge)


@given(st.binary(max_size=80))
def test_any_challenge_is_answered_or_refused(challenge: bytes) -> None:
    with pytest.raises((ScramRefused, ValueError, KeyError)):
        scram().getResponse(challenge)


def test_names_are_escaped() -> None:
    assert Scram("SCRAM-SHA-1", "a=b,c", "x", lambda: "n").getInitialResponse() == b"n,,n=a=3Db=2Cc,r=n"
