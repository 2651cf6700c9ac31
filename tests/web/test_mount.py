"""What connectors serve themselves, under ``/in/<connector>``."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.web.resource import Resource
from zope.interface import implementer

from msgserver.config import Secret
from msgserver.connector import IHTTPConnector, TemporaryFailure
from msgserver.protocols.loopback_webhook import Settings, make_connector
from tests.fakes import FakeHub
from tests.web.conftest import Answered, Web

CALL = b'{"id": "1", "from": "loop:ana", "text": "hello"}'


@pytest.fixture
def hub(web: Web) -> Iterator[FakeHub]:
    hub = FakeHub()
    connector: Any = make_connector("hook", Settings(secret=Secret("s")), hub, web.clock)
    connector.startService()
    web.house.connectors["hook"] = connector
    yield hub
    connector.stopService()


def call(web: Web, body: bytes = CALL, secret: bytes = b"s") -> Answered:
    signed = hmac.new(secret, body, hashlib.sha256).hexdigest()
    answer = web.browser().send("POST", "/in/hook", body, {"X-Signature": f"sha256={signed}"})
    assert isinstance(answer, Answered)
    return answer


def test_a_call_needs_no_session_and_is_answered_after_accept(web: Web, hub: FakeHub) -> None:
    assert call(web).status == 200
    assert [arrival.text for arrival in hub.arrivals] == ["hello"]


def test_a_wrong_signature_is_the_connectors_to_refuse(web: Web, hub: FakeHub) -> None:
    assert call(web, secret=b"other").status == 401
    assert hub.arrivals == []


def test_what_cannot_be_kept_is_503(web: Web, hub: FakeHub) -> None:
    hub.failures.append(TemporaryFailure("the disk is full"))
    answer = call(web)
    assert answer.status == 503
    assert answer.header("x-content-type-options") == "nosniff"


def test_a_connector_that_is_not_there_or_takes_no_calls(web: Web) -> None:
    assert web.browser().get("/in/nobody").status == 404
    web.house.connectors["mail"] = object()
    assert web.browser().get("/in/mail").status == 404
    assert web.browser().get("/in/").status == 404
    assert web.browser().get("/in").status == 404


@implementer(IHTTPConnector)
class Echo:
    """Has places below its own, reads forms, and breaks on demand."""

    class resource(Resource):
        isLeaf = False

        def getChild(self, path: bytes, request: Any) -> Resource:
            return Leaf(path)

    resource = resource()


class Leaf(Resource):
    isLeaf = True

    def __init__(self, path: bytes) -> None:
        super().__init__()
        self.path = path

    def render_GET(self, request: Any) -> bytes:
        return b"%s %r" % (self.path, request.args)

    def render_POST(self, request: Any) -> bytes:
        if self.path == b"break":
            raise RuntimeError("the secret inside")
        return self.render_GET(request)


def test_places_below_and_forms(web: Web) -> None:
    web.house.connectors["echo"] = Echo()
    assert web.browser().get("/in/echo/a?x=1&x=2").body == b"a {b'x': [b'1', b'2']}"
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert (
        web.browser().send("POST", "/in/echo/b?x=1", b"y=%C3%A9", form).body
        == b"b {b'x': [b'1'], b'y': [b'\\xc3\\xa9']}"
    )


def test_a_resource_that_breaks_asks_to_be_called_again(web: Web) -> None:
    web.house.connectors["echo"] = Echo()
    answer = web.browser().send("POST", "/in/echo/break", b"x")
    assert answer.status == 503
    assert b"secret inside" not in answer.body
