"""The server on real sockets, with real TLS (W3, T4, T5) and the standard library's client."""

from __future__ import annotations

import smtplib
import socket
import ssl

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from msgserver.protocols.smtp import Settings, make_connector
from msgserver.settings import Secret
from tests.fakes import FakeHub

LISTEN = "tcp:0:interface=127.0.0.1"


def server(running, hub, **settings):
    chosen = Settings(**{"listen": LISTEN, "domains": ["hub.example"], **settings})
    return running(make_connector("mail", chosen, hub, reactor)).ports[0].port


def client(port: int, certificate: str | None = None) -> smtplib.SMTP:
    smtp = smtplib.SMTP("127.0.0.1", port, "there.example", timeout=60)
    smtp.ehlo()
    if certificate:
        smtp.starttls(context=ssl.create_default_context(cafile=certificate))
        smtp.ehlo()
    return smtp


@pytest_twisted.ensureDeferred
async def test_a_mail_under_tls(running, certificate):
    hub = FakeHub()
    port = server(running, hub, certificate=certificate)

    def talk():
        smtp = client(port, certificate)
        smtp.sendmail("ana@there.example", ["desk@hub.example"], b"Subject: x\r\n\r\n" + b".dots\r\n" * 200_000)
        smtp.quit()

    await deferToThread(talk)
    assert hub.arrivals[0].raw == b"Subject: x\r\n\r\n" + b".dots\r\n" * 200_000
    assert hub.arrivals[0].facts["protocol"] == "ESMTPS"
    assert hub.arrivals[0].facts["tls"].startswith("TLSv1.3 ")


@pytest_twisted.ensureDeferred
async def test_nothing_said_in_clear_counts_under_tls(running, certificate):
    hub = FakeHub()
    port = server(running, hub, certificate=certificate)

    def talk():
        smtp = client(port)
        smtp.mail("ana@there.example")
        smtp.rcpt("desk@hub.example")
        smtp.starttls(context=ssl.create_default_context(cafile=certificate))
        first = smtp.docmd("DATA")[0]
        smtp.ehlo()
        second = smtp.docmd("DATA")[0]
        third = smtp.docmd("STARTTLS")[0]
        return first, second, third, smtp.has_extn("starttls")

    assert await deferToThread(talk) == (503, 503, 500, False)


@pytest_twisted.ensureDeferred
async def test_bytes_slipped_in_behind_starttls_end_the_session(running, certificate):
    hub = FakeHub()
    port = server(running, hub, certificate=certificate)

    def talk():
        with socket.create_connection(("127.0.0.1", port), 60) as raw:
            raw.recv(1000)
            raw.sendall(b"EHLO x\r\n")
            raw.recv(1000)
            raw.sendall(b"STARTTLS\r\nMAIL FROM:<injected@x>\r\n")
            return b"".join(iter(lambda: raw.recv(1000), b""))

    assert (await deferToThread(talk)).startswith(b"421 ")


@pytest_twisted.ensureDeferred
async def test_who_speaks_before_the_greeting_is_dropped(running):
    port = server(running, FakeHub())
    # Connect and speak while the reactor cannot accept yet: the bytes are there before the greeting.
    raw = socket.create_connection(("127.0.0.1", port), 60)
    raw.sendall(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
    answer = await deferToThread(raw.recv, 1000)
    raw.close()
    assert answer.startswith(b"421 4.7.0 ")


@pytest_twisted.ensureDeferred
async def test_logging_in(running, certificate):
    hub = FakeHub()
    users = {"radio": Secret("s3cret")}
    port = server(running, hub, certificate=certificate, users=users)

    def talk():
        clear = client(port)
        refused = clear.has_extn("auth"), clear.docmd("AUTH", "PLAIN AHJhZGlvAHMzY3JldA==")[0]
        wrong = client(port, certificate)
        codes = [wrong.docmd("AUTH", "PLAIN AHJhZGlvAHdyb25n")[0] for _ in range(3)]
        for mechanism in ("auth_plain", "auth_login"):
            smtp = client(port, certificate)
            smtp.user, smtp.password = "radio", "s3cret"
            smtp.auth(mechanism[5:].upper(), getattr(smtp, mechanism))
            smtp.sendmail("a@there.example", ["desk@hub.example"], f"{mechanism}\r\n".encode())
            smtp.quit()
        broken = client(port, certificate)
        odd = [
            broken.docmd("AUTH", "LOGIN")[0],
            broken.docmd("*")[0],
            broken.docmd("AUTH", "PLAIN !!!")[0],
            broken.docmd("AUTH", "CRAM-MD5")[0],
            broken.docmd("AUTH", "PLAIN YQ==")[0],
        ]
        return refused, codes, odd

    refused, codes, odd = await deferToThread(talk)
    assert refused == (False, 538)
    assert codes == [535, 535, 421]
    assert odd == [334, 501, 501, 504, 501]
    assert [a.facts["auth"] for a in hub.arrivals] == ["radio", "radio"]
    assert hub.arrivals[0].facts["protocol"] == "ESMTPSA"


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken_is_said_and_tried_again(running):
    hub = FakeHub()
    port = server(running, hub)
    settings = Settings(listen=f"tcp:{port}:interface=127.0.0.1", domains=["hub.example"])
    second = running(make_connector("second", settings, hub, reactor))
    assert not second.status.able
    assert "cannot listen on tcp:" in second.status.words
    assert "retry in" in second.status.words
    await second.stopService()
    assert second.status.words == "not listening"


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_none_is_said(tmp_path, certificate):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for settings in ({"certificate": str(empty)}, {"certificate": certificate, "key": str(empty)}):
        with pytest.raises(ValueError, match=r"empty\.pem holds no"):
            make_connector("m", Settings(listen=LISTEN, domains=["h.example"], **settings), FakeHub(), reactor)
