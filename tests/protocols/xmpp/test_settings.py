"""The table of a chat account, and where it leads."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import DNSNameError

from msgserver.connector import IConnector
from msgserver.protocols.xmpp import Settings, make_connector, places
from msgserver.protocols.xmpp.settings import is_loopback_endpoint
from msgserver.settings import Secret, read_table
from tests.fakes import FakeHub
from tests.peers.certificates import Authority


def read(directory: Path, **table: Any) -> tuple[Settings | None, list[str]]:
    (directory / "xmpp.password").write_text("chat-password\n")
    words = {"jid": "hub@xmpp.example", "password": {"file": "xmpp.password"}, **table}
    settings, mistakes = read_table(words, Settings, "connector.chat", directory)
    return settings, [str(mistake) for mistake in mistakes]


def test_the_smallest_table(tmp_path: Path) -> None:
    settings, mistakes = read(tmp_path)
    assert mistakes == []
    assert settings is not None
    assert (settings.tls, settings.resource, settings.domain) == ("required", "hub", "xmpp.example")
    assert "chat-password" not in repr(settings)
    connector = make_connector("chat", settings, FakeHub(), MemoryReactorClock())
    assert IConnector.providedBy(connector)
    assert connector.limits.repeat_unknown
    assert connector.limits.text_length == 60_000


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"jid": "xmpp.example"}, "[connector.chat] jid: is no account"),
        ({"jid": "hub@xmpp.example/desk"}, "[connector.chat] jid: is no account"),
        ({"connect": "127.0.0.1"}, "[connector.chat] connect: must begin with"),
        ({"tls": "maybe"}, '[connector.chat] tls: must be "required", "optional" or "none"'),
        ({"tls": "none"}, 'tls = "none" would send the password in clear'),
        ({"tls": "none", "connect": "tcp:192.0.2.1:5222"}, 'tls = "none" would send the password in clear'),
        ({"ping_every": 0}, "[connector.chat] ping_every: must be a number, more than 0"),
        ({"pasword": "x"}, "[connector.chat] pasword: unknown key"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, table: dict[str, Any], words: str) -> None:
    settings, mistakes = read(tmp_path, **table)
    assert settings is None
    assert any(words in mistake for mistake in mistakes), mistakes


@pytest.mark.parametrize(
    ("endpoint", "near"),
    [
        ("tcp:127.0.0.1:5222", True),
        ("tcp:localhost:5222:timeout=3", True),
        ("tcp:host=127.0.0.1:port=5222", True),
        ("tcp:\\:\\:1:5222", True),
        ("unix:/run/xmpp", True),
        ("tcp:127.0.0.1.example:5222", False),
        ("tcp:192.0.2.1:5222", False),
        ("tcp:localhost.example:5222", False),
    ],
)
def test_which_endpoints_stay_here(endpoint: str, near: bool) -> None:
    assert is_loopback_endpoint(endpoint) is near


def test_a_certificate_file_that_is_none(tmp_path: Path, authority: Authority) -> None:
    def use(file: Path) -> None:
        settings = Settings(jid="hub@xmpp.example", password=Secret("x"), ca_file=str(file))
        make_connector("chat", settings, FakeHub(), MemoryReactorClock())

    use(authority.ca)
    (tmp_path / "words.pem").write_text("no certificate")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    for name in ("words.pem", "broken.pem", "missing.pem"):
        with pytest.raises(ValueError, match="ca_file"):
            use(tmp_path / name)


def srv(priority: int, weight: int, host: str, port: int = 5222) -> dns.RRHeader:
    return dns.RRHeader("x", dns.SRV, payload=dns.Record_SRV(priority, weight, port, host))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([srv(20, 0, "b.example"), srv(10, 1, "c.example", 5322), srv(10, 9, "a.example")],
         ["a.example:5222", "c.example:5322", "b.example:5222"]),
        ([], ["xmpp.example:5222"]),
        (DNSNameError(), ["xmpp.example:5222"]),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_the_domain_s_own_servers(monkeypatch: pytest.MonkeyPatch, answers: Any, expected: list[str]) -> None:
    asked: list[str] = []

    def look_up(_: Resolver, name: str, timeout: object) -> Deferred[Any]:
        asked.append(name)
        found: Deferred[Any] = Deferred()
        if isinstance(answers, Exception):
            found.errback(answers)
        else:
            found.callback((answers, [], []))
        return found

    monkeypatch.setattr(Resolver, "lookupService", look_up)
    settings = Settings(jid="hub@xmpp.example", password=Secret("x"))
    found = await places.places(settings, MemoryReactorClock())
    assert [words for words, _ in found] == expected
    assert asked == ["_xmpp-client._tcp.xmpp.example"]


@pytest_twisted.ensureDeferred
async def test_a_domain_that_says_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object) -> Any:
        return [srv(0, 0, "")], [], []

    monkeypatch.setattr(Resolver, "lookupService", look_up)
    with pytest.raises(places.NoServiceThere, match=r"xmpp\.example says"):
        await places.places(Settings(jid="hub@xmpp.example", password=Secret("x")), MemoryReactorClock())


def test_the_table_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/xmpp.md").read_text()
    table = tomllib.loads(page.split("```toml\n")[1].split("```")[0])["connector"]["chat"]
    (tmp_path / "var").mkdir()
    (tmp_path / "var/xmpp.password").write_text("chat-password\n")
    assert table.pop("type") == "xmpp"
    settings, mistakes = read_table(table, Settings, "connector.chat", tmp_path)
    assert mistakes == []
    assert settings is not None
