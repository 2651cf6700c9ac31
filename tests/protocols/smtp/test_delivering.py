"""Delivered straight, as to the internet: a name server, a real Postfix with TLS, and what comes out behind it."""

from __future__ import annotations

import email
import email.policy
import shutil
import subprocess

import dkim
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.names import dns

from bench.postfix import Postfix
from msgserver.connector import PermanentFailure, TemporaryFailure
from msgserver.message import Address, Attachment, Mailing, Thread
from msgserver.protocols.smtp import Settings, make_connector
from msgserver.protocols.smtp.settings import DkimKey, MxSettings
from msgserver.settings import Secret
from tests.fakes import FakeHub
from tests.formats.test_dkim import KEYS
from tests.formats.test_dkim import dns as published
from tests.peers.zone import NameServer, Zone
from tests.protocols.smtp.test_connector import envelope, until
from tests.protocols.smtp.test_peers import Sink, _Aiosmtpd

pytestmark = pytest.mark.peer
PICTURE = Attachment("p.png", "image/png", b"\x89PNG" * 100, content_id="pic@hub.example", inline=True)
FILE = Attachment("Lagebericht für Köln.pdf", "application/pdf", bytes(range(256)) * 40)
ANA = Address("mailto", "ana@hub.example")  # whom Postfix takes mail for


@pytest.fixture(scope="module")
def behind():
    """A Postfix with a certificate for hub.example, and what it gives on."""
    sink = Sink()
    controller = _Aiosmtpd(sink)
    controller.start()
    yield controller, sink
    controller.stop()


@pytest.fixture(scope="module")
def postfix(behind, certificate, tmp_path_factory):
    readable = tmp_path_factory.mktemp("postfix") / "hub.pem"
    shutil.copy(certificate, readable)
    extra = f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {readable}\nsmtpd_tls_key_file = {readable}\n"
    with Postfix(relay_port=behind[0].port, extra=extra) as peer:
        yield peer


@pytest_twisted.async_yield_fixture
async def zone():
    here = Zone(
        {
            "hub.example": [
                dns.Record_MX(5, "away.example"),
                dns.Record_MX(10, "hub.example"),
                dns.Record_A("127.0.0.1"),
            ],
            "away.example": [dns.Record_A("127.0.0.9")],
            "null.example": [dns.Record_MX(0, "")],
        }
    )
    server = NameServer(here, reactor)
    yield server
    await server.stop()


def sender(running, postfix, zone, **changes):
    values = {
        "relay": "mx",
        "hostname": "far.example",
        "sender": "desk@far.example",
        "mx": MxSettings(nameserver=zone.place, port=postfix.port, private=True),
        "dkim": [
            DkimKey(domain="far.example", selector="rsa", key=Secret(KEYS["rsa"])),
            DkimKey(domain="far.example", selector="ed", key=Secret(KEYS["ed25519"])),
        ],
    }
    return running(make_connector("mail", Settings(**{**values, **changes}), FakeHub(), reactor))


def full():
    """A mail with everything in it."""
    return envelope(
        to=ANA, to_name="Ana", ref="d17.0123456789ab", subject="Re: [#42] Größe", text="Zwei Brunnen.\n.\nGrüße\n",
        html='<p style="color:red">Zwei <b>Brunnen</b></p><img src="cid:pic@hub.example">',
        attachments=(PICTURE, FILE), copy=True, automatic=True,
        thread=Thread(in_reply_to="q@x", references=("a@x", "q@x"), token="42.k7f3qz5hwa"),
        mailing=Mailing(name="Flood 12", label="incident.9", token="u7.5.abcdefghijklmnop", link="https://h.example/u/7"),
    )  # fmt: skip


async def arrived(sink, count: int) -> bytes:
    await until(lambda: len(sink.mails) >= count, 180.0)
    return sink.mails[-1]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("policy", ["none", "may", "require", "verify"])
async def test_through_a_real_postfix(running, behind, postfix, zone, certificate, policy):
    sink = behind[1]
    before = len(sink.mails)
    connector = sender(running, postfix, zone, tls_for={"*": policy}, relay_ca=certificate)
    receipt = await connector.send(full())
    assert receipt.words.startswith("250 2.0.0 Ok: queued")
    mail = await arrived(sink, before + 1)
    message = email.message_from_bytes(mail, policy=email.policy.default)
    secured = any("ESMTPS" in line for line in message.get_all("Received"))
    assert secured is (policy != "none")
    signers = [key.signer() for key in connector._settings.dkim]
    signed = list(message.get_all("DKIM-Signature"))
    assert len(signed) == 2
    for index in range(2):
        assert dkim.DKIM(mail).verify(index, dnsfunc=published(*signers)), "it was changed on the way"
    assert message.get_body(("plain",)).get_content().split() == ["Zwei", "Brunnen.", ".", "Grüße"]
    assert [part.get_filename() for part in message.iter_attachments()] == [FILE.name]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Return-Path"] is None or "d17" in message["Return-Path"]
    assert not message.defects


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_somebody_unknown_is_not_enough_to_verify(running, postfix, zone):
    connector = sender(running, postfix, zone, tls_for={"*": "verify"})
    with pytest.raises(TemporaryFailure) as failure:
        await connector.send(full())
    assert failure.value.alone
    assert "certificate" in str(failure.value).lower()


@pytest_twisted.ensureDeferred
async def test_domains_that_take_no_mail(running, postfix, zone):
    connector = sender(running, postfix, zone)
    for address, words in (("ana@null.example", "null MX"), ("ana@nosuch.example", "no domain")):
        with pytest.raises(PermanentFailure, match=words):
            await connector.send(envelope(to=Address("mailto", address)))


@pytest_twisted.ensureDeferred
async def test_spamassassin_finds_nothing_to_say(running, behind, postfix, zone):
    """Its rules that need no network: structure, encodings, dates, words."""
    sink, before = behind[1], len(behind[1].mails)
    program = shutil.which("spamassassin")
    assert program, "spamassassin is missing: see tests/peers/packages"
    connector = sender(running, postfix, zone)
    await connector.send(full())
    mail = await arrived(sink, before + 1)
    done = await deferToThread(
        subprocess.run, [program, "-L", "-t"], input=mail, capture_output=True, timeout=900, check=False
    )
    report = done.stdout.decode("utf-8", "replace")
    status = email.message_from_string(report)["X-Spam-Status"]
    assert status.startswith("No,"), report[-3000:]
    score = float(status.partition("score=")[2].partition(" ")[0])
    assert score < 2.0, report[-3000:]
