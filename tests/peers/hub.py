"""The hub itself as a process of its own, started the way operators start it: ``twistd -n msgserver``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Program, free_port, listens

_CONFIG = """
[hub]
name = "Test desk"
state = "{directory}/state"
{hub}
[store]
url = "{store}"
[web]
listen = "tcp:{web}:interface=127.0.0.1"
url = "http://127.0.0.1:{web}"
{connectors}
"""
_MAIL = """
[connector.mail]
type = "smtp"
listen = "tcp:{smtp}:interface=127.0.0.1"
domains = ["hub.example"]
addresses = "*"
relay = "tcp:127.0.0.1:{relay}"
"""
_LOOPBACK = """
[connector.loop]
type = "loopback"
"""


class HubProcess:
    """A hub with a directory, ports and a database of its own.

    ``url`` is its web, ``smtp_port`` takes mail for hub.example, mail goes out to ``relay_port``; ``log`` is
    what it printed, over all its starts.
    """

    def __init__(
        self,
        directory: Path,
        *,
        relay_port: int | None = None,
        store: str | None = None,
        extra: str = "",
        connectors: str | None = None,
        env: Mapping[str, str] | None = None,
        hub: str = "",
    ) -> None:
        self.directory = directory
        self.web_port, self.smtp_port = free_port(), free_port()
        self.relay_port = relay_port or free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        self.env = dict(env or {})
        self.log = directory / "hub.log"
        self.config = directory / "msgserver.toml"
        (directory / "state").mkdir(mode=0o700, exist_ok=True)
        tables = (_MAIL + _LOOPBACK if connectors is None else connectors) + extra
        self._takes_mail = "{smtp}" in tables
        self.config.write_text(
            _CONFIG.format(
                directory=directory,
                hub=hub,
                store=store or f"sqlite:///{directory}/state/msgserver.db",
                web=self.web_port,
                connectors=tables.replace("{smtp}", str(self.smtp_port)).replace("{relay}", str(self.relay_port)),
            )
        )
        self.program: Program | None = None

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``msgserver WORDS --config ...`` beside it; fails on another exit code than 0 unless told."""
        argv = [_beside_python("msgserver"), *words, "--config", str(self.config)]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=self.directory, timeout=300, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, seconds: float = 120, **env: str) -> None:
        """Start it and wait until it says that it is ready; ``env`` is for this start alone."""
        argv = [_beside_python("twistd"), "-n", "--pidfile=", "msgserver", "--config", str(self.config)]
        self.program = Program(argv, self.log, env={**self.env, **env}, cwd=self.directory)
        self.program.wait_ready(self.ready, seconds)

    def ready(self) -> bool:
        """Whether it takes mail (where it is to) and its /readyz says yes."""
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=30) as answer:
            return bool(answer.status == 200 and (not self._takes_mail or listens(self.smtp_port)))
        return False

    def running(self) -> bool:
        """Whether the process is there."""
        return self.program is not None and self.program.process.poll() is None

    def stop(self) -> int:
        """Stop it as an operator would; returns the exit code: twistd ends by the signal itself, -15."""
        return self.program.stop(signal.SIGTERM) if self.program else 0

    def kill(self) -> None:
        """Kill it and its worker processes at once (-9)."""
        if self.program:
            self.program.kill()

    def kill_alone(self) -> None:
        """Kill it (-9) and leave its writer and its workers to find out."""
        if self.program:
            self.program.process.kill()
            self.program.process.wait()

    def writer(self) -> int:
        """The process that writes to its database."""
        assert self.program is not None
        found = subprocess.run(
            ["pgrep", "-g", str(self.program.process.pid), "-f", "msgserver.store.writer"],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(found.stdout)

    def restart(self, seconds: float = 120, **env: str) -> None:
        """Kill it where it still runs, and start it again on the same directory and ports."""
        self.kill()
        self.start(seconds, **env)

    def token(self, user: str = "admin", role: str = "administrator") -> str:
        """Make a user and an API token of theirs."""
        password = self.directory / f"{user}.password"
        password.write_text("a long enough pass phrase\n")
        self.command("user", "add", user, "--role", role, "--password-file", str(password))
        return self.command("token", "add", user).stdout.split()[-1]

    def api(self, token: str, path: str, body: object = None, method: str | None = None, **headers: str) -> Any:
        """Ask the API; returns the decoded answer. HTTPError carries its body as a note."""
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", sent, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace")[:2000])
            raise


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.fixture
def make_hub(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Make hubs that are not started yet: ``make_hub(relay_port=..., store=..., extra="[connector...")``."""
    with ExitStack() as stack:
        made = 0

        def make(**options: Any) -> HubProcess:
            nonlocal made
            made += 1
            directory = tmp_path / f"hub{made}"
            directory.mkdir()
            hub = HubProcess(directory, **options)
            stack.callback(hub.kill)
            return hub

        yield make


@pytest.fixture
def hub_process(make_hub: Callable[..., HubProcess]) -> HubProcess:
    """A started hub with mail, a loopback and the web."""
    hub = make_hub()
    hub.start()
    return hub
