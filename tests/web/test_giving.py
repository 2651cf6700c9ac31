"""Requests that are sent twice: done once, whatever comes between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from msgserver.records import Viewer
from msgserver.store.idempotency import UNDER_WAY
from msgserver.web.api.giving import give, once
from msgserver.web.ask import Answer, Ask, Refusal
from tests.store.desk import NOW
from tests.web.conftest import Web


class Slow:
    """An act that takes until it is told its end."""

    def __init__(self) -> None:
        self.begun: list[Deferred[Any]] = []
        self.act = once(self._act)

    async def _act(self, ask: Ask) -> Answer:
        self.begun.append(Deferred())
        return give({"made": await self.begun[-1]}, 201)


def asked(web: Web, act: Any, at: float = NOW, body: bytes = b"{}") -> Deferred[Answer]:
    headers = {"idempotency-key": "k1"}
    house = SimpleNamespace(store=web.store)
    ask = Ask(
        id="1", method="POST", path="/x", at=at, house=house, site=None, viewer=Viewer(7, "Ana"),
        headers=headers, body=body,
    )  # fmt: skip
    return Deferred.fromCoroutine(act(ask))


def result(answering: Deferred[Answer]) -> Any:
    found: list[Any] = []
    answering.addBoth(found.append)
    return found[0]


def refused(answering: Deferred[Answer]) -> Refusal:
    refusal = result(answering).value
    assert isinstance(refusal, Refusal)
    return refusal


def test_of_two_at_once_one_is_done(web: Web) -> None:
    slow = Slow()
    first = asked(web, slow.act)
    meanwhile = refused(asked(web, slow.act))
    assert (meanwhile.status, meanwhile.headers) == (409, (("Retry-After", "1"),))
    assert refused(asked(web, slow.act, body=b"[]")).status == 422
    slow.begun[0].callback(5)
    assert result(first).status == 201
    again = result(asked(web, slow.act))
    assert (again.status, again.body, again.headers[-1]) == (201, b'{"made":5}', ("Idempotent-Replayed", "true"))
    assert len(slow.begun) == 1


@pytest.mark.parametrize("end", [Refusal(422, "no"), RuntimeError("a mistake of ours")])
def test_what_came_to_nothing_may_be_sent_again(web: Web, end: Exception) -> None:
    slow = Slow()
    first = asked(web, slow.act)
    slow.begun[0].errback(end)
    assert result(first).value is end
    second = asked(web, slow.act, body=b'{"mended": 1}')
    slow.begun[1].callback(6)
    assert result(second).status == 201


def test_what_died_with_its_process_may_be_sent_again_after_a_minute(web: Web) -> None:
    slow = Slow()
    asked(web, slow.act)
    assert refused(asked(web, slow.act, NOW + UNDER_WAY - 1)).status == 409
    again = asked(web, slow.act, NOW + UNDER_WAY)
    assert refused(asked(web, slow.act, NOW + UNDER_WAY + 1)).status == 409
    slow.begun[1].callback(7)
    assert result(again).body == b'{"made":7}'
