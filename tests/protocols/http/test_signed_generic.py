"""The generic profile's signature: over the body, with its time or without."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet.task import Clock

from msgserver.protocols.http.account import Account
from msgserver.protocols.http.intake import Intake
from msgserver.protocols.http.profile import load, read_options
from msgserver.wire.webhook import Call, Refused
from tests.fakes import FakeHub

from .cases import NOW, settings

async_test = pytest_twisted.ensureDeferred
BODY = b"from=15551234&text=hi&id=1"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def intake(monkeypatch: pytest.MonkeyPatch, hub: FakeHub, **options: str) -> Intake:
    monkeypatch.setenv("TEST_SIGNED", "of the gateway")
    table = settings(
        profile="generic",
        url="https://sms.example/send",
        callback_secret=None,
        options={"signature_secret": {"env": "TEST_SIGNED"}, **options},
    )
    clock = Clock()
    clock.advance(NOW)
    profile = load("generic")
    return Intake(Account("g", table, read_options(profile, table.options), table.url), profile, hub, clock)


def mark(words: bytes, secret: bytes = b"of the gateway") -> bytes:
    return hmac.new(secret, words, hashlib.sha256).digest()


@async_test
async def test_a_signed_body_is_taken_and_any_other_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub()
    door = intake(monkeypatch, hub)
    good = mark(BODY)
    for written in (good.hex(), f"sha256={good.hex().upper()}", base64.b64encode(good).decode()):
        await door.take(Call(headers={**FORM, "x-signature": written}, body=BODY))
    assert len(hub.arrivals) == 1
    query = b"from=15551234&text=hi&id=2"
    await door.take(Call(method="GET", query=query, headers={"x-signature": mark(query).hex()}))
    assert len(hub.arrivals) == 2
    wrong = [
        Call(headers=FORM, body=BODY),
        Call(headers={**FORM, "x-signature": good.hex()}, body=BODY + b"1"),
        Call(headers={**FORM, "x-signature": mark(BODY, b"another").hex()}, body=BODY),
        Call(headers={**FORM, "x-signature": good.hex()[:-1]}, body=BODY),
        Call(headers={**FORM, "x-signature": "é"}, body=BODY),
    ]
    for call in wrong:
        with pytest.raises(Refused) as refused:
            await door.take(call)
        assert refused.value.status == 401
    assert len(hub.arrivals) == 2


@async_test
async def test_a_signed_time_must_be_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub()
    door = intake(monkeypatch, hub, timestamp_header="X-Time", signature_header="X-Mark")

    def call(at: Any) -> Call:
        signed = mark(str(at).encode() + b"." + BODY).hex()
        return Call(headers={**FORM, "x-time": str(at), "x-mark": signed}, body=BODY)

    for at in (int(NOW), int(NOW) - 299, int(NOW * 1000) + 200_000):
        await door.take(call(at))
    for at in (int(NOW) - 301, int(NOW) + 301, "", "soon"):
        with pytest.raises(Refused):
            await door.take(call(at))
    fresh = call(int(NOW))
    with pytest.raises(Refused):
        await door.take(msgspec.structs.replace(fresh, headers={**fresh.headers, "x-time": str(int(NOW) - 1)}))
    assert len(hub.arrivals) == 1
