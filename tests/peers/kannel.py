"""Kannel: an SMS gateway over HTTP, with a telephone network that is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.programs import Program, free_port, home, listens, program

_CONFIG = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = admin
smsbox-port = {box}
box-allow-ip = "127.0.0.1"
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = FAKE
host = 127.0.0.1
port = {smsc}
connect-allow-ip = "127.0.0.1"

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1

group = sendsms-user
username = {user}
password = {password}
default-sender = 12345
concatenation = true
max-messages = 10
omit-empty = true

group = sms-service
keyword = default
get-url = "{arrivals}"
max-messages = 0
catch-all = true
"""


class Kannel:
    """A gateway whose ``url`` sends; texts from phones are fetched from the ``arrivals`` URL of the hub.

    ``arrivals`` takes Kannel's escapes: ``http://.../in/sms?from=%p&to=%P&text=%a&id=%I``.
    """

    user, password = "hub", "sms-password"

    def __init__(self, directory: Path, arrivals: str) -> None:
        self.directory = directory
        ports = {name: free_port() for name in ("admin", "box", "smsc", "sendsms")}
        self.url = f"http://127.0.0.1:{ports['sendsms']}/cgi-bin/sendsms"
        self._smsc = ports["smsc"]
        text = _CONFIG.format(**ports, user=self.user, password=self.password, arrivals=arrivals)
        (directory / "kannel.conf").write_text(text)
        self._programs: list[Program] = []
        self._start("bearerbox", ports["box"])
        self._start("smsbox", ports["sendsms"])

    def _start(self, name: str, port: int) -> None:
        argv = [program(name, "kannel"), "-v", "1", str(self.directory / "kannel.conf")]
        running = Program(argv, self.directory / f"{name}.log")
        self._programs.append(running)
        running.wait_ready(lambda: listens(port))

    def network(self, *messages: str, count: int | None = None) -> Program:
        """Join the fake telephone network, which sends texts and takes what the hub sends.

        Each message is ``sender receiver data WORDS``, the words percent-encoded; without ``count`` each is
        sent once. What phones receive is in the returned program's log. Without it nothing can be sent.
        """
        sent = len(messages) if count is None else count
        argv = [program("fakesmsc", "kannel-extras"), "-H", "127.0.0.1", "-r", str(self._smsc)]
        argv += ["-i", "0.1", "-m", str(sent), *(messages or ("100 200 data none",))]
        running = Program(argv, self.directory / f"network{len(self._programs)}.log")
        self._programs.append(running)
        return running

    def stop(self) -> None:
        """Stop all of it."""
        for running in reversed(self._programs):
            running.stop()


@pytest.fixture
def kannel() -> Iterator[Callable[[str], Kannel]]:
    """Start a Kannel that brings arriving texts to the given URL."""
    with ExitStack() as stack:

        def start(arrivals: str) -> Kannel:
            gateway = Kannel(stack.enter_context(home("kannel")), arrivals)
            stack.callback(gateway.stop)
            return gateway

        yield start
