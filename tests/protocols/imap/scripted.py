"""An IMAP server that does as it is told, in memory: each command may misbehave in its own way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, connect
from zope.interface import implementer

from msgserver.protocols.imap.connector import MailboxConnector
from msgserver.protocols.imap.settings import Settings
from msgserver.settings import Secret
from tests.fakes import FakeHub

ABILITIES = "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER IDLE MOVE UIDPLUS"


class Mails:
    """The folders of an account, over all connections: by name, a UIDVALIDITY and the mails by UID."""

    def __init__(self) -> None:
        self.validity = 7
        self.next_uid = 1
        self.mails: dict[int, bytes] = {}
        self.flags: dict[int, set[str]] = {}
        self.moved: dict[str, list[bytes]] = {}

    def put(self, *mails: bytes, uid: int | None = None) -> None:
        for mail in mails:
            self.next_uid = uid or self.next_uid
            self.mails[self.next_uid] = mail
            self.flags[self.next_uid] = set()
            self.next_uid += 1

    def renew(self) -> None:
        """As a server does that lost its index: the same mails under other numbers."""
        mails = list(self.mails.values())
        self.validity += 1
        self.next_uid = 1
        self.mails, self.flags = {}, {}
        self.put(*mails)

    @property
    def seen(self) -> list[int]:
        return [uid for uid, flags in self.flags.items() if "\\Seen" in flags]


class Host(Protocol):
    """One connection. ``moods``: the command (or "GREETING", "DONE", "LITERAL") to what is done instead."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.box = road.box
        self.lines: list[str] = []
        self.idling = ""
        self.asking = ""
        self._buffer = b""

    def connectionMade(self) -> None:
        self.answer("GREETING", "", lambda: self.say("* OK ready"))

    def say(self, *lines: str | bytes) -> None:
        for line in lines:
            self.transport.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    def answer(self, verb: str, tag: str, usual: Callable[[], None]) -> bool:
        """Do the usual, or what the mood says; whether it was the usual."""
        mood = self.road.moods.get(verb)
        if mood is None:
            usual()
        else:
            mood(self, tag)
        return mood is None

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            self.lines.append(line.decode())
            self._line(line.decode())

    def _line(self, line: str) -> None:
        if self.idling:
            tag, self.idling = self.idling, ""
            assert line == "DONE"
            self.answer("DONE", tag, lambda: self.say(f"{tag} OK done"))
            return
        if self.asking:
            tag, self.asking = self.asking, ""
            self.answer("CHALLENGED", tag, lambda: self.say(f"{tag} NO [AUTHENTICATIONFAILED] wrong"))
            return
        tag, verb, *rest = line.split(" ", 2)
        words = rest[0] if rest else ""
        if verb == "UID":
            second, _, words = words.partition(" ")
            verb = f"UID {second}"
        usual = getattr(self, "do_" + verb.replace(" ", "_"), None)
        if not self.answer(verb, tag, lambda: usual(words) if usual else None):
            return
        if verb == "IDLE":
            self.idling = tag
            self.say("+ idling")
        else:
            self.say(f"{tag} OK {verb} done")

    def do_CAPABILITY(self, words: str) -> None:
        self.say(f"* CAPABILITY {self.road.abilities}")

    def do_SELECT(self, words: str) -> None:
        self.say("* FLAGS (\\Seen \\Deleted)", f"* {len(self.box.mails)} EXISTS", "* 0 RECENT")
        self.say(f"* OK [UIDVALIDITY {self.box.validity}] valid", f"* OK [UIDNEXT {self.box.next_uid}] next")

    def do_UID_FETCH(self, words: str) -> None:
        which, _, what = words.partition(" ")
        for uid in self.chosen(which):
            mail, at = self.box.mails[uid], f"{list(self.box.mails).index(uid) + 1} FETCH (UID {uid}"
            if "RFC822.SIZE" in what:
                size = self.road.sizes.get(uid, len(mail))
                self.say(f'* {at} RFC822.SIZE {size} INTERNALDATE "17-Nov-2026 09:30:00 +0000")')
                continue
            body = mail[: mail.index(b"\r\n\r\n") + 4] if "HEADER" in what else mail
            name = "BODY[HEADER]<0>" if "HEADER" in what else "BODY[]"
            self.answer("LITERAL", at, lambda at=at, name=name, body=body: self.say(_literal(at, name, body)))

    def do_UID_STORE(self, words: str) -> None:
        which, _, flags = words.partition(" ")
        for uid in self.chosen(which):
            self.box.flags[uid] |= set(re.findall(r"\\\w+", flags))

    def do_UID_MOVE(self, words: str) -> None:
        which, _, target = words.partition(" ")
        for uid in self.chosen(which):
            self.box.moved.setdefault(target.strip('"'), []).append(self.box.mails.pop(uid))
            self.box.flags.pop(uid)

    def do_UID_COPY(self, words: str) -> None:
        which, _, target = words.partition(" ")
        for uid in self.chosen(which):
            self.box.moved.setdefault(target.strip('"'), []).append(self.box.mails[uid])

    def do_UID_EXPUNGE(self, words: str) -> None:
        self.do_EXPUNGE("", self.chosen(words))

    def do_EXPUNGE(self, words: str, among: list[int] | None = None) -> None:
        for uid in self.chosen("1:*") if among is None else among:
            if "\\Deleted" in self.box.flags[uid]:
                del self.box.mails[uid], self.box.flags[uid]

    def do_UID_SEARCH(self, words: str) -> None:
        assert words == "DELETED"
        found = [str(uid) for uid, flags in self.box.flags.items() if "\\Deleted" in flags]
        self.say("* SEARCH " + " ".join(found))

    def do_LOGOUT(self, words: str) -> None:
        self.say("* BYE until next time")

    def chosen(self, which: str) -> list[int]:
        """The UIDs that a set names; ``n:*`` always names the last."""
        found: set[int] = set()
        last = max(self.box.mails, default=0)
        for one in which.split(","):
            low, _, high = one.partition(":")
            top = last if high == "*" else int(high or low)
            low_number = min(int(low), top) if high == "*" else int(low)
            found |= {uid for uid in self.box.mails if low_number <= uid <= top}
        return sorted(found)


def _literal(at: str, name: str, body: bytes) -> bytes:
    return f"* {at} {name} {{{len(body)}}}\r\n".encode() + body + b" FLAGS (\\Recent))"


@implementer(IStreamClientEndpoint)
class Road:
    """Leads to the account over as many connections as are asked for, or is closed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.box = Mails()
        self.moods: dict[str, Callable[[Host, str], None]] = {}
        self.abilities = ABILITIES
        self.sizes: dict[int, int] = {}  # lies, by UID
        self.closed = False
        self.hosts: list[Host] = []
        self._pumps: list[Any] = []

    def connect(self, factory: Any) -> Any:
        if self.closed:
            return fail(error.ConnectionRefusedError())
        client, host = factory.buildProtocol(None), Host(self)
        self.hosts.append(host)
        there = FakeTransport(host, isServer=True)
        here = FakeTransport(client, isServer=False, peerAddress=IPv4Address("TCP", "127.0.0.1", 143))
        self._pumps.append(connect(host, there, client, here))
        return succeed(client)

    def run(self, seconds: float = 0.0) -> None:
        """Let bytes flow, and time pass."""
        while True:
            for _ in range(500):
                moving = [pump.flush() for pump in self._pumps]
                self.clock.advance(0)
                if not any(moving):
                    break
            if seconds <= 0:
                return
            self.clock.advance(min(5.0, seconds))
            seconds -= 5.0

    def lose(self) -> None:
        """The connection breaks."""
        self.hosts[-1].transport.abortConnection()
        self.run()

    @property
    def said(self) -> list[str]:
        """The commands of the last connection, without tags."""
        return [line.partition(" ")[2] or line for line in self.hosts[-1].lines]


class Desk:
    """A connector whose only way is a road, and its hub."""

    def __init__(self, **changes: Any) -> None:
        table: dict[str, Any] = {
            "connect": "tcp:127.0.0.1:143",
            "tls": "none",
            "user": "desk@hub.example",
            "password": Secret("pass word"),
        }
        self.clock = Clock()
        self.road = Road(self.clock)
        self.box = self.road.box
        self.hub = FakeHub()
        settings = Settings(**{**table, **changes})
        self.connector = MailboxConnector("mailbox", settings, self.hub, self.clock, self.road, chance=lambda: 0.5)

    def start(self) -> None:
        self.connector.startService()
        self.road.run()

    def stop(self) -> None:
        stopping = self.connector.stopService()
        self.road.run(15.0)
        assert stopping.called

    @property
    def taken(self) -> list[bytes]:
        return [arrival.raw for arrival in self.hub.arrivals]

    @property
    def words(self) -> str:
        return self.connector.status.words


def mail(n: int, text: str = "The well is dry") -> bytes:
    """A small mail."""
    return f"From: ana@field.example\r\nSubject: {n}\r\n\r\n{text} {n}\r\n".encode()
