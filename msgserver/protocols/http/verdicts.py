"""What an HTTP status means for a text, where a gateway's own words do not say more (RFC 9110 section 15)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from msgserver.connector import NotConnected, PermanentFailure, SendFailure, TemporaryFailure, Unknown
from msgserver.wire.agent import Answer

_LONGEST_WISH = 86400.0


class AccountRefused(NotConnected):
    """The gateway refuses the account, not the message: wrong password, no credit. All messages wait."""


def said(answer: Answer) -> str:
    """The first words of an answer, for people."""
    return " ".join(answer.text.split())[:200] or f"HTTP {answer.status}"


def retry_after(answer: Answer) -> float | None:
    """The seconds that ``Retry-After`` asks for (RFC 9110 section 10.2.3); at most a day."""
    wish = answer.headers.get("retry-after", "").strip()
    if not wish:
        return None
    if wish.isascii() and wish.isdigit():
        return min(float(wish[:9]), _LONGEST_WISH)
    try:
        seconds = parsedate_to_datetime(wish).timestamp() - answer.at
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WISH)


def of_status(answer: Answer, words: str = "") -> SendFailure:
    """The failure that a status stands for; 2xx without the gateway's own "yes" is refused for good."""
    status, words = answer.status, words or said(answer)
    if status < 300:
        return PermanentFailure(f"the gateway answered, and did not say that it took it: {words}")
    if status < 400:
        where = answer.headers.get("location", "elsewhere")[:200]
        return AccountRefused(f"the gateway sends us to {where}, which is not followed: mend url")
    if status in (401, 403, 407):
        return AccountRefused(f"the gateway refuses the account ({words}): check user and password")
    if status == 402:
        return AccountRefused(f"no credit: {words}")
    if status in (404, 405, 410):
        return AccountRefused(f"the gateway does not know this address (HTTP {status}, {words}): check url and user")
    if status in (408, 423, 425, 429, 503) or status == 500:
        return TemporaryFailure(f"the gateway is busy or broken (HTTP {status}): {words}", retry_after(answer))
    if status > 500:  # 502, 504: something in between gave up; what stands behind it may have taken it
        return Unknown(f"HTTP {status} ({words}): it may or may not have been taken")
    return PermanentFailure(f"the gateway refuses it (HTTP {status}): {words}")
