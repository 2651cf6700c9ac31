"""How long it takes to complete and to search the names of records, beside LIKE over the table in the same run.

::

    python -m bench.records [--records 100000] [--url sqlite:///... | postgresql+psycopg://...] [--rounds 200]

The names are made up: two or three words by Zipf's law, an alias for every third record, a code for each. Both ways are
asked the same words as somebody types them, letter by letter.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, or_, select, text

from msgserver.formats.tokens import fold
from msgserver.records import HUB
from msgserver.store import bulk, names, resources
from msgserver.store.connecting import once
from msgserver.store.schema import resource_record
from msgserver.store.search import escape

NOW = 1_700_000_000.0
SLICE = 5_000
PLACES = [
    f"{a}{b}{c}"
    for a in ("ka", "ban", "shor", "mir", "dol")
    for b in ("bul", "gan", "ri", "te")
    for c in ("", "pur", "abad", "na")
]
WORDS = [f"{place}{n or ''}" for n in range(60) for place in PLACES]
WEIGHTS = [1 / (n + 1) for n in range(len(WORDS))]


def fill(tx: Connection, count: int) -> list[str]:
    """Write records as the store does, by many at once; returns their names."""
    chance = random.Random(7)
    made = []
    columns = ("id", "uid", "resource", "name", "name_folded", "code", "aliases", "created_at", "changed_at")
    for start in range(0, count, SLICE):
        numbers = range(start, min(start + SLICE, count))
        rows, words = [], []
        for number, record_id in zip(numbers, bulk.take_ids(tx, "resource_record", len(numbers)), strict=True):
            name = " ".join(chance.choices(WORDS, WEIGHTS, k=chance.choice((2, 3)))).title()
            aliases = [chance.choice(WORDS).title()] if number % 3 == 0 else []
            code = f"SITE{number}"
            rows.append((record_id, f"r-{number}", "location", name, fold(name), code, bulk.encode(aliases), NOW, NOW))
            words += [(record_id, word) for word in names.words_of(name, *aliases, code=code)]
            made.append(name)
        bulk.insert_rows(tx, resource_record, columns, rows)
        names.put_all(tx, names.place_of("location"), words)
    tx.execute(text("ANALYZE"))
    return made


def like(tx: Connection, typed: str) -> list[object]:
    """The peer: every row looked at."""
    row, word = resource_record.c, f"%{escape(typed)}%"
    ways = (row.name.ilike(word, escape="/"), row.aliases.ilike(word, escape="/"), row.code.ilike(word, escape="/"))
    return list(
        tx.execute(select(row.id, row.name).where(row.resource == "location", or_(*ways)).order_by(row.name).limit(10))
    )


def typed(made: list[str], rounds: int) -> list[str]:
    """What people type: a beginning of a name, a later word of it, a code."""
    chance = random.Random(11)
    found = []
    for n in range(rounds):
        name = chance.choice(made).lower()
        word = name if n % 3 == 0 else name.split()[-1] if n % 3 == 1 else f"site{chance.randrange(len(made))}"
        found.append(word[: chance.randint(1, len(word))])
    return found


def took(ask: Callable[[str], object], words: list[str]) -> tuple[float, float, float]:
    """p50 and p99 in ms, and p99 of the time that this process computed: what is left on a busy machine."""
    times, computed = [], []
    for word in words:
        begun, busy = time.perf_counter(), time.process_time()
        ask(word)
        times.append((time.perf_counter() - begun) * 1000)
        computed.append((time.process_time() - busy) * 1000)
    place = int(len(times) * 0.99) - 1
    return statistics.median(times), sorted(times)[place], sorted(computed)[place]


def measure(url: str, state: Path, count: int, rounds: int) -> None:
    """Fill, ask, print."""
    with once(url, state) as tx:
        made = fill(tx, count)
    words = typed(made, rounds)
    with once(url, state) as tx:
        rows = (
            ("LIKE over the table", lambda word: like(tx, word)),
            ("complete", lambda word: resources.complete(tx, HUB, word, "location")),
            ("complete, any type", lambda word: resources.complete(tx, HUB, word)),
            ("search, first page", lambda word: resources.records(tx, HUB, "location", word)),
        )
        print(f"{count} records, {rounds} words typed")
        peer = 0.0
        for name, ask in rows:
            p50, p99, computed = took(ask, words)
            peer = peer or p50
            faster = "" if name.startswith("LIKE") else f"  {peer / p50:7.1f} times as fast"
            print(f"{name:22} p50 {p50:8.2f} ms  p99 {p99:8.2f} ms, computing {computed:7.2f} ms{faster}")


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=100_000)
    options.add_argument("--url", default="")
    options.add_argument("--rounds", type=int, default=200)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(chosen.url or f"sqlite:///{folder}/bench.db", Path(folder), chosen.records, chosen.rounds)


if __name__ == "__main__":
    main()
