"""Texts that a gateway brings to the webhook, answered after the commit, against aiohttp doing the same group commit.

    python -m bench.webhook_in [--rounds 3] [--texts 6000]

The peer is aiohttp with its own form parsing; one thread takes all that waits, writes it with the hub's own
``journal`` unit into a database of the same schema, commits once, and answers all. "intake" is the hub with its reader
held back, so that both do the same; "all read" is the hub as it runs, until each text is message, ticket and search
index.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url

from bench.gateways import ProbedHub, source
from bench.postfix import free_port
from bench.smtp_wire import cpu, wait_for
from msgserver.message import Address, Arrival
from msgserver.routing.journalling import journal_row
from msgserver.store import migrations
from msgserver.store.connecting import engine as _engine
from msgserver.store.journal import journal

CONNECTIONS = 50


class Writer:
    """Group commit as the hub does it, for asyncio."""

    def __init__(self, folder: Path) -> None:
        url = make_url(f"sqlite:///{folder / 'peer.db'}")
        self._engine = _engine(url, folder, size=1, writing=True)
        with self._engine.begin() as tx:
            migrations.upgrade(tx)
        self._queue: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, daemon=True).start()

    def write(self, row: Any) -> asyncio.Future[Any]:
        """Queue a row; done when it is committed."""
        done = self._loop.create_future()
        self._queue.put((row, done))
        return done

    def _work(self) -> None:
        tx: Connection = self._engine.connect()
        while True:
            group = [self._queue.get()]
            while len(group) < 1000:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            with tx.begin():
                results = journal(tx, [row for row, _ in group])
            self._loop.call_soon_threadsafe(self._answer, [done for _, done in group], results)

    @staticmethod
    def _answer(waiting: list[Any], results: list[Any]) -> None:
        for done, result in zip(waiting, results, strict=True):
            done.set_result(result)


async def peer(port: int, folder: Path) -> None:
    """The aiohttp server."""
    from aiohttp import web

    writer = Writer(folder)
    here = Address.of("sms", "+15550100")

    async def take(request: web.Request) -> web.Response:
        fields = await request.post()
        body = await request.read()
        arrival = Arrival(
            wire_id=str(fields["id"]), sender=Address.of("sms", str(fields["from"])), recipients=(here,),
            text=str(fields["text"]), raw=body,
        )  # fmt: skip
        await writer.write(journal_row("gateway", arrival, time.time()))
        return web.Response(text="")

    app = web.Application()
    app.router.add_post("/in/gateway/{secret}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def with_aiohttp(texts: int) -> tuple[float, float]:
    """Texts a second that the peer takes, and microseconds of processor time for each."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.webhook_in", "--peer", str(port), folder]
        process = subprocess.Popen(command)
        try:
            wait_for(port)
            source(port, 500, CONNECTIONS, "warm")
            before = cpu(process)
            rate = source(port, texts, CONNECTIONS, "t")
            return rate, (cpu(process) - before) / texts * 1e6
        finally:
            process.terminate()
            process.wait()


def with_hub(texts: int, *, reading: bool) -> tuple[float, float, float, float]:
    """Texts a second that are committed, and that are read; the reactor's lag (99 %, ms); processor time for each."""
    with ProbedHub(1, web=True, reading=reading) as hub:
        wait_for(hub.web_port)
        source(hub.web_port, 500, CONNECTIONS, "warm")
        assert hub._process is not None
        before = cpu(hub._process)
        begun = time.perf_counter()
        taken = source(hub.web_port, texts, CONNECTIONS, "t")
        used = (cpu(hub._process) - before) / texts * 1e6
        assert hub.count("SELECT count(*) FROM msg_raw") == texts + 500
        if reading:
            hub.drain()
        read = texts / (time.perf_counter() - begun)
        hub.stop()
        return taken, read, hub.lateness()[1], used


def main() -> None:
    """Print a line a round, and the medians' ratios."""
    if sys.argv[1:2] == ["--peer"]:
        asyncio.run(peer(int(sys.argv[2]), Path(sys.argv[3])))
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--texts", type=int, default=6_000)
    chosen = options.parse_args()
    columns: list[tuple[float, ...]] = []
    print(
        f"{'aiohttp/s':>10} {'CPU us':>7} {'intake/s':>9} {'CPU us':>7} {'ratio':>6} {'of CPU':>6} {'all read/s':>11}"
        f" {'lag p99 ms':>11}"
    )
    for _ in range(chosen.rounds):
        theirs, their_cpu = with_aiohttp(chosen.texts)
        intake, _, _, our_cpu = with_hub(chosen.texts, reading=False)
        _, read, lag, _ = with_hub(chosen.texts, reading=True)
        columns.append((theirs, intake, read, their_cpu, our_cpu))
        print(
            f"{theirs:10.0f} {their_cpu:7.0f} {intake:9.0f} {our_cpu:7.0f} {intake / theirs:6.2f}"
            f" {their_cpu / our_cpu:6.2f} {read:11.0f} {lag:11.1f}",
            flush=True,
        )
    theirs, intake, read, their_cpu, our_cpu = (statistics.median(column) for column in zip(*columns, strict=True))
    print(
        f"medians: intake {intake / theirs:.2f} times aiohttp, for the same processor time {their_cpu / our_cpu:.2f}"
        f" times; all read {read:.0f} a second"
    )


if __name__ == "__main__":
    main()
