"""The hardened stream: hostile XML, the steps of a login, no password in clear."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.words.protocols.jabber import xmlstream

from msgserver.protocols.xmpp.stream import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_STANZA,
    GuardedStream,
    StreamFactory,
    is_loopback_peer,
)

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>"


class Quiet:
    """An authenticator that does nothing."""

    namespace = "jabber:client"

    def associateWithStream(self, xs: Any) -> None:
        self.xs = xs

    def connectionMade(self) -> None:
        self.xs.sendHeader()

    def streamStarted(self, root: Any) -> None:
        pass


class Line:
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.oversized: list[tuple[Any, str]] = []
        self.errors: list[Any] = []
        self.stream = StreamFactory(Quiet()).buildProtocol(None)  # type: ignore[arg-type]
        self.transport = StringTransport()
        self.stream.makeConnection(self.transport)
        self.stream.on_stanza = self.heard.append
        self.stream.on_oversized = lambda element, words: self.oversized.append((element, words))
        self.stream.addObserver(xmlstream.STREAM_ERROR_EVENT, self.errors.append)
        self.stream.dataReceived(HEADER)

    def receive(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.stream.dataReceived(chunk)

    @property
    def gone(self) -> bool:
        return self.transport.disconnecting or self.transport.disconnected  # type: ignore[return-value]


BOMB = b"<?xml version='1.0'?><!DOCTYPE b [<!ENTITY a '" + b"x" * 50 + b"'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + level, b"&%c;" % (97 + level) * 50) for level in range(6)
) + b"]><b>&g;</b>"  # fmt: skip


@pytest.mark.parametrize(
    "hostile",
    [
        BOMB,
        b"<!DOCTYPE x>",
        b"<!DOCTYPE x SYSTEM 'http://example.invalid/x.dtd'>",
        b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    ],
)
def test_a_document_type_is_refused_on_sight(hostile: bytes) -> None:
    stream = StreamFactory(Quiet()).buildProtocol(None)  # type: ignore[arg-type]
    transport = StringTransport()
    stream.makeConnection(transport)
    heard: list[Any] = []
    stream.on_stanza = heard.append
    began = time.process_time()
    stream.dataReceived(hostile)
    assert time.process_time() - began < 0.5
    assert b"<restricted-xml" in transport.value()
    assert transport.disconnected
    stream.dataReceived(b"<message/>")  # what still comes is not looked at
    assert heard == []


def test_a_processing_instruction_is_refused() -> None:
    line = Line()
    line.receive(b"<message><?php evil ?><body>x</body></message>")
    assert line.heard == []
    assert b"<restricted-xml" in line.transport.value()
    assert line.transport.disconnected


def test_an_entity_that_nobody_declared_ends_the_stream() -> None:
    line = Line()
    line.receive(b"<message><body>&lol;</body></message>")
    assert b"<not-well-formed" in line.transport.value()
    assert len(line.errors) == 1


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (b"<x>" * MAX_DEPTH + b"</x>" * MAX_DEPTH, "deep"),
        (b"<x>" * 50_000 + b"</x>" * 50_000, "deep"),
        (b"<y/>" * (MAX_ELEMENTS + 1), "elements"),
        (b"<body>" + b"a" * (MAX_STANZA + 70_000) + b"</body>", "KiB"),
        (b"<body>" + b"&amp;" * 60_000 + b"</body>", "KiB"),
    ],
)
def test_too_much_in_one_stanza_is_skipped_and_the_stream_goes_on(inside: bytes, words: str) -> None:
    line = Line()
    stanza = b"<message from='m@x/y' id='7'>" + inside + b"</message><message id='8'><body>next</body></message>"
    line.receive(*(stanza[start : start + 65_536] for start in range(0, len(stanza), 65_536)))
    assert [one["id"] for one in line.heard] == ["8"]
    assert str(line.heard[0].body) == "next"
    ((element, said),) = line.oversized
    assert (element["from"], element["id"], element.children) == ("m@x/y", "7", [])
    assert words in said
    assert not line.gone


def test_just_within_the_limits_is_heard_whole() -> None:
    line = Line()
    deep = MAX_DEPTH - 2
    line.receive(b"<message>" + b"<x>" * deep + b"</x>" * deep + b"<y/>" * 4000 + b"</message>")
    assert line.oversized == []
    assert line.heard[0].toXml().count("<y/>") == 4000


def test_much_small_text_costs_little() -> None:
    line = Line()
    pieces: list[str] = []
    parser = line.stream.stream.parser
    original = parser.CharacterDataHandler
    parser.CharacterDataHandler = lambda text: (pieces.append(text), original(text))
    line.receive(b"<message><body>" + b"&lt;\n" * 50_000 + b"</body></message>")
    assert len(pieces) < 10  # joined piece by piece it would be quadratic
    assert str(line.heard[0].body) == "<\n" * 50_000


@given(st.lists(st.integers(1, 40), max_size=60))
def test_however_the_bytes_are_cut(sizes: list[int]) -> None:
    line = Line()
    stanzas = (
        b"<message id='1'><body>\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d &amp; \xf0\x9f\x8c\x8a</body></message>"
        b"<presence/><message id='2'><x:y xmlns:x='urn:x' x:z='1'/></message>"
    )
    at = 0
    for size in sizes:
        line.receive(stanzas[at : at + size])
        at += size
    line.receive(stanzas[at:])
    assert [one.name for one in line.heard] == ["message", "presence", "message"]
    assert str(line.heard[0].body) == "\u05e9\u05dc\u05d5\u05dd & \U0001f30a"


@given(st.binary(max_size=300))
def test_any_bytes_at_all(noise: bytes) -> None:
    line = Line()
    line.receive(noise)
    assert len(line.errors) <= 1
    assert bool(line.errors) == line.gone or b"</stream:stream>" in noise


def test_what_came_before_tls_is_not_believed_after_it() -> None:
    line = Line()
    stream = line.stream
    stream.on_stanza = lambda element: (line.heard.append(element), element.name == "proceed" and stream.reset())
    line.receive(
        b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message><body>slipped in</body></message>",
    )
    assert [one.name for one in line.heard] == ["proceed"]
    assert line.transport.disconnected


@pytest.mark.parametrize(
    ("peer", "near"),
    [
        (IPv4Address("TCP", "127.0.0.1", 1), True),
        (IPv4Address("TCP", "127.9.9.9", 1), True),
        (IPv6Address("TCP", "::1", 1), True),
        (UNIXAddress("/x"), True),
        (IPv4Address("TCP", "192.0.2.1", 1), False),
        (IPv6Address("TCP", "2001:db8::1", 1), False),
        (IPv4Address("TCP", "127.0.0.1.example", 1), False),
    ],
)
def test_what_is_this_machine(peer: Any, near: bool) -> None:
    assert is_loopback_peer(peer) is near


def test_the_stream_is_twisteds_own() -> None:
    assert issubclass(GuardedStream, xmlstream.XmlStream)
