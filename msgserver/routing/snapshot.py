"""The rules in force and the names of all records, made ready for the parser and kept so while they change.

What takes long (reading, compiling, a whole new index of names) is done in a thread of the store's readers; the
parser's thread only ever sees a finished snapshot.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

import msgspec

from msgserver.records import RuleSet
from msgserver.routing.names import Names, Ready, ready
from msgserver.routing.ruleset import Compiled, compile_rules
from msgserver.store import named
from msgserver.store.door import Store
from msgserver.store.rules import rule_set

_MANY = 500  # changed records; beyond, a whole new index is made in the thread


class _Looked(msgspec.Struct, frozen=True):
    """What a look into the store brought: rules, and either a whole new index or what goes into the one there is."""

    compiled: Compiled
    version: int
    newest: float
    total: int
    names: Names | None = None
    records: tuple[Ready, ...] = ()


class Snapshots:
    """See the module. ``region``: the country of phone numbers that name none; ``zone`` None: that of the machine."""

    def __init__(self, store: Store, region: str = "", zone: tzinfo | None = None) -> None:
        self._store = store
        self._region = region
        self._zone = zone
        self._compiled: Compiled | None = None
        self._names = Names()
        self._version = -1
        self._newest = 0.0

    async def current(self) -> Compiled:
        """The snapshot there is; the first time it is read from the store."""
        return self._compiled or await self.fresh()

    async def fresh(self) -> Compiled:
        """Read it again: rules or records changed."""
        looked = await self._store.read(self._look, self._version, self._newest)
        self._take(looked)
        if len(self._names) != looked.total:  # some are gone
            self._take(await self._store.read(self._look, -1, 0.0))
        assert self._compiled is not None
        return self._compiled

    def _look(self, tx: Any, version: int, newest: float) -> _Looked:
        rules = rule_set(tx)
        changed = named.changes(tx, version, newest)
        if changed is None:
            return _Looked(self._compile(rules), version, newest, len(self._names))
        if changed.whole or len(changed.records) > _MANY:
            everything = changed if changed.whole else named.changes(tx)
            assert everything is not None
            index = Names(everything.records)
            return _Looked(self._compile(rules), everything.version, everything.newest, everything.total, names=index)
        records = tuple(map(ready, changed.records))
        return _Looked(self._compile(rules), changed.version, changed.newest, changed.total, records=records)

    def _compile(self, rules: RuleSet) -> Compiled:
        return compile_rules(rules, None, self._zone, self._region)

    def _take(self, looked: _Looked) -> None:
        if looked.names is not None:
            self._names = looked.names
        for one in looked.records:
            if self._names.versions.get(one.uid) != one.version:
                self._names.put(one)
        self._version, self._newest = looked.version, looked.newest
        self._compiled = msgspec.structs.replace(looked.compiled, names=self._names)
