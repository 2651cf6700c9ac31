"""PDUs as arrivals of the house."""

from __future__ import annotations

import hashlib

from msgserver.formats.pdu import Deliver
from msgserver.message import Address, Arrival, Part


def _name(imsi: str, content: str) -> str:
    """SIM and PDU name a text: its PDU holds the service centre's time stamp, the sender and the part."""
    return hashlib.sha256(f"{imsi} {content.upper()}".encode()).hexdigest()[:40]


def _sender(number: str) -> Address | None:
    try:
        return Address.of("sms", number)
    except ValueError:
        return None


def text_arrival(imsi: str, pdu: str, deliver: Deliver) -> Arrival:
    """A text, or one part of it. Binary content for a port goes in as such, named by its ports."""
    header = deliver.header
    part = None
    if header.reference is not None and header.total > 1:
        # The same reference in another width or of another count is another message.
        part = Part(f"{header.reference}/{header.reference_bits}/{header.total}", header.index, header.total)
    facts = {"service_centre": deliver.service_centre, "imsi": imsi}
    if header.destination_port is not None:
        facts["port"] = str(header.destination_port)
    if deliver.coding.message_class == 0:
        facts["flash"] = "yes"
    if deliver.coding.waiting:
        facts["waiting"] = deliver.coding.waiting
    text = deliver.text
    if text is None:
        port = f" for port {header.destination_port}" if header.destination_port is not None else ""
        text = f"[binary message{port}, {len(deliver.content)} octets]"
        facts["content"] = deliver.content.hex()
    return Arrival(
        wire_id=_name(imsi, pdu),
        sender=_sender(deliver.sender),
        sent_at=deliver.sent_at,
        media_type="application/vnd.3gpp.sms",
        raw=pdu.encode("ascii"),
        text=text.replace("\x00", ""),
        part=part,
        facts=facts,
    )


def unreadable(imsi: str, pdu: str, why: str) -> Arrival:
    """A PDU that is none: kept as it came, for a person to look at."""
    return Arrival(
        wire_id=_name(imsi, pdu),
        sender=None,
        media_type="application/vnd.3gpp.sms",
        raw=pdu.encode("ascii", "replace"),
        text=f"[a text that cannot be read: {why}]",
        facts={"imsi": imsi, "trouble": why},
    )


def missed_call(imsi: str, number: str, at: float) -> Arrival:
    """Somebody rang; the hub does not answer the telephone."""
    return Arrival(
        wire_id=_name(imsi, f"call {number} {int(at) // 30}"),
        sender=_sender(number),
        sent_at=at,
        media_type="application/x-missed-call",
        text="[missed call]",
        facts={"imsi": imsi, "kind": "call"},
    )
