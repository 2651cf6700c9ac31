"""The chat connector against a real Prosody, with slixmpp as the person at the other end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import pytest_twisted

from msgserver.message import ReportState
from msgserver.protocols.xmpp import Settings
from msgserver.protocols.xmpp.connector import XMPPConnector
from tests.fakes import FakeHub
from tests.peers.prosody import Person, Prosody
from tests.protocols.xmpp.conftest import envelope, settings_of, until

pytestmark = pytest.mark.peer
Run = Callable[[Settings], XMPPConnector]


@pytest.fixture
def ana(prosody: Prosody) -> Iterator[Person]:
    person = prosody.person("ana")
    yield person
    person.leave()


@pytest_twisted.ensureDeferred
async def test_in_and_out_with_receipts_both_ways(prosody: Prosody, ana: Person, hub: FakeHub, run: Run) -> None:
    chat = run(settings_of(prosody))
    await until(lambda: chat.status.able and ana.saw("ready"), "both are signed in")
    assert chat.status.words == "connected as hub@xmpp.test"

    ana.do("say", to="hub@xmpp.test", body="Which road is open?", id="question-0001")
    await until(lambda: ana.saw("received", of="question-0001"), "Ana has a receipt")
    (arrival,) = hub.arrivals
    assert (arrival.text, str(arrival.sender)) == ("Which road is open?", "xmpp:ana@xmpp.test")
    assert arrival.facts["resource"] == "phone"

    receipt = await chat.send(envelope())
    assert not receipt.final
    await until(lambda: hub.reports, "the receipt of Ana's client is reported")
    (report,) = hub.reports
    assert (report.state, report.ref, report.wire_id) == (ReportState.DELIVERED, "d1", receipt.wire_ids[0])
    assert ana.saw("message", body="The water truck comes at 9.", id=receipt.wire_ids[0])
