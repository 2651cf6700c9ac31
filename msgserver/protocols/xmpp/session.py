"""One life of the line: from the TCP connection to its end. Nothing in it survives into the next."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.words.protocols.jabber import xmlstream
from twisted.words.protocols.jabber.error import StreamError
from twisted.words.xish import domish

from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.protocols.xmpp.stanzas import NS_CLIENT, bare_of, read_error
from msgserver.protocols.xmpp.stream import BotAuthenticator, GuardedStream, StreamFactory
from msgserver.protocols.xmpp.tally import Incoming, Outgoing
from msgserver.wire import wokkel_shim  # noqa: F401  (before wokkel)

from wokkel.subprotocols import StreamManager  # isort: skip

NS_SM = "urn:xmpp:sm:3"  # XEP-0198
NS_PING = "urn:xmpp:ping"  # XEP-0199
_STANZAS = {"message", "presence", "iq"}
_ALWAYS_TAKEN = 10_000  # bytes of a stanza that no server refuses (RFC 6120 section 13.12)
_NOBODY_THERE = {"item-not-found", "jid-malformed", "gone", "remote-server-not-found"}

_log = Logger()


class Ears(msgspec.Struct, frozen=True):
    """Who listens: each gets an element, and what to call once it is taken care of."""

    message: Callable[[Any, Callable[[], None]], None]
    presence: Callable[[Any], None]
    oversized: Callable[[Any, str], None]


class _Sent(msgspec.Struct, frozen=True, eq=False):
    """A message on the line: ``refused`` fails when it is sent back."""

    refused: Deferred[None]
    size: int  # bytes


class Session(StreamManager):  # type: ignore[misc]
    """wokkel's stream manager for one connection, with XEP-0198 and a watch over the line.

    ``ready`` fires when stanzas may go both ways, or fails with what went wrong before.
    """

    def __init__(
        self,
        authenticator: BotAuthenticator,
        clock: Any,
        ears: Ears,
        *,
        ping_every: float,
        ping_timeout: float,
    ) -> None:
        super().__init__(StreamFactory(authenticator), reactor=clock)
        self.factory.addBootstrap(xmlstream.STREAM_ERROR_EVENT, self._stream_error)
        self.ready: Deferred[None] = Deferred()
        self.managed = False  # XEP-0198 is on
        self._authenticator = authenticator
        self._clock = clock
        self._ears = ears
        self._ping_every = ping_every
        self._ping_timeout = ping_timeout
        self._incoming = Incoming()
        self._number: int | None = None  # of the stanza being dispatched, until somebody takes charge of it
        self._outgoing = Outgoing(clock, self._ask, self._given_up, ping_timeout)
        self._counting = {"message"}  # which of our stanzas the book is kept of
        self._pending: dict[str, _Sent] = {}  # by stanza id
        self._pings: dict[str, Callable[[], None]] = {}
        self._next_ping: Any = None
        self._trouble: BaseException | None = None
        self._over: BaseException | None = None
        self._mourners: list[Deferred[BaseException]] = []
        self.paused = False

    # -- the start and the end ---------------------------------------------------------------------------------

    def _connected(self, xs: GuardedStream) -> None:
        xs.on_stanza = self._element
        xs.on_oversized = self._oversized
        xs.on_sent = self._element_sent
        super()._connected(xs)

    def _authd(self, xs: GuardedStream) -> None:
        xs.addObserver("/message", self._message)
        xs.addObserver("/presence", self._ears.presence)
        xs.addObserver("/iq[@type='result']", self._iq_answer, 1)
        xs.addObserver("/iq[@type='error']", self._iq_answer, 1)
        xs.addObserver(f"/r[@xmlns='{NS_SM}']", self._acknowledge)
        xs.addObserver(f"/a[@xmlns='{NS_SM}']", self._acknowledged)
        super()._authd(xs)
        if (NS_SM, "sm") in xs.features:
            xs.addOnetimeObserver(f"/enabled[@xmlns='{NS_SM}']", self._enabled)
            xs.addOnetimeObserver(f"/failed[@xmlns='{NS_SM}']", self._unmanaged)
            xs.send(domish.Element((NS_SM, "enable")))
            self._counting = _STANZAS  # the server counts from here on
        else:
            self._open()

    def _enabled(self, _: Any) -> None:
        self.managed = True
        self._incoming = Incoming()
        self._open()

    def _unmanaged(self, _: Any) -> None:
        self._counting = {"message"}
        self._outgoing = Outgoing(self._clock, self._ask, self._given_up, self._ping_timeout)
        self._open()

    def _open(self) -> None:
        if self.ready.called or self.xmlstream is None:
            return
        self._next_ping = self._clock.callLater(self._ping_every, self._keep_alive)
        self.ready.callback(None)

    def initializationFailed(self, reason: Failure) -> None:
        """The login failed: remember why, and hang up."""
        self._fail(reason.value or reason)

    def _stream_error(self, reason: Any) -> None:
        self._trouble = self._trouble or (reason.value if isinstance(reason, Failure) else reason)

    def _disconnected(self, reason: Any) -> None:
        trouble = self._trouble or reason.value
        super()._disconnected(reason)
        if self._next_ping is not None and self._next_ping.active():
            self._next_ping.cancel()
        self._pings.clear()
        if not self.ready.called:
            self.ready.errback(trouble)
        self._over = trouble
        mourners, self._mourners = self._mourners, []
        for one in mourners:  # before those whose messages are in doubt: nobody shall write to a dead line
            one.callback(trouble)
        self._outgoing.lost(Unknown(f"the line broke before {self._authenticator.jid.host} had confirmed it"))
        self._pending.clear()

    def ended(self) -> Deferred[BaseException]:
        """Fires with the reason when the line is gone; never fails by itself."""
        waiting: Deferred[BaseException] = Deferred()
        if self._over is not None:
            waiting.callback(self._over)
        else:
            self._mourners.append(waiting)
        return waiting

    def too_slow(self) -> None:
        """The login takes too long: hang up."""
        self._fail(TimeoutError("no answer"))

    def _fail(self, trouble: BaseException) -> None:
        self._trouble = self._trouble or trouble
        if self.xmlstream is not None:
            self.xmlstream.transport.abortConnection()

    def close(self) -> None:
        """Say goodbye: tell what is taken care of, end the stream."""
        if self.xmlstream is None:
            return
        if self.managed:
            self._acknowledge()
        if self._initialized:
            self.xmlstream.sendFooter()
        self.xmlstream.transport.loseConnection()

    def abort(self) -> None:
        """Hang up without waiting for anybody."""
        if self.xmlstream is not None:
            self.xmlstream.transport.abortConnection()

    # -- out ---------------------------------------------------------------------------------------------------

    def send(self, obj: Any) -> None:
        """Put an element on the line; without a line it is dropped, never queued."""
        if self._initialized:
            self.xmlstream.send(obj)

    async def deliver(self, message: Any) -> None:
        """Send a message and wait until the server has taken it.

        Raises:
            Unknown: the line broke before the server confirmed.
            PermanentFailure, TemporaryFailure: the server sent it back.
            NotConnected: the line is gone already; nothing was written.
        """
        if not self._initialized:
            raise NotConnected("the line has just broken")
        sent = _Sent(refused=Deferred(), size=len(message.toXml().encode()))
        self._pending[message["id"]] = sent
        largest = max(one.size for one in self._pending.values())
        try:
            self.send(message)
            await defer.DeferredList(
                [self._outgoing.confirmation(), sent.refused],
                fireOnOneCallback=True,
                fireOnOneErrback=True,
                consumeErrors=True,
            )
        except defer.FirstError as first:
            if sent.size == largest > _ALWAYS_TAKEN and self._refused_by_policy():
                raise PermanentFailure(f"too long for the chat server: {sent.size:,} bytes") from None
            raise _raised(first) from None
        finally:
            if self._pending.get(message["id"]) is sent:
                del self._pending[message["id"]]

    def _refused_by_policy(self) -> bool:
        return isinstance(self._trouble, StreamError) and self._trouble.condition == "policy-violation"

    def sent_back(self, message: Any) -> bool:
        """An error stanza came: is it for a message that somebody still waits for? Then they hear of it."""
        sent = self._pending.pop(message.getAttribute("id") or "", None)
        if sent is None:
            return False
        condition, kind, words = read_error(message)
        if kind == "wait":
            sent.refused.errback(TemporaryFailure(words))
        else:
            sent.refused.errback(PermanentFailure(words, bad_address=condition in _NOBODY_THERE))
        return True

    def _element_sent(self, element: Any) -> None:
        if element.name in self._counting:
            self._outgoing.sent()

    def _ask(self) -> None:
        if self.managed:
            self.xmlstream.send(domish.Element((NS_SM, "r")))
        else:
            covered = self._outgoing.covered
            self._ping(lambda: self._outgoing.confirmed(covered))

    def _acknowledged(self, element: Any) -> None:
        try:
            self._outgoing.confirmed(int(element.getAttribute("h") or ""))
        except ValueError as nonsense:
            self._fail(nonsense)

    # -- watching over the line --------------------------------------------------------------------------------

    def _keep_alive(self) -> None:
        def dead() -> None:
            if not self._given_up():
                self._next_ping = self._clock.callLater(self._ping_timeout, dead)

        def alive() -> None:
            if self._next_ping is not None and self._next_ping.active():
                self._next_ping.cancel()
                self._next_ping = self._clock.callLater(self._ping_every, self._keep_alive)

        self._next_ping = self._clock.callLater(self._ping_timeout, dead)
        self._ping(alive)

    def _ping(self, answered: Callable[[], None]) -> None:
        iq = domish.Element((None, "iq"))
        iq["type"], iq["id"], iq["to"] = "get", secrets.token_hex(8), self._authenticator.jid.host
        iq.addElement((NS_PING, "ping"))
        self._pings[iq["id"]] = answered
        self.xmlstream.send(iq)

    def _iq_answer(self, iq: Any) -> None:
        # An error is an answer too: the server is there, and has read all that came before.
        if iq.getAttribute("from") in {None, self._authenticator.jid.host}:
            answered = self._pings.pop(iq.getAttribute("id") or "", None)
            if answered is not None:
                iq.handled = True
                answered()

    def _given_up(self) -> bool:
        """A question had no answer in time: hang up, unless it is we who do not listen."""
        if not self.paused:
            self._fail(TimeoutError("no answer"))
        return not self.paused

    def pause(self, paused: bool) -> None:
        """Stop reading from the line, or go on."""
        if paused != self.paused and self.xmlstream is not None:
            self.paused = paused
            if paused:
                self.xmlstream.transport.pauseProducing()
            else:
                self.xmlstream.transport.resumeProducing()

    # -- in ----------------------------------------------------------------------------------------------------

    def _element(self, element: Any) -> None:
        if not self._arrive(element):
            self.xmlstream.dispatch(element)
            return
        self.xmlstream.dispatch(element)
        if self._number is not None:
            self._incoming.done(self._number)
            self._number = None

    def _arrive(self, element: Any) -> bool:
        counted = self.managed and element.uri == NS_CLIENT and element.name in _STANZAS
        if counted:
            self._number = self._incoming.arrived()
        return counted

    def _oversized(self, element: Any, words: str) -> None:
        if self._arrive(element):
            self._incoming.done(self._number or 0)
            self._number = None
        if self._initialized and element.uri == NS_CLIENT and element.name in _STANZAS:
            sender = bare_of(element.getAttribute("from"))
            _log.warn("chat stanza {words} dropped, from {sender}", words=words, sender=sender)
            self._ears.oversized(element, words)

    def _message(self, element: Any) -> None:
        number, self._number = self._number, None
        incoming = self._incoming
        self._ears.message(element, lambda: incoming.done(number) if number is not None else None)

    def _acknowledge(self, _: Any = None) -> None:
        acknowledgement = domish.Element((NS_SM, "a"))
        acknowledgement["h"] = str(self._incoming.h)
        self.xmlstream.send(acknowledgement)


def _raised(first: defer.FirstError) -> BaseException:
    failure = first.subFailure.value
    return failure if failure is not None else first
