"""The connector and a real server: everything that is said of it, seen from another client's side."""

from __future__ import annotations

import hashlib
import imaplib
import itertools
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from msgserver.connector import TemporaryFailure
from msgserver.protocols.imap import Settings, collecting, make_connector
from msgserver.settings import Secret
from tests.fakes import FakeHub
from tests.peers.dovecot import Dovecot

pytestmark = pytest.mark.peer
async_test = pytest_twisted.ensureDeferred
_users = itertools.count()


def mail(n: int, text: str = "The well is dry", size: int = 0) -> bytes:
    body = text + "\r\n" + ("x" * 70 + "\r\n") * (size // 72)
    return f"From: ana@field.example\r\nSubject: {n}\r\nMessage-ID: <{n}@field.example>\r\n\r\n{body}".encode()


async def until(true: Callable[[], Any], what: str, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await deferLater(reactor, 0.02)


class Box:
    """A mailbox, a hub, and the connectors that read the one for the other."""

    def __init__(self, server: Dovecot) -> None:
        self.server = server
        self.user = f"user{next(_users)}"
        self.hub = FakeHub()
        self.running: list[Any] = []
        self._client: imaplib.IMAP4 | None = None

    @property
    def client(self) -> imaplib.IMAP4:
        """Another client, logged in for the whole test."""
        if self._client is None:
            self._client = self.server.client(self.user)
        return self._client

    async def close(self) -> None:
        for connector in list(self.running):
            await connector.stopService()
        if self._client is not None:
            self._client.logout()

    def connect(self, **changes: Any) -> Any:
        table: dict[str, Any] = {
            "connect": f"tcp:127.0.0.1:{self.server.tls_port}",
            "user": self.user,
            "password": Secret(self.server.password),
            "ca_file": str(self.server.ca),
            "poll_every": 1.0,
        }
        connector = make_connector("mailbox", Settings(**{**table, **changes}), self.hub, reactor)
        connector.startService()
        self.running.append(connector)
        return connector

    async def stop(self, connector: Any) -> None:
        self.running.remove(connector)
        await connector.stopService()

    def append(self, *mails: bytes, folder: str = "INBOX") -> None:
        client = self.server.client(self.user)
        for one in mails:
            assert client.append(folder, "", "", one)[0] == "OK"
        client.logout()

    def look(self, folder: str = "INBOX") -> list[tuple[bytes, bool]]:
        """The mails in a folder by UID, and whether each is seen."""
        client = self.server.client(self.user)
        if client.select(_wire(folder), readonly=True)[0] != "OK":
            client.logout()
            return []
        found = []
        for uid in client.uid("search", "ALL")[1][0].split():
            answer = client.uid("fetch", uid.decode(), "(FLAGS BODY.PEEK[])")[1]
            found.append((answer[0][1], b"\\Seen" in answer[0][0] + answer[1]))
        client.logout()
        return found

    @property
    def taken(self) -> list[bytes]:
        return [arrival.raw for arrival in self.hub.arrivals]


def _wire(folder: str) -> str:
    return '"' + folder.encode("imap4-utf-7").decode().replace('"', '\\"') + '"'


@pytest_twisted.async_yield_fixture
async def box(dovecot: Dovecot) -> AsyncIterator[Box]:
    box = Box(dovecot)
    yield box
    await box.close()


@async_test
async def test_what_is_there_is_taken_in_order_and_marked_as_read(box: Box) -> None:
    mails = [mail(n) for n in range(7)]
    box.append(*mails)
    connector = box.connect(batch=3)
    await until(lambda: "waiting (IDLE)" in connector.status.words, "it waits")
    assert box.taken == mails
    assert box.look() == [(one, True) for one in mails]
    first = box.hub.arrivals[0]
    assert first.wire_id == hashlib.sha256(mails[0]).hexdigest()
    assert (first.media_type, first.text, first.sender) == ("message/rfc822", None, None)
    assert (first.facts["folder"], first.facts["uid"]) == ("INBOX", "1")
    assert first.facts["internaldate"]
    assert connector.status.able
    assert connector.status.gauges["taken"] == 7
    assert connector._line.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(("tls", "port"), [("starttls", "port"), ("none", "port"), ("tls", "tls_port")])
@async_test
async def test_every_way_to_connect(box: Box, tls: str, port: str) -> None:
    box.append(mail(1))
    box.connect(tls=tls, connect=f"tcp:127.0.0.1:{getattr(box.server, port)}")
    await until(lambda: box.taken == [mail(1)], "the mail")


@async_test
async def test_a_mail_that_comes_while_it_waits_is_there_within_two_seconds(box: Box) -> None:
    connector = box.connect(poll_every=3600.0)
    await until(lambda: "IDLE" in connector.status.words, "it waits")
    quick = 0
    for n in range(30):  # it can, however busy the machine is now and then; with a poll it never could
        begun = time.monotonic()
        box.append(mail(n))
        await until(lambda n=n: len(box.taken) == n + 1, "the mail")
        quick += time.monotonic() - begun < 2
        if quick == 3:
            break
    assert quick == 3
    await until(lambda: all(seen for _, seen in box.look()), "marked")


@async_test
async def test_without_idle_it_polls(box: Box) -> None:
    connector = box.connect(idle=False)
    await until(lambda: connector.status.words == "connected, polling every 1 s", "it polls")
    box.append(mail(1))
    await until(lambda: box.taken == [mail(1)], "the mail")


@pytest.mark.parametrize("target", ["Taken", 'Erledigt & Geprüft 水 "x"'])
@async_test
async def test_mails_are_moved_into_a_folder_made_for_it(box: Box, target: str) -> None:
    mails = [mail(n) for n in range(5)]
    box.append(*mails)
    connector = box.connect(then=f"move:{target}", batch=2)
    await until(lambda: box.look(target) == [(one, False) for one in mails], "moved")
    assert box.look() == []
    assert box.taken == mails
    await until(lambda: connector.status.words == "connected, waiting (IDLE)", "no trouble")


@async_test
async def test_mails_are_deleted(box: Box) -> None:
    box.append(mail(1), mail(2))
    connector = box.connect(then="delete", idle=False)
    await until(lambda: box.look() == [], "deleted")
    assert box.taken == [mail(1), mail(2)]
    await until(lambda: connector.status.words == "connected, polling every 1 s", "no trouble")


@async_test
async def test_several_folders_are_read(box: Box) -> None:
    client = box.client
    client.create("Alarms")
    box.append(mail(1))
    box.append(mail(2), folder="Alarms")
    connector = box.connect(folder=["INBOX", "Alarms", "Nowhere"])
    await until(lambda: len(box.taken) == 2, "both")
    await until(lambda: "the folder Nowhere cannot be read" in connector.status.words, "said")
    assert connector.status.able
    box.append(mail(3), folder="Alarms")
    box.append(mail(4))
    await until(lambda: len(box.taken) == 4, "both again")


@async_test
async def test_a_large_mail_comes_whole(box: Box) -> None:
    large = mail(1, size=7_000_000)
    box.append(large, mail(2))
    box.connect()
    await until(lambda: len(box.taken) == 2, "both")
    assert box.taken == [large, mail(2)]


@async_test
async def test_of_a_too_large_mail_the_header_comes_and_it_is_left_alone(box: Box) -> None:
    box.append(mail(1, size=200_000), mail(2))
    connector = box.connect(largest=100_000, then="move:Taken")
    await until(lambda: box.look("Taken") == [(mail(2), False)], "the small one is moved")
    (left,) = box.look()
    assert left == (mail(1, size=200_000), False)
    head, small = box.hub.arrivals
    assert small.raw == mail(2)
    assert head.raw.startswith(b"From: ana@field.example\r\nSubject: 1\r\n")
    assert b"too large" in head.raw
    assert b"xxx" not in head.raw
    assert "200" in head.facts["header_only"]
    await until(lambda: connector.status.gauges["too large"] == 1, "counted once its round is over")


@async_test
async def test_a_hub_that_stops_in_the_middle_loses_nothing_and_takes_nothing_twice(box: Box) -> None:
    mails = [mail(n) for n in range(12)]
    box.append(*mails)
    for stop_at in (1, 3, 4, 8, 11):
        connector = box.connect(then="move:Taken", batch=5)
        box.hub.on_accept = lambda arrival, n=stop_at, it=connector: len(box.taken) == n and it.stopService()
        await until(lambda it=connector: it.status.words == "stopped", "stopped in the middle")
        box.running.remove(connector)
        assert len(box.taken) == stop_at + 1
    box.hub.on_accept = lambda arrival: None
    connector = box.connect(then="move:Taken")
    await until(lambda: len(box.look("Taken")) == 12, "all")
    assert box.taken == mails
    assert sorted(box.look("Taken")) == sorted((one, False) for one in mails)
    assert box.look() == []


@async_test
async def test_what_was_committed_but_not_marked_is_marked_at_the_next_start(box: Box) -> None:
    box.append(mail(1), mail(2))
    connector = box.connect(then="delete")
    await until(lambda: box.look() == [], "deleted")
    await until(lambda: b'"uid":2,"unmarked":[]' in box.hub.memory["cursor INBOX"], "and that is remembered")
    await box.stop(connector)
    box.append(mail(3), mail(4))  # UIDs 3 and 4
    kept = box.hub.memory["cursor INBOX"]
    box.hub.memory["cursor INBOX"] = kept.replace(b'"uid":2', b'"uid":3').replace(b'"unmarked":[]', b'"unmarked":[3]')
    box.connect(then="delete")
    await until(lambda: box.look() == [], "both deleted")
    assert box.taken == [mail(1), mail(2), mail(4)]


@async_test
async def test_what_the_house_does_not_take_stays_unmarked_and_comes_again(box: Box) -> None:
    box.append(mail(1), mail(2), mail(3))
    box.hub.failures.extend([TemporaryFailure("the disk is full", 0.5)] * 2)
    connector = box.connect()
    await until(lambda: "the disk is full" in connector.status.words, "said")
    assert "nothing is marked" in connector.status.words
    assert [seen for _, seen in box.look()] == [False] * 3
    await until(lambda: box.taken == [mail(1), mail(2), mail(3)], "all, in order")
    await until(lambda: [seen for _, seen in box.look()] == [True] * 3, "marked")
    await until(lambda: connector.status.words == "connected, waiting (IDLE)", "well again")


@async_test
async def test_a_mailbox_made_anew_brings_no_duplicates(box: Box) -> None:
    client = box.client
    client.create("Alarms")
    box.append(mail(1), mail(2), folder="Alarms")
    connector = box.connect(folder="Alarms")
    await until(lambda: len(box.taken) == 2, "both")
    kept = box.hub.memory["cursor Alarms"]
    await box.stop(connector)
    client.delete("Alarms")
    await deferLater(reactor, 1.1)  # Dovecot's UIDVALIDITY is the second of the making
    client.create("Alarms")
    box.append(mail(2), mail(1), mail(3), folder="Alarms")
    box.connect(folder="Alarms")
    await until(lambda: len(box.taken) == 3, "the new one")
    assert box.taken[2] == mail(3)
    await until(lambda: all(seen for _, seen in box.look("Alarms")), "all are marked")
    assert box.hub.memory["cursor Alarms"] != kept


@async_test
async def test_a_server_that_goes_and_comes_is_found_again(box: Box) -> None:
    connector = box.connect()
    await until(lambda: "IDLE" in connector.status.words, "it waits")
    box.server.program.kill()
    try:
        await until(lambda: not connector.status.able, "it notices")
        assert "no line to tcp:127.0.0.1" in connector.status.words
        await until(lambda: "nobody listens at tcp:127.0.0.1" in connector.status.words, "it says why")
    finally:
        box.server.start()
    box.append(mail(1))
    await until(lambda: box.taken == [mail(1)], "the mail")


@async_test
async def test_a_wrong_password_is_said_and_tried_seldom(box: Box) -> None:
    connector = box.connect(password=Secret("wrong"))
    await until(lambda: "retry in" in connector.status.words, "said")
    assert "password refused" in connector.status.words
    assert int(connector.status.words.rpartition("retry in ")[2].split()[0]) >= 24
    assert "wrong" not in connector.status.words
    assert not connector.status.able


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
@async_test
async def test_a_token_that_expires_and_is_renewed(box: Box, auth: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(box.server.token(box.user) + "\n")
    box.append(mail(1))
    changes = {"auth": auth, "password": None, "token": Secret.from_file(path)}
    connector = box.connect(**changes)
    await until(lambda: box.taken == [mail(1)], "the mail")
    await box.stop(connector)
    path.write_text(box.server.token(box.user, seconds=-60))
    connector = box.connect(**changes)
    await until(lambda: "the token was refused" in connector.status.words, "said")
    assert "retry in" in connector.status.words
    await box.stop(connector)
    path.write_text(box.server.token(box.user))
    connector = box.connect(**changes)
    await until(lambda: connector.status.able, "it is read anew")


@async_test
async def test_a_certificate_that_nobody_vouches_for_is_refused(box: Box) -> None:
    connector = box.connect(ca_file="")
    await until(lambda: "retry in" in connector.status.words, "said")
    assert "certificate that is not trusted" in connector.status.words
    other = box.connect(tls_name="mail.example")
    await until(lambda: "retry in" in other.status.words, "said")
    assert "tls_name" in other.status.words
    plain = box.connect(connect=f"tcp:127.0.0.1:{box.server.port}")
    await until(lambda: "retry in" in plain.status.words, "said")
    assert "starttls" in plain.status.words
    assert box.taken == []


@async_test
async def test_thousands_of_mails_are_taken_in_windows(box: Box) -> None:
    client = box.client
    for n in range(600):
        client.append("INBOX", "", "", mail(n))
    client.select("INBOX")
    client.store("1:400", "+FLAGS", "\\Deleted")
    client.expunge()
    box.connect(batch=20)
    await until(lambda: len(box.taken) == 200, "all")
    assert box.taken == [mail(n) for n in range(400, 600)]


@async_test
async def test_a_mail_that_the_server_cannot_read_is_told_and_the_others_come(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_TRIES", 2)  # Dovecot hangs up each time, and each wait is longer
    box.append(mail(1), mail(2), mail(3))
    (path,) = [
        one for one in (box.server.directory / "mail" / box.user).rglob("*") if one.is_file() and _holds(one, mail(2))
    ]
    os.truncate(path, 5)  # less than the server has in its index
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    connector = box.connect(then="delete")
    await until(lambda: len(box.hub.arrivals) == 3, "the others, and words about this one", 180)
    first, told, last = box.hub.arrivals
    assert (first.raw, last.raw) == (mail(1), mail(3))
    assert "cannot be fetched (UID 2" in (told.text or "")
    await until(lambda: connector.status.words == "connected, waiting (IDLE)", "well")
    assert [one for one in path.parent.parent.rglob(f"{path.name}*") if one.is_file()], "it was not deleted"


def _holds(path: Path, content: bytes) -> bool:
    try:
        found = path.read_bytes()
    except FileNotFoundError:  # a file of the server's own, put in place meanwhile
        return False
    return found.replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n")
