"""Everything a modem does wrong: what is said, what is safe, and how it mends itself."""

import re
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from msgserver.config import Secret
from msgserver.connector import NotConnected, PermanentFailure, TemporaryFailure, Unknown
from msgserver.formats.pdu import Submit, encode_submit
from msgserver.formats.sms import Alphabet, split
from msgserver.message import Address, Envelope
from msgserver.protocols.gsm import Settings, make_connector
from msgserver.protocols.gsm.allowance import Allowance
from msgserver.protocols.gsm.credit import amount, readable
from msgserver.protocols.gsm.indications import settings_to_try
from tests.emulators.modem import QUIRKS, ModemWire, PtyLine
from tests.fakes import FakeHub
from tests.protocols.gsm.desk import modem, until

pytestmark = [pytest.mark.usefixtures("quick_backoff"), pytest.mark.slow]


def receive(sim, text, sender="+93701234567", **fields):
    return sim.receive(sender, split(text)[0].units, Alphabet(), **fields)


def texts(here):
    return [arrival.text for arrival in here.hub.arrivals]


# --- the house cannot take what arrives ----------


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("failure", [TemporaryFailure("the disk is full"), RuntimeError("a mistake")])
async def test_a_hub_that_cannot_store_leaves_texts_on_the_sim_from_the_first_look_on(desk, failure):
    sim = modem()
    receive(sim, "one")
    receive(sim, "two")
    here = desk(sim, check_every=0.1)
    here.hub.failures.append(failure)
    await here.able()
    if isinstance(failure, TemporaryFailure):
        assert "2 texts wait on the SIM card: the disk is full" in here.connector.status.words
    await until(lambda: sorted(texts(here)) == ["one", "two"])
    await until(lambda: not sim.slots and "wait" not in here.connector.status.words)


@pytest_twisted.ensureDeferred
async def test_a_text_handed_over_directly_is_given_back_and_brought_again(desk):
    here = await desk(delivery="direct", check_every=0.1).able()
    here.hub.failures.append(TemporaryFailure("the disk is full"))
    receive(here.modem, "keep me")
    await until(lambda: here.modem.network)
    assert texts(here) == []
    await until(lambda: here.modem.indications[1] == 2)  # armed again
    here.modem.again()
    await until(lambda: texts(here) == ["keep me"] and not here.modem.unacknowledged)


@pytest_twisted.ensureDeferred
async def test_a_report_that_could_not_be_stored_is_told_later(desk):
    here = await desk(check_every=0.1).able()
    kept, here.hub.report = here.hub.report, None

    async def refuses(report):
        here.hub.report = kept
        raise TemporaryFailure("busy")

    here.hub.report = refuses
    await here.send("hello")
    await until(lambda: here.hub.reports)
    assert here.hub.reports[0].state == "delivered"


# --- the SIM ----------


@pytest_twisted.ensureDeferred
async def test_a_pin_whose_answer_was_lost_is_not_tried_again_unless_all_tries_are_left(desk):
    sim = modem(pin="1234", quirks={"pin_answer_lost"})
    sim._do_cpinr = lambda *_: ["ERROR"]
    hub = FakeHub()
    here = desk(sim, hub, pin=Secret("9999"))
    await until(lambda: any("CPIN=" in line for line in sim.log))
    assert hub.memory["pin"].startswith(b"tried ")
    await here.connector.stopService()
    again = desk(sim, hub, pin=Secret("9999"))
    await until(lambda: "not tried again" in again.connector.status.words)
    assert sim.pin_tries == 2
    right = desk(sim, hub, pin=Secret("1234"))
    sim.quirks.clear()
    await right.able()
    assert hub.memory["pin"] == b""
    here.connector.stopService = lambda: deferLater(reactor, 0, lambda: None)


@pytest_twisted.ensureDeferred
async def test_the_last_try_of_a_pin_is_left_to_a_person(desk):
    sim = modem(pin="1234", pin_tries=1)
    here = desk(sim, pin=Secret("1234"))
    await until(lambda: "one try left" in here.connector.status.words)
    assert not sim.unlocked


@pytest_twisted.ensureDeferred
async def test_another_sim_with_the_refused_pin_is_another_matter(desk):
    hub = FakeHub()
    first = desk(modem(pin="1234"), hub, pin=Secret("9999"))
    await until(lambda: "refused the PIN" in first.connector.status.words)
    second = await desk(modem(pin="9999", imsi="240080000000002"), hub, pin=Secret("9999")).able()
    assert second.modem.unlocked


@pytest_twisted.ensureDeferred
async def test_a_sim_that_is_slow_after_its_pin_is_waited_for(desk):
    sim = modem(pin="1234", quirks={"slow_sim"}, busy_answers=1)
    receive(sim, "named by its SIM")
    here = await desk(sim, pin=Secret("1234")).able()
    assert here.hub.arrivals[0].facts["imsi"] == sim.imsi


@pytest_twisted.ensureDeferred
async def test_a_sim_taken_out_is_said_and_put_back_is_set_up_again(desk):
    sim = modem(pin="1234")
    here = await desk(sim, pin=Secret("1234"), check_every=0.05).able()
    sim.quirks.add("cme_10")
    await until(lambda: "no SIM in the modem" in here.connector.status.words)
    with pytest.raises(NotConnected, match="no SIM"):
        await here.send("hello")
    sim.unlocked = False
    sim.quirks.discard("cme_10")
    await here.able()
    assert sim.unlocked


@pytest_twisted.ensureDeferred
async def test_a_full_sim_is_said_emptied_and_what_the_network_kept_arrives(desk):
    sim = modem(capacity=2)
    pdu, _ = encode_submit(Submit(to="+1555", units=b"old"))
    sim.slots = {1: (2, pdu), 2: (3, pdu)}  # written to be sent, by somebody else
    assert not receive(sim, "waits in the network")
    here = await desk(sim, check_every=0.05).able()
    assert "the SIM card is full (2 of 2): no text can arrive" in here.connector.status.words
    assert texts(here) == []
    del sim.slots[1]
    sim.again()
    await until(lambda: texts(here) == ["waits in the network"])
    await until(lambda: "full" not in here.connector.status.words)
    assert sim.slots == {2: (3, pdu)}


@pytest_twisted.ensureDeferred
async def test_a_modem_that_cannot_delete_brings_each_text_once(desk):
    here = await desk(modem(quirks={"no_delete"}), check_every=0.05).able()
    receive(here.modem, "one")
    await until(lambda: texts(here) == ["one"])
    receive(here.modem, "two")
    await until(lambda: texts(here) == ["one", "two"])
    here.modem.quirks.clear()
    await until(lambda: not here.modem.slots)
    assert texts(here) == ["one", "two"]


@pytest_twisted.ensureDeferred
async def test_a_modem_with_a_memory_of_its_own(desk):
    here = await desk(modem(quirks={"only_me"})).able()
    receive(here.modem, "in ME")
    await until(lambda: texts(here) == ["in ME"])


@pytest_twisted.ensureDeferred
async def test_reports_that_are_stored_are_fetched_and_deleted(desk):
    here = await desk(modem(quirks={"reports_stored"})).able()
    receipt = await here.send("hello")
    await until(lambda: here.hub.reports and not here.modem.reports and here.modem.memory == "SM")
    assert here.hub.reports[0].wire_id == receipt.wire_ids[0]


# --- the modem ----------


@pytest_twisted.ensureDeferred
async def test_a_modem_that_started_anew_by_itself_is_set_up_again_before_it_sends(desk):
    here = await desk(modem(pin="1234"), pin=Secret("1234")).able()
    here.modem.restart()
    with pytest.raises(NotConnected, match="started anew"):
        await here.send("hello")
    await here.able()
    await here.send("hello")
    assert [sent.submit.to for sent in here.modem.sent] == ["+15551234"]
    assert here.modem.indications[1] == 1


@pytest_twisted.ensureDeferred
async def test_a_modem_that_hangs_is_restarted(desk, monkeypatch):
    monkeypatch.setattr("msgserver.protocols.gsm.session.Session._wake", _wake_at_once)
    here = await desk(check_every=0.1, reset_after=2).able()
    here.modem.quirks.add("hung")
    await until(lambda: "it hung 2 times and is restarted" in here.connector.status.words)
    await until(lambda: here.connector.status.able)
    await here.send("back")


async def _wake_at_once(session):
    await session.line.command("AT", within=1.0)


@pytest_twisted.ensureDeferred
async def test_a_modem_left_in_the_middle_of_a_pdu_is_woken(desk):
    here = await desk(modem(quirks={"stuck_in_prompt"})).able()
    assert here.modem.sent == []


@pytest_twisted.ensureDeferred
async def test_a_modem_that_answers_late_is_waited_for(desk, monkeypatch):
    # Its answers come in the middle of the pauses, so that neither a hurried nor a busy machine has them elsewhere.
    monkeypatch.setattr("tests.emulators.modem.LATE", 0.4)
    monkeypatch.setattr("msgserver.protocols.gsm.session._WAKING", (0.1, 0.1, 30.0))
    monkeypatch.setattr("msgserver.protocols.gsm.session._SETTLES", 0.8)
    here = desk(modem(quirks={"late"}))
    await until(lambda: here.connector.status.able, 180)
    assert (await here.send("hello")).wire_ids


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("quirk", ["no_reference", "garbled_reference"])
async def test_ok_without_a_reference_is_unknown(desk, quirk):
    here = await desk(modem(quirks={quirk})).able()
    with pytest.raises(Unknown, match="without \\+CMGS"):
        await here.send("hello")


@pytest_twisted.ensureDeferred
async def test_a_report_settles_a_text_whose_confirmation_was_not_seen(desk):
    here = await desk(answer_within=60.0).able()
    await here.send("first", ref="d1.0123456789ab")
    await until(lambda: here.hub.reports)
    here.modem.quirks.add("drop_after_pdu")
    with pytest.raises(Unknown):
        await here.send("second", ref="d2.0123456789ab")
    here.modem.quirks.clear()
    await here.able()
    here.modem.report(here.modem.sent[0])  # said twice: it means the first
    here.modem.report(here.modem.sent[1])
    await until(lambda: [report.ref for report in here.hub.reports].count("d2.0123456789ab") == 1)
    here.modem.report(here.modem.sent[1])
    await until(lambda: len(here.hub.reports) == 4)
    assert [report.ref for report in here.hub.reports].count("d2.0123456789ab") == 1
    assert here.hub.reports[0].wire_id == here.hub.reports[1].wire_id != ""


@pytest_twisted.ensureDeferred
async def test_a_report_about_somebody_else_or_from_another_day_settles_nothing(desk):
    here = await desk(answer_within=60.0).able()
    here.modem.quirks.add("drop_after_pdu")
    with pytest.raises(Unknown):
        await here.send("lost", ref="d2.0123456789ab")
    here.modem.quirks.clear()
    await here.able()
    lost = here.modem.sent[0]
    lost.at -= 86400
    here.modem.report(lost)
    lost.at += 86400
    await here.send("to another", to="+4999999", ref="d3.0123456789ab")
    await until(lambda: len(here.hub.reports) == 2)
    assert [report.ref for report in here.hub.reports] == ["", ""]


@pytest_twisted.ensureDeferred
async def test_lte_only_is_registered(desk):
    here = await desk(modem(quirks={"lte_only"})).able()
    assert "home network" in here.connector.status.words


@pytest_twisted.ensureDeferred
async def test_calls_without_a_number_are_logged_where_the_modem_names_none(desk):
    here = await desk(modem(quirks={"no_clip"})).able()
    here.modem.ring("+93701112222")
    here.modem.ring("+93701112222")
    await until(lambda: here.hub.arrivals)
    assert [(arrival.text, arrival.sender) for arrival in here.hub.arrivals] == [("[missed call]", None)]


@pytest_twisted.ensureDeferred
async def test_of_several_devices_the_one_that_speaks_is_taken_and_each_modem_once(tmp_path):
    silent = PtyLine(reactor, ModemWire(modem(quirks={"silent"}), reactor.callLater), str(tmp_path / "ttyUSB0"))
    sims = [modem(), modem(imei="1" * 15)]
    lines = [
        PtyLine(reactor, ModemWire(sim, reactor.callLater), str(tmp_path / f"ttyUSB{n}"))
        for n, sim in enumerate(sims, 1)
    ]
    connectors = [
        make_connector(f"m{n}", Settings(device=str(tmp_path / "ttyUSB*")), FakeHub(), reactor) for n in (1, 2)
    ]
    for connector in connectors:
        connector.startService()
    await until(lambda: all(connector.status.able for connector in connectors), 180)
    assert {connector.status.gauges["imei"] for connector in connectors} == {sim.imei for sim in sims}
    for connector in connectors:
        await connector.stopService()
    for line in (silent, *lines):
        reactor.removeReader(line)
        line.connectionLost(None)
    await deferLater(reactor, 0.05, lambda: None)


# --- caps and credit ----------


@pytest_twisted.ensureDeferred
async def test_the_cap_counts_parts_and_what_may_have_gone_out(desk, one_day):
    here = await desk(daily_cap=5, answer_within=5.0).able()
    submit, calls = here.modem.submit, []

    def fails_second(pdu, length):
        calls.append(pdu)
        return ["+CMS ERROR: 38"] if len(calls) == 2 else submit(pdu, length)

    here.modem.submit = fails_second
    with pytest.raises(TemporaryFailure):
        await here.send("x" * 300, ref="d1.1")
    here.modem.submit = submit
    here.modem.quirks.add("hang_after_prompt")
    with pytest.raises(Unknown):
        await here.send("y", ref="d2.1")
    here.modem.quirks.clear()
    await here.able()
    assert here.hub.memory[f"sent today {here.modem.imsi}"].endswith(b" 2")
    with pytest.raises(PermanentFailure, match="more than the daily cap"):
        await here.send("z" * 900, ref="d3.1")
    with pytest.raises(NotConnected, match="3 left and the next text needs 4"):
        await here.send("z" * 500, ref="d4.1")
    assert not here.connector.status.able


@pytest_twisted.ensureDeferred
async def test_a_new_day_and_a_new_sim_begin_anew():
    hub, clock = FakeHub(), Clock()
    allowance = Allowance(2, hub, clock)
    await allowance.load("1")
    await allowance.spend(2)
    assert allowance.left() == 0
    again = Allowance(2, hub, clock)
    await again.load("1")
    assert again.left() == 0
    await again.load("2")
    assert again.left() == 2
    clock.advance(86400)
    assert allowance.left() == 2


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("quirk", "credit"),
    [
        ("ussd_lines", "12.50"),
        ("ussd_ucs2", "12.50"),
        ("ussd_packed", "12.50"),
        ("ussd_menu", "12.50"),
        ("ussd_refused", "not known: the network does not know this code"),
    ],
)
async def test_credit_in_every_form(desk, quirk, credit):
    here = await desk(modem(quirks={quirk}), credit_code="*100#", check_every=0.05).able()
    await until(lambda: here.connector.status.gauges.get("credit") == credit)
    assert ("ussd ended" in here.modem.log) == (quirk == "ussd_menu")
    await here.send("and the line still works")


@pytest_twisted.ensureDeferred
async def test_no_credit_is_said_and_mends_itself(desk):
    sim = modem(credit="Saldo: 0,00 EUR", quirks={"cms_38"})
    here = await desk(sim, credit_code="*100#", check_every=0.05).able()
    await until(lambda: "the credit is 0,00: top it up" in here.connector.status.words)
    sim.credit = "Saldo: 20,00 EUR"
    with pytest.raises(TemporaryFailure):
        await here.send("refused for want of money")  # and so the credit is asked for again
    await until(lambda: "credit" not in here.connector.status.words)


@pytest.mark.parametrize(
    ("said", "scheme", "text"),
    [
        ("Balance 5", 15, "Balance 5"),
        ("00420061006C0061006E00630065", 72, "Balance"),
        ("0411043004BB", 72, "Ба\u04bb"),
        ("12345678", 15, "12345678"),
    ],
)
def test_ussd_answers(said, scheme, text):
    assert readable(said, scheme) == text


def test_amounts():
    assert (amount("12,50 EUR"), amount("none"), amount("-3")) == (12.5, None, -3.0)


@pytest.mark.parametrize(
    ("offer", "direct", "best"),
    [
        ("+CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)", False, "2,1,0,1,0"),
        ("+CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)", True, "2,2,0,1,0"),
        ("+CNMI: (0,1),(0,1),(0),(0,2),(1)", False, "1,1,0,2,1"),
        ("", False, "2,1,0,1,0"),
    ],
)
def test_the_best_of_what_is_offered(offer, direct, best):
    assert settings_to_try(offer, direct)[0] == best


def test_what_is_not_offered_is_not_asked_for():
    assert settings_to_try("+CNMI: (0-2),(0),(0),(0),(0)", False) == []


# --- nothing of anybody's reaches a command ----------

_EVERY_COMMAND = re.compile(
    r"AT|ATE0|AT\+(CMEE=1|CGSN|CPIN\?|CPIN=\"\d{4}\"|CPINR=\"SIM PIN\"|CCID|CIMI|CMGF=0|CMGF\?|CPMS=(\"SM\",?){3}"
    r"|CPMS\?|COPS=3,0|COPS\?|CLIP=1|CSMS=1|CNMI=\?|CNMI=[0-9,]+|CREG\?|CEREG\?|CMGL=4|CSQ|CBC|CMMS=1|CMGS=\d+|CMGR=\d+"
    r"|CMGD=\d+|CNMA)"
)


@pytest_twisted.ensureDeferred
async def test_only_known_commands_are_ever_said(desk):
    here = await desk(modem(pin="1234"), pin=Secret("1234"), check_every=0.1).able()
    for text in ("evil\x1a\x1b\r\nAT+CMGD=1,4\r", "\0\x1b", '";+CMGD=1,4', "x" * 300 + "\x1a"):
        await here.send(text, ref=f"d{len(text)}.1")
    receive(here.modem, "\x1a AT+CMGD=1,4\r")
    receive(here.modem, "AT+CMGD=1,4", sender='";+CMGD')
    await until(lambda: len(here.hub.arrivals) == 2)
    for number in ('+1";+CMGD=1,4', "+1\r\nAT", "12\x1a34", "+123\x00456", "１２３"):
        with pytest.raises(PermanentFailure, match="cannot be dialled"):
            await here.connector.send(
                Envelope(ref="d9", attempt=1, sender="D", to=Address("sms", number), text="AT+CMGD=1,4")
            )
    assert [line for line in here.modem.log if not _EVERY_COMMAND.fullmatch(line)] == []


# --- the rest of what an emulated modem does wrong ----------


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("quirk", "reports"), [("report_first", 1), ("report_twice", 2), ("no_reports", 0)])
async def test_reports_that_come_early_twice_or_never(desk, quirk, reports):
    here = await desk(modem(quirks={quirk})).able()
    receipt = await here.send("hello")
    await until(lambda: len(here.hub.reports) == reports)
    await deferLater(reactor, 0.1, lambda: None)
    assert {report.wire_id for report in here.hub.reports} <= set(receipt.wire_ids)
    assert len(here.hub.reports) == reports


@pytest_twisted.ensureDeferred
async def test_denied_registration_is_said(desk):
    here = desk(modem(quirks={"network_denied"}), check_every=0.05)
    await until(lambda: "the network denied registration" in here.connector.status.words)
    here.modem.quirks.clear()
    await here.able()


@pytest_twisted.ensureDeferred
async def test_a_sim_that_takes_no_text_leaves_them_in_the_network(desk):
    here = await desk(modem(quirks={"sim_full"})).able()
    assert not receive(here.modem, "waits")
    here.modem.quirks.clear()
    here.modem.again()
    await until(lambda: texts(here) == ["waits"])


def test_every_kind_of_misbehaviour_is_tried():
    here = Path(__file__).parent
    said = "".join(
        path.read_text() for path in [*here.glob("test_*.py"), *here.parents[1].glob("contract/adapters/gsm.py")]
    )
    assert len(QUIRKS) >= 20
    assert [quirk for quirk in QUIRKS if f'"{quirk}"' not in said] == []
