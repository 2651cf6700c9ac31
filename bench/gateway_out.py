"""Texts that wait in the outbox, sent through the http connector, each outcome durable, against ``requests``.

    python -m bench.gateway_out [--rounds 3] [--texts 15000]

The peer sends with 16 threads and kept sessions to the same server and writes nothing down; the hub claims, renders,
sends, and settles every text in its database, synced. Its time runs from the first outcome to the last.
Lag is how late the hub's reactor was meanwhile. "first" is from the hub's start to the first outcome: it has the whole
queue to open. "CPU us" is processor time a text, which a busy machine does not change; the hub's has its start in it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

from bench.gateways import TEXT, ProbedHub, Sink, with_requests
from bench.smtp_wire import cpu
from msgserver.message import Address
from msgserver.records import HUB, Draft
from msgserver.store.connecting import once
from msgserver.store.writing import write_draft

_SLICE = 20_000


def fill(hub: ProbedHub, texts: int) -> None:
    """Queue texts to as many numbers."""
    numbers = (Address("sms", f"+1555{n:07}") for n in range(texts))
    with once(f"sqlite:///{hub.database}", hub.root / "var") as tx:
        for n in range(0, texts, _SLICE):
            to = tuple(itertools.islice(numbers, _SLICE))
            draft = Draft(uid=f"00000000-0000-4000-8000-{n:012}", to=to, text=TEXT, subject="Water")
            write_draft(tx, HUB, draft, {"sms": "gateway"}, time.time())


def measure(sink: int, texts: int) -> tuple[float, float, float, tuple[float, float, float, float]]:
    """Texts a second, processor time for each (us), seconds to the first, and how late the reactor was."""
    hub = ProbedHub(sink)
    fill(hub, texts)
    with hub:
        begun = time.time()
        while hub.count("SELECT count(*) FROM msg_delivery_status WHERE state IN ('pending', 'claimed')"):
            time.sleep(0.1)
            if time.time() - begun > 300:
                raise RuntimeError(hub.log.read_text()[-3000:])
        wrong = hub.count("SELECT count(*) FROM msg_delivery_status WHERE state <> 'sent'")
        assert wrong == 0, f"{wrong} were not sent: {hub.log.read_text()[-2000:]}"
        spent = hub.number(
            "SELECT max(changed_at) - min(at) FROM msg_delivery_status, (SELECT min(at) AS at FROM msg_delivery_event)"
        )
        first = hub.number("SELECT min(at) FROM msg_delivery_event WHERE state = 'sent'") - hub.begun
        assert hub._process is not None
        used = cpu(hub._process) / texts * 1e6
        hub.stop()
        return texts / spent, used, first, hub.lateness()


def main() -> None:
    """Print a line a round, and the medians' ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--texts", type=int, default=15_000)
    chosen = options.parse_args()
    theirs, ours = [], []
    print(
        f"{'requests/s':>10} {'CPU us':>7} {'hub/s':>8} {'CPU us':>7} {'ratio':>6} {'lag p50':>8} {'p99':>6}"
        f" {'worst':>6} ms {'first s':>8} {'MiB':>5}"
    )
    with Sink() as sink:
        for _ in range(chosen.rounds):
            peer, their_cpu = with_requests(sink, min(chosen.texts // 2, 8_000))
            theirs.append(peer)
            rate, our_cpu, first, (p50, p99, worst, peak) = measure(sink, chosen.texts)
            ours.append(rate)
            print(
                f"{theirs[-1]:10.0f} {their_cpu:7.0f} {rate:8.0f} {our_cpu:7.0f} {rate / theirs[-1]:6.2f}"
                f" {p50:8.1f} {p99:6.1f} {worst:6.0f}    "
                f"{first:8.2f} {peak:5.0f}",
                flush=True,
            )
    print(f"medians: {statistics.median(ours) / statistics.median(theirs):.2f} times requests with 16 threads")


if __name__ == "__main__":
    main()
