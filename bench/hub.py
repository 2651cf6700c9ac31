"""A hub of its own in a temporary folder, as an operator would start it, for the benchmarks."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from bench.postfix import free_port

_CONFIG = """\
[hub]
name = "Bench desk"
state = "{root}/var"
connectors = "all"
web = {web}
[store]
url = "{store}"
[web]
listen = "tcp:{web_port}:interface=127.0.0.1"
url = "http://127.0.0.1:{web_port}"
[connector.mail]
type = "smtp"
listen = "tcp:{port}:interface=127.0.0.1"
domains = ["hub.example"]
addresses = "*"
limits = {{ connections = 1000 }}
{relay}
{mail}
"""


class Hub:
    """``with Hub() as hub: hub.port``; ``prepare`` is run on the SQLite file before the start."""

    def __init__(
        self, *, relay_port: int | None = None, store: str = "", web: bool = False, mail: str = "", extra: str = ""
    ) -> None:
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="hub-"))
        self.port = free_port()
        self.web_port = free_port()
        (self.root / "var").mkdir()
        self.database = self.root / "var" / "msgserver.db"
        relay = f'relay = "tcp:127.0.0.1:{relay_port}"\nrelay_tls = "none"' if relay_port else ""
        self.config = self.root / "msgserver.toml"
        self.sqlite = not store
        self.config.write_text(
            _CONFIG.format(
                root=self.root,
                store=store or f"sqlite:///{self.database}",
                web=str(web).lower(),
                web_port=self.web_port,
                port=self.port,
                relay=relay,
                mail=mail,
            )
            + extra
        )
        self.log = self.root / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Hub:
        self.start()
        return self

    def command(self) -> list[str]:
        """How it is started."""
        twistd = pathlib.Path(sys.executable).with_name("twistd")
        return [str(twistd), "-n", "--pidfile=", "msgserver", "--config", str(self.config)]

    def start(self) -> float:
        """Start it; returns seconds until it listens."""
        begun = time.perf_counter()
        self.begun = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.root,
                env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        while time.perf_counter() - begun < 30:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    if probe.recv(3) == b"220":
                        return time.perf_counter() - begun
            except OSError:
                pass
            if self._process.poll() is not None:
                break
            time.sleep(0.005)
        raise RuntimeError(f"the hub does not answer:\n{self.log.read_text()[-3000:]}")

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def stop(self) -> None:
        """SIGTERM, and wait; once is enough."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def processes(self) -> list[int]:
        """The hub's process and its readers."""
        assert self._process is not None
        found = subprocess.run(["pgrep", "-g", str(self._process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def cpu(self) -> float:
        """Seconds of processor time that its processes have used so far: steadier than the clock on a busy machine."""
        return sum(map(_cpu_of, self.processes()))

    def count(self, query: str) -> int:
        """A whole number out of the SQLite file, read beside the running hub."""
        return int(self.number(query))

    def number(self, query: str) -> float:
        """A number out of the SQLite file, read beside the running hub."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30) as database:
            return float(database.execute(query).fetchone()[0])

    def span(self, query: str) -> tuple[float, float]:
        """Two numbers out of the SQLite file."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30) as database:
            first, last = database.execute(query).fetchone()
            return float(first), float(last)

    def backlog(self) -> int:
        """Arrivals that are journalled and not read."""
        return self.count("SELECT count(*) FROM msg_raw WHERE state = 'received'")

    def drain(self, limit: float = 120.0) -> float:
        """Wait until everything is read; seconds it took."""
        begun = time.perf_counter()
        while self.backlog():
            if time.perf_counter() - begun > limit:
                raise RuntimeError("the backlog does not end")
            time.sleep(0.02)
        return time.perf_counter() - begun


def _cpu_of(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
