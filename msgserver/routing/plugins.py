"""Plug-in parsers: found by entry point or in a folder, asked in processes of their own, skipped when they fail.

No message is lost or kept back on their account. All together have ``seconds`` for what is read at once; who has not
answered by then is skipped. One that fails three times in a row rests, longer each time, and is tried again when its
file changes. What happened is logged and told by ``states``, in words for the operator.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from msgserver.records import Priority
from msgserver.routing.decision import NO_SUGGESTION, Suggested, Suggestion, Words
from msgserver.workers.parsers import FUNCTION, GROUP, Asked, Said, Wrong, read_answer
from msgserver.workers.pool import WorkerPool, WorkersUnavailable, WorkFailed

LOOK = 30.0  # seconds between looks for new, changed and removed parsers
MOST_FAILURES = 3  # in a row
LOAD = 15.0  # seconds that loading one may take; no message waits for it
REST = (60.0, 3600.0)  # seconds: the first rest, and the longest
_LONGEST = 20_000  # characters of a message that parsers are shown


class Plugin(msgspec.Struct, frozen=True):
    """A parser that was found. ``trouble``: why it is not used."""

    name: str
    file: str = ""
    entry: str = ""
    mark: str = ""  # changes with its file
    trouble: str = ""


class PluginState(msgspec.Struct, frozen=True):
    """How a parser is, for people."""

    name: str
    place: str
    able: bool
    words: str
    asked: int = 0
    failed: int = 0


def find(folder: Path, skip: Collection[str]) -> list[Plugin]:
    """The parsers there are: modules in the folder, then those that installed packages offer. Loads none of them."""
    found: dict[str, Plugin] = {}
    if folder.is_dir():
        for path in sorted(folder.glob("*.py")):
            stat = path.stat()
            found[path.stem] = Plugin(path.stem, str(path), "", f"{stat.st_mtime_ns} {stat.st_size}", _unsafe(path))
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, Plugin(entry.name, "", entry.name, entry.value))
    return [one for name, one in found.items() if name not in skip and not name.startswith("_")]


def _unsafe(path: Path) -> str:
    """Why a file is not to be run: whoever could write it could do whatever the hub may."""
    for place in (path, path.parent):
        stat = place.stat()
        if stat.st_uid not in (0, os.geteuid()) or stat.st_mode & 0o022:
            return f"it is not used: others than the hub may write {place}; take that right away (chmod go-w)"
    return ""


class _Runner:
    """One parser, its process, and how it has done."""

    log = Logger()

    def __init__(self, plugin: Plugin, pool: Any, seconds: float, reactor: Any) -> None:
        self.plugin = plugin
        self.pool = pool
        self._seconds = seconds
        self._reactor = reactor
        self.busy = self.loading = self.loaded = False
        self.asked = self.failed = 0
        self._in_a_row = 0
        self._rest = REST[0]
        self._until = 0.0
        self._last = ""

    def load(self) -> None:
        """Have it loaded, in its process; until it is, it is not asked, so that nobody waits for that."""
        if not (self.loading or self.loaded or self.plugin.trouble or self._resting()):
            self.loading = True
            Deferred.fromCoroutine(self._load()).addErrback(
                lambda failure: self.log.failure("parser {name} could not be loaded", failure, name=self.plugin.name)
            )

    async def _load(self) -> None:
        try:
            said = await self._call(None, LOAD)
            self.loaded = not isinstance(said, str)
        finally:
            self.loading = False

    def unwilling(self) -> str:
        """Why it is not asked just now, in words; "" where it is."""
        if self._resting():
            return self._skipped("it rests after failing")
        if not self.loaded:
            return self._skipped("it is being loaded")
        return self._skipped("it is still at an earlier message") if self.busy else ""

    def _resting(self) -> bool:
        return bool(self._reactor.seconds() < self._until)

    async def ask_all(self, words: Sequence[Words], results: list[Suggestion | str | None], deadline: float) -> None:
        """Ask about one message after the other, as long as there is time and it answers."""
        self.busy = True
        try:
            for place, one in enumerate(words):
                if self._reactor.seconds() >= deadline or not self.loaded:
                    break
                self.asked += 1
                results[place] = await self._call(_shown(one), self._seconds)
        finally:
            self.busy = False

    async def _call(self, message: dict[str, Any] | None, seconds: float) -> Suggestion | str | None:
        question = msgspec.msgpack.encode(Asked(self.plugin.file, self.plugin.entry, message))
        try:
            said = read_answer(await self.pool.call(FUNCTION, question, seconds))
        except WorkersUnavailable as failure:
            return self._skipped(f"its process cannot be had: {failure}")
        except WorkFailed as failure:
            self.loaded = False  # its process is gone
            return self._failed(str(failure).removeprefix("its reader "))
        except msgspec.MsgspecError as failure:
            return self._failed(f"what it gave back cannot be read: {failure}")
        if isinstance(said, Wrong):
            return self._failed(said.why)
        if message is not None:
            self._in_a_row, self._rest, self._last = 0, REST[0], ""
        return None if said is None else _suggestion(self.plugin.name, said)

    def _skipped(self, why: str) -> str:
        return f'parser "{self.plugin.name}" was skipped: {why}'

    def _failed(self, why: str) -> str:
        self.failed += 1
        self._in_a_row += 1
        self._last = why
        self.log.warn("parser {name} was skipped: {why}", name=self.plugin.name, why=why)
        if self._in_a_row >= MOST_FAILURES:
            self._until = self._reactor.seconds() + self._rest
            self.log.error(
                "parser {name} failed {times} times in a row and rests for {rest} s; messages go on without it",
                name=self.plugin.name,
                times=self._in_a_row,
                rest=self._rest,
            )
            self._rest = min(self._rest * 2, REST[1])
        return self._skipped(why)

    def state(self) -> PluginState:
        """How it is."""
        place = self.plugin.file or "installed package"
        wait = self._until - self._reactor.seconds()
        if self.plugin.trouble:
            return PluginState(self.plugin.name, place, False, self.plugin.trouble)
        if wait > 0:
            words = (
                f"rests for {wait:.0f} s more, after failing {self._in_a_row} times in a row: {self._last}. Messages go"
                " on without it and none is lost. Mend it: a changed file is tried at once."
            )
            return PluginState(self.plugin.name, place, False, words, self.asked, self.failed)
        words = f"its last answer failed: {self._last}" if self._last else "works" if self.loaded else "is being loaded"
        return PluginState(self.plugin.name, place, self.loaded and not self._last, words, self.asked, self.failed)


class Plugins(Service):
    """All plug-in parsers of this process.

    Args:
        folder: where modules may be dropped.
        seconds: for one message, and what messages wait at most.
        skip: names of parsers that are not to be used.
    """

    name = "plug-in parsers"
    log = Logger()

    def __init__(
        self,
        folder: Path,
        seconds: float,
        skip: Collection[str],
        reactor: Any,
        make_pool: Callable[[], Any] | None = None,
        in_thread: Callable[..., Any] = deferToThread,
    ) -> None:
        self._folder = folder
        self._seconds = seconds
        self._skip = frozenset(skip)
        self._reactor = reactor
        self._make_pool = make_pool or (lambda: WorkerPool(reactor, time_limit=seconds, functions=(FUNCTION,)))
        self._in_thread = in_thread
        self._runners: dict[str, _Runner] = {}
        self._looking: Any = None

    def startService(self) -> None:
        """Look for parsers, now and from time to time."""
        super().startService()  # type: ignore[no-untyped-call]
        self._look()

    async def stopService(self) -> None:
        """End their processes."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._looking is not None and self._looking.active():
            self._looking.cancel()
        await gatherResults([maybeDeferred(runner.pool.stopService) for runner in self._runners.values()])
        self._runners.clear()

    def states(self) -> list[PluginState]:
        """How each of them is."""
        return [runner.state() for runner in self._runners.values()]

    def _look(self) -> None:
        looked = Deferred.fromCoroutine(self.look())
        looked.addErrback(lambda failure: self.log.failure("plug-in parsers could not be looked for", failure))
        looked.addCallback(self._again)

    def _again(self, _: object) -> None:
        if self.running:
            self._looking = self._reactor.callLater(LOOK, self._look)

    async def look(self) -> None:
        """Take up parsers that are new or changed, let go of those that are gone."""
        found = {one.name: one for one in await self._in_thread(find, self._folder, self._skip)}
        if not self.running:
            return
        for name, runner in list(self._runners.items()):
            if found.get(name) != runner.plugin:
                del self._runners[name]
                maybeDeferred(runner.pool.stopService)
        for name, one in found.items():
            if name not in self._runners:
                self._take(one)

    def _take(self, one: Plugin) -> None:
        runner = self._runners[one.name] = _Runner(one, self._make_pool(), self._seconds, self._reactor)
        if one.trouble:
            self.log.error("parser {name}: {why}", name=one.name, why=one.trouble)
            return
        runner.pool.startService()
        runner.load()
        self.log.info("parser {name} is used ({place})", name=one.name, place=one.file or one.mark)

    # --- asking ----------

    async def suggest(self, words: Sequence[Words]) -> Sequence[Suggested]:
        """What they make of messages; returns after ``seconds`` at the latest, whatever they do."""
        runners = [runner for runner in self._runners.values() if not runner.plugin.trouble]
        if not runners or not words:
            return [NO_SUGGESTION] * len(words)
        deadline = self._reactor.seconds() + self._seconds
        said: list[list[Suggestion | str | None]] = []
        asking = []
        for runner in runners:
            runner.load()
            why = runner.unwilling() or f'parser "{runner.plugin.name}" was skipped: it took too long'
            results: list[Suggestion | str | None] = [why] * len(words)
            said.append(results)
            if not runner.unwilling():
                asking.append(Deferred.fromCoroutine(runner.ask_all(words, results, deadline)))
        if asking:
            await self._until(asking)
        return [_together(results) for results in zip(*said, strict=True)]

    async def _until(self, asking: list[Deferred[None]]) -> None:
        """Wait for all, or until the time is up; they then go on by themselves."""
        enough: Deferred[None] = Deferred()
        clock = self._reactor.callLater(self._seconds, enough.callback, None)

        def finished(outcomes: Iterable[tuple[bool, Any]]) -> None:
            for succeeded, failure in outcomes:
                if not succeeded:
                    self.log.failure("a plug-in parser could not be asked", failure)
            if clock.active():
                clock.cancel()
                enough.callback(None)

        DeferredList(asking, consumeErrors=True).addCallback(finished)
        await enough


def _shown(words: Words) -> dict[str, Any]:
    """A message as parsers are shown it."""
    return {
        "text": words.text[:_LONGEST],
        "sender": str(words.sender) if words.sender is not None else "",
        "connector": words.connector,
        "received_at": words.at,
        "trust": words.trust,
        "doubt": words.doubt,
        "robot": words.robot,
    }


def _suggestion(parser: str, said: Said) -> Suggestion:
    return Suggestion(
        parser=parser,
        tags=said.tags,
        routes=said.routes,
        priority=None if said.priority is None else Priority[said.priority.upper()],
        actionable=said.actionable,
        spam=said.spam,
        why=said.why,
        confidence=said.confidence,
    )


def _together(results: Iterable[Suggestion | str | None]) -> Suggested:
    results = tuple(results)
    return Suggested(
        tuple(one for one in results if isinstance(one, Suggestion)),
        tuple(one for one in results if isinstance(one, str)),
    )
