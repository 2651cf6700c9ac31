"""How long 100,000 people take to come in: ``python -m bench.people [url] [--people 100000]``.

One table (CSV) of people with a phone number, most with a mail address, in 40 groups: looked at (the dry run), then
imported slice by slice as the hub does, beside a sample of it imported a person a transaction by the edits that the
pages use, in the same run on the same disk. Says also how long one slice holds the writer.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import uuid
from pathlib import Path

from sqlalchemy import Connection, make_url

from msgserver.message import Address
from msgserver.records import HUB, EntityKind
from msgserver.routing.imports import Steps
from msgserver.store import importing, membership, people
from msgserver.store.connecting import engine as _engine
from msgserver.store.connecting import once

SAMPLE = 500
FIRST = "Ana Bo Cem Dara Eli Farid Gul Hana Ivo Jamila Karim Lila Mina Noor Omar Parwana Rahim Sara Tahir Zahra"
LAST = "Noori Ahmadi Rahimi Karimi Haidari Sultani Amiri Safi Popal Zadran Wardak Hotak Stanekzai Azizi Faizi"


def table(count: int, seed: int = 1) -> bytes:
    """So many people."""
    chance = random.Random(seed)
    lines = ["name,phone,mail,groups,language"]
    for n in range(count):
        name = f"{chance.choice(FIRST.split())} {chance.choice(LAST.split())} {n}"
        mail = f"p{n}@example.org" if n % 3 else ""
        lines.append(f"{name},+9370{n:07},{mail},Team {n % 40},fa")
    return "\n".join(lines).encode()


def one_by_one(tx: Connection, line: str, groups: dict[str, int]) -> None:
    """A person as the pages' edits write one."""
    name, phone, mail, group, language = line.split(",")
    made = people.create_entity(tx, HUB, str(uuid.uuid4()), EntityKind.PERSON, name, 0.0, language)
    people.add_contact(tx, HUB, made.id, Address.of("sms", phone), 0.0)
    if mail:
        people.add_contact(tx, HUB, made.id, Address.of("mailto", mail), 0.0)
    membership.add_member(tx, HUB, groups[group], made.id, 0.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--people", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="people-") as folder:
        url = asked.url or f"sqlite:///{folder}/hub.db"
        with once(url, Path(folder)) as tx:
            groups = {f"Team {n}": people.create_entity(tx, HUB, f"g{n}", EntityKind.GROUP, f"Team {n}", 0.0).id
                      for n in range(40)}  # fmt: skip
        engine = _engine(make_url(url), Path(folder), size=1, writing=True)
        raw = table(asked.people)

        begun = time.perf_counter()
        steps = Steps(raw, "")
        while (rows := steps.take()) is not None:
            with engine.begin() as tx:
                steps.add(importing.check(tx, rows, steps.seen))
        looked = time.perf_counter() - begun
        assert (steps.report.new, steps.report.problems) == (asked.people, [])

        held, cost = [], []
        begun, busy = time.perf_counter(), time.process_time()
        steps = Steps(raw, "")
        while (rows := steps.take()) is not None:
            at, of_core = time.perf_counter(), time.process_time()
            with engine.begin() as tx:
                steps.add(importing.write(tx, HUB, rows, steps.seen, "people.csv", 0.0))
            held.append(time.perf_counter() - at)
            cost.append(time.process_time() - of_core)
        took, busy = time.perf_counter() - begun, time.process_time() - busy
        assert (steps.report.new, steps.report.problems) == (asked.people, [])

        sample = table(SAMPLE, 2).decode().replace("+9370", "+9379").replace("@example.org", "@sample.org")
        begun = time.perf_counter()
        for line in sample.splitlines()[1:]:
            with engine.begin() as tx:
                one_by_one(tx, line, groups)
        peer = (time.perf_counter() - begun) / SAMPLE
        engine.dispose()
    held.sort()
    cost.sort()
    print(f"{make_url(url).get_backend_name()}: {asked.people} people, {len(raw) / 1e6:.1f} MB")
    print(f"  dry run    {looked:6.1f} s")
    print(f"  import     {took:6.1f} s   {asked.people / took:8.0f} people a second, {busy:.1f} s of one core")
    print(f"  one slice  {held[len(held) // 2] * 1e3:6.1f} ms   p99 {held[len(held) * 99 // 100] * 1e3:.0f} ms"
          f"   longest {held[-1] * 1e3:.0f} ms; of one core {cost[len(cost) // 2] * 1e3:.0f} ms")  # fmt: skip
    print(f"  a person a transaction {1 / peer:8.0f} people a second: the import is {peer * asked.people / took:.1f}x")


if __name__ == "__main__":
    main()
