"""The fields of which an SMS TPDU is made: septets, addresses, time stamps, headers (3GPP TS 23.040 section 9)."""

from __future__ import annotations

from calendar import timegm
from datetime import UTC, datetime, timedelta

import msgspec

from msgserver.formats.sms import GSM7, decode, encode

SEMI_OCTETS = "0123456789*#abc"  # TS 23.040 section 9.1.2.3; 15 is the filler
_PAIRS = [low + high for high in SEMI_OCTETS + "f" for low in SEMI_OCTETS + "f"]


class MalformedPdu(ValueError):
    """These bytes are not the TPDU they should be; the message says where."""


class Header(msgspec.Struct, frozen=True):
    """The user data header's elements that we know; others are kept as they are (TS 23.040 section 9.2.3.24)."""

    reference: int | None = None
    reference_bits: int = 8
    total: int = 1
    index: int = 1
    destination_port: int | None = None
    source_port: int | None = None
    locking: int = 0
    single: int = 0
    others: tuple[tuple[int, bytes], ...] = ()


class Octets:
    """A cursor over received octets that says what was missing instead of failing with an IndexError."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def take(self, count: int, what: str) -> bytes:
        """The next octets.

        Raises:
            MalformedPdu: fewer are left.
        """
        end = self._at + count
        if end > len(self._octets):
            raise MalformedPdu(f"ends inside {what}: {count} octets wanted, {len(self._octets) - self._at} left")
        taken, self._at = self._octets[self._at : end], end
        return taken

    def octet(self, what: str) -> int:
        """The next octet as a number."""
        return self.take(1, what)[0]

    def rest(self) -> bytes:
        """All that is left."""
        taken, self._at = self._octets[self._at :], len(self._octets)
        return taken


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Septets, one an octet, to packed octets after ``fill`` zero bits (TS 23.038 section 6.1.2.1)."""
    bits, held, out = 0, fill, bytearray()
    for septet in septets:
        bits |= (septet & 0x7F) << held
        held += 7
        while held >= 8:
            out.append(bits & 0xFF)
            bits >>= 8
            held -= 8
    if held:
        out.append(bits & 0xFF)
    return bytes(out)


_LANES = 21  # of 56 bits: 147 octets, more than a user data field has


def _lanes(mask: int) -> int:
    return int.from_bytes(mask.to_bytes(8, "little") * _LANES, "little")


# Each lane of 56 bits is spread over 64: halves, quarters, eighths apart, so that every septet has an octet.
_SPREAD = (
    (_lanes(0x0000_0000_0FFF_FFFF), _lanes(0x00FF_FFFF_F000_0000), 4),
    (_lanes(0x0000_3FFF_0000_3FFF), _lanes(0x0FFF_C000_0FFF_C000), 2),
    (_lanes(0x007F_007F_007F_007F), _lanes(0x3F80_3F80_3F80_3F80), 1),
)


def unpack(octets: bytes, count: int, fill: int = 0) -> bytes:
    """``count`` septets out of packed octets, after ``fill`` bits; fewer where the octets end before."""
    count = min(count, max(0, (len(octets) * 8 - fill) // 7))
    if fill:
        octets = (int.from_bytes(octets, "little") >> fill).to_bytes(len(octets), "little")
    found = b""
    while len(found) < count:
        chunk, octets = octets[: 7 * _LANES], octets[7 * _LANES :]
        bits = int.from_bytes(b"\0".join([chunk[at : at + 7] for at in range(0, len(chunk), 7)]), "little")
        for low, high, shift in _SPREAD:
            bits = bits & low | (bits & high) << shift
        found += bits.to_bytes(8 * _LANES, "little")[: (len(chunk) + 6) // 7 * 8]
    return found[:count]


def semi_octets(digits: str) -> bytes:
    """Digits to swapped semi-octets, filled up with 0xF.

    Raises:
        ValueError: a character that no semi-octet stands for.
    """
    nibbles = [SEMI_OCTETS.index(digit) for digit in digits]
    if len(nibbles) % 2:
        nibbles.append(0xF)
    return bytes([low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True)])


def digits_of(octets: bytes, count: int) -> str:
    """At most ``count`` digits out of swapped semi-octets, up to the filler."""
    return "".join([_PAIRS[octet] for octet in octets])[:count].partition("f")[0]


def encode_address(number: str) -> bytes:
    """An address field with its length in semi-octets (TS 23.040 section 9.1.2.5).

    Raises:
        ValueError: neither a number nor an alphanumeric name of at most 11 septets.
    """
    bare = number.removeprefix("+")
    if bare and all(digit in SEMI_OCTETS for digit in bare):
        if len(bare) > 20:
            raise ValueError(f"a number has at most 20 digits: {number!r}")
        kind = 0x91 if number.startswith("+") else 0x81
        return bytes((len(bare), kind)) + semi_octets(bare)
    septets = encode(number, GSM7)
    if not 0 < len(septets) <= 11:
        raise ValueError(f"an alphanumeric sender has 1 to 11 characters: {number!r}")
    packed = pack(septets)
    return bytes(((len(septets) * 7 + 3) // 4, 0xD0)) + packed


def decode_address(octets: Octets, what: str) -> str:
    """An address field: ``+15551234``, ``12345`` or an alphanumeric name."""
    length = octets.octet(f"the length of {what}")
    if length > 20:
        raise MalformedPdu(f"{what} has {length} semi-octets, at most 20 are allowed")
    return _address(octets.octet(f"the type of {what}"), octets.take((length + 1) // 2, what), length)


def decode_service_centre(octets: Octets) -> str:
    """The SMSC's address as modems put it before the TPDU: its length counts octets, its own type included."""
    length = octets.octet("the length of the service centre")
    if length == 0:
        return ""
    kind = octets.octet("the type of the service centre")
    return _address(kind, octets.take(length - 1, "the service centre"), (length - 1) * 2)


def _address(kind: int, digits: bytes, length: int) -> str:
    type_of_number = kind >> 4 & 0x7
    if type_of_number == 5:
        return decode(unpack(digits, length * 4 // 7), GSM7)
    number = digits_of(digits, length)
    return f"+{number}" if type_of_number == 1 else number


def encode_service_centre(number: str) -> bytes:
    """The SMSC's address before the TPDU; empty: the one stored on the SIM."""
    if not number:
        return b"\x00"
    digits = semi_octets(number.removeprefix("+"))
    return bytes((len(digits) + 1, 0x91 if number.startswith("+") else 0x81)) + digits


def decode_time(octets: bytes) -> float | None:
    """A service centre time stamp (TS 23.040 section 9.2.3.11) as POSIX seconds; None where it is no date at all."""
    try:
        year, month, day, hour, minute, second = (_swapped(octet) for octet in octets[:6])
        zone = octets[6]
        quarters = (zone & 0x07) * 10 + (zone >> 4)
        ahead = timedelta(minutes=15 * (-quarters if zone & 0x08 else quarters))
        century = 2000 if year < 90 else 1900
        local = datetime(century + year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        return float(timegm((local - ahead).timetuple()))
    except (ValueError, OverflowError):
        return None


def _swapped(octet: int) -> int:
    tens, ones = octet & 0xF, octet >> 4
    if tens > 9 or ones > 9:
        raise ValueError("not decimal")
    return tens * 10 + ones


def encode_time(at: float, zone_quarters: int = 0) -> bytes:
    """POSIX seconds to a time stamp in the given zone (quarters of an hour east of UTC)."""
    local = datetime.fromtimestamp(at, UTC) + timedelta(minutes=15 * zone_quarters)
    fields = (local.year % 100, local.month, local.day, local.hour, local.minute, local.second)
    quarters = abs(zone_quarters)
    zone = (quarters // 10) | (quarters % 10) << 4 | (0x08 if zone_quarters < 0 else 0)
    return bytes([field // 10 | field % 10 << 4 for field in fields] + [zone])


def encode_validity(seconds: float) -> int:
    """A relative validity period (TS 23.040 section 9.2.3.12.1), rounded up to what the field can say."""
    minutes = max(5.0, seconds / 60)
    steps = ((720, 5, 0, 0), (1440, 30, 143, 720), (43200, 1440, 166, 0), (635040, 10080, 192, 0))
    for most, unit, offset, start in steps:
        if minutes <= most:
            count = -(-(minutes - start) // unit)
            return int(offset + count - (1 if offset == 0 else 0))
    return 255


def decode_validity(field: int) -> float:
    """The seconds that a relative validity period stands for."""
    if field <= 143:
        return (field + 1) * 300.0
    if field <= 167:
        return 43200.0 + (field - 143) * 1800.0
    return (field - 166) * 86400.0 if field <= 196 else (field - 192) * 604800.0


def encode_header(header: Header) -> bytes:
    """The user data header with its length octet; empty where nothing is in it."""
    elements: list[tuple[int, bytes]] = []
    if header.reference is not None:
        wide = header.reference_bits == 16
        reference = header.reference.to_bytes(2 if wide else 1, "big")
        elements.append((0x08 if wide else 0x00, reference + bytes((header.total, header.index))))
    if header.destination_port is not None:
        ports = header.destination_port.to_bytes(2, "big") + (header.source_port or 0).to_bytes(2, "big")
        elements.append((0x05, ports))
    if header.single:
        elements.append((0x24, bytes((header.single,))))
    if header.locking:
        elements.append((0x25, bytes((header.locking,))))
    elements += header.others
    joined = b"".join([bytes((kind, len(value))) + value for kind, value in elements])
    return bytes((len(joined),)) + joined if joined else b""


def decode_header(octets: bytes) -> Header:
    """The elements of a header (its length octet taken off); what is broken is left out: the text still counts."""
    found = Header()
    others: list[tuple[int, bytes]] = []
    at = 0
    while at + 2 <= len(octets):
        kind, length = octets[at], octets[at + 1]
        value = octets[at + 2 : at + 2 + length]
        at += 2 + length
        if len(value) < length:
            break
        known = _element(kind, value)
        if known:
            found = msgspec.structs.replace(found, **known)
        else:
            others.append((kind, value))
    return msgspec.structs.replace(found, others=tuple(others))


def _element(kind: int, value: bytes) -> dict[str, int]:
    if kind == 0x00 and len(value) == 3:
        return _part(value[0], 8, value[1], value[2])
    if kind == 0x08 and len(value) == 4:
        return _part(value[0] << 8 | value[1], 16, value[2], value[3])
    if kind == 0x04 and len(value) == 2:
        return {"destination_port": value[0], "source_port": value[1]}
    if kind == 0x05 and len(value) == 4:
        return {"destination_port": value[0] << 8 | value[1], "source_port": value[2] << 8 | value[3]}
    if kind == 0x24 and len(value) == 1:
        return {"single": value[0]}
    if kind == 0x25 and len(value) == 1:
        return {"locking": value[0]}
    return {}


def _part(reference: int, bits: int, total: int, index: int) -> dict[str, int]:
    """TS 23.040 section 9.2.3.24.1: an element whose numbers make no sense is to be ignored."""
    if not 1 <= index <= total:
        return {}
    return {"reference": reference, "reference_bits": bits, "total": total, "index": index}
