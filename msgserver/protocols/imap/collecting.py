"""Fetching what is new in the folders, handing it in, and marking it once it is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.connector import IHub, TemporaryFailure
from msgserver.message import Arrival
from msgserver.protocols.imap import folder as wire
from msgserver.protocols.imap.arrivals import Cursor, head_only, not_fetched, whole
from msgserver.protocols.imap.folder import Entry
from msgserver.protocols.imap.line import Line, Refused
from msgserver.protocols.imap.settings import Settings

_TRIES = 5  # to fetch one mail, before it is told that it cannot be
_WIDEST = 50_000  # UIDs in one window
_FETCH_AGAIN = 5.0  # seconds

_log = Logger()


class NotTaken(Exception):
    """Something was not handed in and stays as it is; to be tried again, in ``retry_after`` seconds if that is set."""

    def __init__(self, words: str, retry_after: float | None = None) -> None:
        super().__init__(words)
        self.retry_after = retry_after


class Collector:
    """What one connector knows of its folders; it outlives connections, ``collect`` gets the one there is."""

    def __init__(self, name: str, settings: Settings, hub: IHub, going: Callable[[], bool]) -> None:
        self._name = name
        self._settings = settings
        self._hub = hub
        self._going = going
        self._tries: dict[tuple[str, int, int], int] = {}
        self._empty: dict[tuple[str, int], int] = {}  # no mail below this UID and above the cursor
        self.gauges: dict[str, float | str] = {"taken": 0.0, "too large": 0.0}
        self.troubles: dict[str, str] = {}  # by folder, in words
        self.closed: set[str] = set()  # folders that cannot be read
        self.unheard = False  # has mail come since the folder was looked through?

    async def collect(self, line: Line, abilities: frozenset[bytes], folder: str) -> None:
        """Take all that is new in a folder, in the order of its UIDs.

        Raises:
            NotTaken: the house does not take a mail now, or the server does not give it.
            LineLost: the connection ended.
        """
        self.troubles.pop(folder, None)
        self.closed.discard(folder)
        try:
            await self._collect(line, abilities, folder)
        except Refused as no:
            self.troubles[folder] = f"the folder {folder} cannot be read: {no}"
            self.closed.add(folder)

    async def _collect(self, line: Line, abilities: frozenset[bytes], folder: str) -> None:
        selected = await wire.select(line, folder)
        self.unheard = False
        key = f"cursor {folder}"
        cursor = await self._resume(folder, key, selected)
        place = _Place(line, abilities, folder, key)
        if cursor.unmarked:
            cursor = await self._mark(place, cursor)
        while self._going():
            entries = await self._next(place, cursor, selected.next_uid)
            if not entries:
                return
            cursor = await self._take_all(place, cursor, entries)

    async def _resume(self, folder: str, key: str, selected: wire.Selected) -> Cursor:
        """Where to go on; from the beginning where the UIDs mean other mails than before."""
        try:
            cursor = Cursor.decode(await self._hub.recall(key))
        except CancelledError:
            raise
        except Exception as error:
            _log.failure("imap {name}: its place in {folder} was not found", name=self._name, folder=folder)
            raise NotTaken("the hub cannot say how far it has read, see its log") from error
        went_back = bool(selected.next_uid) and selected.next_uid <= cursor.uid  # restored from a backup
        if cursor.validity == selected.validity and not went_back:
            return cursor
        if cursor.validity:
            _log.info(
                "imap {name}: {folder} is another one than before: all of it is read", name=self._name, folder=folder
            )
        self._empty.pop((folder, selected.validity), None)
        return Cursor(validity=selected.validity)

    async def _next(self, place: _Place, cursor: Cursor, next_uid: int) -> list[Entry]:
        """The next mails behind the cursor, looked for in windows that widen where there are none."""
        most = self._settings.batch
        known = (place.folder, cursor.validity)
        first, step = max(cursor.uid + 1, self._empty.get(known, 0)), most
        while first + step < next_uid:
            found = await wire.listing(place.line, first, first + step - 1, most)
            if found:
                return found
            first += step
            self._empty[known] = first
            step = min(step * 8, _WIDEST)
        return await wire.listing(place.line, first, None, most)

    async def _take_all(self, place: _Place, cursor: Cursor, entries: list[Entry]) -> Cursor:
        """Take mails one after the other, then mark those that are committed."""
        trouble: NotTaken | None = None
        for entry in entries:
            if not self._going():
                break
            try:
                cursor = await self._take(place, cursor, entry)
            except NotTaken as failure:
                trouble = failure
                break
        if cursor.unmarked:
            cursor = await self._mark(place, cursor)
        if trouble is not None:
            raise trouble
        return cursor

    async def _take(self, place: _Place, cursor: Cursor, entry: Entry) -> Cursor:
        arrival, marked = await self._fetch(place, cursor.validity, entry)
        after = cursor.past(entry.uid, marked)
        if arrival is None:  # somebody has removed it meanwhile
            return after
        filed = msgspec.structs.replace(arrival, cursor=(place.key, after.encode()))
        try:
            await _undisturbed(Deferred.fromCoroutine(self._hub.accept(filed)))
        except CancelledError:
            raise
        except TemporaryFailure as failure:
            raise NotTaken(f"the hub cannot take mails just now ({failure})", failure.retry_after) from failure
        except Exception as error:
            _log.failure("imap {name}: UID {uid} was not taken", name=self._name, uid=entry.uid)
            raise NotTaken("the hub could not take a mail, see its log") from error
        self._tries.pop((place.folder, cursor.validity, entry.uid), None)
        self.gauges["taken"] = float(self.gauges["taken"]) + 1
        return after

    async def _fetch(self, place: _Place, validity: int, entry: Entry) -> tuple[Arrival | None, bool]:
        """A mail as an arrival (None: it is gone), and whether all of it is there, so that it may be marked."""
        facts = {
            "folder": place.folder,
            "uid": str(entry.uid),
            "uidvalidity": str(validity),
            "internaldate": entry.at,
        }
        attempt = (place.folder, validity, entry.uid)
        tried = self._tries.get(attempt, 0)
        if tried >= _TRIES:
            return not_fetched(f"tried {tried} times", entry, facts), False
        self._tries[attempt] = tried + 1
        large = entry.size > self._settings.largest
        try:
            raw = await wire.content(place.line, entry, head_only=large)
            if raw is None and await wire.listing(place.line, entry.uid, entry.uid, 1):
                raise Refused(b"NO it is there, and nothing comes")
        except Refused as no:
            where = f"{place.folder} (UID {entry.uid})"
            raise NotTaken(f"the server does not give a mail in {where}: {no}", _FETCH_AGAIN) from no
        if raw is None:
            self._tries.pop(attempt, None)
            return None, False
        if large:
            self.gauges["too large"] = float(self.gauges["too large"]) + 1
            return head_only(raw, entry, self._settings.largest, facts), False
        return whole(raw, facts), True

    async def _mark(self, place: _Place, cursor: Cursor) -> Cursor:
        """Mark what is committed; what cannot be marked now is kept in mind for the next time."""
        uids = cursor.unmarked
        try:
            if self._settings.then == "seen":
                await wire.mark_seen(place.line, uids)
            elif self._settings.then == "delete":
                await wire.delete(place.line, place.abilities, uids)
            else:
                await wire.move(place.line, place.abilities, uids, self._settings.target)
        except Refused as no:
            done = {"seen": "marked as read", "delete": "deleted"}.get(self._settings.then, "moved")
            self.troubles[place.folder] = f"mails are taken, but cannot be {done} in {place.folder}: {no}"
            return cursor
        marked = Cursor(cursor.validity, cursor.uid)
        try:
            await self._hub.remember(place.key, marked.encode())
        except TemporaryFailure as failure:
            raise NotTaken(
                f"the hub cannot store its place in {place.folder} ({failure})", failure.retry_after
            ) from failure
        return marked


class _Place:
    """A folder that is open."""

    __slots__ = ("abilities", "folder", "key", "line")

    def __init__(self, line: Line, abilities: frozenset[bytes], folder: str, key: str) -> None:
        self.line = line
        self.abilities = abilities
        self.folder = folder
        self.key = key


def _undisturbed(doing: Deferred[Any]) -> Deferred[Any]:
    """Wait for something that goes on to its end even where the waiting is given up."""
    waiting: Deferred[Any] = Deferred(lambda _: _let_go(doing))

    def tell(result: Any) -> Any:
        if waiting.called:
            return result
        if isinstance(result, Failure):
            waiting.errback(result)
        else:
            waiting.callback(result)
        return None

    doing.addBoth(tell)
    return waiting


def _let_go(doing: Deferred[Any]) -> None:
    """Whatever becomes of it is found again at the next start."""
    doing.addErrback(lambda _: None)
