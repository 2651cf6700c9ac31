"""The reader process: answers questions from stdin on stdout, limited in time, memory and reach, until stdin ends.

Started by the pool as ``python -m msgserver.workers.child MEMORY_BYTES [module:function ...]``. It holds no
secrets, opens no sockets and writes no files; what happens in it on account of a mail stays in it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable

from msgspec.structs import replace

from msgserver.formats import arc, signatures
from msgserver.formats.frames import FrameCutter
from msgserver.formats.mime import read_mail
from msgserver.formats.tokens import terms
from msgserver.workers.frames import Answer, ReadMail, Ready, Returned, Unreadable, answer, read_question

_READ = 256 * 1024
_HELD_BYTES = 64 * 1024  # answers are kept back for company up to this much
_HELD_SECONDS = 0.02  # or so long


class Desk:
    """Answers one question after the other."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(allowed)
        self._functions: dict[str, Callable[[bytes], bytes]] = {}
        self._cpu_limit = 0

    def answer(self, function: str, seconds: float, payload: bytes, keys: dict[str, bytes]) -> Answer:
        """Do what is asked; whatever goes wrong is an answer too."""
        self._limit_time(seconds)
        try:
            if not function:
                reading = read_mail(payload)
                if keys:
                    checked = signatures.check(payload, keys)
                    reading = replace(reading, signatures=checked, seals=arc.check(payload, keys))
                return ReadMail(replace(reading, terms=terms(reading)))
            return Returned(self._function(function)(payload))
        except MemoryError:
            return Unreadable("reading it takes more memory than a reader is given")
        except Exception as failure:
            traceback.print_exc(limit=-8)
            return Unreadable(f"the reader failed on it ({type(failure).__name__})")

    def _function(self, name: str) -> Callable[[bytes], bytes]:
        found = self._functions.get(name)
        if found is None:
            if name not in self._allowed:
                raise PermissionError(f"{name} is not among the functions this process may call")
            module, _, function = name.partition(":")
            found = self._functions[name] = getattr(importlib.import_module(module), function)
        return found

    def _limit_time(self, seconds: float) -> None:
        """Let the kernel end this process if the next answer takes more processor time than it may."""
        limit = int(time.process_time() + seconds) + 2
        if limit != self._cpu_limit:
            self._cpu_limit = limit
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def confine(memory: int) -> None:
    """Give up what reading does not need: signals of the terminal, priority, files, and memory beyond a limit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    with contextlib.suppress(OSError):
        os.nice(10)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, 64)
    if memory:
        _limit(resource.RLIMIT_AS, _address_space() + memory)


def _limit(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(which, (most, most))


def _address_space() -> int:
    """Bytes of address space in use now; a generous guess where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 512 * 1024 * 1024


def ends() -> tuple[int, int]:
    """Where questions come from and answers go to: stdin and stdout, out of the reach of whatever is called here.

    What is printed in this process goes where its complaints go.
    """
    questions, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return questions, answers


def serve(desk: Desk, questions: int, answers: int) -> None:
    """Answer until the questions end. Answers leave together where questions came together."""
    frames = FrameCutter()
    piece = memoryview(bytearray(_READ))  # made once: one anew for each read is mapped and unmapped
    held = bytearray(answer(Ready(os.getpid())))
    _write(answers, held)
    while size := os.readv(questions, [piece]):
        since = time.monotonic()
        for frame in frames.feed(piece[:size]):
            held += answer(desk.answer(*read_question(frame)))
            os.sched_yield()  # whoever takes and stores mail goes first, not after what the kernel holds for fair
            if len(held) > _HELD_BYTES or time.monotonic() - since > _HELD_SECONDS:
                _write(answers, held)
                since = time.monotonic()
        _write(answers, held)


def _write(answers: int, held: bytearray) -> None:
    with memoryview(held) as view:
        at = 0
        while at < len(view):
            at += os.write(answers, view[at : at + _READ])
    held.clear()


def main(arguments: list[str]) -> None:
    """Run as a process of its own."""
    desk = Desk(tuple(arguments[1:]))
    confine(int(arguments[0]))
    with contextlib.suppress(ConnectionError):  # a hub that is gone
        serve(desk, *ends())


if __name__ == "__main__":
    main(sys.argv[1:])
