"""A hundred thousand texts queued at once for one modem: ``python -m bench.queue``.

The hub runs in this process; the modem is the emulated one, a process of its own on loopback, whose journal says when
a text was on the wire. Shown: how long until the first text leaves, how long an urgent one takes that is written
behind them, and whether memory grows with the queue or with sending.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable

from sqlalchemy import Connection, text
from twisted.internet import reactor, task
from twisted.internet.defer import ensureDeferred

from bench.postfix import free_port
from msgserver.config import load, load_connectors
from msgserver.message import Address
from msgserver.records import HUB, Draft, EntityKind, Priority
from msgserver.service import HubService
from msgserver.store import people

TEXTS = 100_000
SENDING = 40.0  # seconds
_CONFIG = """
[hub]
name = "Bench desk"
state = "{root}/var"
web = false
[store]
url = "sqlite:///{root}/var/hub.db"
[connector.modem1]
type = "gsm"
device = "tcp:127.0.0.1:{port}"
"""


def everybody(tx: Connection) -> int:
    """A group of a hundred thousand people with a phone each; returns its id."""
    group = people.create_entity(tx, HUB, str(uuid.uuid4()), EntityKind.GROUP, "Everybody", 1.0)
    count = f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {TEXTS})"
    for sql in (
        "INSERT INTO pe_entity (id, uid, kind, name, created_at) {} SELECT :id + n, 'u' || n, 'person', 'P', 1 FROM n",
        (
            "INSERT INTO pe_contact (entity_id, scheme, address, created_at)"
            " {} SELECT :id + n, 'sms', 'sms:+9370' || (1000000 + n), 1 FROM n"
        ),
        "INSERT INTO pe_membership (group_id, member_id, at) {} SELECT :id, :id + n, 1 FROM n",
    ):
        tx.execute(text(sql.format(count)), {"id": group.id})
    return group.id


def memory() -> float:
    """MiB that this process holds."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def until(true: Callable[[], bool], every: float = 0.002) -> float:
    """Wait; returns when it became true, by the wall clock."""
    while not true():
        await task.deferLater(reactor, every)
    return time.time()


async def measure(root: pathlib.Path, port: int) -> None:
    """Carry it out and print."""
    (root / "msgserver.toml").write_text(_CONFIG.format(root=root, port=port))
    config = load(root / "msgserver.toml")
    house = HubService(config, load_connectors(config), reactor)
    house.startService()
    modem = house.connectors["modem1"]
    journal = root / "sent"

    def sent() -> list[str]:
        return journal.read_text().splitlines() if journal.exists() else []

    await until(lambda: modem.status.able)
    group = await house.store.write(everybody)
    before = memory()
    begun = time.time()
    await house.desk.write(HUB, Draft(uid=str(uuid.uuid4()), entities=(group,), text="Leave the valley now"))
    queued = time.time()
    first = await until(lambda: bool(sent()))
    print(f"{TEXTS:,} texts written and queued in {queued - begun:.2f} s; the first left {first - queued:.2f} s later")
    urgent = Draft(uid=str(uuid.uuid4()), to=(Address("sms", "+4670000001"),), text="Urgent", priority=Priority.URGENT)
    written = time.time()
    await house.desk.write(HUB, urgent)
    left = await until(lambda: any("+4670000001" in line for line in sent()))
    print(f"an urgent one written behind them left after {left - written:.2f} s")
    full = memory()
    held = [full]
    started, count = time.time(), len(sent())
    while time.time() - started < SENDING:
        await task.deferLater(reactor, SENDING / 8)
        held.append(memory())
    rate = (len(sent()) - count) / (time.time() - started)
    print(f"sending {rate:.0f} a second; memory before {before:.0f} MiB, queued {full:.0f}, then "
          + ", ".join(f"{one:.0f}" for one in held[1:]))  # fmt: skip
    await house.stopService()


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="queue-") as folder:
        root, port = pathlib.Path(folder), free_port()
        (root / "var").mkdir()
        argv = [sys.executable, "-m", "tests.emulators.modem", "--tcp", str(port), "--journal", str(root / "sent")]
        modem = subprocess.Popen(argv)
        try:
            task.react(lambda _: ensureDeferred(measure(root, port)))
        except SystemExit as ended:
            if ended.code:
                raise
        finally:
            modem.kill()


if __name__ == "__main__":
    main()
