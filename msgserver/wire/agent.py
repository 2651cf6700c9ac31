"""A safe HTTP client: kept connections, bounded answers, one deadline, no redirects, and the truth about what was sent.

It tells apart what a sender must know: :class:`NothingSent` (safe to repeat) and :class:`NoAnswer` (bytes went out,
nobody knows what became of them). A request on a kept connection that the far side is just closing is the second,
so connections are kept for a short while only, and looked at before they are used again.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from zope.interface import implementer

from msgserver.wire.reach import NotReachable, Reach

LARGEST = 256 * 1024  # bytes of an answer
KEEP = 4.0  # seconds an unused connection is kept: less than the 5 s after which many servers close


class Request(msgspec.Struct, frozen=True):
    """What is asked; header values may not break lines, the body is sent as it is."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


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


class NothingSent(Exception):
    """The far side has nothing of it; the message says why."""


class NoAnswer(Exception):
    """It went out, in part at least, and no whole answer came."""


class HttpAgent:
    """A client for a few far sides.

    Args:
        allow_private: private networks and this machine may be reached.
        authorities: a PEM file of whom to trust; empty: whom the system trusts.
        connections: how many are kept to each far side.
    """

    def __init__(
        self, reactor: Any, *, allow_private: bool = False, authorities: str = "", connections: int = 8
    ) -> None:
        self._reactor = reactor
        self._reach = Reach(reactor, allow_private, authorities)
        self._pool = HTTPConnectionPool(reactor)
        self._pool.retryAutomatically = False  # it would repeat a GET, and so send a text twice
        self._pool.maxPersistentPerHost = connections
        self._pool.cachedConnectionTimeout = KEEP  # type: ignore[assignment]
        self._under_way: set[Deferred[Answer]] = set()

    async def ask(self, request: Request, deadline: float) -> Answer:
        """Send a request and read the whole answer within ``deadline`` seconds; 3xx is an answer like others.

        Raises:
            NothingSent: there was no connection, or none that may be made.
            NoAnswer: there was one, and then no (whole, bounded) answer.
            ValueError: this is no request.
        """
        line = _Line(self._pool)
        agent = Agent.usingEndpointFactory(self._reactor, self._reach, line)
        asking = Deferred.fromCoroutine(self._ask(agent, request))
        self._under_way.add(asking)
        late = self._reactor.callLater(deadline, asking.cancel)
        try:
            return await asking
        except (NoAnswer, ValueError):
            raise
        except NotReachable as error:
            raise NothingSent(str(error)) from error
        except Exception as error:
            why = _words(error) if late.active() else f"nothing within {deadline:.0f} s"
            host = request.url.split("/")[2].rpartition("@")[2]
            if line.used:
                raise NoAnswer(f"no answer from {host} ({why}): it may or may not have been taken") from error
            raise NothingSent(f"no connection to {host}: {why}") from error
        finally:
            self._under_way.discard(asking)
            if late.active():
                late.cancel()

    async def _ask(self, agent: Agent, request: Request) -> Answer:
        headers = Headers({"User-Agent": ["msgserver"]})
        for name, value in request.headers:
            headers.addRawHeader(name, value)
        body = _Body(request.body) if request.body or request.method != "GET" else None
        response = await agent.request(request.method.encode("ascii"), request.url.encode("ascii"), headers, body)
        named = {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in _all(response)}
        content, trouble = await _read(response)
        if trouble and response.code < 400:  # a refusal is one however it ends
            raise NoAnswer(f"the answer broke off ({trouble}): it may or may not have been taken")
        return Answer(response.code, named, content, self._reactor.seconds())

    def close(self) -> Deferred[None]:
        """Give up what is under way, hang up all connections."""
        for asking in list(self._under_way):
            asking.cancel()
        closing: Deferred[None] = maybeDeferred(self._pool.closeCachedConnections)
        return closing


def _all(response: IResponse) -> list[tuple[bytes, list[bytes]]]:
    return list(response.headers.getAllRawHeaders())


def _words(error: BaseException) -> str:
    reasons = getattr(error, "reasons", None)  # Twisted wraps what happened
    if reasons:
        error = reasons[-1].value
    if isinstance(error, CancelledError):
        return "it was stopped"
    return str(error).rstrip(".") or type(error).__name__


class _Line:
    """A pool for one request, which notes whether the request got as far as a connection."""

    persistent = True

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self._pool = pool
        self.used = False

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connection(key, endpoint))

    async def _connection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Any:
        while True:
            connection: Any = await self._pool.getConnection(key, endpoint)
            if connection.state == "QUIESCENT" and not _is_closed(connection.transport):
                self.used = True
                return connection
            connection.transport.loseConnection()


def _is_closed(transport: Any) -> bool:
    """Whether the far side has hung up a connection already, though the reactor has not yet seen it."""
    below = getattr(transport, "transport", None)  # TLS stands on it
    handle = getattr(below if below is not None else transport, "socket", None)
    if handle is None:
        return False
    try:
        return not handle.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


@implementer(IBodyProducer)
class _Body:
    """A body that is written at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length: Any = len(body) if body is not None else UNKNOWN_LENGTH

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._body:
            consumer.write(self._body)
        return succeed(None)

    def stopProducing(self) -> None:
        pass

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


async def _read(response: IResponse) -> tuple[bytes, str]:
    """The body, and what was wrong with it (empty: nothing)."""
    reader = _Reader()
    response.deliverBody(reader)
    return await reader.whole


class _Reader(Protocol):
    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self.whole: Deferred[tuple[bytes, str]] = Deferred(self._cancelled)

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LARGEST:
            self._hang_up()
            self._end(f"longer than {LARGEST} bytes")
            return
        self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # PotentialDataLoss: HTTP/1.0 without a length ends with the connection (RFC 9112 section 6.3).
        self._end("" if reason.check(ResponseDone, PotentialDataLoss) else _words(reason.value or Exception()))

    def _cancelled(self, _: Deferred[tuple[bytes, str]]) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        line: Any = self.transport
        if line is not None:
            line.loseConnection()

    def _end(self, trouble: str) -> None:
        if not self.whole.called:
            self.whole.callback((b"".join(self._pieces), trouble))
