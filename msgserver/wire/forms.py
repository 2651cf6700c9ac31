"""Names and values as they come over the wire, left as bytes: who reads them knows their charset."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

MOST = 500  # pairs


def read_pairs(text: bytes) -> list[tuple[bytes, bytes]]:
    """Read ``a=1&b=2`` (WHATWG URL section 5.1): ``+`` is a space, ``%41`` a byte.

    Raises:
        ValueError: there are more than 500 pairs.
    """
    if text.count(b"&") >= MOST:
        raise ValueError(f"more than {MOST} fields")
    if not text:
        return []
    plain = b"%" not in text and b"+" not in text
    pairs = []
    for piece in text.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((name, value) if plain else (_unquoted(name), _unquoted(value)))
    return pairs


def _unquoted(text: bytes) -> bytes:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text
