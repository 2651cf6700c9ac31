"""SPF (RFC 7208): which servers may send a domain's mail, asked step by step without a wire of its own.

:func:`check` is given all that is known of the DNS so far. Where that is not enough it gives the question that is
open; whoever has a wire answers it and asks again. So the check never waits, and the same code runs in a test.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from msgserver.formats.dmarc import SpfResult

Question = tuple[str, str]  # name, type: A, AAAA, MX, PTR, TXT
Answers = Mapping[Question, Sequence[Any] | None]  # None: the DNS did not answer
MOST_QUESTIONS = 40
_answers: Answers = {}


class _Open(BaseException):
    """A question that nobody has answered yet; the library catches Exception here and there, so it is none."""

    def __init__(self, question: Question) -> None:
        self.question = question


def check(ip: str, sender: str, helo: str, answers: Answers) -> SpfResult | Question:
    """Whether a server may send for a domain, or what has to be known first.

    Args:
        ip: of the server.
        sender: the envelope's; "" for the null reverse-path: then the server's own name counts.
        helo: what the server calls itself.
        answers: TXT as bytes, A and AAAA as text, MX as (preference, name), PTR as text.
    """
    global _answers  # noqa: PLW0603 - the library asks through a function of its module; nothing here waits
    import spf  # noqa: PLC0415 - only mail over SMTP pays for it

    domain = (sender.rpartition("@")[2] or helo).lower().rstrip(".")
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        return SpfResult("none", domain)
    if not domain or "." not in domain or domain.startswith("["):
        return SpfResult("none", "")
    spf.DNSLookup = _look
    _answers = answers
    try:
        result, _code, _why = spf.query(i=ip, s=sender, h=helo, timeout=60, querytime=0).check()
    except _Open as left:
        return left.question
    except Exception:  # whatever the library trips over in a stranger's record
        return SpfResult("permerror", domain)
    finally:
        _answers = {}
    return SpfResult(str(result), domain)


def _look(name: Any, kind: str, _strict: Any = True, timeout: Any = 0) -> list[Any]:  # noqa: ARG001 - as it calls us
    import spf  # noqa: PLC0415 - loaded by whoever calls this

    asked = (str(name).lower().rstrip("."), kind)
    if kind == "SPF":
        return []  # the type of RFC 4408 is gone
    if asked not in _answers:
        raise _Open(asked)
    found = _answers[asked]
    if found is None:
        raise spf.TempError("DNS no answer")
    return [(asked, (one,) if kind == "TXT" else one) for one in found]
