"""The connector as the house sees it: settings, status, sending to real servers, stopping."""

from __future__ import annotations

import email
from email.policy import default

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor, task
from zope.interface.verify import verifyObject

from msgserver.connector import IConnector, NotConnected, PermanentFailure, TemporaryFailure
from msgserver.message import Address, Attachment, Envelope, Thread
from msgserver.protocols.smtp import Settings, make_connector
from msgserver.protocols.smtp.pen import wire_address
from msgserver.settings import Secret, read_table
from tests.fakes import FakeHub
from tests.protocols.smtp.conftest import write_certificate

LISTEN = "tcp:0:interface=127.0.0.1"


def envelope(**changes) -> Envelope:
    values = {"ref": "d1", "attempt": 1, "sender": "Desk", "to": Address("mailto", "ana@there.example"), "text": "hi"}
    return Envelope(**{**values, **changes})


async def until(condition, seconds: float = 60.0) -> None:
    """Give the reactor turns until something is so."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await task.deferLater(reactor, 0.01)
    raise AssertionError("it did not come to pass")


def pair(running, certificate=None, server=None, **client):
    """A connector that receives and one that sends to it."""
    there = FakeHub()
    server = {"listen": LISTEN, "domains": ["there.example"], "certificate": certificate or "", **(server or {})}
    receiver = running(make_connector("there", Settings(**server), there, reactor))
    relay = f"tcp:127.0.0.1:{receiver.ports[0].port}"
    here = FakeHub()
    settings = Settings(**{"relay": relay, "sender": "desk@hub.example", "relay_tls": "none", **client})
    return running(make_connector("here", settings, here, reactor)), here, there


# -- settings


def test_the_table_of_the_readme_is_understood(tmp_path):
    (tmp_path / "pw").write_text("s3cret\n")
    table = {
        "listen": "tcp:2525:interface=127.0.0.1",
        "domains": ["hub.example"],
        "addresses": "*",
        "relay": "tcp:127.0.0.1:2526",
        "relay_user": "hub",
        "relay_password": {"file": "pw"},
        "limits": {"size": 1000},
    }
    settings, mistakes = read_table(table, Settings, "connector.mail", tmp_path)
    assert not mistakes
    assert settings.listens == ("tcp:2525:interface=127.0.0.1",)
    assert settings.own_name == "hub.example"
    assert settings.own_address == "hub@hub.example"
    assert settings.limits.size == 1000
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "neither listen nor relay"),
        ({"listen": LISTEN}, "listen needs domains"),
        ({"relay": "tcp:127.0.0.1:25", "relay_user": "x"}, "go together"),
        ({"listen": LISTEN, "domains": ["a.example"], "key": "x"}, "key is set without"),
        ({"relay": "tcp:127.0.0.1:25", "connections": 0}, "connections"),
        ({"relay": "tcp:127.0.0.1:25", "limits": {"per_ip_exempt": ["x"]}}, "per_ip_exempt"),
        ({"relay": "tcp:127.0.0.1:25", "sender": "nobody"}, "sender"),
    ],
)
def test_what_cannot_work_is_said(table, words, tmp_path):
    settings, mistakes = read_table(table, Settings, "connector.mail", tmp_path)
    assert settings is None
    assert any(words in str(mistake) for mistake in mistakes), mistakes


def test_names_beyond_ascii_go_as_the_dns_writes_them():
    settings = Settings(listen=LISTEN, domains=["köln.example"])
    assert settings.own_name == "xn--kln-sna.example"
    assert settings.own_address == "hub@xn--kln-sna.example"


# -- the seam


@pytest_twisted.ensureDeferred
async def test_both_directions_and_the_status(running):
    sender, here, there = pair(running)
    assert verifyObject(IConnector, sender)
    assert sender.schemes == ("mailto",)
    assert sender.limits.repeat_unknown
    assert not sender.status.able
    assert sender.status.words.startswith("connecting to tcp:127.0.0.1:")
    await until(lambda: sender.status.able)
    assert sender.status.words.startswith("sends through tcp:127.0.0.1:")
    assert here.changes >= 1
    thread = Thread(message_id="m1@hub.example", in_reply_to="q@x", token="42.k7f3")
    receipt = await sender.send(envelope(text="Zwei Brunnen.\n.\nGrüße", subject="Wasser für 3", thread=thread))
    assert receipt.wire_ids == ("m1@hub.example",)
    assert receipt.words.startswith("250 ")
    (arrival,) = there.arrivals
    assert arrival.sender == Address("mailto", "desk+d1@hub.example")
    message = email.message_from_bytes(arrival.raw, policy=default)
    assert message["Subject"] == "Wasser für 3"
    assert message["Reply-To"] == "Desk <desk+42.k7f3@hub.example>"
    assert message.get_content().split() == ["Zwei", "Brunnen.", ".", "Grüße"]


@pytest_twisted.ensureDeferred
async def test_an_automatic_answer_goes_out_from_nobody(running):
    sender, _, there = pair(running)
    await until(lambda: sender.status.able)
    await sender.send(envelope(automatic=True, thread=Thread(in_reply_to="q@x")))
    await sender.send(envelope(automatic=True, ref="d2"))
    assert [arrival.sender for arrival in there.arrivals] == [None, Address("mailto", "desk+d2@hub.example")]


@pytest_twisted.ensureDeferred
async def test_refused_and_later_are_told_apart(running):
    sender, _, there = pair(running, server={"addresses": ["ana"]})
    await until(lambda: sender.status.able)
    with pytest.raises(PermanentFailure, match=r"550 5\.1\.1") as refused:
        await sender.send(envelope(to=Address("mailto", "bob@there.example")))
    assert refused.value.bad_address
    there.failures.append(RuntimeError("a bug over there"))
    with pytest.raises(TemporaryFailure, match="451"):
        await sender.send(envelope())
    assert (await sender.send(envelope())).words.startswith("250")
    assert len(there.arrivals) == 1


@pytest_twisted.ensureDeferred
async def test_nobody_there(free_port):
    port = free_port()
    hub = FakeHub()
    sender = make_connector("m", Settings(relay=f"tcp:127.0.0.1:{port}", hostname="hub.example"), hub, reactor)
    with pytest.raises(NotConnected):
        await sender.send(envelope())
    sender.startService()
    await until(lambda: "refused" in sender.status.words)
    assert not sender.status.able
    assert "retry in" in sender.status.words
    with pytest.raises(NotConnected):
        await sender.send(envelope())
    await sender.stopService()


@pytest_twisted.ensureDeferred
async def test_a_connector_without_a_relay_only_receives(running):
    connector = running(make_connector("m", Settings(listen=LISTEN, domains=["h.example"]), FakeHub(), reactor))
    assert connector.schemes == ()
    assert connector.status.able
    assert connector.status.words == f"receives on {LISTEN}"
    with pytest.raises(PermanentFailure):
        await connector.send(envelope())


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("ana@there.example", (b"ana@there.example", False)),
        ("ana@köln.example", (b"ana@xn--kln-sna.example", False)),
        ("jürgen@köln.example", ("jürgen@xn--kln-sna.example".encode(), True)),
        ("a+b.c=d%e@x", (b"a+b.c=d%e@x", False)),
    ],
)
def test_addresses_on_the_wire(address, wire):
    assert wire_address(address) == wire


@pytest.mark.parametrize(
    "address",
    ["a", "a@", "@b", "a b@c", "a@b>x", "a@b\r\nRCPT TO:<c@d>", "a>\r\nDATA\r\n@b", "a,b@c", "a@b,c@d", '"a>b"@c'],
)  # fmt: skip
def test_what_is_no_address_never_reaches_the_wire(address):
    with pytest.raises(PermanentFailure) as failure:
        wire_address(address)
    assert failure.value.bad_address


# -- TLS to the smarthost


@pytest_twisted.ensureDeferred
async def test_starttls_and_login(running, certificate):
    login = {"relay_user": "hub", "relay_password": Secret("s3cret")}
    server = {"users": {"hub": Secret("s3cret")}}
    sender, _, there = pair(running, certificate, server, relay_tls="starttls", relay_ca=certificate, **login)
    await until(lambda: sender.status.able)
    await sender.send(envelope())
    assert there.arrivals[0].facts["auth"] == "hub"
    assert there.arrivals[0].facts["protocol"] == "ESMTPSA"


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_somebody_else_is_refused(running, certificate, tmp_path):
    other = write_certificate(tmp_path / "other.pem")
    sender, _, there = pair(running, certificate, relay_tls="starttls", relay_ca=other)
    await until(lambda: "retry in" in sender.status.words)
    assert not sender.status.able
    assert there.arrivals == []


@pytest_twisted.ensureDeferred
async def test_opportunistic_takes_tls_where_it_is(running, certificate):
    for pem, protocol in ((certificate, "ESMTPS"), (None, "ESMTP")):
        sender, _, there = pair(running, pem, relay_tls="opportunistic")
        await until(lambda sender=sender: sender.status.able)
        await sender.send(envelope())
        assert there.arrivals[0].facts["protocol"] == protocol


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL X509:DeprecationWarning")  # Twisted's own ssl: endpoint
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL PKey:DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_tls_from_the_first_byte(running, certificate):
    listen = f"ssl:0:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"
    sender, _, there = pair(running, server={"listen": listen}, relay_tls="tls", relay_ca=certificate)
    await until(lambda: sender.status.able)
    big = Attachment("a.bin", "application/octet-stream", bytes(range(256)) * 8000)
    await sender.send(envelope(attachments=(big,)))
    (arrival,) = there.arrivals
    assert arrival.facts["protocol"] == "ESMTPS"
    message = email.message_from_bytes(arrival.raw, policy=default)
    assert next(message.iter_attachments()).get_content() == big.content


# -- stopping


@pytest_twisted.ensureDeferred
async def test_stopping_waits_for_the_mail_under_way(running):
    sender, _, there = pair(running)
    await until(lambda: sender.status.able)
    there.hold()
    sending = sender.send(envelope())
    await until(lambda: there.waiting)
    stopping = sender.stopService()
    await task.deferLater(reactor, 0.05)
    assert not stopping.called
    there.release()
    await stopping
    assert (await sending).words.startswith("250")
    with pytest.raises(NotConnected):
        await sender.send(envelope())


def test_settings_are_read_whole_by_msgspec_too():
    settings = msgspec.convert({"listen": [LISTEN, "tcp:26"], "domains": ["a.example"]}, Settings)
    assert settings.listens == (LISTEN, "tcp:26")
