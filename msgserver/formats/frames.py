"""Frames on a byte stream: each with its length before it, 32 bits, most significant byte first."""

from __future__ import annotations

import struct

_LENGTH = struct.Struct("!I")
MOST = 512 * 1024 * 1024  # bytes of a frame; beyond, the other side has lost its mind


def pack(*pieces: bytes) -> bytes:
    """A frame, in one or several pieces, with its length before it."""
    return b"".join((_LENGTH.pack(sum(map(len, pieces))), *pieces))


class FrameCutter:
    """Cuts a stream into frames; a byte is copied once, and once more where its frame came in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()  # the beginning of a frame

    def feed(self, got: bytes | memoryview) -> list[bytes]:
        """The frames that are complete now; what was got is not held.

        Raises:
            ValueError: a frame is longer than any can be.
        """
        out: list[bytes] = []
        with memoryview(got) as view:
            at = self._complete(view, out) if self._held else 0
            while len(view) - at >= 4:
                end = at + 4 + _length(view, at)
                if end > len(view):
                    break
                out.append(bytes(view[at + 4 : end]))
                at = end
            if at < len(view):
                self._held += view[at:]
        return out

    def _complete(self, view: memoryview, out: list[bytes]) -> int:
        """Take what the frame that is held lacks; returns how much that was."""
        held = self._held
        head = max(0, 4 - len(held))
        held += view[:head]
        if len(held) < 4:
            return len(view)
        size = 4 + _length(held, 0)
        end = head + size - len(held)
        held += view[head:end]
        if len(held) == size:
            self._held = bytearray()
            with memoryview(held) as whole:
                out.append(bytes(whole[4:]))
        return min(end, len(view))


def _length(stream: bytearray | memoryview, at: int) -> int:
    (length,) = _LENGTH.unpack_from(stream, at)
    if length > MOST:
        raise ValueError(f"a frame of {length} bytes")
    return int(length)
