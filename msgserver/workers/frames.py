"""What a reader process and its pool say to each other: length-prefixed msgpack, questions down, answers up.

::

    -> u32 length, [function, seconds, payload, keys]       one question; function "" reads a mail
    <- u32 length, Ready | Reading | Unreadable | Returned

Answers come in the order of the questions. Imports nothing of Twisted: the child is to start fast and stay small.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import msgspec

from msgserver.formats.reading import Reading

_LENGTH = struct.Struct("!I")
MOST = 512 * 1024 * 1024  # bytes of a frame; beyond, the other side has lost its mind


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The child has started and waits for questions."""

    pid: int


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """This one could not be read, and why, in words for people. Its bytes are safe where they came from."""

    why: str


class Returned(msgspec.Struct, frozen=True, tag=True):
    """What a called function gave back."""

    value: bytes


class ReadMail(msgspec.Struct, frozen=True, tag=True):
    """A mail, read."""

    reading: Reading


Answer = Ready | ReadMail | Unreadable | Returned

_encoder = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_questions = msgspec.msgpack.Decoder(tuple[str, float, bytes, dict[str, bytes]])
_NO_KEYS: dict[str, bytes] = {}


def pack(frame: bytes) -> bytes:
    """A frame with its length before it."""
    return _LENGTH.pack(len(frame)) + frame


def question(function: str, seconds: float, payload: bytes, keys: Mapping[str, bytes] = _NO_KEYS) -> bytes:
    """A question as it goes over the pipe. ``keys``: what a mail's signatures are to be checked with."""
    return pack(_encoder.encode((function, seconds, payload, keys)))


def read_question(frame: bytes) -> tuple[str, float, bytes, dict[str, bytes]]:
    """The function, its seconds, its payload and the keys."""
    return _questions.decode(frame)


def answer(said: Answer) -> bytes:
    """An answer as it goes over the pipe."""
    return pack(_encoder.encode(said))


def read_answer(frame: bytes) -> Answer:
    """What the child said.

    Raises:
        msgspec.MsgspecError: it is no answer.
    """
    return _answers.decode(frame)


class FrameCutter:
    """Cuts a stream into frames; each byte is copied twice, however the stream is cut."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, got: bytes) -> list[bytes]:
        """The frames that are complete now.

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
