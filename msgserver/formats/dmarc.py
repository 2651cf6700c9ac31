"""Whether a mail's author domain vouches for it: policies, organisations and alignment (DMARC, RFC 7489).

The organisation that a domain belongs to is found by walking up the DNS tree (as DMARC's successor has it), so that no
list of public suffixes has to be kept up to date. Pure: records come in, a verdict comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from msgserver.formats.reading import Signature, Trust

_MOST_LABELS = 8
_TAG = re.compile(r"(?:^|;)\s*([a-z]{1,10})\s*=\s*([^;]*)")


class Policy(msgspec.Struct, frozen=True):
    """A DMARC record: what its domain asks of receivers."""

    p: str = "none"  # "none", "quarantine", "reject"
    sp: str = ""  # of subdomains; "" as p
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"  # "y": a public suffix, "n": an organisation of its own
    testing: bool = False


class SpfResult(msgspec.Struct, frozen=True):
    """What SPF says of the server a mail came from (RFC 7208 section 2.6), and for which domain.

    An empty result: it could not be asked, since the server that spoke to us had the mail from somebody else.
    """

    result: str = "none"
    domain: str = ""


Policies = Mapping[str, Policy | None]


def policy(records: Sequence[bytes]) -> Policy | None:
    """The policy among a name's TXT records; None where there is none, or more than one."""
    found = [record.decode("ascii", "replace")[:2_000] for record in records if record[:8].lower() == b"v=dmarc1"]
    if len(found) != 1:
        return None
    tags = {name: value.strip().lower() for name, value in _TAG.findall(found[0].lower())}
    asked = tags.get("p", "none")
    return Policy(
        p=asked if asked in ("quarantine", "reject") else "none",
        sp=tags.get("sp", "") if tags.get("sp") in ("none", "quarantine", "reject") else "",
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
        psd=tags.get("psd", "u"),
        testing=tags.get("t") == "y" or tags.get("pct") == "0",
    )


def walk(domain: str) -> tuple[str, ...]:
    """The domains whose policies tell about a domain: itself, then upwards; nine at most."""
    labels = domain.strip(".").split(".")
    if len(labels) > _MOST_LABELS:
        return (domain, *(".".join(labels[at:]) for at in range(len(labels) - _MOST_LABELS + 1, len(labels))))
    return tuple(".".join(labels[at:]) for at in range(len(labels)))


def organisation(domain: str, policies: Policies) -> str:
    """The organisational domain: the highest with a policy, or what a policy itself says; the domain where none has."""
    names = walk(domain)
    best = domain
    for at, name in enumerate(names):
        known = policies.get(name)
        if known is None:
            continue
        if known.psd == "n":
            return name
        if known.psd == "y":
            return names[at - 1] if at else name
        best = name
    return best


def aligned(author: str, other: str, strict: bool, policies: Policies) -> bool:
    """Whether a domain that is proven speaks for the author's domain (section 3.1)."""
    if author == other:
        return True
    return bool(other) and not strict and organisation(author, policies) == organisation(other, policies)


def judge(
    author: str, signatures: Sequence[Signature], spf: SpfResult, policies: Policies, known: bool = True
) -> Trust:
    """The verdict on a mail.

    Args:
        author: the domain of From:, as the DNS writes it.
        signatures: checked.
        spf: for the envelope's sender.
        policies: of all domains on the walks of the author's and the proven domains.
        known: whether the DNS could say which policies there are.
    """
    name = organisation(author, policies)
    rule = policies.get(author) or policies.get(name)
    signers = [one.domain for one in signatures if one.result == "pass"]
    unsure = not known or spf.result in ("", "temperror") or any(one.result == "temperror" for one in signatures)
    if rule is not None:
        by_key = any(aligned(author, signer, rule.strict_dkim, policies) for signer in signers)
        by_server = spf.result == "pass" and aligned(author, spf.domain, rule.strict_spf, policies)
    else:
        # Without a policy nobody says where an organisation ends: the signer is the domain itself or one above it.
        by_key = known and any(author == signer or author.endswith(f".{signer}") for signer in signers)
        by_server = False
    asked = rule.p if rule is not None and (policies.get(author)) else ""
    if rule is not None and not asked:
        asked = rule.sp or rule.p
    passed = by_key or by_server
    outcome = "pass" if rule and passed else "temperror" if unsure else "fail" if rule else "none"
    checks = _checks(author, signatures, spf, outcome, asked)
    if passed:
        how = "it bears the domain's signature" if by_key else "it came from a server of the domain"
        return Trust(believed=f"{author} vouches for it: {how}", checks=checks)
    if unsure:
        return Trust(checks=checks)
    if rule is not None:
        if asked == "none" or rule.testing:
            return Trust(checks=checks)
        wish = "refuse" if asked == "reject" else "set aside"
        doubt = (
            f"the domain {author} does not vouch for this mail, and asks to {wish} such mail: the sender may be forged"
        )
        return Trust(doubt=doubt, checks=checks)
    if spf.result == "fail" and spf.domain == author and not signers:
        return Trust(
            doubt=f"the domain {author} says that its mail does not come from this server: it may be forged",
            checks=checks,
        )
    return Trust(checks=checks)


def _checks(author: str, signatures: Sequence[Signature], spf: SpfResult, outcome: str, asked: str) -> str:
    """The results as the field writes them (RFC 8601)."""
    said = [f"spf={spf.result}" + (f" smtp.mailfrom={spf.domain}" if spf.domain else "")] if spf.result else []
    for one in signatures:
        why = f" ({one.why})" if one.why else ""
        said.append(f"dkim={one.result}{why} header.d={one.domain}")
    said.append(f"dmarc={outcome}" + (f" (p={asked})" if asked else "") + f" header.from={author}")
    return "; ".join(said)
