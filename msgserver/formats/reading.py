"""What a mail turned out to say, once read: the values that the reader hands to the router."""

from __future__ import annotations

import msgspec

from msgserver.message import Address, Attachment


class ReadingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How far the reader goes into a mail. What lies beyond stays in the raw bytes, and the reading says so."""

    header_bytes: int = 100_000  # of one header block
    parts: int = 1_000
    depth: int = 50  # multiparts inside multiparts
    addresses: int = 500  # of To and Cc each
    references: int = 100
    text_length: int = 1_000_000  # characters
    html_length: int = 512 * 1024  # characters; longer HTML is shown as text only
    html_depth: int = 300  # elements inside elements


class Bounce(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery status notification says of one recipient (RFC 3464), or what a mailer says in prose.

    ``delayed``: still being tried. ``delivered``: a report of success. ``relayed``: handed on to where nobody reports
    (RFC 3464 section 2.3.3). With none of them it failed; ``permanent``: because
    of the address, which will not work next time either (not for a full mailbox, the words, or who sent them).
    """

    recipient: Address | None  # whom it did not reach; the address we wrote to where the report tells both
    message_id: str = ""  # of the mail that was returned, without angle brackets
    envelope_id: str = ""  # ENVID of RFC 3461, as we gave it
    permanent: bool = False
    delayed: bool = False
    delivered: bool = False
    relayed: bool = False
    status: str = ""  # RFC 3463, "5.1.1"; empty where the mailer gave none
    words: str = ""  # the far side's own


class Signature(msgspec.Struct, frozen=True):
    """What one DKIM signature is worth: "pass", "fail", "permerror", "temperror" or "policy" (RFC 8601)."""

    domain: str
    result: str
    why: str = ""


class Seal(msgspec.Struct, frozen=True):
    """One link of the chain on a forwarded mail (RFC 8617): who sealed it, "pass", "fail" or "temperror" of the whole
    chain, and what that domain says it found when the mail reached it: Authentication-Results, from the server's name.
    """

    domain: str
    result: str
    why: str = ""
    found: str = ""


class Trust(msgspec.Struct, frozen=True):
    """Whether a mail's sender is who its From: says; where both are empty, nobody knows.

    ``believed``: why it is proven. ``doubt``: why it looks forged; where it is believed all the same, why our border
    takes it for spam. ``checks``: what was found, as RFC 8601 writes it.
    """

    believed: str = ""
    doubt: str = ""
    checks: str = ""


class Terms(msgspec.Struct, frozen=True):
    """The words of a message as rules and index take them, those of each text joined (formats.tokens)."""

    subject: str
    body: str
    unquoted: str | None = None  # of the body without quoted history; None: nothing is quoted

    @property
    def fresh(self) -> str:
        """Of what is new in the body."""
        return self.body if self.unquoted is None else self.unquoted


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One mail, read.

    All text is valid Unicode without NUL or lone surrogates; header fields are one line, without control characters
    and without directional overrides. Nothing here was invented: what could not be read is named in ``trouble`` and is
    in the raw bytes.
    """

    subject: str = ""
    text: str = ""  # readable plain text, lines end in \n
    html: str = ""  # sanitised; empty where there was none or it is too large to be safe
    sender: Address | None = None  # of From:, which anybody can write
    sender_name: str = ""
    reply_to: tuple[tuple[str, Address], ...] = ()
    to: tuple[tuple[str, Address], ...] = ()
    cc: tuple[tuple[str, Address], ...] = ()
    message_id: str = ""  # ids are without angle brackets
    in_reply_to: str = ""
    references: tuple[str, ...] = ()  # oldest first
    date: float | None = None  # of Date:, as its writer's clock says
    attachments: tuple[Attachment, ...] = ()
    robot: str = ""  # why it is no person's mail: "auto-replied", "list", "bounce", ...; RFC 3834 section 2
    hops: int = 0  # Received lines
    loop_tokens: tuple[str, ...] = ()  # of X-Msgserver-Loop
    bounces: tuple[Bounce, ...] = ()  # one a recipient
    quoted_from: int | None = None  # index in text where signature and quoted history begin: fold, never cut
    seal: str = ""  # "signed", "encrypted" or "": shown, not verified
    languages: tuple[str, ...] = ()  # Content-Language, RFC 3282
    trouble: tuple[str, ...] = ()  # what was repaired, guessed or left out, in words
    complete: bool = True  # False: a limit was met, there is more in the raw bytes
    terms: Terms | None = None  # None: not cut into words yet
    authors: int = 0  # addresses in all From: fields; more than one is a trick, or a mail that cannot be checked
    results: tuple[str, ...] = ()  # Authentication-Results, the newest first; whom to believe is the house's to know
    signatures: tuple[Signature, ...] = ()  # checked with the keys that the reader was given
    seals: tuple[Seal, ...] = ()  # of the chain by which it was handed on, the last first; checked like signatures
    spam_mark: tuple[int, str] | None = (
        None  # X-Spam-...: which of ``results`` stands highest in its writer's block, words
    )
    trust: Trust | None = None  # None: not judged yet

    @property
    def fresh(self) -> str:
        """The text without the history quoted in it."""
        return self.text if self.quoted_from is None else self.text[: self.quoted_from]

    @property
    def bounce(self) -> Bounce | None:
        """The first of the bounces, or None where this is no bounce."""
        return self.bounces[0] if self.bounces else None
