# mypy: allow-untyped-calls
"""The HTTP wire, made strict: deadlines, byte limits before anything is spooled, and a Request that parses little.

    -> request line and headers   at most 16 KiB, 500 lines, within 10 s of the first byte
    -> body                       at most what the route allows, at 500 bytes a second or faster
    <- 413, 408, 400              raw, then the connection closes

RFC 9112 for the framing, RFC 9110 section 15.5 for the refusals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from msgserver.web import quick
from msgserver.web.quick import Quick
from msgserver.wire.line import write_now

if TYPE_CHECKING:
    from twisted.internet.protocol import Protocol

HEADER_DEADLINE = 10.0  # seconds from a request's first byte to the end of its headers
PACE = 500  # bytes of body a second, measured over
PACE_WINDOW = 20.0  # seconds
IDLE = 60.0  # seconds a kept connection may say nothing
DRAIN = 2.0  # seconds of unread body we let pass by so that the refusal is not lost to a reset
SMALL = 1 << 20
LARGE = 30 << 20
CONNECTIONS = 1000
_CALLS = (b"POST /in/", b"GET /in/")
FIELDS = 1000  # of a form handed to a mounted resource

REASONS = {408: b"Request Timeout", 413: b"Content Too Large"}
WORDS = {
    408: b"It came too slowly. Nothing was done; send it again.",
    413: b"The body is larger than is taken here. Nothing was done.",
}


class Channel(HTTPChannel):
    """One connection. Its own clock watches the headers and the pace of the body; twisted.web's watches idleness."""

    factory: StrictSite
    site: StrictSite
    _deadline: IDelayedCall | None = None
    _refused = False
    _peer = ""  # whose connection it is, once somebody asked
    _behind: bytes | None = None  # while a gateway's call is answered the short way: what came after it
    _body = 0  # bytes of this request's body so far
    _window = 0  # of them at the start of this pace window
    limit = SMALL

    def connectionMade(self) -> None:
        """Begin; the first headers are due."""
        super().connectionMade()
        self.factory.channels.add(self)
        self._set_deadline(HEADER_DEADLINE, self._too_slow)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """End."""
        self.factory.channels.discard(self)
        self._set_deadline(None)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes in; a next request's first byte sets its deadline."""
        if self._refused:
            return
        if self._behind is not None:  # a call is being answered: what comes meanwhile waits
            self._behind += data
            if len(self._behind) > self._optimisticEagerReadSize:
                self._networkProducer.pauseProducing()
            return
        if data.startswith(_CALLS) and not self.requests and not self._receivedHeaderSize and not self._buffer:
            answering = self._quickly(data)
            if answering is not None:
                self._behind = b""
                answering.addCallback(self._answer_call)
                return
        if self._deadline is None and not self._handlingRequest:
            self._set_deadline(HEADER_DEADLINE, self._too_slow)
        super().dataReceived(data)

    def _quickly(self, data: bytes) -> Any:
        """Answer a gateway's plain call that came whole; None: the long way."""
        if not self._peer:
            transport: Any = self.transport
            self._peer = str(getattr(transport.getPeer(), "host", "local"))
        call = quick.read(data, self._peer)
        answering = self.factory.quick(call) if call is not None else None
        if answering is not None:
            self._set_deadline(None)
            self.resetTimeout()
        return answering

    def _answer_call(self, reply: Any) -> None:
        behind, self._behind = self._behind, None
        transport: Any = self.transport
        if transport is None or self not in self.factory.channels:
            return  # nobody waits for it any more
        write_now(transport, quick.written(reply, self.factory.always, self.factory.now()))
        self.resetTimeout()
        if behind:
            self._networkProducer.resumeProducing()
            self.dataReceived(behind)

    def timeoutConnection(self) -> None:
        """Send the idle away; who waits for an answer is not idle."""
        if self._behind is None:
            super().timeoutConnection()
        else:
            self.setTimeout(self.timeOut)

    def rawDataReceived(self, data: bytes) -> None:
        """Take bytes of a body in, unless it was refused."""
        if not self._refused:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        """Refuse a body that says it is too large, before there is a place for it."""
        self._body = self._window = 0
        self.limit = self.factory.limit(self._command, self._path)
        if self.length is not None and self.length > self.limit:
            self.refuse(413)
            return
        self._set_deadline(None)
        super().allHeadersReceived()
        if self.length != 0:
            self._set_deadline(PACE_WINDOW, self._check_pace)

    def body_received(self, size: int) -> bool:
        """Count bytes of body; False (and refused) when there are more than allowed."""
        self._body += size
        if self._body <= self.limit:
            return not self._refused
        if not self._refused:
            self.refuse(413)
        return False

    def allContentReceived(self) -> None:
        """The request is whole."""
        if self._refused:
            return
        self._set_deadline(None)
        super().allContentReceived()

    def refuse(self, status: int) -> None:
        """Say no on the bare wire, read nothing more, close soon."""
        self._refused = True
        reason = REASONS[status]
        kind, words = b"text/plain", reason + b"\n"
        if self._path.startswith(b"/api/"):  # RFC 9457, as every refusal there
            kind = b"application/problem+json"
            words = b'{"type":"about:blank","title":"%s","status":%d,"detail":"%s"}' % (reason, status, WORDS[status])
        assert self.transport is not None
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (status, reason, kind, len(words), words)
        )
        self._set_deadline(DRAIN, self.loseConnection)

    def _too_slow(self) -> None:
        if self.requests or self._receivedHeaderSize:
            self.refuse(408)
        else:
            self.loseConnection()

    def _check_pace(self) -> None:
        if self._body - self._window < PACE * PACE_WINDOW:
            self.refuse(408)
            return
        self._window = self._body
        self._set_deadline(PACE_WINDOW, self._check_pace)

    def _set_deadline(self, seconds: float | None, act: Callable[[], Any] | None = None) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None and act is not None:

            def due() -> None:
                self._deadline = None
                act()

            self._deadline = self.callLater(seconds, due)


class StrictRequest(Request):
    """A request that leaves the form in its body to whoever wants it (the stock parsing costs 43 % of the CPU)."""

    channel: Channel
    seen_from = ""  # who calls a mounted resource: behind trusted proxies, what they saw
    defaultContentType: bytes | None = None

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, if it is still within the limit."""
        if self.channel.body_received(len(data)):
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is whole: split its path, and leave everything else unread."""
        assert self.content is not None
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        self.args: dict[bytes, list[bytes]] = {}
        self.site = self.channel.site
        self.process()

    def process(self) -> None:
        """Hand it to whoever answers."""
        self.channel.factory.take(self)

    def read_fields(self) -> None:
        """Fill ``args`` from the query and a urlencoded body, as a mounted resource expects."""
        assert self.content is not None
        pairs = [self.query]
        kind = (self.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind == b"application/x-www-form-urlencoded":
            pairs.append(self.content.read())
            self.content.seek(0)
        for text in pairs:
            for pair in text.split(b"&", FIELDS)[:FIELDS]:
                name, equals, value = pair.replace(b"+", b" ").partition(b"=")
                if name or equals:
                    self.args.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))


class StrictSite(Site):
    """The factory: how large a body a path may have, who takes a request, how many connections there are."""

    requestFactory = StrictRequest
    displayTracebacks = False

    def __init__(
        self,
        limit: Callable[[bytes, bytes], int],
        take: Callable[[StrictRequest], None],
        reactor: Any,
        streams: Any,
        rows: Any = (),
        quick: Callable[[Quick], Any] = lambda _call: None,
        always: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(Resource(), reactor=reactor, timeout=IDLE)
        self.protocol = Channel  # type: ignore[method-assign, assignment]
        self.limit = limit
        self.take = take
        self.streams = streams
        self.rows = rows
        self.quick = quick
        self.always = always
        self.now: Callable[[], float] = reactor.seconds
        self.channels: set[Channel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # type: ignore[override]
        """A connection, unless there are too many."""
        if len(self.channels) >= CONNECTIONS:
            return None
        channel: Protocol | None = super().buildProtocol(addr)
        return channel

    def log(self, request: Any) -> None:
        """Say nothing: each request's one log line is written where its id is known."""

    def startFactory(self) -> None:
        """Begin the live pages; open no access log and keep no clock for it."""
        self.streams.start()

    def stopFactory(self) -> None:
        """End the live pages and every connection."""
        self.streams.stop()
        for channel in tuple(self.channels):
            channel.loseConnection()

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only."""
        return [b"http/1.1"]
