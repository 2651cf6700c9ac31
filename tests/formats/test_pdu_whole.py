"""The PDU codec as a whole: every field makes the way there and back, and any bytes give a value or a clear error."""

from __future__ import annotations

import random
from io import StringIO

import gsmcodecs  # noqa: F401
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.pdu import (
    Coding,
    Deliver,
    MalformedPdu,
    StatusReport,
    Submit,
    decode_pdu,
    encode_deliver,
    encode_status_report,
    encode_submit,
    submits,
)
from msgserver.formats.pdu_fields import Header, decode_validity, encode_validity, pack, unpack
from msgserver.formats.sms import GSM7, UCS2, Alphabet, decode, encode, readable

numbers = st.from_regex(r"\+?[0-9]{3,20}", fullmatch=True) | st.from_regex(r"[0-9*#]{3,10}", fullmatch=True)
names = st.text("ABCdef @_-&0", min_size=1, max_size=11).filter(lambda name: any(one in name for one in "ABCdef@_&-"))
centres = st.just("") | st.from_regex(r"\+[0-9]{5,15}", fullmatch=True)
times = st.integers(946684800, 3786911999).map(float)  # 2000 to 2089
tables = st.sampled_from([GSM7, UCS2, None, Alphabet(False, 0, 1), Alphabet(False, 1, 0), Alphabet(False, 13, 13)])


@st.composite
def headers(draw, alphabet):
    reference = draw(st.none() | st.integers(0, 65535))
    bits = draw(st.sampled_from([8, 16]))
    total = draw(st.integers(1, 255)) if reference is not None else 1
    port = draw(st.none() | st.integers(0, 65535))
    return Header(
        reference=None if reference is None else reference % (1 << bits),
        reference_bits=bits if reference is not None else 8,
        total=total,
        index=draw(st.integers(1, total)),
        destination_port=port,
        source_port=draw(st.integers(0, 65535)) if port is not None else None,
        locking=alphabet.locking if alphabet else 0,
        single=alphabet.single if alphabet else 0,
        others=draw(st.sampled_from([(), ((0x70, b"\x01\x02"),)])),
    )


@st.composite
def contents(draw):
    """Header, alphabet and units that fit one part."""
    alphabet = draw(tables)
    header = draw(headers(alphabet))
    if alphabet is None:
        return header, alphabet, draw(st.binary(max_size=110))
    if alphabet.ucs2:
        return header, alphabet, draw(st.text("abя漢 ", max_size=50)).encode("utf-16-be")
    return header, alphabet, encode(draw(st.text("abc @1\n", max_size=110)), alphabet)


@given(contents(), numbers | names, centres, times, st.none() | st.integers(0, 3), st.booleans(), st.integers(0, 255))
def test_a_deliver_makes_the_whole_way(content, sender, centre, at, message_class, more, protocol):
    header, alphabet, units = content
    sent = Deliver(
        sender=sender,
        service_centre=centre,
        sent_at=at,
        header=header,
        coding=Coding("", message_class),
        protocol=protocol,
        more_to_come=more,
    )
    read = decode_pdu(encode_deliver(sent, alphabet, units)[0])
    assert isinstance(read, Deliver)
    assert (read.sender, read.service_centre, read.sent_at, read.header) == (sender, centre, at, header)
    assert (read.coding.message_class, read.more_to_come, read.protocol) == (message_class, more, protocol)
    assert read.content == units
    assert read.text == (None if alphabet is None else decode(units, alphabet))


@given(
    contents(), numbers, centres, st.none() | st.integers(0, 255).map(decode_validity), st.booleans(),
    st.none() | st.integers(0, 3), st.integers(0, 255), st.integers(0, 255),
)  # fmt: skip
def test_a_submit_makes_the_whole_way(content, to, centre, validity, wanted, message_class, reference, protocol):
    header, alphabet, units = content
    sent = Submit(
        to=to,
        units=units,
        alphabet=alphabet,
        header=header,
        service_centre=centre,
        message_class=message_class,
        validity=validity,
        protocol=protocol,
        report_wanted=wanted,
        reference=reference,
    )
    pdu, length = encode_submit(sent)
    assert decode_pdu(pdu, from_modem=False) == sent
    assert length == len(pdu) // 2 - 1 - int(pdu[:2], 16)


@given(numbers, centres, times, times, st.integers(0, 255), st.integers(0, 255))
def test_a_status_report_makes_the_whole_way(recipient, centre, sent_at, discharged_at, status, reference):
    report = StatusReport(
        reference=reference,
        recipient=recipient,
        service_centre=centre,
        sent_at=sent_at,
        discharged_at=discharged_at,
        status=status,
    )
    read = decode_pdu(encode_status_report(report)[0])
    assert isinstance(read, StatusReport)
    assert (read.reference, read.recipient, read.service_centre) == (reference, recipient, centre)
    assert (read.sent_at, read.discharged_at, read.status) == (sent_at, discharged_at, status)
    assert read.state in ("delivered", "sent", "failed", "expired")
    assert read.words


def test_a_validity_is_read_as_it_was_written():
    assert [encode_validity(decode_validity(field)) for field in range(256)] == list(range(256))


@given(st.binary(max_size=400), st.integers(0, 500), st.integers(0, 6))
def test_septets_are_unpacked_as_the_plain_way_does(octets, count, fill):
    bits = int.from_bytes(octets, "little") >> fill
    there = min(count, max(0, (len(octets) * 8 - fill) // 7))
    assert unpack(octets, count, fill) == bytes(bits >> 7 * n & 0x7F for n in range(there))


@given(st.binary(max_size=200).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.integers(0, 6))
def test_septets_make_the_way(septets, fill):
    assert unpack(pack(septets, fill), len(septets), fill) == septets


@given(
    st.binary(max_size=60).map(lambda octets: bytes(octet & 0x7F for octet in octets)),
    st.sampled_from(
        [GSM7, Alphabet(False, 1, 1), Alphabet(False, 0, 2), Alphabet(False, 13, 13), Alphabet(False, 7, 6)]
    ),
)
def test_septets_read_as_the_codec_reads_them_where_it_does(septets, alphabet):
    try:
        theirs = septets.decode(f"gsm23.038-{alphabet.locking}-{alphabet.single}")
    except UnicodeDecodeError:
        return
    assert decode(septets, alphabet) == theirs


def test_tables_nobody_knows_count_as_the_default():
    assert readable(200, 99) == GSM7
    assert readable(2, 2) == Alphabet(False, 0, 2)  # Spanish has no locking table
    pdu, _ = encode_deliver(Deliver(sender="1", sent_at=0.0, header=Header(locking=99, single=200)), GSM7, b"hello")
    assert decode_pdu(pdu).text == "hello"


@pytest.mark.parametrize(
    ("units", "text"),
    [(b"a\x1bzb", "azb"), (b"a\x1b", "a\ufffd"), (b"\x1b\x1b", " "), (b"\x1b\x1bx", " x"), (b"\x1be\x1b(", "€{")],
)
def test_escapes(units, text):
    assert decode(units, GSM7) == text


# --- any bytes ----------


def _seeds():
    found = [bytes.fromhex("07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07")]
    for header in (
        Header(),
        Header(reference=1, total=3, index=2),
        Header(reference=700, reference_bits=16, total=3, index=2),
        Header(locking=1, single=1),
        Header(destination_port=2948, source_port=1),
    ):
        for alphabet in (GSM7, UCS2, None):
            deliver = Deliver(sender="+155512345", sent_at=1e9, header=header)
            found.append(bytes.fromhex(encode_deliver(deliver, alphabet, b"hello wo")[0]))
            submit = Submit(to="+1555", units=b"hello wo", alphabet=alphabet, header=header, validity=300.0)
            found.append(bytes.fromhex(encode_submit(submit)[0]))
    report = StatusReport(reference=3, recipient="+1555", sent_at=1e9, discharged_at=1e9)
    return [*found, bytes.fromhex(encode_status_report(report)[0])]


def _mutated(chance, seeds):
    octets = bytearray(chance.choice(seeds))
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(octets) + 1)
        match chance.randrange(4):
            case 0:
                octets[place : place + 1] = chance.randbytes(1)
            case 1 if place > 5:
                del octets[place:]
            case 2:
                octets[place:place] = chance.randbytes(chance.randrange(1, 20))
            case _ if octets:
                octets[place - 1] ^= 1 << chance.randrange(8)
    return bytes(octets)


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutated_pdus_give_a_value_or_a_clear_error(count):
    chance, seeds = random.Random(count), _seeds()
    kinds, words = set(), set()
    for _ in range(count):
        octets = _mutated(chance, seeds)
        for from_modem in (True, False):
            try:
                kinds.add(type(decode_pdu(octets, from_modem=from_modem)))
            except MalformedPdu as error:
                words.add(str(error)[:9])
    assert kinds == {Deliver, StatusReport, Submit}
    assert "" not in words


# --- independent codecs, where they are right ----------


@given(st.text("abcdefXYZ 0123456789@£€äöя漢", min_size=1, max_size=300), st.integers(1, 255))
def test_gsmmodem_reads_our_delivers_with_their_parts(text, reference):
    from gsmmodem import pdu as theirs

    for part in submits("+15551234", text, reference):
        deliver = Deliver(sender="+4915112345678", sent_at=1.6e9, header=part.header, service_centre="+491710760000")
        read = theirs.decodeSmsPdu(encode_deliver(deliver, part.alphabet, part.units)[0])
        assert (read["number"], read["smsc"]) == ("+4915112345678", "+491710760000")
        assert read["text"].removesuffix("@") == decode(part.units, part.alphabet).removesuffix("@")
        assert read["time"].timestamp() == 1.6e9
        parts = [(one.reference, one.parts, one.number) for one in read.get("udh", ())]
        assert parts == ([(reference, part.header.total, part.header.index)] if part.header.total > 1 else [])


@given(st.integers(0, 255), st.integers(946684800, 2**31), st.integers(0, 255))
def test_gsmmodem_reads_our_reports(reference, at, status):
    from gsmmodem import pdu as theirs

    report = StatusReport(
        reference=reference, recipient="+15551234567", sent_at=float(at), discharged_at=at + 9.0, status=status
    )
    read = theirs.decodeSmsPdu(encode_status_report(report)[0])
    assert (read["reference"], read["number"], read["status"]) == (reference, "+15551234567", status)
    assert (read["time"].timestamp(), read["discharge"].timestamp()) == (at, at + 9.0)


@given(st.text("abc 012@£€я", min_size=1, max_size=400))
def test_we_read_messagings_submits(text):
    from messaging.sms import SmsSubmit

    theirs = SmsSubmit("+15551234", text)
    theirs.rand_id = 77
    read = [decode_pdu(each.pdu, from_modem=False) for each in theirs.to_pdu()]
    assert "".join(decode(part.units, part.alphabet) for part in read) == text
    assert {part.to for part in read} == {"+15551234"}


@given(st.text("abcdef XYZ", min_size=1, max_size=11))
def test_smspdudecoder_reads_our_alphanumeric_senders(name):
    from smspdudecoder.fields import SMSDeliver

    if set(name) <= set("abc"):
        return  # digits of a kind
    read = SMSDeliver.decode(StringIO(encode_deliver(Deliver(sender=name, sent_at=1.6e9), GSM7, b"x")[0]))
    assert read["sender"]["number"].rstrip("@") == name
