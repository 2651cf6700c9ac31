"""The resource a far side calls over HTTP: bounded, closed when its connector is, answered after what it brought is
committed.

    -> GET|POST /in/NAME[/...]      a body of at most 256 KiB
    <- 2xx                          it is ours; the same again is answered the same, and not taken twice
    <- 400, 401, 403, 405, 413      it will never be taken like this
    <- 503 Retry-After: n           not now; call again
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import msgspec
from multipart import MultipartError, MultipartParser, parse_options_header
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from msgserver.connector import TemporaryFailure
from msgserver.wire.forms import MOST, read_pairs

LARGEST = 256 * 1024  # bytes of a body
_LATER = 30.0  # seconds until a far side may come again
_FORM = "application/x-www-form-urlencoded"
_MISTAKE = 300.0  # the same after a mistake of ours


class Refused(Exception):
    """This call is never taken; ``status`` is 400, 401, 403 or 404."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What the far side asked: ``path`` is what follows ``/in/NAME``, header names are in small letters."""

    method: str = "POST"
    path: tuple[str, ...] = ()
    query: bytes = b""
    headers: dict[str, str] = {}
    body: bytes = b""
    peer: str = ""

    def asked(self) -> list[tuple[bytes, bytes]]:
        """The pairs of the query.

        Raises:
            Refused: there are too many.
        """
        return _pairs(self.query)

    def form(self) -> list[tuple[bytes, bytes]]:
        """The pairs of a form in the body, urlencoded or multipart; none where it is no form.

        Raises:
            Refused: there are too many, or it is broken.
        """
        written = self.headers.get("content-type", "")
        if written == _FORM:
            return _pairs(self.body)
        kind, options = parse_options_header(written)
        if kind.lower() == _FORM:
            return _pairs(self.body)
        if kind.lower() != "multipart/form-data":
            return []
        try:
            parts = MultipartParser(BytesIO(self.body), options.get("boundary", ""), part_limit=MOST)
            return [(part.name.encode(), part.raw) for part in parts if part.filename is None]
        except (MultipartError, LookupError, ValueError):
            raise Refused(400, "the form is broken") from None

    def fields(self) -> Fields:
        """Query and form together; of a name that comes twice, the form's first value."""
        return Fields(dict(reversed([*self.form(), *self.asked()])))

    def json(self) -> Any:
        """The body read as JSON.

        Raises:
            Refused: it is none.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Refused(400, "the body must be JSON") from None


class Fields:
    """Values by name, as bytes, or as text once somebody says in which charset."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._values

    def raw(self, name: str) -> bytes:
        """The bytes of a value; empty where there is none."""
        return self._values.get(name.encode(), b"")

    def text(self, *names: str, charset: str = "utf-8") -> str:
        """The first of these that is there, as text; an unknown charset is read as UTF-8, wrong bytes replaced."""
        for name in names:
            found = self._values.get(name.encode())
            if found:
                return decoded(found, charset)
        return ""


def decoded(content: bytes, charset: str) -> str:
    """Bytes in a named charset as text; what cannot be read becomes U+FFFD."""
    try:
        return content.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError, UnicodeError):
        return content.decode("utf-8", "replace")


def _pairs(text: bytes) -> list[tuple[bytes, bytes]]:
    try:
        return read_pairs(text)
    except ValueError as error:
        raise Refused(400, str(error)) from None


class Reply(msgspec.Struct, frozen=True):
    """What the far side is told."""

    status: int = 200
    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Webhook(Resource):
    """Mounted as a connector's ``resource``; takes calls while ``open``.

    Args:
        methods: the HTTP methods that the far side uses; others get 405.
        take: returns the reply once what was brought is committed. ``Refused`` is told as it says; anything else
            that it raises is told as "later".
    """

    isLeaf = True
    log = Logger()

    def __init__(self, name: str, methods: tuple[str, ...], take: Callable[[Call], Awaitable[Reply]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.open = False
        self._name = name
        self._methods = methods
        self._take = take
        self._under_way: set[Deferred[Reply]] = set()

    def render(self, request: Request) -> int | bytes:
        """Take the call; answered when it is committed."""
        method = request.method.decode("latin-1")
        if method not in self._methods:
            allowed = ", ".join(self._methods)
            return _said(request, _words(405, f"this address takes {allowed}", (("Allow", allowed),)))
        body = request.content.read(LARGEST + 1) if request.content is not None else b""
        if len(body) > LARGEST:
            return _said(request, _words(413, f"a call may have at most {LARGEST} bytes"))
        if not self.open:
            return _said(request, _later(_LATER))
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        def write(reply: Reply) -> None:
            if not gone:
                request.write(_said(request, reply))
                request.finish()

        self.answer(_call(request, method, body)).addCallback(write)
        return NOT_DONE_YET

    def takes(self, method: str) -> bool:
        """Whether it is open, for calls of this method."""
        return self.open and method in self._methods

    def answer(self, call: Call) -> Deferred[Reply]:
        """Take a call; fires with the reply, once what it brought is committed. Never fails."""
        answering = Deferred.fromCoroutine(self._answer(call))
        self._under_way.add(answering)
        answering.addBoth(self._answered, answering)
        return answering

    def _answered(self, reply: Reply, answering: Deferred[Reply]) -> Reply:
        self._under_way.discard(answering)
        return reply

    async def _answer(self, call: Call) -> Reply:
        try:
            return await self._take(call)
        except Refused as refused:
            return _words(refused.status, str(refused))
        except CancelledError:
            return _later(_LATER)
        except TemporaryFailure as failure:
            return _later(failure.retry_after or _LATER)
        except Exception:
            self.log.failure("a call to {name} was not taken", name=self._name)
            return _later(_MISTAKE)

    def let_go(self) -> None:
        """Forget the calls under way: they are told to come again."""
        for answering in list(self._under_way):
            answering.cancel()


def _call(request: Any, method: str, body: bytes) -> Call:
    headers = {
        name.decode("latin-1").lower(): values[-1].decode("latin-1")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }
    peer = getattr(request, "seen_from", "") or str(getattr(request.getClientAddress(), "host", ""))
    path = tuple(part.decode("utf-8", "replace") for part in request.postpath if part)
    return Call(method=method, path=path, query=request.uri.partition(b"?")[2], headers=headers, body=body, peer=peer)


def _words(status: int, words: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, words.encode() + b"\n", headers=headers)


def _later(seconds: float) -> Reply:
    return _words(503, "not now, please call again", (("Retry-After", str(max(int(seconds), 1))),))


def _said(request: Request, reply: Reply) -> bytes:
    request.setResponseCode(reply.status)
    request.setHeader("content-type", reply.media_type)
    request.setHeader("content-length", str(len(reply.body)))
    for name, value in reply.headers:
        request.setHeader(name, value)
    return reply.body
