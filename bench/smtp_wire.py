"""How many mails a second the SMTP server takes when storing costs nothing, against Postfix's own smtp-sink.

Needs Postfix's smtp-source and smtp-sink (Debian: postfix). One process a server, the generator beside it:

    python bench/smtp_wire.py [--mails 5000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time

SERVER = """
import sys
from twisted.internet import epollreactor
epollreactor.install()
from twisted.internet import reactor
from zope.interface import implementer
from msgserver.connector import IHub
from msgserver.message import Accepted
from msgserver.protocols.smtp import Settings, make_connector

@implementer(IHub)
class Nowhere:
    taken = Accepted(raw_id=1)
    async def accept(self, arrival):
        return self.taken
    def changed(self):
        pass

settings = Settings(listen="tcp:%s:interface=127.0.0.1" % sys.argv[1], domains=["hub.example"])
connector = make_connector("bench", settings, Nowhere(), reactor)
connector.startService()
reactor.run()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def cpu(server: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time a server has used: steadier than the clock on a busy machine."""
    with open(f"/proc/{server.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rate(port: int, sessions: int, size: int, mails: int) -> float:
    """Mails a second, sessions kept open."""
    envelope = "-f ana@there.example -t desk@hub.example"
    command = f"smtp-source -d -s {sessions} -l {size} -m {mails} {envelope} inet:127.0.0.1:{port}"
    began = time.perf_counter()
    subprocess.run(command.split(), check=True)
    return mails / (time.perf_counter() - began)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mails", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    for tool in ("smtp-source", "smtp-sink"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: install postfix")
    ours, sink = free_port(), free_port()
    servers = [
        subprocess.Popen([sys.executable, "-c", SERVER, str(ours)]),
        subprocess.Popen(
            ["smtp-sink", *(["-u", "nobody"] if os.geteuid() == 0 else []), f"inet:127.0.0.1:{sink}", "200"]
        ),
    ]
    try:
        for port in (ours, sink):
            wait_for(port)
        print(f"{'sessions':>8} {'bytes':>6} {'msgserver/s':>12} {'smtp-sink/s':>12} {'ratio':>6} {'CPU us/mail':>12}")
        for sessions, size in ((1, 1024), (10, 1024), (50, 1024), (10, 10240)):
            mails = chosen.mails if sessions > 1 else chosen.mails // 4
            rounds = []
            for _ in range(chosen.rounds):
                before = cpu(servers[0])
                mine = rate(ours, sessions, size, mails)
                used = (cpu(servers[0]) - before) / mails * 1e6
                rounds.append((mine, rate(sink, sessions, size, mails), used))
            mine, theirs, used = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"{sessions:8} {size:6} {mine:12,.0f} {theirs:12,.0f} {mine / theirs:6.2f} {used:12.0f}")
    finally:
        for server in servers:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
