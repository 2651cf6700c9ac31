"""The values that cross the seam between a connector and the house. Imports nothing of ours.

Times everywhere in msgserver are POSIX seconds, UTC, as a float (what ``reactor.seconds()`` gives).
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

_PHONE_PUNCTUATION = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
_PHONE = re.compile(r"^\+?[0-9*#]{2,20}$")
_SPOKEN = ("radio", "runner")  # names that people say
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")


class Address(msgspec.Struct, frozen=True, order=True):
    """Where somebody can be reached: a URI of scheme and value, folded so that equal addresses compare equal.

    ``sms:+15551234`` (RFC 5724), ``mailto:ana@example.org`` (RFC 6068), ``xmpp:ana@example.org`` (RFC 5122, bare),
    ``tel:+15551234`` (RFC 3966, spoken to), ``radio:bravo-2`` and ``runner:shelter-3`` (call signs and places),
    ``loop:anything`` (the loopbacks). Build one with :meth:`of` or :meth:`parse`, which fold; the bare constructor
    takes its words as they are.
    """

    scheme: str
    value: str

    @classmethod
    def of(cls, scheme: str, value: str) -> Address:
        """Fold a value as its scheme asks.

        Raises:
            ValueError: the value cannot be an address of this scheme.
        """
        scheme = scheme.lower()
        value = value.strip()
        if scheme in ("sms", "tel"):
            bare = _PHONE_PUNCTUATION.sub("", value)
            # An alphanumeric sender ("BANK") is an address too: it can be blocked and searched, not answered.
            value = bare if _PHONE.match(bare) else value
        elif scheme == "mailto":
            if value.count("@") < 1 or value.startswith("@") or value.endswith("@"):
                raise ValueError(f"not a mail address: {value[:80]!r}")
            value = value.lower()
        elif scheme == "xmpp":
            value = value.partition("/")[0].lower()
        elif scheme in _SPOKEN:
            value = "-".join(value.split()).casefold()
        if not value or len(value) > 320 or (_CONTROL.search(value) if scheme not in ("sms", "tel") else "\n" in value):
            raise ValueError(f"not an address: {scheme}:{value[:80]!r}")
        return cls(scheme, value)

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read ``scheme:value``; a bare mail address or phone number is understood too.

        Raises:
            ValueError: it is none of these.
        """
        scheme, colon, value = uri.strip().partition(":")
        if colon and scheme.isalpha():
            return cls.of(scheme, value)
        if "@" in uri:
            return cls.of("mailto", uri)
        bare = _PHONE_PUNCTUATION.sub("", uri)
        if _PHONE.match(bare):
            return cls.of("sms", bare)
        raise ValueError(f"not an address: {uri[:80]!r} (write mailto:..., sms:..., xmpp:...)")

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


class Attachment(msgspec.Struct, frozen=True):
    """One file that travels with a message; ``name`` is only ever shown, never used as a path."""

    name: str
    media_type: str
    content: bytes
    content_id: str = ""  # RFC 2392, without the angle brackets; set where HTML refers to it
    inline: bool = False
    link: str = ""  # where it can be had on the web, for wires that cannot carry it


class Part(msgspec.Struct, frozen=True):
    """Which piece of a longer message this arrival is; the house joins them."""

    reference: str
    index: int  # 1..total
    total: int


class Arrival(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a connector hands in.

    ``wire_id`` is the far side's stable name for the message (or a hash of envelope and bytes): the same message
    delivered twice carries the same one. ``text`` is None where the raw bytes are still to be read by a worker
    (mail, XML); then ``media_type`` says how. ``cursor`` is committed together with the arrival.
    """

    wire_id: str
    sender: Address | None  # None: the far side gave none (a bounce's empty reverse-path)
    recipients: tuple[Address, ...] = ()
    sent_at: float | None = None
    media_type: str = "text/plain"
    raw: bytes = b""
    sha256: str = ""  # of raw, in hex, where the connector has it
    text: str | None = None
    subject: str = ""
    sender_name: str = ""
    attachments: tuple[Attachment, ...] = ()
    part: Part | None = None
    in_reply_to: str = ""  # the wire_id or ref of ours that this answers, where the wire says so
    facts: dict[str, str] = {}  # peer, tls, sasl, helo, ...: what the session knew
    cursor: tuple[str, bytes] | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a person logs at a station that people work; ``name`` is the form's own, so that twice is once."""

    name: str
    sender: str  # as they called themselves
    text: str
    scheme: str = ""  # of the sender's address; empty: the station's first
    to: str = ""  # whom they called; empty: the station
    net: str = ""  # the channel, net or line
    at: float | None = None


class Accepted(msgspec.Struct, frozen=True):
    """It is ours now: the wire may be acknowledged."""

    raw_id: int
    duplicate: bool = False


class Thread(msgspec.Struct, frozen=True):
    """How an answer is tied to what it answers, in the words of the wire (RFC 5322 section 3.6.4)."""

    message_id: str = ""  # ours, stable across attempts, without angle brackets
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    token: str = ""  # the ticket's signed token, "42.k7f3"; connectors put it where their wire keeps it


class Mailing(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy belongs to that its receiver subscribed to, and how to leave it (RFC 2919, 2369, 8058)."""

    name: str  # for people: "Flood 12"
    label: str  # for programs: letters, digits, dots and hyphens
    token: str  # signed: whoever shows it may end the subscription
    link: str = ""  # the page that ends it


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery, rendered, as a connector sees it. ``ref`` is stable over all attempts."""

    ref: str
    attempt: int
    sender: str  # a display name for who speaks; the connector knows its own address
    to: Address
    to_name: str = ""
    subject: str = ""
    text: str
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    thread: Thread = Thread()
    priority: int = 1  # 0 low, 1 normal, 2 high, 3 urgent
    expires_at: float | None = None
    want_receipt: bool = True
    automatic: bool = False  # written by the hub itself, not by a person (RFC 3834)
    copy: bool = False  # somebody else's message, passed on
    mailing: Mailing | None = None  # of a copy by subscription
    reached: tuple[Address, ...] = ()  # at which addresses of ours the question came
    headers: tuple[tuple[str, str], ...] = ()  # for wires that carry such


class Receipt(msgspec.Struct, frozen=True):
    """The wire took it.

    ``final``: no later report will come, this is the last that is known. ``delivered``: it has reached whom it was for,
    which is known at once (read back over the radio).
    """

    wire_ids: tuple[str, ...] = ()  # one a part
    final: bool = False
    words: str = ""  # the far side's own answer
    delivered: bool = False


class ReportState(StrEnum):
    """What a far side says later about something sent."""

    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of something sent; ``wire_id`` or ``ref`` names it."""

    state: ReportState
    wire_id: str = ""
    ref: str = ""
    recipient: Address | None = None
    part: int | None = None
    words: str = ""
    at: float | None = None
