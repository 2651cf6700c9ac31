"""What is asked of every connector, each through its own wire (``adapters``)."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import msgspec
import pytest
import pytest_twisted
from zope.interface.verify import verifyObject

from msgserver.config import connector_types
from msgserver.connector import (
    IConnector,
    IHTTPConnector,
    Limits,
    Mode,
    NotConnected,
    PermanentFailure,
    Status,
    TemporaryFailure,
    Unknown,
)
from msgserver.message import Receipt

async_test = pytest_twisted.ensureDeferred
TYPES = connector_types()


@pytest.fixture(params=TYPES)
def wire(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(f"tests.contract.adapters.{request.param}").Wire()


def outcome(sending: Any) -> Any:
    """What a send ended with, so far."""
    found: list[Any] = []
    sending.addBoth(lambda result: found.append(getattr(result, "value", result)))
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_a_type_is_a_module_with_two_public_names(kind):
    module = importlib.import_module(f"msgserver.protocols.{kind}")
    assert issubclass(module.Settings, msgspec.Struct)
    assert module.Settings.__struct_config__.frozen
    assert module.Settings.__struct_config__.forbid_unknown_fields
    assert list(inspect.signature(module.make_connector).parameters) == ["name", "settings", "hub", "reactor"]
    assert "[connector." in (module.__doc__ or "")


@async_test
async def test_it_is_a_connector(wire):
    verifyObject(IConnector, wire.connector)
    if IHTTPConnector.providedBy(wire.connector):
        verifyObject(IHTTPConnector, wire.connector)
    assert wire.connector.name
    assert isinstance(wire.connector.limits, Limits)
    before = wire.connector.status
    assert isinstance(before, Status)
    assert not before.able
    assert before.words
    await wire.start()
    assert wire.connector.status.able, wire.connector.status
    assert isinstance(wire.connector.schemes, tuple)
    assert wire.hub.changes
    await wire.stop()
    assert not wire.connector.status.able


@async_test
async def test_the_wire_is_acknowledged_after_accept_and_not_before(wire):
    await wire.start()
    wire.hub.hold()
    await wire.bring(1)
    await wire.turn()
    assert wire.hub.waiting == 1
    assert not wire.acknowledged(1)
    wire.hub.release()
    await wire.turn()
    assert wire.acknowledged(1)
    (arrival,) = wire.hub.arrivals
    assert arrival.wire_id
    assert arrival.sender is not None or arrival.media_type == "message/rfc822"  # a mail says it itself
    assert (arrival.text is not None) or arrival.raw
    await wire.stop()


@pytest.mark.parametrize("failure", [TemporaryFailure, RuntimeError])
@async_test
async def test_what_is_not_accepted_is_not_acknowledged_and_may_come_again(wire, failure):
    await wire.start()
    wire.hub.failures.append(failure("the disk is full"))
    await wire.bring(1)
    await wire.turn()
    assert not wire.acknowledged(1)
    assert not wire.refused(1)
    await wire.bring(1)
    await wire.turn()
    assert wire.acknowledged(1)
    assert len(wire.hub.arrivals) == 1
    await wire.stop()


@async_test
async def test_the_same_message_has_the_same_wire_id_and_another_one_another(wire):
    ids: list[str] = []
    wire.hub.on_accept = lambda arrival: ids.append(arrival.wire_id)
    await wire.start()
    for n in (1, 2, 1):
        await wire.bring(n)
        await wire.turn()
    assert wire.acknowledged(2)
    assert ids[0] == ids[2] != ids[1]
    assert len(wire.hub.arrivals) == 2
    await wire.stop()


@pytest.mark.parametrize(
    ("mood", "expected"),
    [("takes", Receipt), ("busy", TemporaryFailure), ("refuses", PermanentFailure), ("silent", Unknown)],
)
@async_test
async def test_what_became_of_a_send_is_told_apart(wire, mood, expected):
    if mood not in wire.moods:
        pytest.skip("this wire knows no such mood")
    await wire.start()
    sending = wire.sending(mood)
    found = outcome(sending)
    await wire.turn()
    waited = 0.0
    while not found and waited < wire.connector.limits.deadline:
        wire.clock.advance(1.0)
        await wire.turn()
        waited += 1.0
    assert len(found) == 1, f"no answer within the deadline of {wire.connector.limits.deadline} s"
    assert isinstance(found[0], expected), found
    if expected is Receipt:
        assert all(found[0].wire_ids)
    else:
        assert str(found[0])
    await wire.stop()


@async_test
async def test_what_has_no_line_uses_up_no_attempt(wire):
    if wire.connector.limits.mode is Mode.PULL:
        pytest.skip("nothing is sent by it")
    if not wire.connector.schemes:
        pytest.skip("it only receives")
    found = outcome(wire.sending("takes"))
    await wire.turn()
    (failure,) = found
    assert isinstance(failure, NotConnected)


@async_test
async def test_stopping_leaves_nothing_scheduled(wire):
    await wire.start()
    await wire.bring(1)
    await wire.turn()
    await wire.stop()
    assert wire.left() == []
    await wire.start()
    await wire.bring(2)
    await wire.turn()
    assert wire.acknowledged(2)
    await wire.stop()
    assert wire.left() == []


@async_test
async def test_stopping_while_the_house_is_slow_acknowledges_nothing(wire):
    await wire.start()
    wire.hub.hold()
    await wire.bring(1)
    await wire.turn()
    await wire.stop()
    assert not wire.acknowledged(1)
    assert wire.left() == []
