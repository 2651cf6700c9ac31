"""What a reader process and its pool say to each other: length-prefixed msgpack, questions down, answers up.

::

    -> u32 length, [function, seconds, payload, keys]       one question; function "" reads a mail
    <- u32 length, Ready | Reading | Unreadable | Returned

Answers come in the order of the questions. Imports nothing of Twisted: the child is to start fast and stay small.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from msgserver.formats.frames import pack
from msgserver.formats.reading import Reading


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


def question(function: str, seconds: float, payload: bytes, keys: Mapping[str, bytes] = _NO_KEYS) -> bytes:
    """A question as it goes over the line. ``keys``: what a mail's signatures are to be checked with."""
    return pack(_encoder.encode((function, seconds, payload, keys)))


def read_question(frame: bytes) -> tuple[str, float, bytes, dict[str, bytes]]:
    """The function, its seconds, its payload and the keys."""
    return _questions.decode(frame)


def answer(said: Answer) -> bytes:
    """An answer as it goes over the line."""
    return pack(_encoder.encode(said))


def read_answer(frame: bytes) -> Answer:
    """What the child said.

    Raises:
        msgspec.MsgspecError: it is no answer.
    """
    return _answers.decode(frame)
