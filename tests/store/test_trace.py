from __future__ import annotations

from msgserver.records import HUB, DeliveryState, Grant, Outcome, ReportRow, Role, Settlement, Viewer
from msgserver.store import deliveries, journal
from msgserver.store.recording import record
from msgserver.store.trace import trace
from tests.store.people import NOW, arrivals, connector, entity, plan


def test_one_message_from_wire_to_wires(database):
    with database() as tx:
        connector(tx, "modem1", "sms")
        ana = entity(tx, "Ana", "sms:+7")
        one = plan(tx, "sms:+1", tags=("incident/a",), routes=(ana,))
        [done] = record(tx, [one])
        [other] = arrivals(tx)
        journal.mark(tx, other, Outcome.PART, done.message_id, NOW)
        [claimed] = deliveries.claim(tx, "modem1", "n1", 5, NOW)
        sent = Settlement(
            delivery_id=claimed.id, attempt=1, state=DeliveryState.SENT, wire_ids=("w1",), reason="OK", at=NOW + 1
        )
        deliveries.settle(tx, [sent])
        late = ReportRow(connector="modem1", state=DeliveryState.FAILED, wire_id="w1", words="no credit", at=NOW + 2)
        deliveries.report(tx, [late])
        found = trace(tx, HUB, done.message_id)
        stranger = Viewer(9, "bo", (Grant(Role.READER, "project", "p"),))
        assert trace(tx, stranger, done.message_id) is None
        assert trace(tx, HUB, 999) is None
    assert found is not None
    assert found.message.uid == one.uid
    assert (found.came.raw_id, found.came.state, found.came.read_at) == (one.raw_id, "read", NOW)
    assert [again.raw_id for again in found.repeats] == [other]
    assert [(tag.resource, tag.record) for tag in found.tags] == [("incident", "a")]
    [went] = found.deliveries
    assert (went.delivery.state, went.delivery.reason, went.why) == ("failed", "no credit", "forwarded to you")
    assert [(event.state, event.words, event.node) for event in went.events] == [
        ("sent", "OK", "n1"),
        ("report failed", "no credit", ""),
    ]
    assert [(part.wire_id, part.state, part.attempt) for part in went.parts] == [("w1", "failed", 1)]
