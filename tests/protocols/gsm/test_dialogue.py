"""The serial line against the emulated modem, byte for byte, on a clock of our own."""

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from msgserver.protocols.gsm.dialogue import Dialogue, LineFailed, LineLost, LineSilent
from tests.emulators.modem import Modem, ModemWire


class Line:
    """A dialogue and a modem, their bytes carried by hand."""

    def __init__(self, **modem):
        self.clock = Clock()
        self.heard = []
        self.lost = 0
        self.modem = Modem(now=self.clock.seconds, verbose_errors=1, pdu_mode=True, **modem)
        self.ours = Dialogue(self.clock, lambda line, pdu: self.heard.append((line, pdu)), self._lost)
        self.theirs = ModemWire(self.modem, self.clock.callLater)
        self.to_modem, self.to_us = StringTransport(), StringTransport()
        self.to_us.loseConnection = self._cut
        self.ours.makeConnection(self.to_modem)
        self.theirs.makeConnection(self.to_us)

    def _lost(self):
        self.lost += 1

    def _cut(self):
        self.ours.connectionLost()

    def carry(self):
        for _ in range(20):
            out, back = self.to_modem.value(), self.to_us.value()
            self.to_modem.clear()
            self.to_us.clear()
            if out:
                self.theirs.dataReceived(out)
            if back:
                self.ours.dataReceived(back)
            if not out and not back:
                return

    def run(self, coroutine, seconds=0.0):
        running = ensureDeferred(coroutine)
        self.carry()
        if seconds:
            self.clock.advance(seconds)
            self.carry()
        assert not self.clock.getDelayedCalls() or seconds == 0.0
        return running


PDU = "0001000B916407281553F800000AE8329BFD4697D9EC37"


@pytest_twisted.ensureDeferred
async def test_a_command_gets_its_answer_without_the_echo():
    line = Line()
    assert await line.run(line.ours.command("AT+CSQ")) == ["+CSQ: 20,0"]
    assert line.clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("quirk", ["echo_garbage", "no_echo_off", "unsolicited_noise", "split_bytes"])
async def test_noise_does_not_disturb(quirk):
    line = Line(quirks={quirk})
    assert await line.run(line.ours.command("AT+CGSN")) == ["356938035643809"]
    assert await line.run(line.ours.submit(22, PDU)) == 1
    assert len(line.modem.sent) == 1


@pytest_twisted.ensureDeferred
async def test_errors_carry_their_number():
    line = Line(quirks={"cms_38"})
    with pytest.raises(LineFailed) as failure:
        await line.run(line.ours.submit(22, PDU))
    assert (failure.value.code, failure.value.kind) == (38, "CMS")


@pytest_twisted.ensureDeferred
async def test_silence_ends_in_time():
    line = Line(quirks={"silent"})
    with pytest.raises(LineSilent, match="no answer to AT within 5 s"):
        await line.run(line.ours.command("AT"), seconds=5)


@pytest_twisted.ensureDeferred
async def test_no_prompt_means_nothing_was_sent():
    line = Line(quirks={"hang_before_prompt"})
    with pytest.raises(LineSilent) as failure:
        await line.run(line.ours.submit(22, PDU), seconds=10)
    assert failure.value.kind == ""
    assert line.modem.sent == []


@pytest_twisted.ensureDeferred
async def test_silence_after_the_pdu_says_that_it_went_out():
    line = Line(quirks={"hang_after_prompt"})
    with pytest.raises(LineSilent) as failure:
        await line.run(line.ours.submit(22, PDU), seconds=60)
    assert failure.value.kind == "sent"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("quirk", ["drop_in_pdu", "drop_after_pdu"])
async def test_a_cut_after_the_pdu_says_that_it_went_out(quirk):
    line = Line(quirks={quirk})
    with pytest.raises(LineLost) as failure:
        await line.run(line.ours.submit(22, PDU))
    assert failure.value.kind == "sent"
    assert line.lost == 1


@pytest_twisted.ensureDeferred
async def test_commands_wait_for_each_other():
    line = Line()
    first, second = ensureDeferred(line.ours.command("AT+CSQ")), ensureDeferred(line.ours.command("AT+CBC"))
    assert line.to_modem.value() == b"AT+CSQ\r"
    line.carry()
    assert (await first, await second) == (["+CSQ: 20,0"], ["+CBC: 0,87"])


def test_what_the_modem_says_unasked_is_told_with_its_pdu():
    line = Line()
    line.ours.dataReceived(b'\r\n+CMTI: "SM",3\r\n\r\n+CMT: ,22\r\n0791AB\r\nRING\r\n')
    assert line.heard == [('+CMTI: "SM",3', ""), ("+CMT: ,22", "0791AB"), ("RING", "")]


@pytest_twisted.ensureDeferred
async def test_a_prompt_with_something_unasked_right_behind_it_is_a_prompt():
    line = Line()
    sending = ensureDeferred(line.ours.submit(22, PDU))
    line.ours.dataReceived(b"\r\n> \r\n+CDS: 22\r\n0791AB\r\n")
    assert line.heard == [("+CDS: 22", "0791AB")]
    assert line.to_modem.value().endswith(PDU.encode() + b"\x1a")
    line.ours.dataReceived(b"\r\n+CMGS: 9\r\n\r\nOK\r\n")
    assert await sending == 9
    assert line.clock.getDelayedCalls() == []


def test_endless_bytes_without_a_line_are_dropped():
    line = Line()
    for _ in range(100):
        line.ours.dataReceived(b"\xff" * 1000)
    assert len(line.ours._held) <= 4096
