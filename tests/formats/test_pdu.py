import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.pdu import (
    Coding,
    Deliver,
    Header,
    MalformedPdu,
    StatusReport,
    Submit,
    decode_coding,
    decode_pdu,
    encode_deliver,
    encode_status_report,
    encode_submit,
    submits,
)
from msgserver.formats.pdu_fields import decode_time, encode_address, encode_time, encode_validity, pack, unpack
from msgserver.formats.sms import GSM7, UCS2, Alphabet, encode, split

# Published examples of 3GPP TS 23.038 packing and of everyday modems.
HELLO = "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07"


def test_reads_an_everyday_deliver():
    deliver = decode_pdu(HELLO)
    assert isinstance(deliver, Deliver)
    assert deliver.service_centre == "+31624000000"
    assert deliver.sender == "+31641600986"
    assert deliver.text == "How are you?"
    assert deliver.sent_at == 1030390661.0
    assert deliver.coding == Coding("gsm7")


def test_packs_and_unpacks_septets():
    assert pack(encode("hellohello", GSM7)).hex().upper() == "E8329BFD4697D9EC37"
    assert unpack(bytes.fromhex("E8329BFD4697D9EC37"), 10) == b"hellohello"
    assert unpack(b"\x01", 40) == b"\x01"


def test_writes_an_everyday_submit():
    pdu, length = encode_submit(Submit(to="+46708251358", units=encode("hellohello", GSM7), report_wanted=False))
    assert (pdu, length) == ("0001000B916407281553F800000AE8329BFD4697D9EC37", 22)


def test_alphanumeric_senders_keep_every_character():
    deliver = Deliver(sender="A@B-Info", sent_at=0.0)
    pdu, _ = encode_deliver(deliver, GSM7, b"x")
    assert decode_pdu(pdu).sender == "A@B-Info"


@pytest.mark.parametrize("number", ["12", "*100#", "+4670", "+" + "9" * 20])
def test_numbers_of_all_kinds(number):
    pdu, _ = encode_deliver(Deliver(sender=number, sent_at=0.0), GSM7, b"")
    assert decode_pdu(pdu).sender == number


@pytest.mark.parametrize("number", ["", "+" + "9" * 21, "я", "A name too long"])
def test_a_number_that_cannot_be_dialled_is_refused(number):
    with pytest.raises(ValueError):
        encode_address(number)


@pytest.mark.parametrize(
    ("at", "quarters"), [(1763809200.0, 0), (1763809200.0, 22), (1763809200.0, -32), (946684800.0, 4)]
)
def test_times_keep_their_zone(at, quarters):
    assert decode_time(encode_time(at, quarters)) == at


def test_a_date_that_is_none_does_not_cost_the_text():
    assert decode_time(b"\xff" * 7) is None
    assert decode_time(bytes.fromhex("00000000000000")) is None


@pytest.mark.parametrize(
    ("seconds", "field"),
    [
        (1, 0),
        (300, 0),
        (301, 1),
        (43200, 143),
        (86400, 167),
        (86401, 168),
        (30 * 86400, 196),
        (35 * 86400, 197),
        (1e9, 255),
    ],
)
def test_validity(seconds, field):
    assert encode_validity(seconds) == field


@pytest.mark.parametrize(
    ("scheme", "coding"),
    [
        (0x00, Coding("gsm7")),
        (0x04, Coding("8bit")),
        (0x08, Coding("ucs2")),
        (0x10, Coding("gsm7", 0)),
        (0x18, Coding("ucs2", 0)),
        (0xF0, Coding("gsm7", 0)),
        (0xF5, Coding("8bit", 1)),
        (0x20, Coding("gsm7", compressed=True)),
        (0xC8, Coding("gsm7", waiting="voicemail")),
        (0xE8, Coding("ucs2", waiting="voicemail")),
        (0x90, Coding("gsm7")),
    ],
)
def test_data_coding_schemes(scheme, coding):
    assert decode_coding(scheme) == coding


def test_ports_and_binary_content():
    header = Header(reference=7, total=2, index=1, destination_port=2948, source_port=9200)
    pdu, _ = encode_deliver(Deliver(sender="+1555", sent_at=0.0, header=header), None, b"\x01\x06\xff")
    read = decode_pdu(pdu)
    assert (read.text, read.content, read.header) == (None, b"\x01\x06\xff", header)


def test_a_flash_message_says_so():
    (submit,) = submits("+1555", "Leave now", 1, message_class=0)
    again = decode_pdu(encode_submit(submit)[0], from_modem=False)
    assert again.message_class == 0


@pytest.mark.parametrize(
    ("status", "state"),
    [(0x00, "delivered"), (0x01, "delivered"), (0x22, "sent"), (0x43, "failed"), (0x46, "expired"), (0x62, "failed")],
)
def test_status_reports(status, state):
    report = StatusReport(reference=201, recipient="+15551234", sent_at=1e9, discharged_at=1e9 + 5, status=status)
    read = decode_pdu(encode_status_report(report)[0])
    assert isinstance(read, StatusReport)
    assert (read.reference, read.recipient, read.sent_at, read.discharged_at, read.state) == (
        201,
        "+15551234",
        1e9,
        1e9 + 5,
        state,
    )


@pytest.mark.parametrize(
    ("pdu", "words"),
    [
        ("", "ends inside the length of the service centre"),
        ("zz", "not hexadecimal"),
        (HELLO[:30], "ends inside"),
        ("0003", "neither a DELIVER nor a STATUS-REPORT"),
        ("0004FF91", "at most 20"),
    ],
)
def test_what_is_no_pdu_says_where_it_breaks(pdu, words):
    with pytest.raises(MalformedPdu, match=words):
        decode_pdu(pdu)


def test_a_header_that_makes_no_sense_is_ignored_but_the_text_is_read():
    good = encode_deliver(Deliver(sender="1", sent_at=0.0, header=Header(reference=1, total=2, index=2)), GSM7, b"hi")[
        0
    ]
    bad = good.replace("0500030102", "0500030100")
    assert "0500030102" in good
    read = decode_pdu(bad.replace("050003010002", "050003010002"))
    assert read.text.endswith("hi")
    assert read.header.reference is None


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=600)


@given(texts, st.integers(0, 65535), st.sampled_from([8, 16]))
def test_a_text_makes_the_whole_way(text, reference, bits):
    parts = submits("+15551234", text, reference, reference_bits=bits)
    read = [decode_pdu(encode_submit(part)[0], from_modem=False) for part in parts]
    import unicodedata

    whole = "".join(part.units.decode("utf-16-be") if part.alphabet == UCS2 else _text(part) for part in read)
    assert whole == unicodedata.normalize("NFC", text)
    assert [part.header.index for part in read] == list(range(1, len(parts) + 1))
    if len(parts) > 1:
        assert {part.header.reference for part in read} == {reference % (1 << bits)}


def _text(part):
    from msgserver.formats.sms import decode

    return decode(part.units, part.alphabet)


@given(
    st.sampled_from([Alphabet(False, 0, 1), Alphabet(False, 1, 0), Alphabet(False, 13, 13)]),
    st.text("abcçğş €{}", max_size=60),
)
def test_national_tables_travel_in_the_header(alphabet, text):
    from msgserver.formats.sms import lacking

    if lacking(text, alphabet):
        return
    (part,) = split(text, alphabet)
    header = Header(locking=alphabet.locking, single=alphabet.single)
    pdu, _ = encode_deliver(Deliver(sender="1", sent_at=0.0, header=header), alphabet, part.units)
    assert decode_pdu(pdu).text == part.text


def is_value_or_clear_error(octets, from_modem):
    try:
        value = decode_pdu(octets, from_modem=from_modem)
    except MalformedPdu as error:
        return bool(str(error))
    return isinstance(value, (Deliver, StatusReport, Submit))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_a_value_or_a_clear_error(octets, from_modem):
    assert is_value_or_clear_error(octets, from_modem)


@given(st.integers(0, 75), st.integers(0, 255))
def test_a_flipped_octet_gives_a_value_or_a_clear_error(place, octet):
    octets = bytearray.fromhex(HELLO)
    octets[place % len(octets)] = octet
    assert is_value_or_clear_error(bytes(octets), True)


class TestAgainstOthers:
    """Independent codecs, each only where it is right (none knows all that ours does)."""

    @given(st.text("abcdefXYZ 0123456789@£ΔΩ€[]{}|^~\\äöüñ?!", min_size=1, max_size=160))
    def test_gsmmodem_reads_our_submits(self, text):
        from gsmmodem import pdu as theirs

        for part in submits("+15551234", text, 5):
            read = theirs.decodeSmsPdu(encode_submit(part)[0])
            assert read["number"] == "+15551234"
            # It drops an "@" (septet 0) at the end of 8n septets, taking it for padding.
            assert read["text"].removesuffix("@") == _text(part).removesuffix("@")

    @given(st.text("abcdefXYZ 0123456789@£ΔΩ€[]{}яж漢", min_size=1, max_size=300))
    def test_we_read_gsmmodems_submits(self, text):
        from gsmmodem import pdu as theirs

        read = [
            decode_pdu(bytes(each.data), from_modem=False)
            for each in theirs.encodeSmsSubmitPdu("+15551234", text, reference=9)
        ]
        whole = "".join(part.units.decode("utf-16-be") if part.alphabet == UCS2 else _text(part) for part in read)
        assert whole == text

    @given(st.text("abc 012@£€я漢", min_size=1, max_size=300), st.integers(0, 2**31))
    def test_smspdudecoder_reads_our_delivers(self, text, at):
        from io import StringIO

        from smspdudecoder.fields import SMSDeliver

        for part in submits("+15551234", text, 77):
            deliver = Deliver(sender="+4915112345678", sent_at=float(at), header=part.header)
            read = SMSDeliver.decode(StringIO(encode_deliver(deliver, part.alphabet, part.units)[0]))
            assert read["sender"]["number"] == "4915112345678"
            if part.alphabet == UCS2:
                assert read["user_data"]["data"] == part.units.decode("utf-16-be")
            else:  # it takes the fill bits after 8n - 1 septets for one more "@"
                assert read["user_data"]["data"].rstrip("@") == _text(part).rstrip("@")
            if at >= 946684800:  # it knows no century but this one
                assert read["scts"].timestamp() == at

    def test_messaging_reads_our_delivers(self):
        from messaging.sms import SmsDeliver

        deliver = Deliver(sender="+4915112345678", sent_at=1.6e9, service_centre="+491710760000")
        read = SmsDeliver(encode_deliver(deliver, GSM7, encode("Grüße {ok} €", GSM7))[0])
        assert (read.text, read.number, read.csca) == ("Grüße {ok} €", "+4915112345678", "+491710760000")
