"""How fast an SMS is decoded, beside the codecs others wrote: ``python -m bench.pdu``.

Texts of a modem as hexadecimal, as they come from ``AT+CMGL``: 160 characters of GSM-7, 70 of UCS-2, one of three
parts with extension characters, and a status report. Processor time, best of five rounds that take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

from gsmmodem import pdu as gsmmodem
from messaging.sms import SmsDeliver
from smspdudecoder.fields import SMSDeliver

from msgserver.formats.pdu import Deliver, StatusReport, decode_pdu, encode_deliver, encode_status_report, submits
from msgserver.formats.sms import GSM7, UCS2, choose, encode

NEEDED = 20_000  # a second
ROUNDS = 5
ENGLISH = (
    "The bridge at the north end is under water, twelve families on the roof of the school; send boats and blankets."
    " Reply to Ana at the health post, please. Thank you"
)[:160].ljust(160, ".")
RUSSIAN = "Мост на севере под водой, двенадцать семей на крыше школы, нужны лодки"[:70]
LONG = "Prices {rice} [kg] €1.20 | oil ~€2 \\ beans ^ €0.80; " * 8


def deliver(text: str, part: int = 0) -> str:
    """One text as the modem hands it over."""
    sent = Deliver(sender="+4915112345678", sent_at=1.6e9, service_centre="+491710760000")
    alphabet = choose(text)
    pieces = submits("+1555", text, 77)
    if len(pieces) > 1:
        sent = Deliver(
            sender=sent.sender, sent_at=1.6e9, service_centre=sent.service_centre, header=pieces[part].header
        )
        return encode_deliver(sent, alphabet, pieces[part].units)[0]
    return encode_deliver(sent, UCS2 if alphabet.ucs2 else GSM7, encode(text, alphabet))[0]


def rate(decode: Callable[[str], Any], pdu: str, count: int) -> float:
    """Decodes a second of processor time."""
    started = time.process_time()
    for _ in range(count):
        decode(pdu)
    return count / (time.process_time() - started)


def main() -> None:
    """Print the table."""
    report = StatusReport(reference=7, recipient="+15551234567", sent_at=1.6e9, discharged_at=1.6e9 + 4)
    texts = {
        "GSM-7, 160 characters": deliver(ENGLISH),
        "UCS-2, 70 characters": deliver(RUSSIAN),
        "GSM-7, part 1 of 3": deliver(LONG),
        "status report": encode_status_report(report)[0],
    }
    decoders: dict[str, Callable[[str], Any]] = {
        "msgserver": decode_pdu,
        "python-gsmmodem-new": gsmmodem.decodeSmsPdu,
        "smspdudecoder": lambda pdu: SMSDeliver.decode(StringIO(pdu)),
        "python-messaging": SmsDeliver,
    }
    print(f"{'':24}" + "".join(f"{name:>22}" for name in decoders))
    slowest = float("inf")
    for what, pdu in texts.items():
        best: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, decode in decoders.items():
                if what == "status report" and name in ("smspdudecoder", "python-messaging"):
                    continue  # the one knows none, the other reads them by another class
                found = rate(decode, pdu, 2_000 if name == "msgserver" else 400)
                best[name] = max(best.get(name, 0.0), found)
        ours = best["msgserver"]
        slowest = min(slowest, ours)
        cells = [
            (f"{best[name]:,.0f}/s" + ("" if name == "msgserver" else f" ({ours / best[name]:.1f}x)"))
            if name in best
            else "-"
            for name in decoders
        ]
        print(f"{what:24}" + "".join(f"{cell:>22}" for cell in cells))
    print(f"slowest of ours: {slowest:,.0f} a second, {slowest / NEEDED:.1f} times the {NEEDED:,} wanted")


if __name__ == "__main__":
    main()
