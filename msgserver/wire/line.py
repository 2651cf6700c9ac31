"""One kept HTTP/1.1 connection to a far side, and what a request looks like on it (RFC 9112 section 3)."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from msgserver.wire.answer import AnswerReader, BadAnswer

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?][^\s#]*)?",
    re.ASCII,
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAKS = re.compile(r"[\x00\r\n]+")


class Request(msgspec.Struct, frozen=True):
    """What is asked; header values may not break lines, the body is sent as it is."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Place(msgspec.Struct, frozen=True):
    """Where a request goes: one connection serves all requests to the same place."""

    host: str  # without the brackets of an IPv6 address
    port: int
    tls: bool


def place_of(request: Request) -> tuple[Place, str]:
    """Where a URL leads, and what is asked for there.

    Raises:
        ValueError: it is no http or https URL, names a user, or has characters that a URL has not.
    """
    return _place_of(request.url)


@lru_cache(256)  # most go to one address
def _place_of(url: str) -> tuple[Place, str]:
    found = _URL.fullmatch(url)
    if found is None or not url.isascii() or not url.isprintable():
        raise ValueError("no http or https address that can be asked")
    tls = found["scheme"] == "https"
    port = int(found["port"] or (443 if tls else 80))
    if not 0 < port < 65536:
        raise ValueError("no such port")
    target = found["target"] or "/"
    return Place(found["host"].strip("[]"), port, tls), target if target.startswith("/") else f"/{target}"


def written(request: Request, place: Place, target: str) -> bytes:
    """The request as it goes over the wire.

    Raises:
        ValueError: its method, or the name of a header, is none.
    """
    if not _TOKEN.fullmatch(request.method):
        raise ValueError("no method of HTTP")
    host = f"[{place.host}]" if ":" in place.host else place.host
    if place.port != (443 if place.tls else 80):
        host = f"{host}:{place.port}"
    lines = [f"{request.method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: msgserver\r\n"]
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError("no name of a header")
        lines.append(f"{name}: {_BREAKS.sub(' ', value).strip()}\r\n")
    if request.body or request.method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(request.body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "replace") + request.body


def write_now(transport: Any, data: bytes) -> None:
    """Write at once where nothing waits before it: asking the reactor for a turn to write costs more than writing."""
    plain = isinstance(transport, Connection) and not transport.TLS
    if plain and not transport.dataBuffer and not transport._tempDataBuffer:
        with suppress(OSError):  # full, or lost: the reactor finds out which
            data = data[transport.socket.send(data) :]
    if data:
        transport.write(data)


class Line(Protocol):
    """One connection, one request at a time.

    Attributes:
        idle_since: when it last became free.
    """

    idle_since = 0.0
    _reader: AnswerReader | None = None
    _ended: Deferred[AnswerReader] | None = None
    _lost = False

    def ask(self, wire: bytes, method: str) -> Deferred[AnswerReader]:
        """Send a request; fires with its whole answer, or with an ended one of status 400 and up.

        Fails with BadAnswer, or the cause of a lost connection. Cancelling hangs up.
        """
        self._reader = AnswerReader(method)
        self._ended = Deferred(lambda _: self.hang_up())
        write_now(self.transport, wire)
        return self._ended

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the answer; what nobody asked for ends the connection."""
        reader = self._reader
        if reader is None:
            self.hang_up()
            return
        try:
            whole = reader.feed(data)
        except BadAnswer as wrong:
            self.hang_up()
            self._finish(reader if reader.status >= 400 else wrong)
            return
        if whole:
            if not reader.reusable:
                self.hang_up()
            self._finish(reader)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The far side hung up, or we did."""
        self._lost = True
        reader = self._reader
        if reader is None:
            return
        try:
            reader.end()
        except BadAnswer as wrong:
            cause = reason.value if reason.value is not None and not reader.status else wrong
            self._finish(reader if reader.status >= 400 else cause)
        else:
            self._finish(reader)

    def _finish(self, outcome: AnswerReader | BaseException) -> None:
        ended, self._ended, self._reader = self._ended, None, None
        if ended is None or ended.called:
            return
        if isinstance(outcome, AnswerReader):
            ended.callback(outcome)
        else:
            ended.errback(outcome)

    def hang_up(self) -> None:
        """End the connection now."""
        transport: Any = self.transport
        if transport is not None and not self._lost:
            transport.abortConnection()

    @property
    def is_open(self) -> bool:
        """Whether it can carry a request.

        Anything there to be read, which the reactor has not yet seen, speaks against it: nobody asked, so the far
        side is hanging up.
        """
        transport: Any = self.transport
        if self._lost or transport.disconnecting:
            return False
        below = getattr(transport, "transport", None)  # TLS stands on it
        handle = getattr(below if below is not None else transport, "socket", None)
        if handle is None:
            return True
        try:
            handle.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False
