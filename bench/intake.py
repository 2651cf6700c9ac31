"""Durable SMTP intake, 250 after the fsync, with reading on, against Postfix receiving into its queue and discarding.

    python -m bench.intake [--rounds 3] [--seconds 5]

Both run at the same time on the same disk, and are measured in turn by Postfix's own smtp-source. "all read" counts
until the last mail is message, ticket and search index; the backlog is bounded by the hub itself.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench.hub import Hub
from bench.postfix import Postfix, smtp_source

CASES = ((50, 1024), (10, 1024), (1, 1024), (10, 10240))


def main() -> None:
    """Print a table of medians and ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--store", default="", help="an empty PostgreSQL database's URL, instead of SQLite")
    chosen = options.parse_args()
    with Postfix() as postfix, Hub(store=chosen.store) as hub:
        smtp_source(postfix.port, 500, 10)
        smtp_source(hub.port, 500, 10)
        print(
            f"{'sessions':>8} {'bytes':>6} {'Postfix/s':>10} {'hub/s':>8} {'ratio':>6} {'all read/s':>10} {'ratio':>6}"
        )
        for sessions, size in CASES:
            theirs, ours, read = [], [], []
            for _ in range(chosen.rounds):
                count = int(chosen.seconds * 600)
                theirs.append(smtp_source(postfix.port, count, sessions, size))
                count = int(chosen.seconds * 1500)
                begun = time.perf_counter()
                ours.append(smtp_source(hub.port, count, sessions, size))
                if hub.sqlite:
                    hub.drain()
                read.append(count / (time.perf_counter() - begun))
            peer, hub_rate, read_rate = map(statistics.median, (theirs, ours, read))
            print(
                f"{sessions:8} {size:6} {peer:10.0f} {hub_rate:8.0f} {hub_rate / peer:6.2f} {read_rate:10.0f} "
                f"{read_rate / peer:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
