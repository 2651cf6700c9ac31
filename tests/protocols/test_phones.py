"""The two phones that ask us: SMSSync, and the protocol of medic-gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from treq.testing import StubTreq
from twisted.internet.task import Clock

from msgserver.config import Secret
from msgserver.connector import PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Address, Envelope, Receipt
from msgserver.protocols import phonegate, smssync
from tests.fakes import FakeHub


def envelope(n: int, **changes: Any) -> Envelope:
    values = {"ref": f"d{n}.abc", "attempt": 1, "sender": "Desk", "text": f"text {n} é 😀"}
    return Envelope(to=Address("sms", f"+1555000{n}"), **{**values, **changes})


class Phone:
    """What a phone does, in memory."""

    def __init__(self, protocol: Any, settings: Any) -> None:
        self.hub, self.clock = FakeHub(), Clock()
        self.clock.advance(1_790_000_000.0)
        self.connector = protocol.make_connector("phone", settings, self.hub, self.clock)
        self.connector.startService()
        self.treq: Any = StubTreq(self.connector.resource)

    def call(self, method: str, query: str = "", **more: Any) -> tuple[int, Any]:
        got: list[Any] = []
        asking = self.treq.request(method, f"http://hub/{query}", **more)
        asking.addCallback(lambda answer: answer.content().addCallback(lambda body: got.append((answer.code, body))))
        self.treq.flush()
        code, body = got[0]
        return code, json.loads(body) if body.startswith(b"{") else body


# medic-gateway


class Gate(Phone):
    def __init__(self, **changes: Any) -> None:
        super().__init__(phonegate, phonegate.Settings(password=Secret("s3cret"), number="+15550100", **changes))

    def say(self, auth: Any = ("phone", "s3cret"), **body: Any) -> Any:
        code, told = self.call("POST", auth=auth, data=json.dumps(body).encode())
        assert code == 200, told
        return told["messages"]


def test_the_gate_says_what_it_is_to_whom_may_know():
    phone = Gate()
    assert phone.call("GET", auth=("phone", "s3cret")) == (200, {"medic-gateway": True})
    for auth in (None, ("phone", "wrong"), ("other", "s3cret"), ("phone", "s3cret\u00e9")):
        assert phone.call("GET", auth=auth)[0] == 401
        assert phone.call("POST", auth=auth, data=b"{}")[0] == 401
    assert phone.call("POST", headers={"Authorization": "Basic ???"}, data=b"{}")[0] == 401
    for body in (b"[]", b"x", b'{"messages": [{"from": "+1"}]}', b'{"updates": [7]}', b"[" * 5000):
        assert phone.call("POST", auth=("phone", "s3cret"), data=body)[0] == 400
    assert phone.say(messages=None, updates=None) == []


def test_texts_come_in_once_however_often_they_are_brought():
    phone = Gate()
    text = {"id": "u1", "from": "+15551234", "content": "Is the bridge open?", "sms_sent": 1790000000500}
    for _ in range(3):
        assert phone.say(messages=[text, {**text, "id": "u2", "from": "BANK"}]) == []
    first, second = phone.hub.arrivals
    assert (first.wire_id, first.sender, first.text) == ("u1", Address("sms", "+15551234"), "Is the bridge open?")
    assert first.sent_at == 1790000000.5
    assert first.recipients == (Address("sms", "+15550100"),)
    assert second.sender == Address("sms", "BANK")


def test_texts_are_given_until_the_phone_speaks_of_them():
    phone = Gate(batch=2)
    phone.hub.outgoing.extend(envelope(n) for n in (1, 2, 3))
    given = phone.say()
    assert given == [
        {"id": "d1.abc", "to": "+15550001", "content": "text 1 é 😀"},
        {"id": "d2.abc", "to": "+15550002", "content": "text 2 é 😀"},
    ]
    assert phone.say() == given
    assert phone.hub.settled == []
    updates = [{"id": "d1.abc", "status": "PENDING"}, {"id": "d2.abc", "status": "FAILED", "reason": "radio off"}]
    assert [one["id"] for one in phone.say(updates=updates)] == ["d3.abc"]
    (one, taken), (two, failed) = phone.hub.settled
    assert (one.ref, taken.wire_ids) == ("d1.abc", ("d1.abc",))
    assert two.ref == "d2.abc"
    assert isinstance(failed, PermanentFailure)
    assert "radio off" in str(failed)
    for status in ("SENT", "DELIVERED", "DELIVERED", "SENT"):
        phone.say(updates=[{"id": "d1.abc", "status": status}])
    states = [str(report.state) for report in phone.hub.reports if report.ref == "d1.abc"]
    assert states == ["sent", "sent", "delivered", "delivered", "sent"]
    assert len(phone.hub.settled) == 2


def test_what_has_lost_its_point_is_given_no_more():
    phone = Gate()
    phone.hub.outgoing.append(envelope(1, expires_at=phone.clock.seconds() + 60))
    assert len(phone.say()) == 1
    phone.clock.advance(61)
    assert phone.say() == []
    ((_, outcome),) = phone.hub.settled
    assert isinstance(outcome, Unknown)


def test_nothing_is_lost_where_the_house_is_busy():
    phone = Gate()
    phone.hub.failures.append(TemporaryFailure("disk full"))
    body = json.dumps({"messages": [{"id": "u1", "from": "+1555", "content": "x"}]}).encode()
    assert phone.call("POST", auth=("phone", "s3cret"), data=body)[0] == 503
    assert phone.call("POST", auth=("phone", "s3cret"), data=body)[0] == 200
    assert len(phone.hub.arrivals) == 1


def test_a_silent_phone_is_noticed():
    phone = Gate(silent_after=600.0)
    assert "waits" in phone.connector.status.words
    phone.say()
    phone.clock.advance(599)
    phone.say()
    phone.clock.advance(599)
    assert phone.connector.status.able
    phone.clock.advance(2)
    assert not phone.connector.status.able
    assert "not called for 10 min" in phone.connector.status.words
    phone.say()
    assert phone.connector.status.able
    phone.connector.stopService()
    assert phone.clock.getDelayedCalls() == []


# SMSSync


class Sync(Phone):
    def __init__(self, **changes: Any) -> None:
        super().__init__(smssync, smssync.Settings(secret=Secret("s3cret"), **changes))

    def bring(self, **fields: str) -> tuple[int, Any]:
        return self.call("POST", data={"secret": "s3cret", "from": "+15551234", "message": "hi", **fields})

    def ask(self) -> Any:
        code, told = self.call("GET", "?task=send&secret=s3cret")
        assert code == 200
        assert told["payload"]["task"] == "send"
        assert told["payload"]["secret"] == "s3cret"
        return told["payload"]["messages"]

    def tell(self, task: str, body: Any) -> Any:
        code, told = self.call("POST", f"?task={task}&secret=s3cret", json=body)
        assert code == 200, told
        return told["message_uuids"]


def test_smssync_brings_texts():
    phone = Sync()
    for _ in range(2):
        assert phone.bring(
            message_id="m1", message="Öl + 1 & 2", sent_timestamp="1790000000500", sent_to="+15550100"
        ) == (
            200,
            {"payload": {"success": True, "error": None}},
        )
    assert phone.bring(sent_timestamp="11-22-26 14:05")[0] == 200
    first, second = phone.hub.arrivals
    assert (first.wire_id, first.text, first.sent_at) == ("m1", "Öl + 1 & 2", 1790000000.5)
    assert first.recipients == (Address("sms", "+15550100"),)
    assert second.wire_id
    assert second.sent_at == 1795356300.0


@pytest.mark.parametrize("secret", ["", "wrong", "s3cret\u00e9"])
def test_smssync_without_the_secret_is_refused(secret):
    phone = Sync()
    phone.hub.outgoing.append(envelope(1))
    assert phone.bring(secret=secret)[0] == 403
    assert phone.call("GET", "?task=send")[0] == 403
    assert phone.call("POST", "?task=sent", json={"queued_messages": ["x"]})[0] == 403
    assert len(phone.hub.outgoing) == 1


def test_smssync_gets_texts_until_it_confirms_them():
    phone = Sync()
    phone.hub.outgoing.extend([envelope(1), envelope(2)])
    given = phone.ask()
    assert given[0] == {"to": "+15550001", "message": "text 1 é 😀", "uuid": "d1.abc"}
    assert phone.ask() == given
    assert phone.tell("sent", {"queued_messages": ["d1.abc", "stranger"]}) == ["d1.abc", "stranger"]
    assert [one["uuid"] for one in phone.ask()] == ["d2.abc"]
    ((settled, receipt),) = phone.hub.settled
    assert settled.ref == "d1.abc"
    assert isinstance(receipt, Receipt)
    assert not receipt.final
    assert phone.call("GET", "?task=result&secret=s3cret")[1] == {"message_uuids": ["d1.abc", "stranger"]}


def test_smssync_tells_what_became_of_them():
    phone = Sync()
    phone.tell("sent", {"queued_messages": ["d1.abc", "d2.abc", "d3.abc"]})
    well = {"sent_result_code": 0, "sent_result_message": "SMSSync Message Sent"}
    results = [
        {"uuid": "d1.abc", **well, "delivered_result_code": 0, "delivered_result_message": "SMS Delivered"},
        {"uuid": "d2.abc", **well, "delivered_result_code": -1, "delivered_result_message": ""},
        {"uuid": "d3.abc", "sent_result_code": 4, "sent_result_message": "No service"},
        {"uuid": "d4.abc", "sent_result_code": -1},
    ]
    phone.tell("result", {"message_result": results})
    told = [(report.ref, str(report.state)) for report in phone.hub.reports]
    assert told == [("d1.abc", "delivered"), ("d2.abc", "sent"), ("d3.abc", "failed")]
    assert phone.call("GET", "?task=result&secret=s3cret")[1] == {"message_uuids": ["d2.abc"]}
    form = {"message_result": json.dumps(results[:1])}
    assert phone.call("POST", "?task=result&secret=s3cret", data=form)[0] == 200


def test_smssync_that_does_not_confirm_gets_each_text_once():
    phone = Sync(confirms=False)
    assert not phone.connector.limits.repeat_unknown
    phone.hub.outgoing.append(envelope(1))
    assert len(phone.ask()) == 1
    assert phone.ask() == []
    ((_, receipt),) = phone.hub.settled
    assert receipt.final
    assert "does not confirm" in receipt.words


@pytest.mark.parametrize("body", [b"[]", b"x", b'{"queued_messages": 7}', b"[" * 9000])
def test_smssync_speaking_nonsense_is_refused(body):
    phone = Sync()
    assert phone.call("POST", "?task=sent&secret=s3cret", data=body)[0] == 400
    assert phone.call("POST", "?task=result&secret=s3cret", data=body)[0] == 400
    assert phone.call("POST", "?secret=s3cret", data={"message": "x"})[0] == 400
