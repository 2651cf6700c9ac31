# mypy: allow-untyped-calls
"""The doorman: takes each request, finds its row in the site map, asks who it is and whether they may, lets the act
answer, and writes the answer with the headers that every answer has."""

from __future__ import annotations

import ipaddress
import secrets
import zlib
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import getChildForRequest

from msgserver.connector import IHTTPConnector
from msgserver.routing.may import Act, Forbidden, narrowed, require
from msgserver.store.edits import Refused, Stale
from msgserver.web import forms, sessions
from msgserver.web.ask import Answer, Ask, Cookie, Refusal, changed, not_found
from msgserver.web.channel import SMALL, StrictRequest
from msgserver.web.problems import problem
from msgserver.web.quick import Quick
from msgserver.web.routes import Open, Routes, Row
from msgserver.web.words import sentence
from msgserver.wire.webhook import Reply, Webhook

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
)
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
METHODS = ("GET", "HEAD", *UNSAFE)
PACKED = (
    "text/", "application/json", "application/problem", "image/svg", "application/atom", "application/rss",
    "application/xml",
)  # fmt: skip
GZIP_FROM = 1000  # bytes


class Doorman:
    """One for a site; ``site`` is what acts find as ``ask.site``."""

    log = Logger()

    def __init__(self, routes: Routes, house: Any, site: Any, reactor: Any) -> None:
        self.routes = routes
        self.house = house
        self.site = site
        self.reactor = reactor
        self.always = (*ALWAYS, ("Content-Security-Policy", "default-src 'none'"))
        parts = urlsplit(house.config.web.url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.secure = parts.scheme == "https"
        self.proxies = tuple(ipaddress.ip_network(name) for name in house.config.web.trusted_proxies)

    def limit(self, method: bytes, uri: bytes) -> int:
        """How many bytes of body a request may bring."""
        path = _path(uri.partition(b"?")[0])
        if path.startswith("/in/"):
            return SMALL
        found = self.routes.find(method.decode("latin-1"), path)
        return found.row.limit if found is not None and found.row is not None else SMALL

    def quick(self, call: Quick) -> Deferred[Reply] | None:
        """Answer a gateway's plain call; None: it goes the long way, as a request."""
        connector = self.house.connectors.get(call.connector)
        resource = getattr(connector, "resource", None)
        if not isinstance(resource, Webhook) or not resource.takes(call.call.method):
            return None
        asked = call.call
        if self.proxies:
            asked = msgspec.structs.replace(asked, peer=self._seen_from(asked.peer, asked.headers))
        return resource.answer(asked)

    def take(self, request: StrictRequest) -> None:
        """Answer a request, whatever happens."""
        path = _path(request.path)
        if path.startswith("/in/"):
            self._mount(request, path)
            return
        begun = self.reactor.seconds()
        request_id = secrets.token_hex(5)
        gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _: gone.append(True))
        answering = Deferred.fromCoroutine(self._answer(request, path, request_id))

        def write(answer: Answer) -> None:
            took = self.reactor.seconds() - begun
            say = self.log.debug if answer.status < 400 else self.log.info
            say(
                "{method} {path} {status} in {took:.3f} s [{request_id}]",
                method=request.method.decode("latin-1")[:10],
                path=path[:200],
                status=answer.status,
                took=took,
                request_id=request_id,
            )
            self.site.metrics.request(answer.status, took)
            if not gone:
                self._write(request, answer)

        def broken(failure: Failure) -> None:
            self.log.failure("the answer could not be written [{request_id}]", failure, request_id=request_id)
            if not gone:
                request.channel.loseConnection()

        answering.addCallback(write).addErrback(broken)

    # Deciding ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: StrictRequest, path: str, request_id: str) -> Answer:
        api = path.startswith("/api/")
        try:
            return await self._decide(request, path, request_id)
        except Refusal as refusal:
            refused = refusal
        except Forbidden as error:
            refused = Refusal(403, str(error))
        except Stale as stale:
            refused = Refusal(409, str(stale), "Look at it again, then repeat what you wanted.")
        except Refused as error:
            refused = Refusal(422, sentence(str(error)))
        except Exception as error:
            refused = self._trouble(error, request_id)
        return problem(self.site, refused, api, request_id)

    def _trouble(self, error: Exception, request_id: str) -> Refusal:
        refusal: Refusal | None = self.site.store_trouble(error)
        if refusal is not None:
            self.log.warn("the store: {error} [{request_id}]", error=str(error), request_id=request_id)
            return refusal
        self.log.failure("an act broke [{request_id}]", request_id=request_id)
        return Refusal(
            500,
            "Something broke on our side.",
            f"Nothing that was saved before is lost. If it happens again, tell the operator this number: {request_id}",
        )

    async def _decide(self, request: StrictRequest, path: str, request_id: str) -> Answer:
        method = request.method.decode("latin-1")
        found = self.routes.find(method, path)
        if found is None:
            raise not_found()
        if found.row is None:
            refusal = Refusal(405, "This page does not do that.", f"It knows {', '.join(found.allowed)}.")
            refusal.headers = (("Allow", ", ".join(found.allowed)),)
            raise refusal
        row = found.row
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        ask = Ask(
            id=request_id,
            method=method,
            path=path,
            at=self.reactor.seconds(),
            house=self.house,
            site=self.site,
            viewer=sessions.STRANGER,
            part=found.part,
            query=forms.read_query(request.query),
            headers=headers,
            cookies=_cookies(request),
            peer=self._peer(request, headers),
            secure=self.secure,
        )
        ask = await self._who(ask, row)
        if method in UNSAFE:
            ask = await self._read_body(ask, row, request)
            if not (row.api or row.sealed):
                self._check_origin(ask)
                sessions.check_form(ask)
        return await row.act(ask)

    async def _who(self, ask: Ask, row: Row) -> Ask:
        """Find out who asks, and whether they may."""
        if row.api:
            ask = await sessions.by_token(ask, required=row.who is not Open.ANYONE)
        elif row.feed:
            ask = await sessions.by_feed_key(ask)
        else:
            ask = await sessions.by_cookie(ask)
            if row.who is not Open.ANYONE and ask.session is None:
                raise sessions.sign_in_first(ask)
        if isinstance(row.who, Act):
            require(ask.viewer, row.who)
            if row.method in UNSAFE or row.api or row.who is Act.RAW:
                ask = changed(ask, viewer=narrowed(ask.viewer, row.who))
        return ask

    async def _read_body(self, ask: Ask, row: Row, request: StrictRequest) -> Ask:
        assert request.content is not None
        if row.api:
            return changed(ask, body=request.content.read())
        kind = ask.headers.get("content-type", "")
        if not kind:
            return ask
        if kind.startswith("multipart/"):
            fields, files = await self.site.in_thread(forms.read_form, kind, request.content)
        else:
            fields, files = forms.read_form(kind, request.content)
        return changed(ask, form=fields, files=files)

    def _check_origin(self, ask: Ask) -> None:
        """Refuse a form that another site sent (Fetch standard: ``Origin``, ``Sec-Fetch-Site``)."""
        origin = ask.headers.get("origin")
        host = ask.headers.get("host", "")
        ours = {self.origin, f"http://{host}", f"https://{host}"}
        if (origin is not None and origin not in ours) or ask.headers.get("sec-fetch-site") == "cross-site":
            raise Refusal(
                403,
                "This form came from another site.",
                f"Nothing was done. Open {self.origin} and do it there.",
            )

    def _peer(self, request: StrictRequest, headers: dict[str, str]) -> str:
        """Where it comes from: behind trusted proxies, what the outermost of them saw."""
        return self._seen_from(str(getattr(request.getClientAddress(), "host", "local")), headers)

    def _seen_from(self, peer: str, headers: dict[str, str]) -> str:
        if not self.proxies:
            return peer
        for told in reversed(headers.get("x-forwarded-for", "").split(",")):
            if not self._is_proxy(peer) or not told.strip():
                break
            peer = told.strip()[:60]
        return peer

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.proxies)

    # Writing -----------------------------------------------------------------------------------------------------

    def _write(self, request: StrictRequest, answer: Answer) -> None:
        request.setResponseCode(answer.status)
        self._headers(request, answer)
        if answer.stream is not None and request.method != b"HEAD":
            answer.stream(request)
            return
        body = answer.body
        packs = answer.media_type.startswith(PACKED)
        if packs and len(body) >= GZIP_FROM and not request.responseHeaders.hasHeader("Content-Encoding"):
            request.responseHeaders.addRawHeader("Vary", "Accept-Encoding")
            if "gzip" in (request.getHeader("accept-encoding") or ""):
                squeeze = zlib.compressobj(5, wbits=31)
                body = squeeze.compress(body) + squeeze.flush()
                request.responseHeaders.setRawHeaders("Content-Encoding", ["gzip"])
        if answer.status not in (204, 304):
            request.responseHeaders.setRawHeaders("Content-Length", [str(len(body))])
        request.write(b"" if request.method == b"HEAD" else body)
        request.finish()

    def _headers(self, request: StrictRequest, answer: Answer) -> None:
        headers = request.responseHeaders
        for name, value in ALWAYS:
            headers.setRawHeaders(name, [value])
        headers.setRawHeaders("Content-Security-Policy", [POLICY])
        headers.setRawHeaders("Cache-Control", ["no-store"])
        if answer.status not in (204, 304):
            headers.setRawHeaders("Content-Type", [answer.media_type])
        if self.secure:
            headers.setRawHeaders("Strict-Transport-Security", ["max-age=31536000"])
        for name, value in answer.headers:
            headers.setRawHeaders(name, [quote(value, safe="/?&=#%:+,;@!$'()*~") if name == "Location" else value])
        for cookie in answer.cookies:
            self._cookie(request, cookie)

    def _cookie(self, request: StrictRequest, cookie: Cookie) -> None:
        request.addCookie(
            cookie.name,
            cookie.value,
            path="/",
            max_age=None if cookie.seconds is None else str(cookie.seconds),
            secure=self.secure,
            httpOnly=True,
            sameSite="strict" if cookie.strict else "lax",
        )

    # What connectors serve themselves ----------------------------------------------------------------------------

    def _mount(self, request: StrictRequest, path: str) -> None:
        """Hand ``/in/<connector>/...`` to that connector's resource, which asks for its own credentials."""
        name = path.split("/")[2]
        connector = self.house.connectors.get(name)
        if connector is None or not IHTTPConnector.providedBy(connector):
            self._write(request, problem(self.site, not_found("channel"), True, ""))
            return
        for header, value in self.always:
            request.setHeader(header, value)
        request.defaultContentType = b"text/plain; charset=utf-8"
        request.seen_from = self._peer(request, {"x-forwarded-for": request.getHeader("x-forwarded-for") or ""})
        request.prepath = [b"in", name.encode()]
        request.postpath = [unquote_to_bytes(part) for part in request.path.split(b"/")[3:]]
        try:
            if not isinstance(connector.resource, Webhook):  # which reads for itself
                request.read_fields()
            request.render(getChildForRequest(connector.resource, request))
        except Exception:
            self.log.failure("the resource of {connector} broke", connector=name)
            # Nothing was accepted: 503 makes the far side send it again.
            self._write(request, problem(self.site, Refusal(503, "It could not be taken just now."), True, ""))


def _path(raw: bytes) -> str:
    """A path decoded; what is not UTF-8 or hides a slash leads nowhere."""
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return "\ufffd"
    return path if path.count("/") == raw.count(b"/") and "\x00" not in path else "\ufffd"


def _cookies(request: StrictRequest) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1").strip() for name, value in request.received_cookies.items()}
