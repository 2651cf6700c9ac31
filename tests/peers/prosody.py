"""A Prosody server with accounts, and people on it who chat with slixmpp from a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.certificates import Authority
from tests.peers.programs import Program, free_port, home, listens, program

DOMAIN = "xmpp.test"
_CONFIG = """
run_as_root = true
pidfile = "{directory}/pid"
data_path = "{directory}/data"
certificates = "{directory}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "offline", "presence", "message", "iq" {more} }}
modules_disabled = {{ "s2s", "http" {fewer} }}
authentication = "internal_plain"
c2s_require_encryption = {encryption}
allow_unencrypted_plain_auth = {plain}
smacks_hibernation_time = 2
offline_message_quota = 10000
log = {{ info = "*console" }}
VirtualHost "{domain}"
{certificate}
Component "rooms.{domain}" "muc"
"""


class Prosody:
    """A server for ``xmpp.test`` on 127.0.0.1:port.

    With ``authority`` it insists on TLS; without, it has none and takes passwords in clear. ``managed``: with
    XEP-0198. Everybody's password is ``password``. ``kill`` and ``start`` for what happens when it goes away.
    """

    domain = DOMAIN
    password = "chat-password"

    def __init__(self, directory: Path, authority: Authority | None, *, managed: bool = True) -> None:
        self.directory = directory
        self.port = free_port()
        self.people: list[Person] = []
        self.ca = authority.ca if authority else None
        certificate = ""
        if authority is not None:
            pem, key = authority.sign(DOMAIN)
            certificate = f'ssl = {{ certificate = "{pem}"; key = "{key}" }}'
        config = _CONFIG.format(
            directory=directory,
            port=self.port,
            domain=DOMAIN,
            more=(', "tls"' if authority else "") + (', "smacks"' if managed else ""),
            fewer="" if authority else ', "tls"',
            encryption=str(authority is not None).lower(),
            plain=str(authority is None).lower(),
            certificate=certificate,
        )
        (directory / "prosody.cfg.lua").write_text(config)
        (directory / "data").mkdir()
        self.start()

    @property
    def endpoint(self) -> str:
        """Where a client connects to."""
        return f"tcp:127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it with the accounts and offline messages it had; returns when it takes connections."""
        argv = [program("prosody", "prosody"), "--config", str(self.directory / "prosody.cfg.lua"), "-F"]
        self.program = Program(argv, self.directory / "log")
        self.program.wait_ready(lambda: listens(self.port))

    def kill(self) -> None:
        """End it as a power cut would."""
        self.program.kill()

    def account(self, *users: str) -> None:
        """Make accounts; one that is there gets the password again."""
        accounts = self.directory / "data" / DOMAIN.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        for user in users:
            new = accounts / f"{user}.new"  # the server reads whenever somebody logs in: never half of it
            new.write_text(f'return {{ ["password"] = "{self.password}" }};\n')
            new.rename(accounts / f"{user}.dat")

    def person(self, user: str) -> Person:
        """Somebody with an account, signing in with slixmpp; ``leave`` ends it."""
        self.account(user)
        self.people.append(Person(self, user))
        return self.people[-1]

    def stop(self) -> None:
        """Send everybody home and stop the server."""
        for person in self.people:
            person.leave()
        self.program.stop()


class Person:
    """A slixmpp client in a process of its own; ``events`` is what it saw, in order."""

    def __init__(self, server: Prosody, user: str) -> None:
        self.jid = f"{user}@{server.domain}"
        self.events: list[dict[str, Any]] = []
        argv = [sys.executable, "-m", "tests.protocols.xmpp.person", self.jid, server.password, str(server.port)]
        self._process = subprocess.Popen(
            [*argv, str(server.ca or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(server.directory / f"{user}.log").open("ab"),
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def do(self, what: str, **words: Any) -> None:
        """Tell it to do something: ``say(to, body, id)``, ``raw(xml)``, ``add(to)``, ``ping(to)``, ``disco(to)``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **words}) + "\n")
        self._process.stdin.flush()

    def saw(self, event: str, **words: Any) -> list[dict[str, Any]]:
        """The events of that name which have these words."""
        return [one for one in self.events if one["event"] == event and words.items() <= one.items()]

    def leave(self) -> None:
        """End the process."""
        if self._process.returncode is not None:
            return
        self._process.kill()
        self._process.wait()
        self._reader.join(60)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


MakeProsody = Callable[..., Prosody]


@pytest.fixture
def make_prosody(authority: Authority) -> Iterator[MakeProsody]:
    """Call it for a server of one's own: ``make_prosody(tls=True, managed=True)``."""
    with home("prosody") as directory:
        servers: list[Prosody] = []

        def make(*, tls: bool = True, managed: bool = True) -> Prosody:
            place = directory / str(len(servers))
            place.mkdir()
            servers.append(Prosody(place, authority if tls else None, managed=managed))
            return servers[-1]

        try:
            yield make
        finally:
            for server in servers:
                server.stop()


@pytest.fixture(scope="session")
def _prosody_server(authority: Authority) -> Iterator[Prosody]:
    with home("prosody") as directory:
        server = Prosody(directory, authority)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def prosody(_prosody_server: Prosody) -> Prosody:
    """A running server with TLS and XEP-0198 that tests share: use accounts of your own, and leave it running."""
    return _prosody_server
