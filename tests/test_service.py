"""The whole house in this process, as ``makeService`` builds it, with loopbacks for a world."""

from __future__ import annotations

import importlib
import socket
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import text
from twisted.internet import reactor
from twisted.internet.task import deferLater

import msgserver.protocols
from msgserver.message import Address, Heard, Receipt
from msgserver.records import HUB, Draft, EntityKind, Rule
from msgserver.routing import lane
from msgserver.service import HubService, Options, makeService
from msgserver.store import connectors, people, rules, subscriptions

async_test = pytest_twisted.ensureDeferred
ANA = Address("loop", "ana")
CONFIG = """
[hub]
name = "Test desk"
state = "{state}"
web = false
[store]
url = "sqlite:///{state}/hub.db"
"""
LOOP = """
[connector.loop]
type = "loopback"
"""


class Houses:
    """Builds houses in one directory, one after the other, and stops what still runs."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.running: list[HubService] = []

    def make(self, tables: str = LOOP) -> HubService:
        path = self.state / "msgserver.toml"
        path.write_text(CONFIG.format(state=self.state) + tables)
        options = Options()
        options.parseOptions(["--config", str(path)])
        return makeService(options)  # type: ignore[return-value]

    async def start(self, tables: str = LOOP) -> HubService:
        hub = self.make(tables)
        self.running.append(hub)
        hub.privilegedStartService()
        hub.startService()
        await until(lambda: all(one.running for one in hub.connectors.values()) and hub.outbox.running)
        return hub

    async def stop(self) -> None:
        while self.running:
            await self.running.pop().stopService()


async def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something holds; what it gave then."""
    for _ in range(int(seconds / 0.02)):
        found = holds()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        await deferLater(reactor, 0.02)
    raise AssertionError(f"it never came about: {holds}")


def rows(hub: HubService, sql: str) -> Awaitable[list[tuple[Any, ...]]]:
    return hub.store.read(lambda tx: [tuple(row) for row in tx.execute(text(sql))])


@pytest_twisted.async_yield_fixture
async def houses(tmp_path: Path):
    houses = Houses(tmp_path)
    yield houses
    await houses.stop()


def connector(hub: HubService, name: str = "loop") -> Any:
    return hub.connectors[name]


@async_test
async def test_a_question_comes_in_and_the_answer_goes_out_the_way_it_came(houses: Houses):
    hub = await houses.start()
    await connector(hub).receive("1", ANA, "Is the bridge open?")
    await until(lambda: rows(hub, "SELECT id FROM msg_log"))
    recorded = await hub.desk.write(HUB, Draft(uid="u1", ticket_id=1, answers=1, text="It is closed."))
    assert (recorded.ticket_id, recorded.number) == (1, 2)
    await until(lambda: connector(hub).sent)
    (envelope,) = connector(hub).sent
    assert (envelope.to, envelope.text.splitlines()[0]) == (ANA, "It is closed.")
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'sent'"))


@async_test
async def test_a_subscriber_gets_a_copy_by_another_connector(houses: Houses):
    hub = await houses.start(LOOP + '[connector.radio]\ntype = "loopback_pull"\n')
    bo = await hub.store.write(people.create_entity, HUB, "bo", EntityKind.PERSON, "Bo", 1.0)
    await hub.store.write(people.add_contact, HUB, bo.id, Address("pull", "bo"), 1.0)
    await hub.store.write(
        rules.create_rule, HUB, Rule(id=0, name="Water", position=0, words=("water",), resource="incident"), 1.0
    )
    await hub.store.write(subscriptions.subscribe, HUB, bo.id, "incident", "", 1.0)
    await connector(hub).receive("1", ANA, "The water rises")
    (envelope,) = await until(lambda: connector(hub, "radio").ask())
    assert envelope.to == Address("pull", "bo")
    assert "The water rises" in envelope.text
    await connector(hub, "radio").done(envelope, Receipt(wire_ids=("r1",)))
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'sent'"))


@async_test
async def test_a_station_passes_on_what_waits_and_the_answer_it_hears_joins_the_conversation(houses: Houses):
    hub = await houses.start('[connector.radio]\ntype = "manual"\nnets = ["VHF 3"]\n')
    radio = connector(hub, "radio")
    recorded = await hub.desk.write(HUB, Draft(uid="u1", to=(Address.parse("radio:Bravo 2"),), text="Is there water?"))
    found = (
        "SELECT 'd' || d.id || '.' || substr(m.uid, -12) FROM msg_delivery_status d JOIN msg_log m ON m.id = message_id"
    )
    ((ref,),) = await rows(hub, found)
    envelope = await radio.take("ana", ref)
    assert envelope.text.startswith("Is there water?")
    assert await radio.take("ben", ref) is None
    await radio.delivered("ana", ref, "Bravo 2")
    assert await rows(hub, "SELECT state, reason FROM msg_delivery_status") == [
        ("delivered", "read back by Bravo 2 (said ana)")
    ]
    for _ in range(2):
        await radio.heard("ana", Heard(name="form 1", sender="BRAVO 2", text="None since noon", net="VHF 3"))
    await until(lambda: rows(hub, "SELECT id FROM msg_log WHERE direction = 'in'"))
    assert await rows(hub, "SELECT ticket_id, number, sender, sender_name FROM msg_log WHERE direction = 'in'") == [
        (recorded.ticket_id, 2, "radio:bravo-2", "BRAVO 2")
    ]
    # The house is stopped with a text in somebody's hands: nobody knows, and a person says it later.
    await hub.desk.write(
        HUB, Draft(uid="00000000-0000-4000-8000-000000000002", ticket_id=recorded.ticket_id, text="A lorry comes.")
    )
    ((ref,),) = await rows(hub, found + " WHERE d.state = 'pending'")
    assert await radio.take("ana", ref)
    await houses.stop()
    hub = await houses.start('[connector.radio]\ntype = "manual"\n')
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'unknown'"))
    await connector(hub, "radio").delivered("ana", ref, "Bravo 2")
    assert await rows(hub, "SELECT DISTINCT state FROM msg_delivery_status") == [("delivered",)]


@async_test
async def test_stop_is_obeyed_and_confirmed_once(houses: Houses):
    hub = await houses.start()
    await connector(hub).receive("1", ANA, "STOP")
    (confirmation,) = await until(lambda: list(connector(hub).sent))
    assert "no more messages" in confirmation.text
    assert confirmation.automatic
    await hub.desk.write(HUB, Draft(uid="u1", to=(ANA,), text="But listen!"))
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'suppressed'"))
    await connector(hub).receive("2", ANA, "start")
    await until(lambda: len(connector(hub).sent) == 2)
    await hub.desk.write(HUB, Draft(uid="u2", to=(ANA,), text="Welcome back"))
    await until(lambda: len(connector(hub).sent) == 3)


@async_test
async def test_a_paused_connector_sends_nothing_until_it_may_again(houses: Houses):
    hub = await houses.start()
    await hub.store.write(connectors.set_paused, HUB, "loop", True, 1.0)
    hub.bus.ring("connector", ("loop",))
    await until(lambda: hub.outbox.lanes["loop"].paused)
    await hub.desk.write(HUB, Draft(uid="u1", to=(ANA,), text="Hello"))
    await deferLater(reactor, 0.1)
    assert not connector(hub).sent
    await hub.store.write(connectors.set_paused, HUB, "loop", False, 1.0)
    hub.bus.ring("connector", ("loop",))
    await until(lambda: connector(hub).sent)


@async_test
async def test_what_waited_goes_out_after_a_restart_and_what_was_claimed_is_unknown(houses: Houses, monkeypatch):
    hub = await houses.start()
    sent_before = connector(hub).send
    monkeypatch.setattr(lane, "FINISH", 0.1)

    async def never(envelope: Any) -> Receipt:
        return await deferLater(reactor, 3600, Receipt)

    connector(hub).send = never
    await hub.desk.write(HUB, Draft(uid="u1", to=(ANA,), text="Lost?"))
    await until(lambda: hub.outbox.lanes["loop"].under_way)
    connector(hub).send = sent_before
    await houses.stop()
    hub = await houses.start()
    ((state, reason),) = await rows(hub, "SELECT state, reason FROM msg_delivery_status")
    assert state == "unknown"
    assert "may or may not have arrived" in reason
    assert not connector(hub).sent


@async_test
async def test_a_connector_that_cannot_start_keeps_nobody_from_working(houses: Houses, monkeypatch):
    hub = houses.make(LOOP + '[connector.second]\ntype = "loopback"\n')

    def broken() -> None:
        raise RuntimeError("no such device")

    connector(hub).startService = broken
    houses.running.append(hub)
    hub.privilegedStartService()
    hub.startService()
    await until(lambda: connector(hub, "second").running)
    await connector(hub, "second").receive("1", ANA, "hello")
    await until(lambda: rows(hub, "SELECT id FROM msg_log"))


@async_test
async def test_the_statuses_are_where_every_process_can_read_them(houses: Houses):
    hub = await houses.start()
    await until(lambda: rows(hub, "SELECT name FROM connector_status WHERE able"))
    (row,) = await hub.store.read(connectors.rows)
    assert (row.name, row.kind, row.able, row.words, row.schemes) == ("loop", "loopback", True, "connected", ("loop",))


@async_test
async def test_the_last_traffic_and_the_gauges_are_known(houses: Houses):
    hub = await houses.start()
    await connector(hub).receive("1", ANA, "hello")
    await hub.desk.write(HUB, Draft(uid="u1", to=(ANA,), text="Hello"))
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'sent'"))
    hub.statuses.changed("loop")

    async def known() -> bool:
        (row,) = await hub.store.read(connectors.rows)
        return row.last_in is not None and row.last_out is not None

    await until(known)
    await until(lambda: hub.house.gauges()["unread_arrivals"] == 0)
    assert set(hub.house.gauges()) >= {"reactor_lag_seconds", "store_waiting", "sends_under_way"}


@async_test
async def test_after_stopping_nothing_is_left(houses: Houses):
    before = set(reactor.getDelayedCalls())
    hub = await houses.start()
    await connector(hub).receive("1", ANA, "hello")
    await houses.stop()
    left = [call for call in reactor.getDelayedCalls() if call not in before]
    assert [call for call in left if "msgserver" in repr(call)] == []
    again = await houses.start()
    await until(lambda: rows(again, "SELECT id FROM msg_log"))


# --- a third party's connector ----------

PIGEON = '''
"""Carrier pigeons.

    [connector.loft]
    type = "pigeon"
    birds = 3
"""

import msgspec
from twisted.application.service import Service
from zope.interface import implementer

from msgserver.connector import IConnector, Limits, PermanentFailure, Status
from msgserver.message import Receipt


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    birds: int = 1


@implementer(IConnector)
class Loft(Service):
    schemes = ("pigeon",)
    limits = Limits(text_length=60)

    def __init__(self, name, settings, hub, reactor):
        self.name, self.birds, self.hub = name, settings.birds, hub
        self.status = Status(able=True, words=f"{settings.birds} birds", since=reactor.seconds())
        self.flown = []

    async def send(self, envelope):
        if not self.birds:
            raise PermanentFailure("no bird is left")
        self.birds -= 1
        self.flown.append((envelope.to.value, envelope.text))
        return Receipt(wire_ids=(envelope.ref,), final=True)


def make_connector(name, settings, hub, reactor):
    if settings.birds > 100:
        raise ValueError("no loft holds so many birds")
    return Loft(name, settings, hub, reactor)
'''


@pytest.fixture
def pigeons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file lies in a directory on sys.path that is none of ours."""
    place = tmp_path / "elsewhere" / "msgserver" / "protocols"
    place.mkdir(parents=True)
    (place / "pigeon.py").write_text(textwrap.dedent(PIGEON))
    before = list(msgserver.protocols.__path__)
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    importlib.reload(msgserver.protocols)
    yield
    msgserver.protocols.__path__[:] = before


@async_test
async def test_a_connector_in_a_file_of_ones_own_is_found_and_used(houses: Houses, pigeons):
    hub = await houses.start('[connector.loft]\ntype = "pigeon"\nbirds = 1\n')
    to = Address("pigeon", "mill")
    await hub.desk.write(HUB, Draft(uid="u1", to=(to,), text="Come at once"))
    await hub.desk.write(HUB, Draft(uid="u2", to=(to,), text="And bring rope"))
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'failed'"))
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'sent'"))
    assert connector(hub, "loft").flown == [("mill", "Come at once")]
    assert await rows(hub, "SELECT state, reason FROM msg_delivery_status ORDER BY id") == [
        ("sent", ""),
        ("failed", "no bird is left"),
    ]


# --- what is wrong is said ----------


def test_a_connector_that_cannot_be_built_is_named(houses: Houses, pigeons):
    with pytest.raises(SystemExit, match=r"\[connector.loft\] cannot be built: no loft holds so many birds"):
        houses.make('[connector.loft]\ntype = "pigeon"\nbirds = 101\n')


def test_a_wrong_configuration_is_said_with_its_place(houses: Houses):
    with pytest.raises(SystemExit, match=r"\[connector.loop\].*ecko"):
        houses.make('[connector.loop]\ntype = "loopback"\necko = true\n')


def test_a_port_that_is_taken_is_said(houses: Houses, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        monkeypatch.setattr("tests.test_service.CONFIG", CONFIG.replace("web = false", "web = true"))
        hub = houses.make(f'{LOOP}[web]\nlisten = "{where}"\n')
        with pytest.raises(SystemExit, match=r"\[web\] listen: .*in use"):
            hub.privilegedStartService()


@async_test
async def test_a_second_hub_on_the_same_database_refuses_to_start(houses: Houses):
    await houses.start()
    second = houses.make()
    with pytest.raises(SystemExit, match="another msgserver runs on"):
        second.startService()


@async_test
async def test_what_waits_for_a_connector_that_was_renamed_goes_by_its_new_name(houses: Houses):
    hub = await houses.start('[connector.old]\ntype = "loopback"\n')
    await hub.store.write(connectors.set_paused, HUB, "old", True, 0.0)
    hub.bus.ring("connector", ("old",))
    await until(lambda: hub.outbox.lanes["old"].paused)
    await hub.desk.write(HUB, Draft(uid="u1", to=(ANA,), text="The road is open."))
    assert await rows(hub, "SELECT state, connector FROM msg_delivery_status") == [("pending", "old")]
    await houses.stop()
    hub = await houses.start()
    await until(lambda: connector(hub).sent)
    await until(lambda: rows(hub, "SELECT id FROM msg_delivery_status WHERE state = 'sent' AND connector = 'loop'"))
    assert await rows(hub, "SELECT able, schemes FROM connector_status WHERE name = 'old'") == [(0, "[]")]
