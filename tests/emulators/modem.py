"""A GSM modem as a program: the AT commands of 3GPP TS 27.007 and 27.005 that real users of modems send, on pty or TCP.

    -> AT+CMGS=22\\r          <- \\r\\n>
    -> 0001000B91...\\x1a     <- \\r\\n+CMGS: 7\\r\\n\\r\\nOK\\r\\n
    <- \\r\\n+CMTI: "SM",3\\r\\n  (a text arrived)

``Modem`` is the SIM and the radio, ``ModemWire`` the serial line. Misbehaviour is scripted by ``modem.quirks``: see
``QUIRKS``. Run it alone with ``python -m tests.emulators.modem --pty LINK`` or ``--tcp PORT``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tty
from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet import fdesc
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Factory, Protocol

from msgserver.formats.pdu import Deliver, StatusReport, Submit, decode_pdu, encode_deliver, encode_status_report
from msgserver.formats.pdu_fields import MalformedPdu, pack
from msgserver.formats.sms import Alphabet, decode, encode, split

QUIRKS = {
    "silent": "answers nothing at all",
    "hang_after_prompt": "gives the prompt, takes the PDU, and says nothing more",
    "hang_before_prompt": "never gives the prompt",
    "drop_in_pdu": "the line is cut when the PDU comes",
    "drop_after_pdu": "the text goes out, the line is cut before +CMGS",
    "cms_38": "+CMS ERROR: 38 (network out of order) to every text",
    "cms_500": "+CMS ERROR: 500 (unknown error) to every text",
    "cms_21": "+CMS ERROR: 21 (short message transfer rejected)",
    "cms_28": "+CMS ERROR: 28 (unidentified subscriber)",
    "plain_error": "ERROR, with no number, to every text",
    "cme_10": "+CME ERROR: 10 (SIM not inserted) to everything about the SIM",
    "echo_garbage": "echoes with noise in between",
    "no_echo_off": "keeps echoing whatever ATE0 says",
    "sim_full": "the SIM takes no further text",
    "late": "every answer comes seconds late",
    "network_lost": "registered nowhere",
    "network_denied": "registration denied",
    "report_first": "the status report comes before +CMGS",
    "no_reports": "the network never reports",
    "report_twice": "every status report comes twice",
    "unsolicited_noise": "RING, ^BOOT and the like between everything",
    "split_bytes": "every byte comes alone",
    "hung": "answers nothing until AT+CFUN=1,1 restarts it",
    "stuck_in_prompt": "the program before left it waiting for a PDU",
    "no_reference": "OK to a text, without +CMGS before it",
    "garbled_reference": "+CMGS with noise where the number should be",
    "pin_answer_lost": "takes the PIN and says nothing more",
    "slow_sim": "the SIM is busy for a while after its PIN",
    "only_me": "keeps texts in its own memory and knows no other",
    "reports_stored": "status reports are stored, and their place told",
    "no_delete": "AT+CMGD is an ERROR",
    "no_clip": "AT+CLIP is an ERROR",
    "lte_only": "registered on LTE only",
    "ussd_lines": "the USSD answer has several lines",
    "ussd_ucs2": "the USSD answer is UCS-2 in hexadecimal",
    "ussd_packed": "USSD only as packed septets in hexadecimal",
    "ussd_menu": "the USSD answer waits for a choice",
    "ussd_refused": "the network does not know the USSD code",
    "no_cnmi": "AT+CNMI is an ERROR: texts are only found by listing",
    "no_pdu_mode": "AT+CMGF=0 is an ERROR",
    "busy_once": "+CMS ERROR: 314 (SIM busy) to the first text only",
}


LATE = 3.0  # seconds


@dataclass
class Sent:
    """A text the network took."""

    reference: int
    submit: Submit
    at: float


@dataclass
class Modem:
    """SIM, radio and settings; no I/O."""

    now: Callable[[], float]
    imei: str = "356938035643809"
    imsi: str = "240080000000001"
    pin: str = ""  # the PIN the SIM asks for; empty: none
    service_centre: str = "+46700000000"
    operator: str = "Field Net"
    signal: int = 20
    capacity: int = 10
    credit: str = "Your balance is 12.50"
    quirks: set[str] = field(default_factory=set)
    slots: dict[int, tuple[int, str]] = field(default_factory=dict)  # index -> (status 0 unread 1 read, PDU)
    sent: list[Sent] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # every command line that came
    pin_tries: int = 3
    unlocked: bool = False
    echo: bool = True
    pdu_mode: bool = False
    verbose_errors: int = 0
    charset: str = "GSM"
    indications: tuple[int, ...] = (0, 0, 0, 0, 0)
    reference: int = 0
    phase: int = 0  # AT+CSMS: 1 wants acknowledgements of what is handed over directly
    memory: str = "SM"
    reports: dict[int, str] = field(default_factory=dict)  # the memory "SR"
    network: list[str] = field(default_factory=list)  # texts that the network keeps until there is room
    unacknowledged: list[str] = field(default_factory=list)
    busy_answers: int = 2  # of a slow SIM
    announce: Callable[[str], None] = lambda line: None
    journal: str = ""  # a file that gets one JSON line for each text the network took

    # --- what the network does -----------------------------------------------------------------------------

    def receive(self, sender: str, units: bytes, alphabet: Alphabet | None, **fields: object) -> bool:
        """A text arrives from the network; False: the SIM is full, the network keeps it."""
        deliver = Deliver(sender=sender, sent_at=self.now(), service_centre=self.service_centre, **fields)  # type: ignore[arg-type]
        return self.receive_pdu(*encode_deliver(deliver, alphabet, units))

    def receive_pdu(self, pdu: str, length: int) -> bool:
        """Any DELIVER as the network sends it."""
        if self.indications[1] == 2:
            if self.phase:
                self.unacknowledged.append(pdu)
            self.announce(f"+CMT: ,{length}\r\n{pdu}")
            return True
        free = next((index for index in range(1, self.capacity + 1) if index not in self.slots), None)
        if free is None or "sim_full" in self.quirks:
            self.network.append(pdu)
            return False
        self.slots[free] = (0, pdu)
        if self.indications[1] == 1:
            self.announce(f'+CMTI: "{"ME" if "only_me" in self.quirks else "SM"}",{free}')
        return True

    def again(self) -> None:
        """The network tries once more what it could not hand over."""
        waiting, self.network = self.network, []
        for pdu in waiting:
            self.receive_pdu(pdu, len(pdu) // 2 - 1 - int(pdu[:2], 16))

    def restart(self) -> None:
        """It starts anew: everything that was set is forgotten."""
        self.unlocked, self.echo, self.pdu_mode, self.verbose_errors = False, True, False, 0
        self.indications, self.phase, self.memory = (0, 0, 0, 0, 0), 0, "SM"
        self.network += self.unacknowledged
        self.unacknowledged.clear()

    def report(self, sent: Sent, status: int = 0) -> None:
        """The network tells what became of a text."""
        if "no_reports" in self.quirks:
            return
        report = StatusReport(
            reference=sent.reference, recipient=sent.submit.to, sent_at=sent.at, discharged_at=self.now(), status=status
        )
        pdu, length = encode_status_report(report)
        for _ in range(2 if "report_twice" in self.quirks else 1):
            if self.indications[3] == 1:
                self.announce(f"+CDS: {length}\r\n{pdu}")
            elif self.indications[3] == 2:
                place = max(self.reports, default=0) + 1
                self.reports[place] = pdu
                self.announce(f'+CDSI: "SR",{place}')

    def ring(self, number: str) -> None:
        """Somebody calls."""
        self.announce("RING")
        if "no_clip" in self.quirks:
            return
        self.announce(f'+CLIP: "{number}",145,,,,0')

    # --- what the line says ----------------------------------------------------------------------------------

    def command(self, line: str) -> list[str] | None:
        """The answer lines to one command line; None: a prompt for a PDU."""
        self.log.append(line)
        if not line.upper().startswith("AT"):
            return [] if not line.strip() else ["ERROR"]
        body = line[2:].strip()
        answers: list[str] = []
        for part in self._parts(body):
            if part.upper().startswith("+CMGS="):
                return None if self._may_send() else [self._refusal(302)]
            lines = self._one(part)
            answers += lines
            if lines and lines[-1].startswith(("ERROR", "+CM")) and "ERROR" in lines[-1]:
                return answers
        return [*answers, "OK"]

    @staticmethod
    def _parts(body: str) -> list[str]:
        """``ATE0+CMGF=0;+CNMI=1`` is several commands (V.250 section 5.3)."""
        basic = re.match(r"((?:[A-Z]&?\d*)*)", body.upper()).group(1) if not body.startswith("+") else ""  # type: ignore[union-attr]
        if body.upper().startswith("D"):
            return [body]
        rest = body[len(basic) :]
        parts = re.findall(r"&?[A-Z]\d*", basic.upper())
        return [*parts, *[part.strip() for part in re.split(r";(?=[+^*])", rest) if part.strip()]] or [""]

    def _may_send(self) -> bool:
        return self._sim_ready() and self.pdu_mode

    def _sim_ready(self) -> bool:
        return "cme_10" not in self.quirks and (not self.pin or self.unlocked)

    def _refusal(self, number: int) -> str:
        return f"+CMS ERROR: {number}" if self.verbose_errors else "ERROR"

    def _equipment(self, number: int) -> str:
        return f"+CME ERROR: {number}" if self.verbose_errors else "ERROR"

    def _one(self, part: str) -> list[str]:
        name, equals, value = part.partition("=")
        name = name.upper()
        if name in (
            "",
            "Z",
            "&F",
            "I",
            "H",
            "X4",
            "V1",
            "Q0",
            "&D2",
            "&C1",
            "S0",
            "+IFC",
            "+IPR",
            "+CRC",
            "+CMMS",
        ):
            return ["Emulated Modem"] if name == "I" else []
        if name in ("E0", "E1", "E"):
            self.echo = name == "E1" or "no_echo_off" in self.quirks
            return []
        method = getattr(self, "_do_" + re.sub(r"\W", "", name.rstrip("?")).lower(), None)
        if method is None:
            return ["ERROR"]
        answer: list[str] = method(value.strip(), bool(equals), name.endswith("?"))
        return answer

    def _do_cgmi(self, *_: object) -> list[str]:
        return ["Emulated"]

    def _do_cgmm(self, *_: object) -> list[str]:
        return ["E1"]

    def _do_cgmr(self, *_: object) -> list[str]:
        return ["1.0"]

    def _do_cgsn(self, *_: object) -> list[str]:
        return [self.imei]

    _do_gsn = _do_cgsn

    def _do_csms(self, value: str, setting: bool, asking: bool) -> list[str]:
        if setting and value != "?":
            self.phase = int(value)
        return [f"+CSMS: {self.phase},1,1,1" if asking else "+CSMS: 1,1,1"]

    def _do_ccid(self, *_: object) -> list[str]:
        return [f"+CCID: 8946{self.imsi}"]

    def _do_cpinr(self, value: str, setting: bool, asking: bool) -> list[str]:
        return [f"+CPINR: SIM PIN,{self.pin_tries},3"]

    def _do_cimi(self, *_: object) -> list[str]:
        if "slow_sim" in self.quirks and self.busy_answers:
            self.busy_answers -= 1
            return [self._equipment(14)]
        return [self.imsi] if self._sim_ready() else [self._equipment(10 if "cme_10" in self.quirks else 11)]

    def _do_cmee(self, value: str, setting: bool, asking: bool) -> list[str]:
        if setting and value != "?":
            self.verbose_errors = int(value or 0)
            return []
        return [f"+CMEE: {self.verbose_errors}" if asking else "+CMEE: (0-2)"]

    def _do_cfun(self, value: str, setting: bool, asking: bool) -> list[str]:
        if value.replace(" ", "") == "1,1":
            self.restart()
        return ["+CFUN: 1"] if asking else []

    def _do_clip(self, value: str, setting: bool, asking: bool) -> list[str]:
        return ["ERROR"] if "no_clip" in self.quirks else []

    def _do_cscs(self, value: str, setting: bool, asking: bool) -> list[str]:
        if asking:
            return [f'+CSCS: "{self.charset}"']
        if value == "?":
            return ['+CSCS: ("GSM","UCS2","HEX")']
        self.charset = value.strip('"')
        return []

    def _do_cpin(self, value: str, setting: bool, asking: bool) -> list[str]:
        if "cme_10" in self.quirks:
            return [self._equipment(10)]
        if asking:
            if not self.pin or self.unlocked:
                return ["+CPIN: READY"]
            return ["+CPIN: SIM PIN" if self.pin_tries else "+CPIN: SIM PUK"]
        if value.strip('"') == self.pin and self.pin_tries:
            self.unlocked = True
            return []
        self.pin_tries = max(0, self.pin_tries - 1)
        return [self._equipment(16 if self.pin_tries else 12)]

    def _do_creg(self, value: str, setting: bool, asking: bool) -> list[str]:
        if not asking:
            return []
        return [
            "+CREG: 0,2"
            if "network_lost" in self.quirks
            else "+CREG: 0,0"
            if "lte_only" in self.quirks
            else "+CREG: 0,3"
            if "network_denied" in self.quirks
            else "+CREG: 0,1"
        ]

    def _do_cereg(self, value: str, setting: bool, asking: bool) -> list[str]:
        return ["+CEREG: 0,1"] if asking and "lte_only" in self.quirks else ["ERROR"]

    def _do_cops(self, value: str, setting: bool, asking: bool) -> list[str]:
        return [f'+COPS: 0,0,"{self.operator}"' if "network_lost" not in self.quirks else "+COPS: 0"] if asking else []

    def _do_csq(self, *_: object) -> list[str]:
        return [f"+CSQ: {99 if 'network_lost' in self.quirks else self.signal},0"]

    def _do_cbc(self, *_: object) -> list[str]:
        return ["+CBC: 0,87"]

    def _do_csca(self, value: str, setting: bool, asking: bool) -> list[str]:
        if asking:
            return [f'+CSCA: "{self.service_centre}",145']
        self.service_centre = value.split(",", maxsplit=1)[0].strip('"')
        return []

    def _do_cmgf(self, value: str, setting: bool, asking: bool) -> list[str]:
        if asking:
            return [f"+CMGF: {int(not self.pdu_mode)}"]
        if value == "?":
            return ["+CMGF: (0,1)"]
        if value == "0" and "no_pdu_mode" in self.quirks:
            return ["ERROR"]
        self.pdu_mode = value == "0"
        return []

    def _do_cpms(self, value: str, setting: bool, asking: bool) -> list[str]:
        if not self._sim_ready():
            return [self._refusal(310)]
        used = len(self.slots)
        known = ("ME", "SR") if "only_me" in self.quirks else ("SM", "SR")
        if value == "?":
            return [f'+CPMS: ("{known[0]}","SR"),("{known[0]}"),("{known[0]}")']
        if asking:
            one = f'"{self.memory}",{used},{self.capacity}'
            return [f"+CPMS: {one},{one},{one}"]
        wanted = value.split(",", maxsplit=1)[0].strip('"')
        if wanted not in known:
            return [self._refusal(302)]
        self.memory = wanted
        return [f"+CPMS: {used},{self.capacity},{used},{self.capacity},{used},{self.capacity}"]

    def _do_cnmi(self, value: str, setting: bool, asking: bool) -> list[str]:
        if "no_cnmi" in self.quirks:
            return ["ERROR"]
        if asking:
            return ["+CNMI: " + ",".join(map(str, self.indications))]
        kinds = "0,2" if "reports_stored" in self.quirks else "0-2"
        if value == "?":
            return [f"+CNMI: (0-2),(0-3),(0,2),({kinds}),(0,1)"]
        if "reports_stored" in self.quirks and value.split(",")[3:4] == ["1"]:
            return [self._refusal(303)]
        given = [int(each or 0) for each in value.split(",")]
        self.indications = tuple([*given, 0, 0, 0, 0, 0][:5])
        return []

    def _do_cmgl(self, value: str, setting: bool, asking: bool) -> list[str]:
        if value == "?":
            return ["+CMGL: (0-4)"]
        lines = []
        for index, (status, pdu) in sorted(self.slots.items()):
            if value in ("4", "", str(status)) or value.startswith('"'):
                tpdu = len(pdu) // 2 - 1 - int(pdu[:2], 16)
                lines += [f"+CMGL: {index},{status},,{tpdu}", pdu]
                self.slots[index] = (max(status, 1), pdu)
        return lines

    def _do_cmgr(self, value: str, setting: bool, asking: bool) -> list[str]:
        index = int(value.split(",", maxsplit=1)[0])
        if self.memory == "SR" and index in self.reports:
            pdu = self.reports[index]
            return [f"+CMGR: 0,,{len(pdu) // 2 - 1 - int(pdu[:2], 16)}", pdu]
        if self.memory == "SR" or index not in self.slots:
            return [self._refusal(321)]
        status, pdu = self.slots[index]
        self.slots[index] = (max(status, 1), pdu)
        return [f"+CMGR: {status},,{len(pdu) // 2 - 1 - int(pdu[:2], 16)}", pdu]

    def _do_cmgd(self, value: str, setting: bool, asking: bool) -> list[str]:
        if value == "?":
            return [f"+CMGD: ({','.join(map(str, sorted(self.slots)))}),(0-4)"]
        if "no_delete" in self.quirks:
            return ["ERROR"]
        index, _, flag = value.partition(",")
        if self.memory == "SR":
            return [] if self.reports.pop(int(index), None) else [self._refusal(321)]
        if flag.strip() not in ("", "0"):
            self.slots.clear()
        elif not self.slots.pop(int(index), None):
            return [self._refusal(321)]
        return []

    def _do_cnma(self, value: str, setting: bool, asking: bool) -> list[str]:
        if not self.phase:
            return [self._refusal(340)]
        if self.unacknowledged:
            pdu = self.unacknowledged.pop(0)
            if value == "2":  # the network keeps it, and nothing more is handed over (TS 27.005 section 3.4.4)
                self.network.append(pdu)
                self.indications = (self.indications[0], 0, 0, 0, 0)
        return []

    def _do_csmp(self, *_: object) -> list[str]:
        return []

    def _do_cusd(self, value: str, setting: bool, asking: bool) -> list[str]:
        if not value.startswith("1,"):
            self.log.append("ussd ended")
            return []
        code = value.split(",")[1].strip('"')
        if "ussd_packed" in self.quirks and re.fullmatch(r"[*#0-9]+", code):
            return [self._equipment(100)]
        if "ussd_refused" in self.quirks:
            self.announce("+CUSD: 4")
        elif "ussd_ucs2" in self.quirks:
            self.announce(f'+CUSD: 0,"{self.credit.encode("utf-16-be").hex().upper()}",72')
        elif "ussd_packed" in self.quirks:
            self.announce(f'+CUSD: 0,"{pack(encode(self.credit, Alphabet())).hex().upper()}",15')
        elif "ussd_lines" in self.quirks:
            self.announce('+CUSD: 0,"Dear customer\r\nOK, ' + self.credit + '\r\nBye",15')
        else:
            self.announce(f'+CUSD: {1 if "ussd_menu" in self.quirks else 0},"{self.credit}",15')
        return []

    def submit(self, pdu: str, length: int) -> list[str] | None:
        """A PDU came after the prompt: its answer; None: no answer ever comes."""
        for quirk, number in (("cms_38", 38), ("cms_500", 500), ("cms_21", 21), ("cms_28", 28)):
            if quirk in self.quirks:
                return [self._refusal(number)]
        if "busy_once" in self.quirks:
            self.quirks.discard("busy_once")
            return [self._refusal(314)]
        if "plain_error" in self.quirks:
            return ["ERROR"]
        if "network_lost" in self.quirks or "network_denied" in self.quirks:
            return [self._refusal(331)]
        try:
            submit = decode_pdu(pdu, from_modem=False)
        except MalformedPdu:
            return [self._refusal(304)]
        assert isinstance(submit, Submit)
        if len(pdu) // 2 - 1 - int(pdu[:2], 16) != length:
            return [self._refusal(304)]
        self.reference = self.reference % 255 + 1
        sent = Sent(self.reference, submit, self.now())
        self.sent.append(sent)
        if self.journal:
            alphabet = submit.alphabet or Alphabet()
            line = json.dumps({"to": submit.to, "text": decode(submit.units, alphabet)})
            with open(self.journal, "a") as journal:
                journal.write(line + "\n")
        if "hang_after_prompt" in self.quirks:
            return None
        if "no_reference" in self.quirks or "garbled_reference" in self.quirks:
            return ["OK"] if "no_reference" in self.quirks else ["+CMGS: ~x", "OK"]
        if "report_first" in self.quirks and submit.report_wanted:
            self.report(sent)
        return [f"+CMGS: {self.reference}", "OK"]


class ModemWire(Protocol):
    """The serial line of a modem: echo, prompts, and its misbehaviour."""

    def __init__(self, modem: Modem, later: Callable[..., object]) -> None:
        self.modem = modem
        self._later = later
        self._held = ""
        self._length: int | None = None  # waiting for a PDU of this length

    def connectionMade(self) -> None:
        """The line is up; what the network says goes out on it."""
        self.modem.announce = self._announce
        hurry = getattr(self.transport, "setTcpNoDelay", None)
        if hurry is not None:
            hurry(True)
        if "stuck_in_prompt" in self.modem.quirks:
            self.modem.quirks.discard("stuck_in_prompt")
            self._length = 999

    def _announce(self, line: str) -> None:
        self._write(f"\r\n{line}\r\n")

    def dataReceived(self, received: bytes) -> None:
        """Bytes of the far side: command lines, or a PDU after the prompt."""
        if "silent" in self.modem.quirks:
            return
        if "hung" in self.modem.quirks:
            if b"AT+CFUN=1,1" in received:
                self.modem.quirks.discard("hung")
                self.modem.restart()
            return
        self._held += received.decode("latin-1")
        while self._held:
            if self._length is not None:
                if "drop_in_pdu" in self.modem.quirks:
                    self._cut()
                    return
                end = re.search("[\x1a\x1b]", self._held)
                if not end:
                    return
                pdu, mark = self._held[: end.start()].strip(), end.group()
                self._held = self._held[end.end() :]
                self._take_pdu(pdu, mark == "\x1b")
            else:
                line, found, rest = self._held.partition("\r")
                if not found:
                    return
                self._held = rest
                self._take_line(line.lstrip("\n"))

    def _take_line(self, line: str) -> None:
        if self.modem.echo:
            noise = "~\x00#" if "echo_garbage" in self.modem.quirks else ""
            self._write(f"{noise}{line}\r")
        if not line.strip():
            return
        if "unsolicited_noise" in self.modem.quirks:
            self._write("\r\n^BOOT:1,0\r\n\r\nRING\r\n")
        answer = self.modem.command(line)
        if "pin_answer_lost" in self.modem.quirks and line.upper().startswith("AT+CPIN="):
            return
        if answer is None:
            length = re.search(r"(\d+)\s*$", line)
            self._length = int(length.group(1)) if length else 0
            if "hang_before_prompt" not in self.modem.quirks:
                self._write("\r\n> ")
        elif answer:
            self._write("".join(f"\r\n{each}\r\n" for each in answer))

    def _take_pdu(self, pdu: str, given_up: bool) -> None:
        length, self._length = self._length or 0, None
        if given_up:
            self._write("\r\nOK\r\n")
            return
        answer = self.modem.submit(pdu, length)
        if "drop_after_pdu" in self.modem.quirks:
            self._cut()
        elif answer is not None:
            self._write("".join(f"\r\n{each}\r\n" for each in answer))
            wanted = bool(self.modem.sent) and self.modem.sent[-1].submit.report_wanted
            if (
                answer[0].startswith("+CMGS: ")
                and answer[0][7:].isdigit()
                and wanted
                and "report_first" not in self.modem.quirks
            ):
                self._later(0.02, self.modem.report, self.modem.sent[-1])

    def _write(self, text: str) -> None:
        assert self.transport is not None
        octets = text.encode("latin-1")
        if "late" in self.modem.quirks:
            self._later(LATE, self.transport.write, octets)
        elif "split_bytes" in self.modem.quirks:
            for octet in octets:
                self.transport.write(bytes((octet,)))
        else:
            self.transport.write(octets)

    def _cut(self) -> None:
        self._held, self._length = "", None
        assert self.transport is not None
        self.transport.loseConnection()


class ModemFactory(Factory):
    """Each connection is the same modem's line."""

    noisy = False

    def __init__(self, modem: Modem, later: Callable[..., object]) -> None:
        self.modem, self.later = modem, later

    def buildProtocol(self, addr: object) -> ModemWire:
        """One more line to the modem."""
        return ModemWire(self.modem, self.later)


class PtyLine(FileDescriptor):
    """The master side of a pty: what opens ``link`` speaks to the modem as over a serial cable."""

    def __init__(self, reactor: object, wire: ModemWire, link: str) -> None:
        super().__init__(reactor)
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._slave = slave  # kept open: the line does not hang up when a program closes it
        fdesc.setNonBlocking(self._master)
        self.link = link
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(os.ttyname(slave), link)
        self._wire = wire
        self.connected = True
        wire.makeConnection(self)  # type: ignore[arg-type]
        self.startReading()

    def fileno(self) -> int:
        """The master's descriptor."""
        return self._master

    def doRead(self) -> object:
        """Bytes from the program at the other end."""
        return fdesc.readFromFD(self._master, self._wire.dataReceived)

    def writeSomeData(self, octets: bytes) -> int | BaseException:
        """Bytes to the program at the other end."""
        return fdesc.writeToFD(self._master, octets)

    def connectionLost(self, reason: object) -> None:
        """Unplugged: the device is gone."""
        super().connectionLost(reason)
        if os.path.islink(self.link):
            os.unlink(self.link)
        os.close(self._slave)
        os.close(self._master)


def main() -> None:
    """Run one modem until killed."""
    from twisted.internet import reactor

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pty", metavar="LINK")
    options.add_argument("--tcp", metavar="PORT", type=int)
    options.add_argument("--pin", default="")
    options.add_argument("--quirk", action="append", default=[], choices=sorted(QUIRKS))
    options.add_argument(
        "--receive", action="append", default=[], metavar="NUMBER:TEXT", help="texts on the SIM at start"
    )
    options.add_argument("--journal", default="", help="a file that gets what was sent, one JSON object a line")
    chosen = options.parse_args()
    modem = Modem(now=reactor.seconds, pin=chosen.pin, quirks=set(chosen.quirk), journal=chosen.journal)  # type: ignore[attr-defined]
    for each in chosen.receive:
        number, _, text = each.partition(":")
        modem.receive(number, split(text)[0].units, Alphabet())
    if chosen.pty:
        PtyLine(reactor, ModemWire(modem, reactor.callLater), chosen.pty)  # type: ignore[attr-defined]
    if chosen.tcp:
        reactor.listenTCP(chosen.tcp, ModemFactory(modem, reactor.callLater), interface="127.0.0.1")  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
