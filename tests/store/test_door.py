from __future__ import annotations

import pytest
import pytest_twisted
from sqlalchemy import text
from twisted.internet import reactor
from twisted.internet.defer import DeferredList, ensureDeferred

from msgserver.store.door import Store, StoreError


@pytest.fixture
def store(url, tmp_path):
    store = Store(url, reactor, state_dir=tmp_path)
    store.open()
    yield store
    pytest_twisted.blockon(ensureDeferred(store.close()))


def keep(tx, key, value):
    if value == "bad":
        raise ValueError("a bad value")
    tx.execute(
        text("INSERT INTO connector_state (connector, key, value, at) VALUES ('c', :key, :value, 0)"),
        {"key": key, "value": value.encode()},
    )
    return key


def keep_all(tx, items):
    calls.append(len(items))
    return [keep(tx, *item) for item in items]


def kept(tx):
    return sorted(tx.execute(text("SELECT key FROM connector_state")).scalars())


calls: list[int] = []


@pytest_twisted.ensureDeferred
async def test_a_write_is_seen_by_the_next_read(store):
    assert await store.write(keep, "a", "1") == "a"
    assert await store.read(kept) == ["a"]


@pytest_twisted.ensureDeferred
async def test_only_the_guilty_of_a_group_fails(store):
    calls.clear()
    writes = [store.write(keep, f"w{n}", "bad" if n == 3 else "1") for n in range(5)]
    batches = [store.batch(keep_all, (f"b{n}", "bad" if n == 2 else "1")) for n in range(4)]
    outcomes = await DeferredList([ensureDeferred(one) for one in writes + batches], consumeErrors=True)
    assert [succeeded for succeeded, _ in outcomes] == [n not in (3, 7) for n in range(9)]
    assert outcomes[3][1].check(ValueError)
    assert await store.read(kept) == ["b0", "b1", "b3", "w0", "w1", "w2", "w4"]


@pytest_twisted.ensureDeferred
async def test_what_waits_goes_in_one_call(store):
    calls.clear()
    await DeferredList([ensureDeferred(store.batch(keep_all, (f"{n}", "1"))) for n in range(200)])
    assert sum(calls) == 200
    assert len(calls) < 100


@pytest_twisted.ensureDeferred
async def test_close_commits_what_is_queued_and_then_refuses(store):
    waiting = [ensureDeferred(store.write(keep, f"{n}", "1")) for n in range(20)]
    await store.close()
    assert [succeeded for succeeded, _ in await DeferredList(waiting)] == [True] * 20
    with pytest.raises(StoreError, match="closed"):
        await store.write(keep, "late", "1")


@pytest_twisted.ensureDeferred
async def test_a_live_result_is_refused(store):
    with pytest.raises(TypeError):
        await store.read(lambda tx: tx.execute(text("SELECT 1")))
    with pytest.raises(TypeError):
        await store.write(lambda tx: tx.execute(text("SELECT 1")))


@pytest_twisted.ensureDeferred
async def test_a_second_server_on_one_file_is_refused(store, tmp_path):
    if store.dialect != "sqlite":
        return
    second = Store(store.url.render_as_string(), reactor, state_dir=tmp_path)
    with pytest.raises(StoreError, match="another msgserver runs"):
        second.open()


@pytest_twisted.ensureDeferred
async def test_large_bytes_are_kept_once(store, tmp_path):
    content = b"x" * 300_000
    name = await store.keep(content)
    assert await store.keep(content) == name
    assert (tmp_path / "blobs" / name[:2] / name).read_bytes() == content
