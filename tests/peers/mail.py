"""Programs that send mail (swaks, Postfix's smtp-source), and a server that takes it and keeps a ledger."""

from __future__ import annotations

import email
import email.policy
import subprocess
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.peers.programs import free_port, program, wait_until


class Mail:
    """One mail as it came: envelope and bytes."""

    def __init__(self, sender: str, recipients: list[str], raw: bytes) -> None:
        self.sender, self.recipients, self.raw = sender, recipients, raw

    @property
    def message(self) -> EmailMessage:
        """The bytes, parsed by Python's own parser."""
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


class SMTPSink:
    """An SMTP server on 127.0.0.1; ``mails`` is the ledger, ``answer(sender, recipients)`` its last word."""

    def __init__(self) -> None:
        self.port = free_port()
        self.mails: list[Mail] = []
        self.answer: Callable[[str, list[str]], str] = lambda _sender, _recipients: "250 2.0.0 taken"
        self.start()

    def start(self) -> None:
        """Start taking mail."""
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, enable_SMTPUTF8=True, ready_timeout=60.0
        )
        self._controller.start()

    def stop(self) -> None:
        """Stop; the ledger stays."""
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd with each mail."""
        recipients: list[Any] = envelope.rcpt_tos
        words = self.answer(str(envelope.mail_from), recipients)
        if words.startswith("2"):
            raw = envelope.original_content or b""
            self.mails.append(Mail(str(envelope.mail_from), list(recipients), raw))
        return words

    def wait_for(self, count: int, seconds: float = 90) -> list[Mail]:
        """Wait until so many mails have come; returns all."""
        wait_until(lambda: len(self.mails) >= count, f"{count} mails have come", seconds)
        return self.mails


@pytest.fixture
def smtp_sink() -> Iterator[SMTPSink]:
    """A server that takes all mail and keeps it."""
    sink = SMTPSink()
    try:
        yield sink
    finally:
        sink.stop()


@pytest.fixture(scope="session")
def swaks() -> Callable[..., str]:
    """Run swaks with these words and return what it printed; the test fails where it does."""
    path = program("swaks", "swaks")

    def run(*words: str) -> str:
        done = subprocess.run([path, *words], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def smtp_source() -> str:
    """The path of Postfix's load generator."""
    return program("smtp-source", "postfix")
