"""The XML stream, hardened: what RFC 6120 section 11.1 forbids is refused on sight, what is too large is skipped.

The parser and the stream are Twisted's. Ours adds what a stranger's stanza could otherwise do: expand entities,
nest until Python's stack is full, fill the memory. A stanza that is only too large comes from some remote person
through an honest server; closing the stream for it would let that person switch the hub off, so its rest is skipped
and the stanza is handed on, emptied, as oversized.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, NoReturn

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.words.protocols.jabber import client, error, xmlstream
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish
from twisted.words.xish.xmlstream import XmlStreamFactoryMixin

from msgserver.protocols.xmpp.scram import SecureAuthInitializer
from msgserver.wire import wokkel_shim  # noqa: F401  (before wokkel)

from wokkel.client import HybridAuthenticator  # isort: skip

MAX_DEPTH = 100
MAX_STANZA = 256 * 1024  # bytes
MAX_ELEMENTS = 5_000  # in one stanza


class Restricted(domish.ParserError):  # type: ignore[misc]
    """The far side sent XML which has no place in a stream (RFC 6120 section 11.1)."""


class ClearTextRefused(Exception):
    """The password would have gone over a network unencrypted."""


class GuardedElements(domish.ExpatElementStream):  # type: ignore[misc]
    """Twisted's element stream, with limits on what one stanza may be.

    ``Oversized(element, words)`` is called for a stanza over a limit, with its outermost tag and no content.
    """

    currElem: Any
    localPrefixes: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.UnparsedEntityDeclHandler = self._refuse
        self.parser.ProcessingInstructionHandler = self._refuse
        # Without it expat hands text over in one call a line or entity, and domish joins them in quadratic time.
        self.parser.buffer_text = True
        self.parser.buffer_size = 64 * 1024
        self.Oversized: Callable[[Any, str], None] = lambda _element, _words: None
        self._depth = 0
        self._began = 0
        self._skipping = ""

    def _refuse(self, *_: object) -> NoReturn:
        raise Restricted("document type, entity or processing instruction")

    def _onStartElement(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._began = self.parser.CurrentByteIndex
        elif self._depth > 2 and not self._skipping:
            self._measure()
        if not self._skipping:
            super()._onStartElement(name, attributes)

    def _onCdata(self, text: str) -> None:
        if self._depth >= 2 and not self._skipping:
            self._measure()
        if not self._skipping:
            super()._onCdata(text)

    def _onEndElement(self, name: str) -> None:
        self._depth -= 1
        if not self._skipping:
            super()._onEndElement(name)
        elif self._depth == 1:
            words, self._skipping = self._skipping, ""
            element, self.currElem = self.currElem, None
            self.elementCount = self.stanzaSize = 0
            self.localPrefixes = {}
            self.Oversized(element, words)

    def _measure(self) -> None:
        if self._depth > MAX_DEPTH:
            self._skipping = f"nested more than {MAX_DEPTH} deep"
        elif self.parser.CurrentByteIndex - self._began > MAX_STANZA:
            self._skipping = f"larger than {MAX_STANZA // 1024} KiB"
        elif self.elementCount >= MAX_ELEMENTS:
            self._skipping = f"of more than {MAX_ELEMENTS} elements"
        else:
            return
        while self.currElem.parent is not None:
            self.currElem = self.currElem.parent
        self.currElem.children.clear()


class GuardedStream(xmlstream.XmlStream):  # type: ignore[misc]
    """An XMPP stream over the guarded parser.

    ``on_stanza`` gets every element that came, ``on_oversized`` those cut short, ``on_sent`` every element that goes.
    """

    stream: Any

    def __init__(self, authenticator: Any) -> None:
        super().__init__(authenticator)
        self.on_stanza: Callable[[Any], object] = self.dispatch
        self.on_oversized: Callable[[Any, str], None] = lambda _element, _words: None
        self.on_sent: Callable[[Any], None] = lambda _element: None

    def _initializeStream(self) -> None:
        if self.stream is not None:
            # What still comes out of the parser of before TLS or SASL was not protected by them.
            self.stream.ElementEvent = self.stream.Oversized = _came_too_early
        self.stream = GuardedElements()
        self.stream.DocumentStartEvent = self.onDocumentStart
        self.stream.ElementEvent = self.onElement
        self.stream.DocumentEndEvent = self.onDocumentEnd
        self.stream.Oversized = self._cut_short

    def dataReceived(self, data: bytes) -> None:
        """Parse; whatever cannot be parsed ends the stream with the fitting stream error (RFC 6120 section 4.9.3)."""
        if self.stream is None:
            return
        try:
            self.stream.parse(data)
        except domish.ParserError as trouble:
            condition = "restricted-xml" if isinstance(trouble, Restricted) else "not-well-formed"
            self.stream = None
            self.dispatch(trouble, xmlstream.STREAM_ERROR_EVENT)
            self.sendStreamError(error.StreamError(condition))
            self.transport.abortConnection()

    def onElement(self, element: Any) -> None:
        """Hand one whole element to whoever looks after this line."""
        self.on_stanza(element)

    def _cut_short(self, element: Any, words: str) -> None:
        self.on_oversized(element, words)

    def send(self, obj: Any) -> None:
        """Write an element (or text) to the line, counting elements."""
        if domish.IElement.providedBy(obj):
            self.on_sent(obj)
        super().send(obj)

    @property
    def encrypted(self) -> bool:
        """Is there TLS between us and the far side?"""
        return ISSLTransport(self.transport, None) is not None


def _came_too_early(*_: object) -> NoReturn:
    raise Restricted("elements behind the end of an unprotected stream")


class ClearTextGuard:
    """An initializer that goes on only where a password is safe: over TLS, or on this machine."""

    def __init__(self, stream: GuardedStream) -> None:
        self._stream = stream

    def initialize(self) -> None:
        """Raises ClearTextRefused."""
        if not self._stream.encrypted and not is_loopback_peer(self._stream.transport.getPeer()):
            raise ClearTextRefused


def is_loopback_peer(peer: Any) -> bool:
    """Is the far end of this connection on this machine? (a UNIX socket has no host)"""
    host = getattr(peer, "host", None)
    if host is None:
        return type(peer).__name__ == "UNIXAddress"
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class BotAuthenticator(HybridAuthenticator):  # type: ignore[misc]
    """wokkel's client authenticator with a say in TLS, and no password in clear."""

    def __init__(self, jid: JID, password: str, *, tls: str, tls_options: Any) -> None:
        super().__init__(jid, password)
        self._tls = tls
        self._tls_options = tls_options

    def associateWithStream(self, xs: GuardedStream) -> None:
        """List the steps of the login (RFC 6120 section 4.3.2: TLS, then SASL, then binding)."""
        super().associateWithStream(xs)
        starttls = xmlstream.TLSInitiatingInitializer(xs, configurationForTLS=self._tls_options)
        starttls.wanted = self._tls != "none"
        starttls.required = self._tls == "required"
        xs.initializers = [
            client.CheckVersionInitializer(xs),
            _UnlessEncrypted(xs, starttls),
            ClearTextGuard(xs),
            SecureAuthInitializer(xs),
        ]


class _UnlessEncrypted:
    """STARTTLS where the transport is not TLS from its first byte (XEP-0368)."""

    def __init__(self, stream: GuardedStream, starttls: Any) -> None:
        self._stream = stream
        self._starttls = starttls

    def initialize(self) -> Any:
        return None if self._stream.encrypted else self._starttls.initialize()


class StreamFactory(XmlStreamFactoryMixin, Factory):  # type: ignore[misc]
    """Makes one stream; it never reconnects, the connector does."""

    noisy = False
    protocol = GuardedStream

    def __init__(self, authenticator: BotAuthenticator) -> None:
        super().__init__(authenticator)
        self.authenticator = authenticator
