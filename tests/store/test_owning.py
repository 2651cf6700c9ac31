"""Who of several processes has a connector's lock."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from msgserver.store.door import Busy, Store


@pytest.fixture
def stores(url, tmp_path):
    """Two processes' stores on one database; closed afterwards."""
    if url.startswith("sqlite"):
        pytest.skip("SQLite has one process")
    made = [Store(url, reactor, state_dir=tmp_path) for _ in range(2)]
    for one in made:
        one.open()
    yield made
    for one in made:
        pytest_twisted.blockon(ensureDeferred(one.close()))


@pytest_twisted.ensureDeferred
async def test_on_sqlite_all_is_ours(sqlite_template, tmp_path):
    store = Store(f"sqlite:///{tmp_path}/hub.db", reactor, state_dir=tmp_path)
    store.open()
    assert await store.own({"modem1", "chat"}) == {"modem1", "chat"}
    await store.close()


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_whoever_asks_first_has_it_until_it_ends(stores):
    first, second = stores
    assert await first.own({"modem1"}) == {"modem1"}
    assert await second.own({"modem1", "chat"}) == {"chat"}
    assert await first.own({"modem1", "chat"}) == {"modem1"}
    await first.close()
    assert await second.own({"modem1", "chat"}) == {"modem1", "chat"}


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_lost_line_is_noticed_and_the_locks_are_for_the_next_who_asks(stores, postgresql):
    first, second = stores
    await first.own({"modem1", "chat"})
    everybody = f"datname = '{first.url.database}' AND pid <> pg_backend_pid()"
    postgresql.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {everybody}")
    assert await second.own({"modem1"}) == {"modem1"}
    with pytest.raises(Busy):
        await first.own({"modem1", "chat"})
    assert await first.own({"modem1", "chat"}) == {"chat"}
