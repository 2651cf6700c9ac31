"""Jasmin beside its RabbitMQ and Redis, and an SMS centre that takes everything, for comparison.

Both servers must run already on this machine (Debian: rabbitmq-server, redis-server), Jasmin is in a virtual
environment of its own (PyPI: jasmin), because it asks for older libraries than we do.

    python -m bench.jasmin smsc PORT FILE     an SMS centre that speaks SMPP 3.4, says yes, and counts in a file
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.postfix import free_port
from bench.smtp_wire import wait_for

_RESPONSE = 0x80000000
_BIND_TRANSCEIVER, _SUBMIT, _UNBIND, _ENQUIRE = 0x9, 0x4, 0x6, 0x15

_JCLI = """\
group -a
gid hub
ok
user -a
uid hub
gid hub
username hub
password word
mt_messaging_cred quota http_throughput none
mt_messaging_cred quota smpps_throughput none
ok
smppccm -a
cid net
host 127.0.0.1
port {smsc}
username hub
password word
bind transceiver
submit_throughput 0
ok
mtrouter -a
type DefaultRoute
connector smppc(net)
rate 0.0
ok
smppccm -1 net
quit
"""


class Smsc:
    """``with Smsc() as smsc: smsc.port, smsc.taken()``."""

    def __init__(self) -> None:
        self.port = free_port()
        self._count = Path(tempfile.mkstemp(prefix="smsc-")[1])

    def __enter__(self) -> Smsc:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.jasmin", "smsc", str(self.port), str(self._count)]
        )
        wait_for(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._count.unlink()

    def taken(self) -> int:
        """How many texts it has taken."""
        return int(self._count.read_text() or 0)


class Jasmin:
    """``with Jasmin(venv, smsc.port) as jasmin: jasmin.port``: takes texts at ``/send``, user hub, password word."""

    def __init__(self, venv: Path, smsc: int, redis: int) -> None:
        self.port, self._cli = free_port(), free_port()
        self._venv, self._smsc, self._redis = venv, smsc, redis
        self.root = Path(tempfile.mkdtemp(prefix="jasmin-"))

    def __enter__(self) -> Jasmin:
        etc = self.root / "etc" / "jasmin"
        for folder in (etc / "resource", etc / "store", self.root / "var" / "log" / "jasmin"):
            folder.mkdir(parents=True)
        [spec] = self._venv.glob("lib/python3*/site-packages/txamqp/specs/standard/amqp0-9-1.stripped.xml")
        shutil.copy(spec, etc / "resource" / "amqp0-9-1.xml")
        (etc / "jasmin.cfg").write_text(
            f"[http-api]\nport = {self.port}\nlog_level = ERROR\naccess_log = /dev/null\n"
            f"[jcli]\nport = {self._cli}\nauthentication = False\n[redis-client]\nport = {self._redis}\n"
            f"[smpp-server]\nport = {free_port()}\n[smpp-server-pb]\nport = {free_port()}\n"
            f"[router]\nport = {free_port()}\nlog_level = ERROR\n[client-management]\nport = {free_port()}\n"
            "log_level = ERROR\n[sm-listener]\nlog_level = ERROR\n"
        )
        command = [self._venv / "bin" / "python", self._venv / "bin" / "jasmind.py", "-c", str(etc / "jasmin.cfg")]
        with (self.root / "log").open("wb") as log:
            environment = {**os.environ, "ROOT_PATH": str(self.root)}
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.root)
        wait_for(self._cli)
        wait_for(self.port)
        self._tell(_JCLI.format(smsc=self._smsc))
        time.sleep(2)
        return self

    def _tell(self, words: str) -> None:
        with socket.create_connection(("127.0.0.1", self._cli), 10) as line:
            line.settimeout(10)
            said = b""
            for word in words.splitlines():
                line.sendall(word.encode() + b"\r\n")
                time.sleep(0.15)
            try:
                while piece := line.recv(65536):
                    said += piece
            except TimeoutError:
                pass
        if b"Successfully started connector" not in said:
            raise RuntimeError(f"Jasmin was not set up:\n{said.decode('utf-8', 'replace')[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


class _Centre(asyncio.Protocol):
    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = transport
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        self._kept += data
        while len(self._kept) >= 16:
            length, command, _, number = struct.unpack_from(">IIII", self._kept)
            if len(self._kept) < length:
                return
            self._kept = self._kept[length:]
            body = b""
            if command == _SUBMIT:
                _Centre.taken += 1
                body = b"%d\0" % _Centre.taken
            elif command == _BIND_TRANSCEIVER:
                body = b"centre\0"
            elif command not in (_UNBIND, _ENQUIRE):
                continue
            self._line.write(struct.pack(">IIII", 16 + len(body), command | _RESPONSE, 0, number) + body)


async def _smsc(port: int, count: Path) -> None:
    server = await asyncio.get_running_loop().create_server(_Centre, "127.0.0.1", port)
    async with server:
        while True:
            count.write_text(str(_Centre.taken))  # noqa: ASYNC240 - nothing else runs here
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["smsc", port, count]:
            asyncio.run(_smsc(int(port), Path(count)))
        case _:
            sys.exit(__doc__)
