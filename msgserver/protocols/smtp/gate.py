"""The server's door: who may come in, how long each may stay, and what all sessions share."""

from __future__ import annotations

import errno
import re
import socket
from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.connector import IHub, SendFailure
from msgserver.protocols.smtp import grammar, replies
from msgserver.protocols.smtp.attempts import Attempts
from msgserver.protocols.smtp.session import Mode, Session
from msgserver.protocols.smtp.settings import Settings
from msgserver.wire.budget import ByteBudget

_ROUND = 1.0  # seconds between two looks at all sessions
_LAST_WORDS = 10.0  # seconds for a far side to read our goodbye
_CROWDED = 0.75
_FULL = re.compile(r"(?i)disk (is )?full|no space|no room")  # how the house says it


class _TurnedAway(Protocol):
    """Somebody there is no room for."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(replies.TOO_MANY_SESSIONS)
        self.transport.loseConnection()


class Gate(Factory):
    """Builds sessions, counts them, and looks once a second whether one has outstayed its time."""

    noisy = False
    _log = Logger()

    def __init__(
        self, name: str, settings: Settings, hub: IHub, clock: IReactorTime, tls: object | None = None
    ) -> None:
        self.name = name
        self.hub = hub
        self.clock = clock
        self.tls = tls
        self.limits = settings.limits
        self.users = settings.users
        self.own_name = settings.own_name
        self.rejects_bare_newlines = settings.bare_newlines == "reject"
        self.budget = ByteBudget(max(settings.limits.memory, 2 * settings.limits.size))
        self.senders = grammar.Senders(settings.limits.size)
        self.recipients = grammar.Recipients(settings.domains, settings.addresses)
        host = self.own_name.encode("ascii", "replace")
        self.greeting = b"220 " + host + b" ESMTP\r\n"
        self.hello = b"250 " + host + b"\r\n"
        self._host = host
        self._sessions: set[Session] = set()
        self._from: Counter[str] = Counter()
        self._exempt = tuple(ip_network(network) for network in settings.limits.per_ip_exempt)
        self._counted_as = lru_cache(maxsize=4096)(self._source)
        self._attempts = Attempts()
        self._round: IDelayedCall | None = None
        self._last: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None

    # -- coming and going

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session, or somebody who says that there are too many."""
        peer = str(getattr(addr, "host", "")) or "local"
        source = self._counted_as(peer)
        full = len(self._sessions) >= self.limits.connections
        if self._stopping is not None or full or (source and self._from[source] >= self.limits.per_ip):
            self._log.debug("smtp {name}: turned {peer} away", name=self.name, peer=peer)
            turned_away = _TurnedAway()
            turned_away.factory = self
            return turned_away
        session = Session(self, peer)
        session.factory = self
        return session

    def entered(self, session: Session) -> None:
        """A connection is there: from now on it counts."""
        self._sessions.add(session)
        source = self._counted_as(session.peer)
        if source:
            self._from[source] += 1
        if self._round is None:
            self._round = self.clock.callLater(_ROUND, self._look_round)

    def left(self, session: Session) -> None:
        """A connection is gone."""
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        source = self._counted_as(session.peer)
        if source:
            self._from[source] -= 1
            if not self._from[source]:
                del self._from[source]
        if self._stopping is not None and not self._sessions:
            self._stopped()

    @property
    def count(self) -> int:
        """Sessions now."""
        return len(self._sessions)

    def _source(self, peer: str) -> str:
        """What ``peer`` is counted as: its address, its /64; "" where it is not counted."""
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._exempt):
            return ""
        if isinstance(address, IPv6Address):
            return str(ip_network((address, 64), strict=False))
        return str(address)

    def spoke_first(self, transport: Any) -> bool:
        """Has the far side sent something before our greeting?"""
        if ISSLTransport.providedBy(transport) or not hasattr(transport, "getHandle"):
            return False
        handle = transport.getHandle()
        try:
            return bool(handle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except (OSError, AttributeError, TypeError):
            return False

    # -- time

    def _look_round(self) -> None:
        now = self.clock.seconds()
        crowded = len(self._sessions) >= _CROWDED * self.limits.connections
        idle = self.limits.idle_crowded if crowded else self.limits.idle
        for session in tuple(self._sessions):
            self._look_at(session, now, idle)
        self._round = self.clock.callLater(_ROUND, self._look_round) if self._sessions else None

    def _look_at(self, session: Session, now: float, idle: float) -> None:
        limits = self.limits
        if session.heard:
            session.heard = False
            session.quiet_since = now
        if session.mode is Mode.CLOSED:
            if now - session.quiet_since >= _LAST_WORDS:
                session.give_up(b"")
        elif session.mode is Mode.STORING:
            if now - session.body_since >= limits.accept_deadline:
                session.storing_too_long()
        elif now - session.quiet_since >= idle:
            session.give_up(replies.TOO_QUIET)
        elif now - session.began >= limits.session:
            session.give_up(replies.TOO_LONG)
        elif session.body is not None:
            took = now - session.body_since
            if took > limits.data_grace and session.body.received < limits.data_rate * (took - limits.data_grace):
                session.give_up(replies.TOO_SLOW)

    # -- what sessions ask

    def abilities(self, tls: bool, logged_in: bool) -> bytes:
        """The answer to EHLO."""
        lines = [
            self._host,
            b"PIPELINING",
            b"SIZE %d" % self.limits.size,
            b"8BITMIME",
            b"SMTPUTF8",
            b"ENHANCEDSTATUSCODES",
        ]
        if self.tls is not None and not tls:
            lines.append(b"STARTTLS")
        if self.users and tls and not logged_in:
            lines.append(b"AUTH PLAIN LOGIN")
        lines.append(b"HELP")
        return b"".join(b"250-%b\r\n" % line for line in lines[:-1]) + b"250 %b\r\n" % lines[-1]

    def may_try(self, user: str, peer: str) -> bool:
        """Whether a password is looked at: not where too many wrong ones came, in whatever session."""
        return self._attempts.may_try(user, self._place(peer), self.clock.seconds())

    def tried(self, user: str, peer: str, right: bool) -> None:
        """A password was looked at."""
        if right:
            self._attempts.succeeded(user, self._place(peer))
            return
        self._attempts.failed(user, self._place(peer), self.clock.seconds())
        self._log.warn(
            "smtp {name}: wrong password for {user!r} from {peer}", name=self.name, user=user[:60], peer=peer
        )

    def _place(self, peer: str) -> str:
        return self._counted_as(peer) or peer

    def cannot_store(self, failure: Failure, peer: str, wire_id: str) -> bytes:
        """The answer where the house could not take a mail: always "later", never a bounce."""
        error = failure.value
        if isinstance(error, SendFailure):
            self._log.warn(
                "smtp {name}: a mail from {peer} was put off: {words}",
                name=self.name,
                peer=peer,
                words=str(error),
                wire_id=wire_id,
            )
        else:
            self._log.failure(
                "smtp {name}: a mail from {peer} could not be stored",
                failure=failure,
                name=self.name,
                peer=peer,
                wire_id=wire_id,
            )
        full = getattr(error, "errno", None) == errno.ENOSPC or _FULL.search(str(error))
        return replies.DISK_FULL if full else replies.BUSY

    def mail_done(self, session: Session) -> None:
        """A mail has its answer: while stopping, that was the last one."""
        if self._stopping is not None:
            session.give_up(replies.STOPPING)

    # -- the end

    def drain(self) -> Deferred[None]:
        """Say goodbye to all; those with a mail under way may end it within ``limits.stop`` seconds."""
        done: Deferred[None] = Deferred()
        self._stopping = done
        for session in tuple(self._sessions):
            if not session.is_working:
                session.give_up(replies.STOPPING)
        if not self._sessions:
            self._stopped()
            return done
        self._last = self.clock.callLater(self.limits.stop, self._abort_all)
        return done

    def _abort_all(self) -> None:
        for session in tuple(self._sessions):
            session.transport.abortConnection()

    def _stopped(self) -> None:
        if self._round is not None:
            self._round.cancel()
            self._round = None
        if self._last is not None and self._last.active():
            self._last.cancel()
        self._last = None
        done, self._stopping = self._stopping, None
        if done is not None:
            done.callback(None)
