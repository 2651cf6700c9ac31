"""Policies, organisations, alignment, and the verdict they lead to."""

from __future__ import annotations

import pytest

from msgserver.formats.authentication import claims
from msgserver.formats.dmarc import Policy, SpfResult, aligned, judge, organisation, policy, walk
from msgserver.formats.reading import Signature

REJECT = Policy(p="reject")


def test_policies_are_read():
    assert policy([b"v=DMARC1; p=Reject; sp=none; adkim=s; aspf=s"]) == Policy("reject", "none", True, True)
    assert policy([b"v=spf1 -all", b"v=DMARC1;p=quarantine"]) == Policy("quarantine")
    assert policy([b"v=DMARC1; p=reject; t=y"]).testing
    assert policy([b"v=DMARC1; p=nonsense; psd=y"]) == Policy("none", psd="y")
    assert policy([]) is policy([b"v=DMARC2; p=reject"]) is policy([b"v=DMARC1; p=none", b"v=DMARC1; p=reject"]) is None
    assert policy([b"v=DMARC1 \xff\x00 p=reject"]) is not None


def test_the_walk_goes_up_and_stays_short():
    assert walk("a.mail.example.org") == ("a.mail.example.org", "mail.example.org", "example.org", "org")
    long = ".".join("abcdefghijklm")
    assert walk(long)[0] == long
    assert walk(long)[1] == "g.h.i.j.k.l.m"
    assert len(walk(long)) == 8


def test_organisations():
    known = {"example.org": REJECT}
    assert organisation("a.b.example.org", known) == "example.org"
    assert organisation("a.example.net", known) == "a.example.net"
    suffix = {"co.example": Policy(psd="y"), "shop.co.example": REJECT}
    assert organisation("www.shop.co.example", suffix) == "shop.co.example"
    assert organisation("shop.co.example", {"co.example": Policy(psd="y")}) == "shop.co.example"
    assert organisation("a.team.example.org", {**known, "team.example.org": Policy(psd="n")}) == "team.example.org"


def test_alignment():
    known = {"example.org": REJECT}
    assert aligned("example.org", "mail.example.org", False, known)
    assert not aligned("example.org", "mail.example.org", True, known)
    assert not aligned("example.org", "example.net", False, known)
    assert not aligned("example.org", "evilexample.org", False, known)
    assert not aligned("a.co.example", "b.co.example", False, {"co.example": Policy(psd="y")})


def passing(domain: str) -> tuple[Signature, ...]:
    return (Signature(domain, "pass"),)


@pytest.mark.parametrize(
    ("signatures", "spf", "policies", "believed", "doubted"),
    [
        (passing("example.org"), SpfResult(), {"example.org": REJECT}, True, False),
        (passing("mail.example.org"), SpfResult(), {"example.org": REJECT}, True, False),
        ((), SpfResult("pass", "example.org"), {"example.org": REJECT}, True, False),
        ((), SpfResult("pass", "bounces.example.org"), {"example.org": REJECT}, True, False),
        # somebody else's signature, somebody else's server
        (passing("evil.example"), SpfResult("pass", "evil.example"), {"example.org": REJECT}, False, True),
        (passing("evil.example"), SpfResult(), {"example.org": Policy(p="quarantine")}, False, True),
        ((), SpfResult(), {"example.org": REJECT}, False, True),
        ((Signature("example.org", "fail"),), SpfResult("fail", "example.org"), {"example.org": REJECT}, False, True),
        # the domain asks for nothing, or only tries
        ((), SpfResult("fail", "example.org"), {"example.org": Policy(p="none")}, False, False),
        ((), SpfResult(), {"example.org": Policy(p="reject", testing=True)}, False, False),
        # no policy: a signature of the domain or of one above it, no server alone
        (passing("example.org"), SpfResult(), {}, True, False),
        (passing("mail.example.org"), SpfResult(), {}, False, False),
        ((), SpfResult("pass", "example.org"), {}, False, False),
        ((), SpfResult("fail", "example.org"), {}, False, True),
        ((), SpfResult("fail", "elsewhere.example"), {}, False, False),
        # what the DNS did not say is held against nobody
        ((Signature("example.org", "temperror"),), SpfResult(), {"example.org": REJECT}, False, False),
        ((), SpfResult("temperror", "example.org"), {"example.org": REJECT}, False, False),
    ],
)
def test_verdicts(signatures, spf, policies, believed, doubted):
    trust = judge("example.org", signatures, spf, policies)
    assert (bool(trust.believed), bool(trust.doubt)) == (believed, doubted), trust
    assert "dmarc=" in trust.checks


def test_subdomains_have_a_policy_of_their_own():
    policies = {"example.org": Policy(p="reject", sp="none")}
    assert judge("news.example.org", (), SpfResult(), policies).doubt == ""
    assert judge("news.example.org", (), SpfResult(), {"example.org": REJECT}).doubt


def test_without_the_dns_there_is_no_verdict():
    trust = judge("example.org", passing("example.org"), SpfResult(), {}, known=False)
    assert not trust.believed
    assert not trust.doubt
    assert "dmarc=temperror" in trust.checks


GMAIL = (
    "mx.provider.example; dkim=pass header.i=@example.org header.s=k1 header.b=abc;"
    " spf=pass (provider.example: domain of ana@example.org (x) designates 192.0.2.1) smtp.mailfrom=ana@example.org;"
    ' dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from="example.org"'
)


def test_what_our_border_says_is_read():
    found = claims((GMAIL,), "MX.provider.example")
    assert [(one.method, one.result) for one in found] == [("dkim", "pass"), ("spf", "pass"), ("dmarc", "pass")]
    assert found[0].domain("header.d", "header.i") == "example.org"
    assert found[1].domain("smtp.mailfrom") == "example.org"
    assert found[2].domain("header.from") == "example.org"


@pytest.mark.parametrize(
    "value",
    [
        "mx.evil.example; dmarc=pass header.from=example.org",
        "mx.provider.example.evil; dmarc=pass header.from=example.org",
        "(mx.provider.example); dmarc=pass header.from=example.org",
        "mx.evil.example (; mx.provider.example; dmarc=pass)",
        "",
        ";" * 5_000,
        "mx.evil.example; spf=pass; mx.provider.example; dmarc=pass header.from=example.org",
    ],
)
def test_what_others_say_is_not(value):
    assert claims((value,), "mx.provider.example") == ()


def test_only_the_topmost_counts_and_nothing_where_no_border_is_named():
    forged = "mx.provider.example; dmarc=pass header.from=bank.example"
    real = "mx.provider.example; dmarc=fail header.from=bank.example"
    assert [one.result for one in claims((real, forged), "mx.provider.example")] == ["fail"]
    assert claims((forged,), "") == ()


def test_results_in_comments_are_no_results():
    assert claims(("mx.x.org; spf=fail (dmarc=pass; dkim=pass (a; dmarc=pass))",), "mx.x.org")[0].result == "fail"
    assert len(claims(("mx.x.org; spf=fail (dmarc=pass; dkim=pass (a; dmarc=pass))",), "mx.x.org")) == 1
