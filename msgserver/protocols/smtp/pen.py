"""Writes an envelope as a letter: from which address of ours, signed with which keys, as large as the host allows."""

from __future__ import annotations

import re

from msgserver.connector import PermanentFailure
from msgserver.formats.compose import compose_mail, message_id
from msgserver.formats.fitting import fitting
from msgserver.message import Envelope
from msgserver.protocols.smtp.letter import Letter
from msgserver.protocols.smtp.settings import Settings

_ADDRESS = re.compile(
    r"""(?x) (?P<local> [^\s<>()\[\],;:\\"@]+ | "[^<>\\"\x00-\x1f]+" ) @ (?P<domain> [^\s<>()\[\],;:\\"@]+ ) \Z"""
)
_NOTICES = {"failures": "FAILURE,DELAY", "all": "SUCCESS,FAILURE,DELAY", "none": ""}


class Pen:
    """One for a connector."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = settings.own_address
        self._local, _, self._domain = self._own.rpartition("@")
        self._ours = {_ascii(domain) for domain in settings.domains}
        self._keys = [key.signer() for key in settings.dkim]
        self._notify = _NOTICES[settings.dsn]

    def letter(self, envelope: Envelope, now: float) -> tuple[Letter, str]:
        """The letter for an envelope, and its Message-ID. ``now``: POSIX seconds, for Date.

        Raises:
            PermanentFailure: its address is none that mail could be sent to.
        """
        rcpt, utf8 = wire_address(envelope.to.value)
        address = self.sender(envelope)
        sender, own_utf8 = wire_address(self._return_path(envelope, address))
        # RFC 3834 section 3.3: an answer that nobody wrote must not be answered, bounces included.
        if envelope.automatic and envelope.thread.in_reply_to and not envelope.copy:
            sender = b""

        def write(limit: int | None) -> bytes:
            return self._write(envelope, address, now, limit)

        letter = Letter(
            sender, rcpt, write, utf8=utf8 or own_utf8, notify=self._notify, ref=envelope.ref,
            priority=envelope.priority,
        )  # fmt: skip
        return letter, message_id(envelope, self._domain)

    def sender(self, envelope: Envelope) -> str:
        """Our address: the connector's, in the domain of ours that the question was sent to."""
        for address in envelope.reached:
            domain = _ascii(address.value.rpartition("@")[2])
            if address.scheme == "mailto" and domain in self._ours:
                return f"{self._local}@{domain}"
        return self._own

    def _return_path(self, envelope: Envelope, address: str) -> str:
        """Where bounces go: the delivery's own address, so that any of them names it."""
        if not self._settings.plus_addresses or not _REF.match(envelope.ref):
            return address
        local, _, domain = address.rpartition("@")
        return f"{local}+{envelope.ref}@{domain}"

    def _write(self, envelope: Envelope, address: str, now: float, limit: int | None) -> bytes:
        settings = self._settings
        most = settings.largest if limit is None else min(limit, settings.largest)
        keys = [key for key in self._keys if key.domain == address.rpartition("@")[2].lower()]
        room = most - 1_500 * len(keys)
        mail = compose_mail(fitting(envelope, room), address, self._domain, now, envelope.ref, settings.plus_addresses)
        return b"".join([*(key.header(mail, now) for key in keys), mail])


_REF = re.compile(r"[A-Za-z0-9.]{1,40}\Z")


def _ascii(domain: str) -> str:
    try:
        return domain.lower() if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain.lower()


def wire_address(address: str) -> tuple[bytes, bool]:
    """An address for MAIL or RCPT, and whether it needs SMTPUTF8; a domain goes as the DNS writes it (RFC 5890).

    Raises:
        PermanentFailure: mail cannot carry it, and it might say more than an address should.
    """
    match = _ADDRESS.match(address)
    if match is None:
        raise PermanentFailure("this is not an address that mail can be sent to", bad_address=True)
    try:
        domain = match["domain"].encode("ascii") if match["domain"].isascii() else match["domain"].encode("idna")
        return match["local"].encode() + b"@" + domain, not match["local"].isascii()
    except UnicodeError:
        raise PermanentFailure("this is not an address that mail can be sent to", bad_address=True) from None
