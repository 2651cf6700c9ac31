"""What mail made to hurt its reader costs: ``python -m bench.hostile_mail``.

Each mail of the hostile set (tests/formats/hostile.py; THREATS W15, T11, T12) goes to a reader process as the hub gives
it one. Prints the slowest, the most memory a reader ever held, and how late the hub's own reactor was meanwhile; beside
them what the standard library needs for the same mail, in a process of its own that is given ten seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from msgserver.workers.frames import Unreadable
from msgserver.workers.pool import WorkerPool
from tests.formats.hostile import HOSTILE

TICK = 0.002  # seconds between looks at the clock
PATIENCE = 10.0  # seconds for the standard library


class Lag:
    """How late the reactor calls back."""

    def __init__(self, reactor: Any) -> None:
        self.late: list[float] = []
        self.busy: list[float] = []  # processor time of ours between two looks: what no other program adds to
        self._spent = time.thread_time()
        self._reactor = reactor
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._due = time.perf_counter() + TICK
        self._reactor.callLater(TICK, self._look)

    def _look(self) -> None:
        self.late.append(max(0.0, time.perf_counter() - self._due))
        spent = time.thread_time()
        self.busy.append(spent - self._spent)
        self._spent = spent
        self.start()


def at(seen: list[float], share: float) -> float:
    """What this share of all figures does not exceed."""
    return sorted(seen)[min(len(seen) - 1, int(len(seen) * share))]


def peaks() -> tuple[int, float]:
    """Of our child processes: the most memory one has held so far, bytes, and all their processor time, seconds."""
    most, spent = 0, 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if lines.get("PPid", "").strip() == str(os.getpid()) and "VmHWM" in lines:
            most = max(most, int(lines["VmHWM"].split()[0]) * 1024)
            words = status.with_name("stat").read_text().rpartition(")")[2].split()
            spent += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return most, spent


def _with_the_library(raw: bytes) -> None:
    import email
    import email.policy

    message = email.message_from_bytes(raw, policy=email.policy.default)
    str(message["subject"]), str(message["from"]), str(message["to"])
    for part in message.walk():
        if part.get_content_maintype() == "text":
            part.get_content()


def library(raw: bytes) -> str:
    """How the standard library fares, in words."""
    child = multiprocessing.get_context("fork").Process(target=_with_the_library, args=(raw,))
    begin = time.perf_counter()
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        child.start()
        os.dup2(kept, 2)
        os.close(kept)
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
        return f"> {PATIENCE:.0f} s"
    took = f"{time.perf_counter() - begin:.2f} s"
    return took if child.exitcode == 0 else f"raised, {took}"


async def main(reactor: Any) -> None:
    """Print the table."""
    pool = WorkerPool(reactor)
    pool.startService()
    await pool.read_mails([b"Subject: warm\r\n\r\nx"])
    lag = Lag(reactor)
    lag.start()
    await task.deferLater(reactor, 5.0)
    idle, lag.late, lag.busy = at(lag.late, 0.999), [], []
    took: dict[str, float] = {}
    unread = []
    most = 0
    for name, raw in HOSTILE.items():
        before = peaks()[1]
        (reading,) = await pool.read_mails([raw])
        held, spent = peaks()
        took[name], most = spent - before, max(most, held)
        if isinstance(reading, Unreadable):
            unread.append(name)
    late, worst, busy = at(lag.late, 0.999), max(lag.late), at(lag.busy, 0.999)
    slowest = sorted(took, key=lambda name: took[name], reverse=True)[:8]
    print(f"{'the slowest of ' + str(len(took)) + ', processor time':45}{'ours':>10}{'email, default policy':>26}")
    for name in slowest:
        print(f"{name:45}{took[name]:8.2f} s{library(HOSTILE[name]):>26}")
    print(f"not read: {len(unread)} {unread or ''}")
    print(f"most memory of a reader: {most / 2**20:.0f} MiB")
    print(f"reactor meanwhile: p99.9 {late * 1e3:.1f} ms late, at most {worst * 1e3:.1f} ms, {len(lag.late)} looks")
    print(f"of that, our own work between two looks: p99.9 {busy * 1e3:.1f} ms, at most {max(lag.busy) * 1e3:.1f} ms")
    print(f"late for 5 s before, idle: p99.9 {idle * 1e3:.1f} ms late (what the machine's other work costs)")
    await pool.stopService()


if __name__ == "__main__":
    task.react(lambda reactor: ensureDeferred(main(reactor)))
