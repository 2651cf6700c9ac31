"""Chat stanzas to values and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.connector import PermanentFailure
from msgserver.message import Address, Arrival, Thread
from msgserver.protocols.xmpp import stanzas
from msgserver.protocols.xmpp.stream import GuardedElements
from tests.protocols.xmpp.conftest import envelope

OWN = "hub@xmpp.test"
NAMES = stanzas.Names("secret")


def element(xml: str) -> Any:
    """Parse a stanza as it stands in a client's stream."""
    found: list[Any] = []
    parser = GuardedElements()
    parser.DocumentStartEvent = lambda _: None
    parser.ElementEvent = found.append
    parser.parse(f"<stream xmlns='jabber:client'>{xml}".encode())
    return found[0]


def message(inside: str, **attributes: str) -> Any:
    words = {"from": "ana@xmpp.test/phone", "to": OWN, "type": "chat", "id": "0123456789", **attributes}
    return element("<message " + " ".join(f"{k}='{v}'" for k, v in words.items() if v) + f">{inside}</message>")


def read(inside: str, now: float = 1000.0, **attributes: str) -> Arrival:
    arrival = stanzas.read_message(message(inside, **attributes), OWN, now)
    assert arrival is not None
    return arrival


def test_a_plain_message() -> None:
    arrival = read(
        "<subject>Water</subject><body>Well 3 is dry</body><nick xmlns='http://jabber.org/protocol/nick'>Ana</nick>"
    )
    assert arrival.sender == Address.of("xmpp", "ana@xmpp.test")
    assert arrival.recipients == (Address.of("xmpp", OWN),)
    assert (arrival.text, arrival.subject, arrival.sender_name) == ("Well 3 is dry", "Water", "Ana")
    assert arrival.facts == {"jid": "ana@xmpp.test/phone", "resource": "phone", "id": "0123456789"}
    assert arrival.media_type == "application/xmpp+xml"
    assert b"<body>Well 3 is dry</body>" in arrival.raw
    assert arrival.sent_at is None


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<body/>",
        "<body>  \n</body>",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
        (
            "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message "
            "xmlns='jabber:client'><body>not for us</body></message></forwarded></received>"
        ),
        "<body xmlns='http://www.w3.org/1999/xhtml'>no</body>",
    ],
)
def test_nothing_is_said(inside: str) -> None:
    assert stanzas.read_message(message(inside), OWN, 0) is None


def test_delayed_says_when() -> None:
    for stamp in ("2026-11-22T10:00:00Z", "2026-11-22T11:00:00+01:00", "2026-11-22T10:00:00"):
        arrival = read(f"<body>x</body><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>")
        assert arrival.sent_at == datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()
    for stamp in ("", "yesterday", "9999999-01-01", "0001-01-01T00:00:00+23:59"):
        read(f"<body>x</body><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>")


def test_answers_corrections_and_encryption() -> None:
    arrival = read(
        "<body>&gt; Where?\n\nAt the well</body><thread>42.k7f3</thread>"
        "<reply xmlns='urn:xmpp:reply:0' to='hub@xmpp.test' id='d1.tag'/>"
        "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='10'/></fallback>"
        "<replace xmlns='urn:xmpp:message-correct:0' id='earlier-one'/>"
    )
    assert (arrival.in_reply_to, arrival.text) == ("d1.tag", "At the well")
    assert arrival.facts["replaces"] == "earlier-one"
    assert read("<body>x</body><thread>42.k7f3</thread>").in_reply_to == "42.k7f3"
    secret = read("<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>zzz</payload></encrypted>")
    assert secret.facts["encrypted"] == "OMEMO"
    assert "cannot read" in (secret.text or "")


@pytest.mark.parametrize(
    "span", ["start='5' end='2'", "start='-1' end='3'", "start='0' end='99'", "", "start='0' end='99999999999999'"]
)
def test_a_quotation_that_cannot_be_is_left_in(span: str) -> None:
    fallback = f"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body {span}/></fallback>"
    assert read(f"<body>all of it</body>{fallback}").text == "all of it"


def test_the_language_without_a_mark_is_preferred() -> None:
    assert read("<body xml:lang='de'>Hilfe</body><body>help</body>").text == "help"
    assert read("<body xml:lang='de'>Hilfe</body>").text == "Hilfe"


SID = "<stanza-id xmlns='urn:xmpp:sid:0' by='{}' id='{}'/>"
ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='{}'/>"
DELAY = "<delay xmlns='urn:xmpp:delay' stamp='2026-11-22T10:00:00Z'/>"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("<body>x</body>",), ("<body>x</body>" + DELAY,)),  # given live, then again from the offline store
        (("<body>x</body>" + SID.format(OWN, "s1"),), ("<body>x</body>" + SID.format(OWN, "s1") + DELAY, "other-id-1")),
        (
            ("<body>x</body>" + ORIGIN.format("o-12345678"),),
            ("<body>x</body>" + ORIGIN.format("o-12345678"), "another-id"),
        ),
    ],
)
def test_the_same_message_has_the_same_wire_id(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    def wire_id(inside: str, stanza_id: str = "0123456789", now: float = 0.0) -> str:
        return read(inside, now, id=stanza_id).wire_id

    assert wire_id(*one) == wire_id(*other, now=77.0) if len(other) > 1 else wire_id(one[0]) == wire_id(other[0])


def test_other_messages_have_other_wire_ids() -> None:
    ids = [
        read("<body>x</body>").wire_id,
        read("<body>y</body>").wire_id,  # an id used again
        read("<body>x</body>", id="another-id-0").wire_id,
        read("<body>x</body>", **{"from": "eve@xmpp.test/phone"}).wire_id,
        read("<body>x</body>" + SID.format("eve@xmpp.test", "s1") + DELAY).wire_id,  # not our server's word
        read("<body>x</body>", id="7", now=1.0).wire_id,  # a counter
        read("<body>x</body>", id="7", now=2.0).wire_id,
        read("<body>x</body>", id="", now=1.0).wire_id,
        read("<body>x</body>", id="", now=2.0).wire_id,
    ]
    assert ids[0] == ids[4]
    assert len(set(ids)) == len(ids) - 1


def test_an_address_that_cannot_be_kept() -> None:
    with pytest.raises(ValueError):
        read("<body>x</body>", **{"from": "a" * 400 + "@x"})


def test_outgoing() -> None:
    out = stanzas.write_message(envelope(subject="Water", thread=Thread(token="42.k7f3")), NAMES)
    again = stanzas.write_message(envelope(attempt=2), NAMES)
    assert (out["to"], out["type"]) == ("ana@xmpp.test", "chat")
    assert out["id"] == again["id"]
    xml = out.toXml()
    for piece in (
        "<body>The water truck comes at 9.</body>",
        "<subject>Water</subject>",
        "<thread>42.k7f3</thread>",
        f"<origin-id xmlns='urn:xmpp:sid:0' id='{out['id']}'/>",
        "<request xmlns='urn:xmpp:receipts'/>",
    ):
        assert piece in xml
    assert "request" not in stanzas.write_message(envelope(want_receipt=False), NAMES).toXml()


def test_too_long_for_any_server() -> None:
    stanzas.write_message(envelope(text="\u05e9" * 60_000), NAMES)
    with pytest.raises(PermanentFailure, match="too long for chat"):
        stanzas.write_message(envelope(text="&" * 60_000), NAMES)


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_any_text_survives_or_is_replaced(text: str) -> None:
    arrived = element(stanzas.write_message(envelope(text=text), NAMES).toXml())
    body = str(arrived.body) if arrived.body is not None else ""
    assert len(body) == len(text.replace("\r\n", "\n"))
    assert all(got in (sent, "\ufffd", "\n") for got, sent in zip(body, text.replace("\r\n", "\n"), strict=True))


@given(st.text(max_size=40), st.text(max_size=20))
def test_only_the_one_we_wrote_to_can_name_the_ref(ref: str, stranger: str) -> None:
    ref = ref.encode("utf-8", "replace").decode()
    stanza_id = NAMES.id_for(ref, "ana@xmpp.test")
    assert stanza_id == stanzas.legal(stanza_id)
    assert NAMES.ref_of(stanza_id, "Ana@xmpp.test") == ref
    assert NAMES.ref_of(stanza_id, "eve@xmpp.test") is None
    assert stanzas.Names("other").ref_of(stanza_id, "ana@xmpp.test") is None
    assert NAMES.ref_of(stranger, "ana@xmpp.test") is None


def test_receipts_are_given_where_asked_for() -> None:
    asked = message("<body>x</body><request xmlns='urn:xmpp:receipts'/>")
    receipt = stanzas.write_receipt(asked)
    assert receipt["to"] == "ana@xmpp.test/phone"
    assert "<received xmlns='urn:xmpp:receipts' id='0123456789'/>" in receipt.toXml()
    assert stanzas.write_receipt(message("<body>x</body>")) is None
    assert stanzas.write_receipt(message("<request xmlns='urn:xmpp:receipts'/>", id="")) is None


def test_errors_in_words() -> None:
    ns = "urn:ietf:params:xml:ns:xmpp-stanzas"
    full = message(f"<error type='wait'><recipient-unavailable xmlns='{ns}'/><text xmlns='{ns}'>asleep</text></error>")
    assert stanzas.read_error(full) == ("recipient-unavailable", "wait", "recipient unavailable: asleep")
    assert stanzas.read_error(message("")) == ("undefined-condition", "cancel", "undefined condition")
