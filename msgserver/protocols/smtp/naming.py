"""How a mail that SMTP gives no name is known again: by its envelope and its bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

from msgserver.message import Address

_HEAD = 8192  # bytes in which the field is looked for, written as everybody writes it
_DATE = re.compile(rb"(?i)date:\s{0,9}(?:[a-z]{3},\s{0,9})?(\d\d?)\s{1,9}([a-z]{3})\s{1,9}(\d{4})\s{1,9}(\d\d):(\d\d)")
_MONTHS = {
    month: f"{place:02}"
    for place, month in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}


def wire_id(sender: Address | None, recipients: Sequence[Address], raw: bytes, digest: str) -> str:
    """The same for the same envelope and bytes, and for no other. ``digest`` is the bytes' sha256, in hex.

    It begins with what the mail says of its minute: mails that come one after the other then lie beside each other in
    the journal's index, where hashes alone would have each of them write a page of its own.
    """
    words = [sender.value if sender else "", *(recipient.value for recipient in recipients), digest]
    return minute(raw) + blake2b("\0".join(words).encode(), digest_size=16).hexdigest()


def minute(raw: bytes) -> str:
    """``YYYYmmddHHMM-`` out of the Date: field (RFC 5322 section 3.3), in its own zone; "" where it has none."""
    at = 0 if raw.startswith(b"Date:") else raw.find(b"\nDate:", 0, _HEAD) + 1
    found = _DATE.match(raw, at)
    if found is None:
        return ""
    day, name, year, hour, minutes = found.groups()
    month = _MONTHS.get(name.lower())
    return f"{year.decode()}{month}{int(day):02}{hour.decode()}{minutes.decode()}-" if month else ""
