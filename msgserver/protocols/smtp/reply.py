"""What a smarthost answers, and what that means for the mail (RFC 5321 section 4.2, RFC 3463)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure


class Step(IntEnum):
    """How far a transaction has come."""

    RESET = 0
    MAIL = 1
    RCPT = 2
    DATA = 3
    DOT = 4


class Reply(msgspec.Struct, frozen=True):
    """One answer: its code, and its lines without it."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its lines as one."""
        return " ".join(self.lines)

    @property
    def words(self) -> str:
        """As people and logs should see it."""
        return f"{self.code} {self.text}".strip()[:500]

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or ""."""
        first = self.text.partition(" ")[0]
        return first if first.count(".") == 2 and first.replace(".", "").isdigit() else ""


def verdict(reply: Reply, step: Step) -> SendFailure | None:
    """The failure that a refusal is; None where it is none.

    4xx, and what is wrong with our set-up rather than with this mail, is temporary; 5xx is for good.
    """
    good = reply.code == 354 if step is Step.DATA else 200 <= reply.code < 300
    if good or (step is Step.DOT and 300 <= reply.code < 400):
        return None
    if reply.code in (530, 535, 538) or not 500 <= reply.code < 600:
        return TemporaryFailure(reply.words, alone=step is Step.RCPT and 422 <= reply.code < 500)
    return PermanentFailure(reply.words, bad_address=_is_bad_address(reply, step))


def _is_bad_address(reply: Reply, step: Step) -> bool:
    enhanced = reply.enhanced
    if enhanced.startswith("5.1."):
        return step is Step.RCPT or (step in (Step.DOT, Step.DATA) and enhanced not in ("5.1.7", "5.1.8"))
    return step is Step.RCPT and reply.code in (550, 551, 553) and not enhanced.startswith("5.")
