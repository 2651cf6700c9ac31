"""Clickatell's numbers, which both of its interfaces share."""

from __future__ import annotations

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure
from msgserver.message import ReportState
from msgserver.protocols.http.verdicts import AccountRefused

_ERRORS = {
    1: "authentication failed",
    2: "unknown user or password",
    3: "the session has expired",
    5: "no session",
    7: "this address may not use the account",
    100: "refused",
    101: "a parameter is missing or wrong",
    102: "a wrong user data header",
    105: "the destination is no number",
    106: "the sender is not allowed",
    107: "the text is empty",
    108: "the API key or id is wrong",
    113: "too many parts",
    114: "the message cannot be routed",
    116: "the text is too long",
    121: "the destination is blocked",
    122: "the recipient has opted out",
    123: "the sender is not known",
    128: "the number is no longer in use",
    130: "the daily limit is reached",
    301: "no credit left",
    302: "the credit limit is reached",
    901: "an error at the gateway",
}
_ACCOUNT = {1, 2, 3, 5, 7, 106, 108, 123, 301, 302}
_LATER = {130, 901}
_BAD_NUMBER = {105, 128}
_STATES = {
    3: ReportState.SENT,
    4: ReportState.DELIVERED,
    **dict.fromkeys((1, 5, 6, 7, 9, 12, 14), ReportState.FAILED),
    10: ReportState.EXPIRED,
}


def failure_of(code: int, words: str = "") -> SendFailure:
    """The failure that an error number stands for."""
    said = f"Clickatell {code:03}: {words or _ERRORS.get(code, 'refused')}"[:300]
    if code in _ACCOUNT:
        return AccountRefused(said)
    if code in _LATER:
        return TemporaryFailure(said)
    return PermanentFailure(said, bad_address=code in _BAD_NUMBER)


def state_of(code: int) -> ReportState | None:
    """The state that a status number stands for; None: it is still under way."""
    return _STATES.get(code)
