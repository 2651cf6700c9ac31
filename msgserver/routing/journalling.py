"""How an arrival is written into the journal and read back: pure."""

from __future__ import annotations

import hashlib

import msgspec

from msgserver.message import Arrival
from msgserver.records import JournalRow, Raw

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Arrival).decode
_replace = msgspec.structs.replace


class Journalled(msgspec.Struct, frozen=True):
    """An arrival that is in the journal and waits to be read."""

    raw_id: int
    connector: str
    received_at: float
    arrival: Arrival


def journal_row(connector: str, arrival: Arrival, now: float, blob: str = "") -> JournalRow:
    """The row of an arrival. ``blob``: its bytes lie in the blob store under this name, their sha256."""
    return JournalRow(
        connector=connector,
        wire_id=arrival.wire_id,
        envelope=_encode(_replace(arrival, raw=b"", sha256="", cursor=None)),
        raw=b"" if blob else arrival.raw,
        blob=blob,
        size=len(arrival.raw),
        sha256=blob or arrival.sha256 or hashlib.sha256(arrival.raw).hexdigest(),
        received_at=now,
        cursor=arrival.cursor,
    )


def journalled(raw: Raw, content: bytes) -> Journalled:
    """An arrival out of its row; ``content`` are its bytes, wherever they lay.

    Raises:
        ValueError: the row cannot be understood.
    """
    arrival = _replace(_decode(raw.envelope), raw=content)
    return Journalled(raw.id, raw.connector, raw.received_at, arrival)
