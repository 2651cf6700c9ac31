"""What the tests of chat share: settings, a connector that is stopped for sure, and patience."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from msgserver.message import Address, Envelope
from msgserver.protocols.xmpp import Settings
from msgserver.protocols.xmpp.connector import XMPPConnector
from msgserver.settings import Secret
from tests.fakes import FakeHub
from tests.protocols.xmpp.proxy import Proxy


def settings_of(server: Any, user: str = "hub", **more: Any) -> Settings:
    """Settings for an account on a real server."""
    server.account(user)
    words: dict[str, Any] = {
        "jid": f"{user}@{server.domain}",
        "password": Secret(server.password),
        "connect": server.endpoint,
        "tls": "required" if server.ca else "none",
        "ca_file": str(server.ca) if server.ca else None,
    }
    return Settings(**{**words, **more})


def envelope(to: str = "ana@xmpp.test", text: str = "The water truck comes at 9.", **more: Any) -> Envelope:
    """An envelope for a chat address."""
    words: dict[str, Any] = {"ref": "d1", "attempt": 1, "sender": "Relief desk"}
    return Envelope(to=Address.of("xmpp", to), text=text, **{**words, **more})


async def until(true: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Let the reactor run until ``true()`` is; AssertionError with ``what`` when the time is up."""
    end = reactor.seconds() + seconds
    while not true():
        assert reactor.seconds() < end, f"not within {seconds:g} s: {what}"
        await task.deferLater(reactor, 0.02)


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def run(hub: FakeHub) -> Iterator[Callable[[Settings], XMPPConnector]]:
    """Start a connector on the real reactor; it is stopped after the test."""
    running: list[XMPPConnector] = []

    def start(settings: Settings) -> XMPPConnector:
        connector = XMPPConnector("chat", settings, hub, reactor)
        running.append(connector)
        connector.startService()
        return connector

    yield start
    for connector in running:
        if connector.running:
            pytest_twisted.blockon(connector.stopService())


@pytest.fixture
def proxy_to() -> Iterator[Callable[[int], Proxy]]:
    """Call it with a port for a proxy in front of it."""
    proxies: list[Proxy] = []

    def make(port: int) -> Proxy:
        proxies.append(Proxy(port))
        return proxies[-1]

    yield make
    for proxy in proxies:
        pytest_twisted.blockon(Deferred.fromCoroutine(proxy.stop()))
