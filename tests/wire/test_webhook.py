"""The resource that far sides call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from treq.testing import StubTreq
from twisted.internet.defer import Deferred

from msgserver.connector import TemporaryFailure
from msgserver.wire.forms import read_pairs
from msgserver.wire.webhook import LARGEST, Call, Refused, Reply, Webhook


class Door:
    def __init__(self, **settings: Any) -> None:
        self.calls: list[Call] = []
        self.waiting: list[Deferred[Reply]] = []
        self.hold = False
        self.raises: BaseException | None = None
        self.resource = Webhook("door", settings.get("methods", ("GET", "POST")), self.take)
        self.resource.open = True
        self.treq: Any = StubTreq(self.resource)

    async def take(self, call: Call) -> Reply:
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises
        if self.hold:
            self.waiting.append(Deferred())
            return await self.waiting[-1]
        return Reply(201, b"<taken/>", "text/xml", (("X-One", "1"),))

    def call(self, method: str = "POST", path: str = "/a/b%2Fc?q=1", **more: Any) -> Any:
        told: list[Any] = []
        self.treq.request(method, f"http://hub{path}", **more).addBoth(told.append)
        self.treq.flush()
        return told[0] if told else None


def test_a_call_comes_with_its_path_query_headers_and_body():
    door = Door()
    answer = door.call(data=b"x=%41", headers={"Content-Type": "application/x-www-form-urlencoded", "X-Sig": "s"})
    assert answer.code == 201
    assert answer.headers.getRawHeaders("x-one") == ["1"]
    (call,) = door.calls
    assert call.path == ("a", "b/c")
    assert call.query == b"q=1"
    assert call.headers["x-sig"] == "s"
    assert call.form() == [(b"x", b"A")]
    assert call.fields().text("q") == "1"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"method": "PUT"}, 405),
        ({"method": "HEAD"}, 405),
        ({"method": "DELETE"}, 405),
        ({"data": b"x" * (LARGEST + 1)}, 413),
    ],
)
def test_what_is_never_taken(how, code):
    door = Door()
    answer = door.call(**how)
    assert answer.code == code
    assert not door.calls
    if code == 405:
        assert answer.headers.getRawHeaders("allow") == ["GET, POST"]


@pytest.mark.parametrize(
    ("raised", "code", "later"),
    [
        (Refused(401, "who are you"), 401, None),
        (TemporaryFailure("busy"), 503, ["30"]),
        (TemporaryFailure("busy", 0.2), 503, ["1"]),
        (TemporaryFailure("busy", 90.0), 503, ["90"]),
        (RuntimeError("a secret word"), 503, ["300"]),
    ],
)
def test_what_is_not_taken_now(raised, code, later):
    door = Door()
    door.raises = raised
    answer = door.call()
    assert answer.code == code
    assert answer.headers.getRawHeaders("retry-after") == later
    told: list[bytes] = []
    answer.content().addCallback(told.append)
    door.treq.flush()
    assert b"secret" not in told[0]


def test_closed_it_takes_nothing():
    door = Door()
    door.resource.open = False
    assert door.call().code == 503
    assert not door.calls


def test_it_answers_only_when_the_house_has_it():
    door = Door()
    door.hold = True
    told: list[Any] = []
    door.treq.post("http://hub/").addBoth(told.append)
    door.treq.flush()
    assert told == []
    door.waiting[0].callback(Reply())
    door.treq.flush()
    assert told[0].code == 200


def test_let_go_it_asks_to_come_again():
    door = Door()
    door.hold = True
    told: list[Any] = []
    door.treq.post("http://hub/").addBoth(told.append)
    door.treq.flush()
    door.resource.let_go()
    door.treq.flush()
    assert told[0].code == 503


def test_a_multipart_form_is_a_form():
    boundary = b"--b\r\nContent-Disposition: form-data; name=text\r\n\r\nh\xc3\xa9\r\n--b--\r\n"
    call = Call(headers={"content-type": "multipart/form-data; boundary=b"}, body=boundary)
    assert call.fields().text("text") == "h\u00e9"
    with pytest.raises(Refused):
        Call(headers={"content-type": "multipart/form-data; boundary=other"}, body=boundary).form()


def test_too_many_fields_are_refused():
    with pytest.raises(Refused):
        Call(query=b"a&" * 600).fields()


@given(st.binary(max_size=80))
def test_any_bytes_are_pairs(text):
    assert all(name or value or True for name, value in read_pairs(text))
    assert b"&".join(n.replace(b"&", b"") for n, _ in read_pairs(text)).count(b"&") <= text.count(b"&")


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=9)), max_size=9))
def test_pairs_come_back_as_they_were(pairs):
    from urllib.parse import quote_from_bytes, quote_plus

    written = "&".join(f"{quote_from_bytes(n, safe='')}={quote_plus(v)}" for n, v in pairs)
    assert read_pairs(written.encode()) == pairs
