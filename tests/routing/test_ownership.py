"""What starts and stops as connectors become ours and somebody else's; the locks: tests/store/test_owning."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from msgserver.connector import Limits
from msgserver.routing.ownership import EVERY, Ownership
from msgserver.store.door import Busy


class Locks:
    """A store as far as it is asked here; ``free`` is what nobody else has."""

    dialect = "postgresql"

    def __init__(self, *free: str) -> None:
        self.free = set(free)
        self.failure: Exception | None = None

    async def own(self, names):
        if self.failure is not None:
            raise self.failure
        return frozenset(names) & self.free


class Connector:
    def __init__(self, name: str, one_process: bool) -> None:
        self.name = name
        self.limits = Limits(one_process=one_process)


@pytest.fixture
def did():
    return []


def ownership(locks, did, clock):
    connectors = {name: Connector(name, name != "mail") for name in ("mail", "modem1", "chat")}

    async def stop(connector):
        did.append(f"stop {connector.name}")

    return Ownership(locks, connectors, lambda connector: did.append(f"start {connector.name}"), stop, clock)


@pytest_twisted.ensureDeferred
async def test_what_is_ours_starts_and_the_rest_stands_by_until_it_is(did):
    clock, locks = Clock(), Locks("chat")
    owner = ownership(locks, did, clock)
    await owner.begin()
    assert [name for name in ("mail", "modem1", "chat") if owner.owns(name)] == ["mail", "chat"]
    assert did == []
    owner.start()
    assert did == ["start mail", "start chat"]
    clock.advance(EVERY)
    assert did == ["start mail", "start chat"]
    locks.free.add("modem1")
    clock.advance(EVERY)
    assert did[2:] == ["start modem1"]
    assert owner.owns("modem1")
    owner.stop()
    assert clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_what_somebody_else_has_is_stopped_but_not_for_a_database_that_does_not_answer(did):
    clock, locks = Clock(), Locks("chat", "modem1")
    owner = ownership(locks, did, clock)
    await owner.begin()
    owner.start()
    did.clear()
    locks.failure = Busy("the database does not answer")
    clock.advance(EVERY)
    assert did == []
    assert owner.owns("chat")
    locks.failure = None
    locks.free.discard("chat")
    clock.advance(EVERY)
    assert did == ["stop chat"]
    assert not owner.owns("chat")
    locks.free.add("chat")
    clock.advance(EVERY)
    assert did == ["stop chat", "start chat"]
    owner.stop()


@pytest_twisted.ensureDeferred
async def test_on_sqlite_nobody_looks(did):
    clock, locks = Clock(), Locks("chat", "modem1")
    locks.dialect = "sqlite"
    owner = ownership(locks, did, clock)
    await owner.begin()
    owner.start()
    assert did == ["start mail", "start modem1", "start chat"]
    assert clock.getDelayedCalls() == []
    owner.stop()
