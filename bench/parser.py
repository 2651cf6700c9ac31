"""What one message costs the parser with 1,000 rules of every kind and 1,000 records' names.

    python -m bench.parser [--messages 500]

The peer, in the same run: Python's own ``re``, the same 1,000 conditions searched for one after the other.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from msgserver.formats.tokens import joined
from msgserver.message import Address
from msgserver.records import Find, Holds, Named, Rule, RuleSet
from msgserver.routing.decision import Words
from msgserver.routing.names import Names
from msgserver.routing.parser import Compiled, compile_rules, parse

GOAL = 1.0  # ms
_SIGNS = "abcdefghijklmnoprstuvwz"


def word(chance: random.Random) -> str:
    """A word that means nothing."""
    return "".join(chance.choice(_SIGNS) for _ in range(chance.randint(4, 9)))


def rules(chance: random.Random, words: Sequence[str]) -> tuple[Rule, ...]:
    """A thousand rules; 100 of them are patterns."""
    kinds: list[dict[str, object]] = []
    for n in range(1000):
        one, two = chance.choice(words), chance.choice(words)
        kinds.append(
            {"pattern": rf"\b{one}\s+[0-9]+\b"} if n < 100
            else {"words": (one,), "stem": "english"} if n < 200
            else {"words": (f"{one} {two}", two)} if n < 500
            else {"prefix": one, "find": Find.PREFIX, "resource": "location"} if n < 600
            else {"hashtags": (one,)} if n < 700
            else {"sender": f"*@{one}.example"} if n < 850
            else {"words": (one,), "connector": "modem1", "holds": (Holds.POSITION,)} if n < 900
            else {"words": (one,), "from_minute": 480, "until_minute": 1080}
        )  # fmt: skip
    made = [
        Rule(**{"id": n, "name": f"r{n}", "position": n, "resource": "incident", "record": f"u{n}"} | said)  # type: ignore[arg-type]
        for n, said in enumerate(kinds, 1)
    ]
    made[0] = Rule(id=1, name="places", position=1, find=Find.NAME, resource="location")
    return tuple(made)


def expressions(made: Sequence[Rule]) -> list[re.Pattern[str]]:
    """The same conditions as one would search for them with ``re``."""
    found = []
    for rule in made:
        if rule.pattern:
            found.append(rule.pattern)
        elif rule.words:
            found.append(rf"\b({'|'.join(map(re.escape, rule.words))})\b")
        elif rule.prefix:
            found.append(rf"^\W*{re.escape(rule.prefix)}\b")
        elif rule.hashtags:
            found.append(rf"#{re.escape(rule.hashtags[0])}\b")
        else:
            found.append(re.escape(rule.sender.lstrip("*")))
    return [re.compile(one, re.IGNORECASE) for one in found]


def timed(act: Callable[[int], object], count: int) -> list[float]:
    """Milliseconds of processor time of each: what else the machine does is left out."""
    taken = []
    for n in range(count):
        begun = time.thread_time()
        act(n)
        taken.append((time.thread_time() - begun) * 1000)
    return taken


def ask(ready: Sequence[Words], compiled: Compiled, n: int) -> object:
    """Have the parser decide about one message."""
    return parse(ready[n], compiled)


def search(texts: Sequence[str], peers: Sequence[re.Pattern[str]], n: int) -> object:
    """Search one text for everything."""
    return [one.search(texts[n]) for one in peers]


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=500)
    count = options.parse_args().messages
    chance = random.Random(33)
    vocabulary = [word(chance) for _ in range(8000)]
    made = rules(chance, vocabulary)
    names = Names(Named(f"p{n}", "location", f"{word(chance)} {word(chance)}".title(), f"p{n}") for n in range(1000))
    begun = time.perf_counter()
    compiled = compile_rules(RuleSet(1, made), names)
    print(f"compiling 1,000 rules, once a version: {(time.perf_counter() - begun) * 1000:.0f} ms")
    print("Processor time, middle of all messages.")
    for length, what in ((25, "a text of one SMS"), (300, "a mail of 300 words")):
        texts = [" ".join(chance.choices(vocabulary, k=length)) + " #help 34.5281, 69.1723" for _ in range(count)]
        sender = Address("mailto", f"ana@{vocabulary[3]}.example")
        ready = [Words("", joined(text), sender, "modem1", text, 1.7e9) for text in texts]
        peers = expressions(made)
        ours = timed(partial(ask, ready, compiled), count)
        theirs = timed(partial(search, texts, peers), max(20, count // 10))
        hits = sum(len(parse(one, compiled).matches) for one in ready) / count
        middle, other = statistics.median(ours), statistics.median(theirs)
        slow = sorted(ours)[int(count * 0.99)]
        print(
            f"{what}: {middle:.3f} ms (p99 {slow:.3f}), {hits:.1f} rules act; re one after the other: {other:.2f} ms;"
            f" {other / middle:.0f} times faster; goal under {GOAL:g} ms: {'met' if middle < GOAL else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
