"""Kill the hub at every step of the way, again and again, and count afterwards.

Senders write down what was acknowledged to them, the far side what it received; neither asks the hub. Each round starts
the hub with one fail point armed (or none: then it is killed at some moment), under load, on the same database. In the
end it is started whole, left to finish, and three ledgers are compared: I1 to I5 of what must never be broken.
``MSGSERVER_KILL_ROUNDS`` sets how many rounds there are; ``MSGSERVER_KILL_SEED`` repeats a run.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import smtplib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Rule
from msgserver.store import people, rules, subscriptions
from msgserver.store.connecting import once
from tests.peers.hub import HubProcess
from tests.peers.mail import SMTPSink
from tests.peers.programs import wait_until

PLACES = [f"{place}.{side}" for place in ("C1", "R1", "C2", "C3", "R2", "R3", "C4") for side in ("before", "after")]
SENDERS = 4
SUBSCRIBERS = ("bo@out.example", "cy@out.example")
LONGEST_ROUND = 6.0  # seconds of load before a hub whose fail point was not reached is killed anyway
PATIENCE = 180.0  # the same, for the one round of each fail point in which it is to be reached


class Sender(threading.Thread):
    """Sends mail after mail, each until it is acknowledged, as a mail server would; ``acknowledged`` is its ledger."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name=name, daemon=True)
        self.port = port
        self.acknowledged: list[tuple[str, str]] = []  # Message-ID, sha256 of what was sent
        self.last = threading.Event()  # send no new one any more
        self.load = threading.Event()  # go on sending
        self._line: smtplib.SMTP | None = None

    def run(self) -> None:
        for number in count(1):
            if self.last.is_set():
                break
            name = f"{self.name}.{number}@out.example"
            raw = (
                f"From: {self.name}@out.example\r\nTo: hub@hub.example\r\nSubject: flood {number}\r\n"
                f"Message-ID: <{name}>\r\n\r\nThe flood reached house {number}.\r\n"
            ).encode()
            while not self._taken(raw):
                time.sleep(0.05)
            self.acknowledged.append((name, hashlib.sha256(raw).hexdigest()))
            while not self.load.wait(0.1) and not self.last.is_set():
                pass
            time.sleep(0.01)

    def _taken(self, raw: bytes) -> bool:
        try:
            if self._line is None:
                self._line = smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=60)
            self._line.sendmail(f"{self.name}@out.example", ["hub@hub.example"], raw)
        except (OSError, smtplib.SMTPException):
            with suppress(Exception):
                assert self._line is not None
                self._line.close()
            self._line = None
            return False
        return True


class World:
    """A hub, who writes to it, who subscribed, and where its mail goes."""

    def __init__(self, hub: HubProcess, sink: SMTPSink) -> None:
        self.hub = hub
        self.sink = sink
        self.database = hub.directory / "state" / "msgserver.db"
        self.senders = [Sender(f"p{n}", hub.smtp_port) for n in range(SENDERS)]
        with once(f"sqlite:///{self.database}") as tx:
            rule = Rule(id=0, name="Flood", position=0, words=("flood",), resource="incident")
            rules.create_rule(tx, HUB, rule, 1.0)
            for address in SUBSCRIBERS:
                entity = people.create_entity(tx, HUB, address, EntityKind.PERSON, address, 1.0)
                people.add_contact(tx, HUB, entity.id, Address("mailto", address), 1.0)
                subscriptions.subscribe(tx, HUB, entity.id, "incident", "", 1.0)

    def round(self, fail: str, seconds: float, alone: bool) -> bool:
        """Start the hub with a fail point, load it until it dies; False: it had to be killed after ``seconds``.

        ``alone``: then its writer, at a commit perhaps, is left to end by itself while the next hub starts.
        """
        with suppress(AssertionError):  # it may well die before it says that it is ready
            self.hub.start(MSGSERVER_FAIL=fail)
        for sender in self.senders:
            sender.load.set()
            if not sender.is_alive():
                sender.start()
        end = time.monotonic() + seconds
        while self.hub.running() and time.monotonic() < end:
            time.sleep(0.02)
        died = not self.hub.running()
        for sender in self.senders:
            sender.load.clear()
        if alone:
            self.hub.kill_alone()
        else:
            self.hub.kill()
        return died

    def finish(self) -> None:
        """Start it whole, let everybody finish, and wait until nothing is left to do."""
        self.hub.start()
        for sender in self.senders:
            sender.last.set()
            sender.load.set()
        for sender in self.senders:
            sender.join(300)
            assert not sender.is_alive(), f"{sender.name} still waits for an acknowledgement"
        unread = "SELECT count(*) FROM msg_raw WHERE state = 'received'"
        wait_until(lambda: self.value(unread) == 0, "all is read", 300)
        left = "SELECT count(*) FROM msg_delivery_status WHERE state NOT IN ('sent', 'delivered')"
        wait_until(lambda: self.value(left) == 0, "all is sent", 600)
        assert self.hub.stop() == -signal.SIGTERM  # twistd stops in order, then ends by the signal it was sent
        assert "has stopped" in self.hub.log.read_text()[-2000:]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=120) as connection:
            return connection.execute(sql).fetchall()

    def value(self, sql: str) -> Any:
        return self.rows(sql)[0][0]


@pytest.fixture
def world(make_hub: Callable[..., HubProcess], smtp_sink: SMTPSink) -> Iterator[World]:
    world = World(make_hub(relay_port=smtp_sink.port), smtp_sink)
    yield world
    for sender in world.senders:
        sender.last.set()
        sender.load.set()


def rounds(seed: int) -> Iterator[tuple[str, float]]:
    """(fail point or nothing, seconds until it is killed anyway): each place first, then whatever chance says."""
    chance = random.Random(seed)
    for place in PLACES:
        yield f"{place}:kill:{chance.randint(1, 8)}", PATIENCE
    while True:
        if chance.random() < 0.5:
            yield f"{chance.choice(PLACES)}:kill:{chance.randint(1, 60)}", LONGEST_ROUND
        else:
            yield "", chance.uniform(0.0, 2.5)


@pytest.mark.peer
@pytest.mark.slow
def test_whatever_moment_it_is_killed_nothing_is_lost_and_nothing_twice_unexplained(world: World):
    wanted = int(os.environ.get("MSGSERVER_KILL_ROUNDS", str(len(PLACES) + 2)))
    many = wanted > len(PLACES) + 2  # a long run looks for what nobody thought of, the usual one is always the same
    seed = int(os.environ.get("MSGSERVER_KILL_SEED", random.randrange(1_000_000) if many else 1))
    print(f"MSGSERVER_KILL_SEED={seed}")
    reached = Counter[str]()
    for number, (fail, seconds) in zip(range(wanted), rounds(seed), strict=False):
        died = world.round(fail, seconds, alone=number % 2 == 1)
        reached[fail.partition(":")[0]] += died
    world.finish()
    compare(world)
    world.hub.command("fsck")
    missed = [place for place in PLACES if wanted >= len(PLACES) and not reached[place]]
    assert not missed, f"these fail points were never reached: {missed}"


def compare(world: World) -> None:
    """The senders' ledgers, the hub's rows and the far side's ledger, held against each other."""
    acknowledged = {name: digest for sender in world.senders for name, digest in sender.acknowledged}
    assert len(acknowledged) > 20
    # I1: each acknowledged mail is in the journal once, byte for byte, and became one message.
    journalled: dict[str, list[int]] = {}
    for raw_id, raw in world.rows("SELECT raw_id, raw FROM msg_raw_bytes"):
        name = raw.partition(b"Message-ID: <")[2].partition(b">")[0].decode()
        assert hashlib.sha256(raw).hexdigest() == acknowledged.get(name, hashlib.sha256(raw).hexdigest())
        journalled.setdefault(name, []).append(raw_id)
    assert {name: len(ids) for name, ids in journalled.items()} == dict.fromkeys(acknowledged, 1)
    messages = Counter(name for (name,) in world.rows("SELECT wire_message_id FROM msg_log WHERE direction = 'in'"))
    assert messages == dict.fromkeys(acknowledged, 1)
    # I2: nothing is left unread.
    assert world.rows("SELECT id, reason FROM msg_raw WHERE state <> 'read' OR outcome <> 'message'") == []
    # I3: each message has exactly one delivery to each subscriber.
    implied = {(name, f"mailto:{address}"): 1 for name in acknowledged for address in SUBSCRIBERS}
    deliveries = world.rows(
        "SELECT m.wire_message_id, d.address, d.id FROM msg_delivery_status d JOIN msg_log m ON m.id = d.message_id"
    )
    assert Counter((name, address) for name, address, _ in deliveries) == implied
    # I4 is fsck's. I5: the far side has each delivery once, and once more at most for each "unknown" written down.
    received = Counter(str(mail.message["Message-ID"]).strip("<>").partition(".")[0] for mail in world.sink.mails)
    unknown = Counter(
        f"d{number}" for (number,) in world.rows("SELECT delivery_id FROM msg_delivery_event WHERE state = 'unknown'")
    )
    for _, _, number in deliveries:
        copies = received[f"d{number}"]
        assert 1 <= copies <= 1 + unknown[f"d{number}"], f"delivery {number}: {copies} copies, {unknown[f'd{number}']}"
    assert sum(received.values()) - len(deliveries) <= sum(unknown.values())
    # I6: what one sender sent stands in the log in that order.
    for sender in world.senders:
        order = world.rows(
            f"SELECT wire_message_id FROM msg_log WHERE sender = 'mailto:{sender.name}@out.example' ORDER BY id"
        )
        assert [name for (name,) in order] == [name for name, _ in sender.acknowledged]
