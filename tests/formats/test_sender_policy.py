"""SPF, step by step: each question is asked for, nothing waits."""

from __future__ import annotations

from typing import Any

import pytest

from msgserver.formats.dmarc import SpfResult
from msgserver.formats.sender_policy import MOST_QUESTIONS, check

ZONE: dict[tuple[str, str], tuple[Any, ...]] = {
    ("example.org", "TXT"): (b"v=spf1 ip4:1.2.3.0/24 mx include:_spf.provider.example -all", b"other words"),
    ("example.org", "MX"): ((10, "mx.example.org"),),
    ("mx.example.org", "A"): ("5.6.7.8",),
    ("mx.example.org", "AAAA"): ("2a00::1",),
    ("_spf.provider.example", "TXT"): (b"v=spf1 ip4:9.9.9.0/24 ?all",),
    ("soft.example", "TXT"): (b"v=spf1 ~all",),
    ("loop.example", "TXT"): (b"v=spf1 include:loop.example -all",),
    ("broken.example", "TXT"): (b"v=spf1 ip4:nonsense -all",),
    ("two.example", "TXT"): (b"v=spf1 -all", b"v=spf1 +all"),
    ("macro.example", "TXT"): (b"v=spf1 exists:%{ir}.%{v}._spf.macro.example -all",),
    ("4.3.2.1.in-addr._spf.macro.example", "A"): ("127.0.0.2",),
    ("mx.helo.example", "TXT"): (b"v=spf1 ip4:1.2.3.4 -all",),
}


def answer(ip: str, sender: str, helo: str = "mx.helo.example", dead: frozenset[str] = frozenset()) -> SpfResult:
    answers: dict[tuple[str, str], tuple[Any, ...] | None] = {}
    for _ in range(MOST_QUESTIONS):
        result = check(ip, sender, helo, answers)
        if isinstance(result, SpfResult):
            return result
        assert result not in answers, "asked twice"
        answers[result] = None if result[0] in dead else ZONE.get(result, ())
    raise AssertionError("asks without end")


@pytest.mark.parametrize(
    ("ip", "sender", "result"),
    [
        ("1.2.3.4", "ana@example.org", "pass"),
        ("5.6.7.8", "ana@example.org", "pass"),
        ("2a00::1", "ana@example.org", "pass"),
        ("9.9.9.9", "ana@example.org", "pass"),
        ("8.8.8.8", "ana@example.org", "fail"),
        ("8.8.8.8", "ana@soft.example", "softfail"),
        ("8.8.8.8", "ana@nothing.example", "none"),
        ("8.8.8.8", "ana@loop.example", "permerror"),
        ("8.8.8.8", "ana@broken.example", "permerror"),
        ("8.8.8.8", "ana@two.example", "permerror"),
        ("1.2.3.4", "ana@macro.example", "pass"),
        ("8.8.4.4", "ana@macro.example", "fail"),
        ("1.2.3.4", "", "pass"),  # the null reverse-path: the server's name counts
        ("no address", "ana@example.org", "none"),
        ("1.2.3.4", "ana@localhost", "none"),
        ("1.2.3.4", "ana@[1.2.3.4]", "none"),
    ],
)
def test_results(ip, sender, result):
    assert answer(ip, sender).result == result


def test_the_domain_is_told():
    assert answer("1.2.3.4", "ana@Example.ORG") == SpfResult("pass", "example.org")
    assert answer("1.2.3.4", "") == SpfResult("pass", "mx.helo.example")


def test_a_dns_that_does_not_answer_is_no_fail():
    assert answer("8.8.8.8", "ana@example.org", dead=frozenset({"example.org"})).result == "temperror"
    assert answer("8.8.8.8", "ana@example.org", dead=frozenset({"_spf.provider.example"})).result == "temperror"


@pytest.mark.parametrize(
    "record", [b"v=spf1 " + b"a " * 2_000, b"v=spf1 \xff\xfe", b"v=spf1 %{", b"v=spf1 redirect=%{d}"]
)
def test_hostile_records_end(record, monkeypatch):
    monkeypatch.setitem(ZONE, ("bad.example", "TXT"), (record,))
    assert answer("8.8.8.8", "ana@bad.example").result in ("permerror", "none", "neutral", "fail")
