"""Start to listening, memory and idle work of a hub with SMTP, XMPP (a real Prosody) and the web.

    python -m bench.footprint [--idle 20]

The peer of the start is the interpreter itself importing Twisted's own SMTP, XMPP and web servers.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from bench.hub import Hub
from tests.peers.prosody import Prosody

_TICKS = os.sysconf("SC_CLK_TCK")
_IMPORTS = "import twisted.mail.smtp, twisted.words.protocols.jabber.client, twisted.web.server, sqlalchemy, jinja2"


def resident(pid: int) -> float:
    """Proportional set size in MiB: shared pages are counted once among those who share them."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def worked(pid: int) -> float:
    """Processor seconds so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--idle", type=float, default=20.0)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prosody = Prosody(pathlib.Path(folder), None)
        prosody.account("hub")
        password = pathlib.Path(folder) / "password"
        password.write_text(prosody.password)
        chat = (
            f'\n[connector.chat]\ntype = "xmpp"\njid = "hub@{prosody.domain}"\npassword = {{ file = "{password}" }}\n'
            f'connect = "{prosody.endpoint}"\ntls = "none"\n'
        )
        hub = Hub(web=True, extra=chat)
        try:
            starts, imports = [], []
            for _ in range(chosen.rounds):
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
                imports.append(time.perf_counter() - begun)
                starts.append(hub.start())
                hub.stop()
            start, peer = statistics.median(starts), statistics.median(imports)
            print(f"start to listening: {start:.2f} s; the libraries alone: {peer:.2f} s; ratio {start / peer:.2f}")
            hub.start()
            time.sleep(3)
            pids = hub.processes()
            before = sum(map(worked, pids))
            time.sleep(chosen.idle)
            idle = (sum(map(worked, pids)) - before) / chosen.idle
            sizes = [resident(pid) for pid in pids]
            everyone = f"all {len(pids)} processes {sum(sizes):.0f} MiB"
            print(f"idle: {sizes[0]:.0f} MiB, {everyone}, {100 * idle:.2f} % of a core")
            hub.stop()
        finally:
            prosody.stop()


if __name__ == "__main__":
    main()
