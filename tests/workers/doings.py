"""What the tests ask a reader process to do, most of it bad. Imported in the process only."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time


def upper(words: bytes) -> bytes:
    return words.upper()


def same(words: bytes) -> bytes:
    return words


def fail(words: bytes) -> bytes:
    raise ValueError("no")


def hang(words: bytes) -> bytes:
    time.sleep(3600)
    return b""


def nap(words: bytes) -> bytes:
    """Rest a little and say who one is."""
    time.sleep(0.2)
    return str(os.getpid()).encode()


def die(words: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(5)
    return b""


def eat(words: bytes) -> bytes:
    held = bytearray(400 * 1024 * 1024)
    return bytes(held[:1])


def tell(words: bytes) -> bytes:
    """Niceness, kilobytes resident, environment, modules."""
    with open("/proc/self/statm") as statm:
        rss = int(statm.read().split()[1]) * resource.getpagesize() // 1024
    lines = [str(os.nice(0)), str(rss), repr(dict(os.environ)), " ".join(sys.modules)]
    return "\n".join(lines).encode()
