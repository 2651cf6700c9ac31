"""Frames on a byte stream: each with its length before it, 32 bits, most significant byte first."""

from __future__ import annotations

import struct

_LENGTH = struct.Struct("!I")
MOST = 512 * 1024 * 1024  # bytes of a frame; beyond, the other side has lost its mind


def pack(*pieces: bytes) -> bytes:
    """A frame, in one or several pieces, with its length before it."""
    return b"".join((_LENGTH.pack(sum(map(len, pieces))), *pieces))


class FrameCutter:
    """Cuts a stream into frames; each byte is copied twice, however the stream is cut."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, got: bytes | memoryview) -> list[bytes]:
        """The frames that are complete now; what was got is not held.

        Raises:
            ValueError: a frame is longer than any can be.
        """
        held = self._held
        held += got
        out = []
        at = 0
        while len(held) - at >= 4:
            (length,) = _LENGTH.unpack_from(held, at)
            if length > MOST:
                raise ValueError(f"a frame of {length} bytes")
            if len(held) - at - 4 < length:
                break
            with memoryview(held) as view:
                out.append(bytes(view[at + 4 : at + 4 + length]))
            at += 4 + length
        if at == len(held):
            self._held = bytearray()
        elif at:
            del held[:at]
        return out
