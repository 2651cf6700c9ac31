"""Against programs that others wrote: Postfix's generator and sink, swaks, aiosmtpd."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
import pytest_twisted
from aiosmtpd.controller import Controller
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure, Unknown
from msgserver.message import Address
from msgserver.protocols.smtp import Settings, make_connector
from tests.fakes import FakeHub
from tests.peers.programs import free_port
from tests.protocols.smtp.test_connector import envelope, until
from tests.protocols.smtp.test_session import NOT_AN_END

pytestmark = pytest.mark.peer


def needs(program: str) -> str:
    path = shutil.which(program)
    assert path, f"{program} is missing: see tests/peers/packages"
    return path


def receiver(running, hub, **settings) -> int:
    chosen = Settings(listen="tcp:0:interface=127.0.0.1", domains=["hub.example"], **settings)
    return running(make_connector("mail", chosen, hub, reactor)).ports[0].port


async def run(*command: str) -> str:
    done = await deferToThread(subprocess.run, command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("options", [("-d", "-s", "50"), ("-s", "10"), ("-d", "-s", "5", "-r", "20", "-l", "20000")])
async def test_smtp_source(running, options):
    hub = FakeHub()
    port = receiver(running, hub)
    many = ("-m", "300", "-f", "ana@there.example", "-t", "desk@hub.example", f"inet:127.0.0.1:{port}")
    await run(needs("smtp-source"), *options, *many)
    assert len(hub.arrivals) == 300


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("options", [(), ("--pipeline",), ("--tls",), ("--protocol", "SMTP")])
async def test_swaks(running, certificate, options):
    hub = FakeHub()
    port = receiver(running, hub, certificate=certificate)
    said = await run(
        needs("swaks"), "-s", f"127.0.0.1:{port}", "-f", "ana@there.example", "-t", "desk@hub.example",
        "--body", "first\n.second\n..third\n", *options,
    )  # fmt: skip
    assert "250 2.6.0" in said
    assert b"first\r\n.second\r\n..third\r\n" in hub.arrivals[0].raw


class Sink:
    """Keeps what aiosmtpd takes."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_RCPT(self, server, session, their, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 nobody"
        their.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, their):
        self.mails.append(their.original_content)
        return "250 ok"


class _Aiosmtpd(Controller):
    """On a port of its own."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink, hostname="127.0.0.1", port=free_port(), ready_timeout=60.0, decode_data=False)


@pytest.fixture
def aiosmtpd():
    sink = Sink()
    controller = _Aiosmtpd(sink)
    controller.start()
    yield controller, sink
    controller.stop()


@pytest_twisted.ensureDeferred
async def test_aiosmtpd_takes_what_we_send(running, aiosmtpd):
    controller, sink = aiosmtpd
    settings = Settings(relay=f"tcp:127.0.0.1:{controller.port}", sender="desk@hub.example")
    sender = running(make_connector("mail", settings, FakeHub(), reactor))
    await until(lambda: sender.status.able)
    texts = [f"Nummer {n}\n.\n..\nGrüße" for n in range(40)]
    sends = [sender.send(envelope(ref=f"d{n}", text=text, html="<p>hi</p>")) for n, text in enumerate(texts)]
    receipts = await gatherResults(sends)
    assert all(receipt.words.startswith("250") for receipt in receipts)
    assert len(sink.mails) == 40
    with pytest.raises(PermanentFailure):
        await sender.send(envelope(to=Address("mailto", "nobody@there.example")))
    await sender.send(envelope(ref="last"))
    assert len(sink.mails) == 41


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("ending", NOT_AN_END)
async def test_what_we_send_cannot_be_cut_in_two(running, aiosmtpd, ending):
    """W7, W8: any text, at the border of any piece, arrives as one mail."""
    controller, sink = aiosmtpd
    settings = Settings(relay=f"tcp:127.0.0.1:{controller.port}", sender="desk@hub.example")
    sender = running(make_connector("mail", settings, FakeHub(), reactor))
    await until(lambda: sender.status.able)
    smuggled = ending.decode("latin-1") + "MAIL FROM:<evil@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nforged\r\n.\r\n"
    for size in (1, 16_383, 16_384):
        await sender.send(envelope(text="a" * size + smuggled))
    assert len(sink.mails) == 3


def start_sink(*options: str) -> tuple[subprocess.Popen[bytes], int]:
    """Postfix's sink and its port."""
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    return subprocess.Popen([needs("smtp-sink"), *user, *options, f"inet:127.0.0.1:{port}", "100"]), port


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("option", "verb", "kind"),
    [
        ("-r", "rcpt", TemporaryFailure),
        ("-f", "rcpt", PermanentFailure),
        ("-Q", "mail", TemporaryFailure),
        ("-q", "rcpt", TemporaryFailure),
        ("-q", "data", TemporaryFailure),
        ("-f", ".", PermanentFailure),
        ("-Q", ".", TemporaryFailure),
        ("-q", ".", Unknown),
    ],
)
async def test_smtp_sink_refusing(running, option, verb, kind):
    """F9 with somebody else's server."""
    sink, port = start_sink(option, verb)
    try:
        settings = Settings(relay=f"tcp:127.0.0.1:{port}", sender="desk@hub.example")
        sender = running(make_connector("mail", settings, FakeHub(), reactor))
        await until(lambda: sender.status.able)
        for n in range(3):
            with pytest.raises(SendFailure) as failure:
                await sender.send(envelope(ref=f"d{n}"))
            assert type(failure.value) is kind
        await sender.stopService()
    finally:
        sink.terminate()
        sink.wait()
