"""What is signed inside an S/MIME message whose signature is wrapped around it (RFC 8551 section 3.5.2), unchecked.

Just as much ASN.1 as it takes to find the words: the content of a CMS SignedData (RFC 5652), in BER.
"""

from __future__ import annotations

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # 1.2.840.113549.1.7.2
_SEQUENCE, _OCTETS, _OID, _ZERO = 0x30, 0x04, 0x06, 0xA0
_CONSTRUCTED = 0x20
_MOST_PIECES = 100_000
_DEEPEST = 16


class _NotThat(Exception):
    """The bytes are something else."""


def signed_content(raw: bytes) -> bytes | None:
    """The mail part that was signed; None where it does not lie in these bytes."""
    try:
        outer = _inside(raw, 0, len(raw), _SEQUENCE)
        oid = _element(raw, *outer)
        if oid[0] != _OID or raw[oid[1] : oid[2]] != _SIGNED_DATA:
            return None
        signed = _inside(raw, *_inside(raw, oid[3], outer[1], _ZERO), _SEQUENCE)
        version = _element(raw, *signed)
        digests = _element(raw, version[3], signed[1])
        wrapped = _inside(raw, digests[3], signed[1], _SEQUENCE)
        kind = _element(raw, *wrapped)
        content = _inside(raw, kind[3], wrapped[1], _ZERO)
        return b"".join(_octets(raw, *_element(raw, *content)[:3], 0, [_MOST_PIECES]))
    except (_NotThat, IndexError):
        return None


def _inside(raw: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Where the content of the element here begins and ends."""
    found, begin, stop, _ = _element(raw, at, end)
    if found != tag:
        raise _NotThat
    return begin, stop


def _element(raw: bytes, at: int, end: int, depth: int = 0) -> tuple[int, int, int, int]:
    """Tag, begin and end of the content, and where the next element begins."""
    if at + 2 > end or depth > _DEEPEST:
        raise _NotThat
    tag, length, begin = raw[at], raw[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise _NotThat
    if length == 0x80:
        if not tag & _CONSTRUCTED:
            raise _NotThat
        here = begin
        for _ in range(_MOST_PIECES):
            if raw[here : here + 2] == b"\0\0":
                return tag, begin, here, here + 2
            here = _element(raw, here, end, depth + 1)[3]
        raise _NotThat
    if length > 0x80:
        many = length & 0x7F
        if many > 4:
            raise _NotThat
        length = int.from_bytes(raw[begin : begin + many], "big")
        begin += many
    if begin + length > end:
        raise _NotThat
    return tag, begin, begin + length, begin + length


def _octets(raw: bytes, tag: int, at: int, end: int, depth: int, left: list[int]) -> list[bytes]:
    """The pieces of an octet string; ``left`` is how many more there may be."""
    if tag == _OCTETS:
        return [raw[at:end]]
    if tag != _OCTETS | _CONSTRUCTED or depth > _DEEPEST:
        raise _NotThat
    pieces: list[bytes] = []
    while at < end:
        found, begin, stop, at = _element(raw, at, end)
        left[0] -= 1
        if left[0] < 0:
            raise _NotThat
        pieces += _octets(raw, found, begin, stop, depth + 1, left)
    return pieces
