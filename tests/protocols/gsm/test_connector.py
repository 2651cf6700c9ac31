"""The connector against the emulated modem, over loopback TCP and over a pty."""

import itertools

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from msgserver.config import Secret
from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.formats.pdu_fields import Header
from msgserver.formats.sms import UCS2, Alphabet, split
from msgserver.message import Address, Envelope, Receipt
from msgserver.protocols.gsm import Settings, make_connector
from tests.emulators.modem import ModemWire, PtyLine
from tests.fakes import FakeHub
from tests.protocols.gsm.desk import modem, until

pytestmark = [pytest.mark.usefixtures("quick_backoff"), pytest.mark.slow]


@pytest_twisted.ensureDeferred
async def test_a_text_goes_out_and_its_report_comes_back(desk):
    here = await desk().able()
    receipt = await here.send("Two boats leave now")
    assert isinstance(receipt, Receipt)
    assert not receipt.final
    await until(lambda: here.hub.reports)
    assert [report.wire_id for report in here.hub.reports] == list(receipt.wire_ids)
    assert here.hub.reports[0].state == "delivered"
    assert here.modem.sent[0].submit.to == "+15551234"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("text", ["Grüße €5 {ok}", "نحتاج إلى خيام لعشرين عائلة", "水が橋を越えています", "boats 🚤🚤"])
async def test_every_script_makes_the_way(desk, text):
    here = await desk().able()
    await here.send(text)
    (sent,) = here.modem.sent
    assert b"".join([sent.submit.units]) == split(text)[0].units


@pytest_twisted.ensureDeferred
async def test_a_long_text_goes_in_parts_each_with_its_report(desk):
    here = await desk().able()
    receipt = await here.send("x" * 400)
    assert [sent.submit.header.index for sent in here.modem.sent] == [1, 2, 3]
    assert len(set(receipt.wire_ids)) == 3
    await until(lambda: len(here.hub.reports) == 3)


@pytest_twisted.ensureDeferred
async def test_texts_on_the_sim_are_read_at_start_and_deleted_after_the_commit(desk):
    sim = modem()
    sim.receive("+93701234567", split("Water over the bridge")[0].units, Alphabet())
    sim.receive("+93701234567", split("жду")[0].units, UCS2)
    here = await desk(sim).able()
    assert [arrival.text for arrival in here.hub.arrivals] == ["Water over the bridge", "жду"]
    assert here.hub.arrivals[0].sender == Address("sms", "+93701234567")
    assert sim.slots == {}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("delivery", ["stored", "direct"])
async def test_texts_arrive_while_it_runs(desk, delivery):
    here = await desk(delivery=delivery).able()
    here.modem.receive("FIELDINFO", split("help")[0].units, Alphabet())
    await until(lambda: here.hub.arrivals and not here.modem.slots)
    assert here.hub.arrivals[0].sender.value == "FIELDINFO"


@pytest_twisted.ensureDeferred
async def test_what_is_not_committed_stays_on_the_sim_and_is_read_again(desk):
    here = await desk(check_every=0.1).able()
    on_the_sim = []
    here.hub.on_accept = lambda arrival: on_the_sim.append(len(here.modem.slots))
    here.hub.failures.append(TemporaryFailure("disk full"))
    here.modem.receive("+1555", split("keep me")[0].units, Alphabet())
    await until(lambda: here.hub.arrivals and not here.modem.slots)
    assert on_the_sim == [1, 1]  # also when it was handed in again
    assert [arrival.text for arrival in here.hub.arrivals] == ["keep me"]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
async def test_parts_carry_reference_and_place(desk, order):
    parts = split("y" * 400)
    sim = modem()
    for index in order:
        sim.receive("+1555", parts[index].units, Alphabet(), header=Header(reference=9, total=3, index=index + 1))
    here = await desk(sim).able()
    assert [(arrival.part.index, arrival.part.total) for arrival in here.hub.arrivals] == [(i + 1, 3) for i in order]
    assert len({arrival.part.reference for arrival in here.hub.arrivals}) == 1
    assert len({arrival.wire_id for arrival in here.hub.arrivals}) == 3


@pytest_twisted.ensureDeferred
async def test_a_broken_pdu_is_kept_and_does_not_block(desk):
    sim = modem()
    sim.slots[1] = (0, "07911326040000F0FF")
    sim.receive("+1555", split("after it")[0].units, Alphabet())
    here = await desk(sim).able()
    assert [arrival.text for arrival in here.hub.arrivals][1] == "after it"
    assert here.hub.arrivals[0].raw == b"07911326040000F0FF"
    assert sim.slots == {}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("quirk", "failure", "words"),
    [
        ("cms_38", TemporaryFailure, "network is out of order"),
        ("cms_500", TemporaryFailure, "unknown error"),
        ("cms_21", TemporaryFailure, "rejected"),
        ("cms_28", PermanentFailure, "belongs to nobody"),
        ("plain_error", TemporaryFailure, "ERROR"),
        ("busy_once", TemporaryFailure, "SIM is busy"),
        ("drop_in_pdu", Unknown, "did not confirm"),
        ("drop_after_pdu", Unknown, "did not confirm"),
        ("hang_after_prompt", Unknown, "did not confirm"),
    ],
)
async def test_failures_are_told_apart(desk, quirk, failure, words):
    # One end of the line may be late on a busy machine: what is waited for in vain is waited for long.
    here = await desk(answer_within=5.0 if quirk == "hang_after_prompt" else 60.0).able()
    here.modem.quirks.add(quirk)
    with pytest.raises(failure, match=words):
        await here.send("hello")
    here.modem.quirks.clear()
    await until(lambda: here.connector.status.able)
    await here.send("hello again")


@pytest_twisted.ensureDeferred
async def test_without_network_nothing_is_tried(desk):
    here = desk(modem(quirks={"network_lost"}), check_every=0.1)
    await until(lambda: "searching" in here.connector.status.words)
    with pytest.raises(NotConnected, match="searching for a network"):
        await here.send("hello")
    here.modem.quirks.clear()
    await here.able()


@pytest_twisted.ensureDeferred
async def test_parts_that_went_out_are_not_repeated(desk):
    here = await desk().able()
    submit, calls = here.modem.submit, []

    def fails_second(pdu, length):
        calls.append(pdu)
        return ["+CMS ERROR: 38"] if len(calls) == 2 else submit(pdu, length)

    here.modem.submit = fails_second
    with pytest.raises(TemporaryFailure):
        await here.send("z" * 400)
    receipt = await here.send("z" * 400, attempt=2)
    assert [sent.submit.header.index for sent in here.modem.sent] == [1, 2, 3]
    assert len({sent.submit.header.reference for sent in here.modem.sent}) == 1
    assert len(receipt.wire_ids) == 3


@pytest_twisted.ensureDeferred
async def test_a_pin_is_entered_once_and_never_again_when_refused(desk):
    right = await desk(modem(pin="1234"), pin=Secret("1234")).able()
    assert right.modem.unlocked
    wrong = desk(modem(pin="1234"), pin=Secret("9999"))
    await until(lambda: "refused the PIN" in wrong.connector.status.words)
    again = make_connector(
        "modem1", Settings(device=wrong.connector._settings.device, pin=Secret("9999")), wrong.hub, reactor
    )
    again.startService()
    await until(lambda: "not tried again" in again.status.words)
    await again.stopService()
    assert wrong.modem.pin_tries == 2
    assert not any("9999" in line for line in again.status.words.split())


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("quirks", "settings", "words"),
    [
        ({"cme_10"}, {}, "no SIM"),
        ({"no_pdu_mode"}, {}, "no PDU mode"),
        (set(), {"imei": "111111111111111"}, "not 111111111111111"),
    ],
)
async def test_what_is_wrong_is_said(desk, quirks, settings, words):
    here = desk(modem(quirks=quirks), **settings)
    await until(lambda: words in here.connector.status.words)
    assert not here.connector.status.able


@pytest_twisted.ensureDeferred
async def test_modems_without_indications_are_looked_at(desk):
    here = await desk(modem(quirks={"no_cnmi"}), check_every=0.1).able()
    here.modem.receive("+1555", split("found by looking")[0].units, Alphabet())
    await until(lambda: here.hub.arrivals)


@pytest_twisted.ensureDeferred
async def test_gauges_and_credit(desk):
    here = await desk(credit_code="*100#", check_every=0.05).able()
    await until(lambda: here.connector.status.gauges.get("credit") == "12.50")
    gauges = here.connector.status.gauges
    assert (gauges["signal_dbm"], gauges["operator"], gauges["battery_percent"]) == (-73, "Field Net", 87)


@pytest_twisted.ensureDeferred
async def test_a_missed_call_is_logged_once(desk):
    here = await desk().able()
    for _ in range(3):
        here.modem.ring("+93701112222")
    await until(lambda: here.hub.arrivals)
    assert [(arrival.text, arrival.sender.value) for arrival in here.hub.arrivals] == [
        ("[missed call]", "+93701112222")
    ]


@pytest_twisted.ensureDeferred
async def test_the_daily_cap_stops_sending_in_words(desk, one_day):
    here = await desk(daily_cap=2).able()
    await here.send("one")
    await here.send("two")
    with pytest.raises(NotConnected, match="daily cap of 2"):
        await here.send("three")
    assert here.hub.memory["sent today 240080000000001"].endswith(b" 2")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("number", ['+123";+CMGD=1,4', "+1\r\nAT+CMGD=1,4", "12\x1a34", "BANK", "1" * 21])
async def test_no_number_reaches_the_line_but_a_number(desk, number):
    here = await desk().able()
    before = list(here.modem.log)
    with pytest.raises(PermanentFailure, match="cannot be dialled"):
        await here.connector.send(
            Envelope(ref="d1", attempt=1, sender="Desk", to=Address("sms", number), text="x\x1a\x1b\r\nAT+CMGD=1,4\r")
        )
    assert here.modem.log == before


@pytest_twisted.ensureDeferred
async def test_no_text_reaches_a_command_line(desk):
    here = await desk().able()
    await here.send("evil\x1a\x1b\r\nAT+CMGD=1,4\r")
    assert not any("CMGD=1,4" in line for line in here.modem.log)


@pytest_twisted.ensureDeferred
async def test_the_pty_is_found_by_imei_after_replugging(tmp_path):
    hub = FakeHub()
    sim = modem()
    other = PtyLine(reactor, ModemWire(modem(imei="1" * 15), reactor.callLater), str(tmp_path / "ttyUSB0"))
    plugged = PtyLine(reactor, ModemWire(sim, reactor.callLater), str(tmp_path / "ttyUSB1"))
    connector = make_connector(
        "m", Settings(device=str(tmp_path / "ttyUSB*"), imei=sim.imei, check_every=0.1), hub, reactor
    )
    connector.startService()
    await until(lambda: connector.status.able)
    plugged.connectionLost(None)
    reactor.removeReader(plugged)
    await until(lambda: not connector.status.able)
    plugged = PtyLine(reactor, ModemWire(sim, reactor.callLater), str(tmp_path / "ttyUSB7"))
    await until(lambda: connector.status.able)
    receipt = await connector.send(
        Envelope(ref="d", attempt=1, sender="D", to=Address("sms", "+1555"), text="back again")
    )
    assert receipt.wire_ids
    await connector.stopService()
    for line in (other, plugged):
        reactor.removeReader(line)
        line.connectionLost(None)
    await deferLater(reactor, 0.05, lambda: None)


@pytest_twisted.ensureDeferred
async def test_stop_leaves_nothing_scheduled(desk):
    here = await desk().able()
    before = {call for call in reactor.getDelayedCalls() if "gsm" in str(call)}
    await here.connector.stopService()
    await deferLater(reactor, 0.1, lambda: None)
    after = [call for call in reactor.getDelayedCalls() if "gsm" in str(call)]
    assert before is not None
    assert after == []
    here.connector.stopService = lambda: deferLater(reactor, 0, lambda: None)
