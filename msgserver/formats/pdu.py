"""SMS TPDUs to values and back: SUBMIT, DELIVER, STATUS-REPORT, as modems speak them in PDU mode (3GPP TS 23.040).

``octet string = service centre, TPDU``; the modem's length argument counts the TPDU only (TS 27.005 section 3.1).
Decoding is total: any bytes give a value or :class:`MalformedPdu`.
"""

from __future__ import annotations

import msgspec

from msgserver.formats.pdu_fields import (
    Header,
    MalformedPdu,
    Octets,
    decode_address,
    decode_header,
    decode_service_centre,
    decode_time,
    decode_validity,
    encode_address,
    encode_header,
    encode_service_centre,
    encode_time,
    encode_validity,
    pack,
    unpack,
)
from msgserver.formats.sms import GSM7, UCS2, Alphabet, choose, decode, readable, split

__all__ = [
    "Deliver",
    "Header",
    "MalformedPdu",
    "StatusReport",
    "Submit",
    "decode_pdu",
    "encode_deliver",
    "encode_status_report",
    "encode_submit",
    "submits",
]


class Coding(msgspec.Struct, frozen=True):
    """What the data coding scheme says (TS 23.038 section 4)."""

    kind: str  # "gsm7", "8bit", "ucs2"
    message_class: int | None = None  # 0 is flash
    compressed: bool = False
    waiting: str = ""  # a message waiting indication: "voicemail", "fax", "email", "other"


class Deliver(msgspec.Struct, frozen=True, kw_only=True):
    """A text that arrived. ``text`` is None where the octets in ``content`` are not characters."""

    sender: str
    service_centre: str = ""
    sent_at: float | None = None
    text: str | None = None
    content: bytes = b""
    header: Header = Header()
    coding: Coding = Coding("gsm7")
    protocol: int = 0
    more_to_come: bool = False
    report_asked: bool = False


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a text that was sent: ``state`` is "delivered", "failed", "expired" or "sent" (still trying)."""

    reference: int
    recipient: str
    service_centre: str = ""
    sent_at: float | None = None
    discharged_at: float | None = None
    status: int = 0
    state: str = "delivered"
    words: str = ""


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """A text to be sent. ``units`` are septets one an octet, UTF-16BE, or octets where ``alphabet`` is None."""

    to: str
    units: bytes
    alphabet: Alphabet | None = GSM7
    header: Header = Header()
    service_centre: str = ""
    message_class: int | None = None
    validity: float | None = None  # seconds; None also where it was an absolute time
    protocol: int = 0
    report_wanted: bool = True
    reference: int = 0  # message reference; modems set their own


def submits(
    to: str,
    text: str,
    reference: int,
    *,
    alphabet: Alphabet | None = None,
    reference_bits: int = 8,
    message_class: int | None = None,
    validity: float | None = None,
    report_wanted: bool = True,
) -> tuple[Submit, ...]:
    """The parts of a text as they go to the modem.

    Args:
        to: the recipient's number.
        text: what is sent.
        reference: the concatenation reference, taken modulo its width.
        alphabet: None: the one ``sms.choose`` takes.
        reference_bits: 8 or 16.
        message_class: 0 for a flash message.
        validity: seconds the network shall keep trying.
        report_wanted: ask for a status report on each part.

    Raises:
        ValueError: more than 255 parts, or the alphabet lacks a character.
    """
    alphabet = alphabet or choose(text)
    parts = split(text, alphabet, reference_bits)
    if len(parts) > 255:
        raise ValueError(f"{len(parts)} parts; an SMS has at most 255")
    several = len(parts) > 1
    return tuple(
        Submit(
            to=to,
            units=part.units,
            alphabet=alphabet,
            header=Header(
                reference=reference % (1 << reference_bits) if several else None,
                reference_bits=reference_bits,
                total=len(parts),
                index=index,
                locking=alphabet.locking,
                single=alphabet.single,
            ),
            message_class=message_class,
            validity=validity,
            report_wanted=report_wanted,
        )
        for index, part in enumerate(parts, 1)
    )


def encode_submit(submit: Submit) -> tuple[str, int]:
    """The hexadecimal string for the modem, and the length it wants in ``AT+CMGS=<length>``.

    Raises:
        ValueError: the number cannot be dialled, or the part is longer than 140 octets.
    """
    header = encode_header(submit.header)
    user_data, length = _user_data(header, submit.units, submit.alphabet)
    first = (
        0x01
        | (0x10 if submit.validity is not None else 0)
        | (0x20 if submit.report_wanted else 0)
        | (0x40 if header else 0)
    )
    tpdu = bytes((first, submit.reference)) + encode_address(submit.to)
    tpdu += bytes((submit.protocol, _scheme(submit.alphabet, submit.message_class)))
    if submit.validity is not None:
        tpdu += bytes((encode_validity(submit.validity),))
    tpdu += bytes((length,)) + user_data
    return (encode_service_centre(submit.service_centre) + tpdu).hex().upper(), len(tpdu)


def encode_deliver(deliver: Deliver, alphabet: Alphabet | None, units: bytes) -> tuple[str, int]:
    """A DELIVER as a network hands it to a modem; for the emulator and the round-trip tests.

    Args:
        deliver: everything but the text.
        alphabet: of the units; None: 8-bit octets.
        units: as in :class:`Submit`.
    """
    header = encode_header(deliver.header)
    user_data, length = _user_data(header, units, alphabet)
    first = (0x00 if deliver.more_to_come else 0x04) | (0x20 if deliver.report_asked else 0) | (0x40 if header else 0)
    tpdu = bytes((first,)) + encode_address(deliver.sender)
    tpdu += bytes((deliver.protocol, _scheme(alphabet, deliver.coding.message_class)))
    tpdu += encode_time(deliver.sent_at or 0.0) + bytes((length,)) + user_data
    return (encode_service_centre(deliver.service_centre) + tpdu).hex().upper(), len(tpdu)


def encode_status_report(report: StatusReport) -> tuple[str, int]:
    """A STATUS-REPORT as a network hands it to a modem; for the emulator and the round-trip tests."""
    tpdu = bytes((0x06, report.reference)) + encode_address(report.recipient)
    tpdu += encode_time(report.sent_at or 0.0) + encode_time(report.discharged_at or 0.0) + bytes((report.status,))
    return (encode_service_centre(report.service_centre) + tpdu).hex().upper(), len(tpdu)


def _user_data(header: bytes, units: bytes, alphabet: Alphabet | None) -> tuple[bytes, int]:
    """The user data field and its length field (septets for GSM-7, octets otherwise)."""
    if alphabet is None or alphabet.ucs2:
        body, length = header + units, len(header) + len(units)
    else:
        fill = -len(header) * 8 % 7
        body = header + pack(units, fill)
        length = (len(header) * 8 + fill) // 7 + len(units)
    if len(body) > 140:
        raise ValueError(f"{len(body)} octets of user data; one part holds 140")
    return body, length


def _scheme(alphabet: Alphabet | None, message_class: int | None) -> int:
    scheme = 0x04 if alphabet is None else 0x08 if alphabet.ucs2 else 0x00
    return scheme if message_class is None else scheme | 0x10 | message_class & 0x03


def decode_pdu(pdu: str | bytes, *, from_modem: bool = True) -> Deliver | StatusReport | Submit:
    """Read what a modem hands over (``+CMT``, ``+CMGL``, ``+CDS``), as hexadecimal or octets.

    Args:
        pdu: service centre and TPDU.
        from_modem: True: the network sent it (DELIVER, STATUS-REPORT); False: as a modem would be given it (SUBMIT).

    Raises:
        MalformedPdu: it is not one; the message says where it breaks.
    """
    if isinstance(pdu, str):
        try:
            pdu = bytes.fromhex(pdu)
        except ValueError:
            raise MalformedPdu(f"not hexadecimal: {pdu[:40]!r}") from None
    octets = Octets(pdu)
    service_centre = decode_service_centre(octets)
    first = octets.octet("the first octet")
    kind = first & 0x03
    if not from_modem:
        if kind != 0x01:
            raise MalformedPdu(f"message type {kind} where a SUBMIT was expected")
        return _decode_submit(octets, first, service_centre)
    if kind == 0x00:
        return _decode_deliver(octets, first, service_centre)
    if kind == 0x02:
        return _decode_report(octets, service_centre)
    raise MalformedPdu(f"message type {kind} is neither a DELIVER nor a STATUS-REPORT")


def _decode_deliver(octets: Octets, first: int, service_centre: str) -> Deliver:
    sender = decode_address(octets, "the sender")
    protocol = octets.octet("the protocol identifier")
    coding = decode_coding(octets.octet("the data coding scheme"))
    sent_at = decode_time(octets.take(7, "the time stamp"))
    length = octets.octet("the user data length")
    header, content, text = _decode_user_data(octets.rest(), length, bool(first & 0x40), coding)
    return Deliver(
        sender=sender,
        service_centre=service_centre,
        sent_at=sent_at,
        text=text,
        content=content,
        header=header,
        coding=coding,
        protocol=protocol,
        more_to_come=not first & 0x04,
        report_asked=bool(first & 0x20),
    )


def _decode_submit(octets: Octets, first: int, service_centre: str) -> Submit:
    reference = octets.octet("the message reference")
    to = decode_address(octets, "the recipient")
    protocol = octets.octet("the protocol identifier")
    coding = decode_coding(octets.octet("the data coding scheme"))
    period = octets.take({0: 0, 2: 1, 1: 7, 3: 7}[first >> 3 & 0x03], "the validity period")
    length = octets.octet("the user data length")
    header, content, _ = _decode_user_data(octets.rest(), length, bool(first & 0x40), coding)
    alphabet = {"ucs2": UCS2, "8bit": None}.get(coding.kind, readable(header.locking, header.single))
    return Submit(
        to=to,
        units=content,
        alphabet=alphabet,
        header=header,
        service_centre=service_centre,
        message_class=coding.message_class,
        validity=decode_validity(period[0]) if len(period) == 1 else None,
        protocol=protocol,
        report_wanted=bool(first & 0x20),
        reference=reference,
    )


def _decode_report(octets: Octets, service_centre: str) -> StatusReport:
    reference = octets.octet("the message reference")
    recipient = decode_address(octets, "the recipient")
    sent_at = decode_time(octets.take(7, "the time stamp"))
    discharged_at = decode_time(octets.take(7, "the discharge time"))
    status = octets.octet("the status")
    state, words = read_status(status)
    return StatusReport(
        reference=reference,
        recipient=recipient,
        service_centre=service_centre,
        sent_at=sent_at,
        discharged_at=discharged_at,
        status=status,
        state=state,
        words=words,
    )


def _decode_user_data(octets: bytes, length: int, headed: bool, coding: Coding) -> tuple[Header, bytes, str | None]:
    """Header, units (septets one an octet for GSM-7) and text; short data gives what is there."""
    header = Header()
    taken = 0
    if headed and octets:
        taken = min(octets[0] + 1, len(octets))
        header = decode_header(octets[1:taken])
    if coding.kind == "gsm7" and not coding.compressed:
        fill = -taken * 8 % 7
        septets = unpack(octets[taken:], max(0, length - (taken * 8 + fill) // 7), fill)
        return header, septets, decode(septets, readable(header.locking, header.single))
    content = octets[taken : max(taken, length)]
    if coding.kind == "ucs2" and not coding.compressed:
        return header, content, decode(content, UCS2)
    return header, content, None


def decode_coding(scheme: int) -> Coding:
    """The data coding scheme octet (TS 23.038 section 4)."""
    group = scheme >> 4
    alphabets = ("gsm7", "8bit", "ucs2", "gsm7")
    if group < 0x8:  # general and "automatic deletion" groups
        message_class = scheme & 0x03 if scheme & 0x10 else None
        return Coding(alphabets[scheme >> 2 & 0x03], message_class, compressed=bool(scheme & 0x20))
    if group == 0xF:
        return Coding("8bit" if scheme & 0x04 else "gsm7", scheme & 0x03)
    if group in (0xC, 0xD, 0xE):
        waiting = ("voicemail", "fax", "email", "other")[scheme & 0x03]
        return Coding("ucs2" if group == 0xE else "gsm7", waiting=waiting)
    return Coding("gsm7")  # reserved groups are to be read as the default alphabet


_STATUS = {
    0x00: "delivered to the phone",
    0x01: "forwarded, delivery not confirmed by the network",
    0x02: "replaced by the service centre",
    0x20: "network congested, still trying",
    0x21: "the phone is busy, still trying",
    0x22: "no answer from the phone, still trying",
    0x23: "service refused, still trying",
    0x25: "error in the phone, still trying",
    0x40: "error in a remote procedure",
    0x41: "incompatible destination",
    0x42: "the phone refused the connection",
    0x43: "the number cannot be obtained",
    0x44: "quality of service not available",
    0x45: "no interworking",
    0x46: "the validity period ended",
    0x47: "deleted by the sender",
    0x48: "deleted by the service centre",
    0x49: "the message does not exist",
}


def read_status(status: int) -> tuple[str, str]:
    """State and words of a status octet (TS 23.040 section 9.2.3.15)."""
    words = _STATUS.get(status & 0x7F, f"status {status:#04x}")
    if status < 0x20:
        return "delivered", words
    if status < 0x40:
        return "sent", words
    return ("expired" if status == 0x46 else "failed"), words
