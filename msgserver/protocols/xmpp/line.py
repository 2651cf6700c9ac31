"""From no line to a session that may be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.words.protocols.jabber.jid import JID

from msgserver.protocols.xmpp.manners import handlers
from msgserver.protocols.xmpp.places import places
from msgserver.protocols.xmpp.session import Ears, Session
from msgserver.protocols.xmpp.settings import Settings
from msgserver.protocols.xmpp.stream import BotAuthenticator

TCP = 15.0  # seconds to get a TCP connection
LOGIN = 30.0  # seconds from there to a session that may be used


class Line:
    """One attempt; ``where`` says what was tried last and ``logged_in`` how far it came.

    ``opened`` is called with the session as soon as there is a connection, so that somebody can end it.
    """

    def __init__(
        self,
        settings: Settings,
        tls_options: Any,
        ears: Ears,
        reactor: Any,
        opened: Callable[[Session], None],
    ) -> None:
        self.where = settings.domain
        self.logged_in = False
        self._settings = settings
        self._tls_options = tls_options
        self._ears = ears
        self._reactor = reactor
        self._opened = opened

    async def connect(self) -> Session:
        """Try each place in turn, and log in at the first that can be reached.

        Raises:
            Exception: whatever stood in the way; `troubles.explain` tells it in words.
        """
        failure: Exception = ConnectError(string="the domain names no server")
        for where, endpoint in await places(self._settings, self._reactor):
            self.where = where
            session = self._session()
            try:
                await self._reach(endpoint.connect(session.factory))
            except (ConnectError, DNSLookupError, TimeoutError) as trouble:
                failure = trouble
                continue
            self._opened(session)
            await self._log_in(session)
            return session
        raise failure

    async def _reach(self, connecting: Deferred[Any]) -> None:
        patience = self._reactor.callLater(TCP, connecting.cancel)
        try:
            await connecting
        except (ConnectingCancelledError, defer.CancelledError):
            if patience.active():  # it is not our clock that ends it: somebody stops the connector
                raise defer.CancelledError from None
            raise TimeoutError from None
        finally:
            if patience.active():
                patience.cancel()

    async def _log_in(self, session: Session) -> None:
        patience = self._reactor.callLater(LOGIN, session.too_slow)
        try:
            await session.ready
            self.logged_in = True
        except BaseException:
            session.abort()
            raise
        finally:
            if patience.active():
                patience.cancel()

    def _session(self) -> Session:
        settings = self._settings
        authenticator = BotAuthenticator(
            JID(f"{settings.jid}/{settings.resource}"),
            settings.password.reveal(),
            tls=settings.tls,
            tls_options=self._tls_options,
        )
        session = Session(
            authenticator,
            self._reactor,
            self._ears,
            ping_every=settings.ping_every,
            ping_timeout=settings.ping_timeout,
        )
        for one in handlers():
            one.setHandlerParent(session)
        return session
