"""What comes back over HTTP/1.1, read piece by piece (RFC 9112 sections 4 to 7). Pure: bytes in, an answer out.

Strict where two readings of the same bytes would be possible, bounded everywhere: a head of 32 KiB, a body of 256 KiB.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

LARGEST = 256 * 1024  # bytes of a body
_HEAD = 32 * 1024  # bytes of status line and headers, interim answers and trailers included
_LINE = 1024  # bytes of a chunk's size with its extensions
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_BLANK = re.compile(rb"\n\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?", re.DOTALL)


class Answer(msgspec.Struct, frozen=True):
    """What came back: header names in small letters, the last one where several are alike; ``at`` is when."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    at: float = 0.0

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body read as JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None


class BadAnswer(Exception):
    """These bytes are no (whole, bounded) answer; the message says why."""


class AnswerReader:
    """Reads one answer to one request.

    Attributes:
        status: 0 until the head is whole.
        headers: as :class:`Answer` has them.
        reusable: whether the connection may carry another request after this answer.
    """

    def __init__(self, method: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.reusable = False
        self._method = method
        self._kept = b""
        self._pieces: list[bytes] = []
        self._size = 0
        self._heads = 0  # bytes of heads and trailers so far
        self._left = 0  # bytes until the body (or the chunk) ends
        self._kind = ""  # "length", "chunked", "close"
        self._at_chunk = "size"  # "size", "bytes", "end", "trailers"

    @property
    def body(self) -> bytes:
        """What of the body has come."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True: the answer is whole.

        Raises:
            BadAnswer: it never will be.
        """
        kept = self._kept + data if self._kept else data
        self._kept = b""
        if not self.status:
            rest = self._take_head(kept)
            if rest is None:
                return False
            kept = rest
        if self._kind == "chunked":
            return self._take_chunks(kept)
        if self._kind == "close":
            self._keep(kept)
            return False
        self._keep(kept[: self._left])
        extra = len(kept) - self._left
        self._left = max(-extra, 0)
        if extra > 0:
            self.reusable = False  # nobody asked for more
        return extra >= 0

    def end(self) -> None:
        """The connection has ended.

        Raises:
            BadAnswer: in the middle of the answer.
        """
        if not self.status:
            raise BadAnswer("the connection was closed" if not self._kept else "the answer broke off in its head")
        if self._kind != "close":
            raise BadAnswer("the answer broke off")

    # The head

    def _take_head(self, kept: bytes) -> bytes | None:
        while True:
            found = _BLANK.search(kept)
            if found is None or found.start() > _HEAD:
                if len(kept) > _HEAD:
                    raise BadAnswer("the head of the answer does not end")
                if not kept.startswith(b"HTTP/1."[: len(kept)]):
                    raise BadAnswer("this is not HTTP/1.1")
                self._kept = kept
                return None
            self._heads += found.end()
            if self._heads > _HEAD:
                raise BadAnswer("the head of the answer does not end")
            head, kept = kept[: found.start()], kept[found.end() :]
            if self._read_head(head):
                return kept

    def _read_head(self, head: bytes) -> bool:
        """Read a head; False: it is an interim answer, the real one follows (RFC 9110 section 15.2)."""
        first, _, rest = head.partition(b"\n")
        line = _STATUS.fullmatch(first.rstrip(b"\r"))
        if line is None:
            raise BadAnswer("this is not HTTP/1.1")
        status = int(line[2])
        if status == 101:
            raise BadAnswer("the far side changed the protocol, unasked")
        if status < 200:
            return False
        lengths: set[bytes] = set()
        for name, value in _fields(rest):
            if name == b"content-length":
                lengths.update(each.strip() for each in value.split(b","))
            self.headers[name.decode("ascii")] = value.decode("latin-1")
        self._choose(status, lengths)
        connection = self.headers.get("connection", "").lower()
        kept = "close" not in connection if line[1] == b"1" else "keep-alive" in connection
        doubtful = bool(lengths) and "transfer-encoding" in self.headers  # RFC 9112 section 6.3
        self.reusable = kept and self._kind != "close" and not doubtful
        self.status = status
        return True

    def _choose(self, status: int, lengths: set[bytes]) -> None:
        """How the body ends (RFC 9112 section 6.3)."""
        if self._method == "HEAD" or status in (204, 304):
            self._kind, self._left = "length", 0
        elif "transfer-encoding" in self.headers:
            codings = self.headers["transfer-encoding"].lower().split(",")
            self._kind = "chunked" if codings[-1].strip() == "chunked" else "close"
        elif lengths:
            (length,) = lengths if len(lengths) == 1 else (b"",)
            if not (length.isdigit() and len(length) < 16):
                raise BadAnswer("the length of the answer is no number, or two")
            self._kind, self._left = "length", int(length)
        else:
            self._kind = "close"

    # The body

    def _keep(self, data: bytes) -> None:
        if self._size + len(data) > LARGEST:
            raise BadAnswer(f"the answer is longer than {LARGEST} bytes")
        if data:
            self._size += len(data)
            self._pieces.append(data)

    def _take_chunks(self, kept: bytes) -> bool:
        """RFC 9112 section 7.1."""
        at = 0
        while True:
            if self._at_chunk == "bytes":
                piece = kept[at : at + self._left]
                self._keep(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    return False
                self._at_chunk = "end"
            end = kept.find(b"\n", at)
            if end < 0 or end - at > _LINE:
                if len(kept) - at > _LINE:
                    raise BadAnswer("the answer's chunks make no sense")
                self._kept = kept[at:]
                return False
            line, at = kept[at:end].rstrip(b"\r"), end + 1
            if self._line_is_last(line):
                self.reusable = self.reusable and at == len(kept)
                return True

    def _line_is_last(self, line: bytes) -> bool:
        if self._at_chunk == "trailers":
            self._heads += len(line)
            if self._heads > _HEAD:
                raise BadAnswer("the answer's trailers do not end")
            return not line
        if self._at_chunk == "end":
            if line:
                raise BadAnswer("the answer's chunks make no sense")
            self._at_chunk = "size"
            return False
        size = _SIZE.fullmatch(line)
        if size is None:
            raise BadAnswer("the answer's chunks make no sense")
        self._left = int(size[1], 16)
        self._at_chunk = "bytes" if self._left else "trailers"
        return False


def _fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Names in small letters and values; a folded line belongs to the one before (RFC 9112 section 5.2)."""
    found: list[tuple[bytes, bytes]] = []
    for line in lines.split(b"\n") if lines else ():
        if line[:1] in (b" ", b"\t") and found:
            name, value = found.pop()
            found.append((name, value + b" " + line.strip()))
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise BadAnswer("the answer's headers make no sense")
        found.append((name.lower(), value.strip()))
    return found
