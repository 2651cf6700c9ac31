"""Signatures of mail (DKIM, RFC 6376): whose keys are needed to check them, and what they are worth with these keys.

No key is fetched here: the names come out of :func:`keys_wanted`, the records go into :func:`check`. The work is
linear in the mail's length and bounded in keys, whatever a stranger writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgserver.formats.reading import Signature

MOST_SIGNATURES = 5
MOST_HEADER = 100_000  # bytes; a longer header is not checked
MOST_KEY = 1_200  # bytes of a key's record: 4,096 bits of RSA; with longer ones a stranger could keep us busy
_SIGNATURE = re.compile(rb"(?im)^dkim-signature[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)")
_TAG = re.compile(rb"(?:^|;)\s{0,50}([a-z]{1,4})\s{0,50}=\s{0,50}([^;]*)", re.IGNORECASE)
_NAME = re.compile(r"(?i)[a-z0-9_](?:[a-z0-9_.-]{0,250}[a-z0-9])?")
_BLANKS = re.compile(rb"[\t ]+")
LONG_BLANKS = re.compile(rb"\s{300}")  # in a header: nobody writes such, and the library is slow on it


def keys_wanted(raw: bytes) -> tuple[str, ...]:
    """The DNS names whose TXT records hold the keys for a mail's signatures; () where it has none."""
    head, _ = halves(raw)
    if b"DKIM" not in head[:MOST_HEADER].upper():
        return ()
    names = [key_name(found.group(1)) for found in list(_SIGNATURE.finditer(head))[:MOST_SIGNATURES]]
    return tuple(dict.fromkeys(name for name in names if name))


def check(raw: bytes, keys: Mapping[str, bytes]) -> tuple[Signature, ...]:
    """What each signature of a mail is worth, the topmost first.

    Args:
        raw: the mail as it arrived.
        keys: TXT records by their names; an empty one: there is none; a name that is missing: the DNS did not answer.
    """
    head, body = halves(raw)
    found = list(_SIGNATURE.finditer(head))[:MOST_SIGNATURES]
    if not found or len(head) > MOST_HEADER or LONG_BLANKS.search(head):
        return ()
    relaxed: list[bytes] = []  # made once, where a signature asks for it
    return tuple(_check(head, body, relaxed, index, one.group(1), keys) for index, one in enumerate(found))


def halves(raw: bytes) -> tuple[bytes, bytes]:
    """Header and body; the empty line between them belongs to neither."""
    end = raw.find(b"\r\n\r\n", 0, MOST_HEADER + 4)
    return (raw[: end + 2], raw[end + 4 :]) if end >= 0 else (raw[: MOST_HEADER + 1], b"")


def tags_of(value: bytes) -> dict[str, bytes]:
    """A signature's tags, their values without blanks."""
    found = _TAG.finditer(value[:10_000])
    return {match.group(1).decode("ascii").lower(): b"".join(match.group(2).split()) for match in found}


def key_name(value: bytes) -> str:
    """The DNS name of the key that a signature names; "" where that can be none."""
    tags = tags_of(value)
    selector, domain = (tags.get(tag, b"").decode("ascii", "replace").lower() for tag in ("s", "d"))
    name = f"{selector}._domainkey.{domain}"
    return name if _NAME.fullmatch(selector) and _NAME.fullmatch(domain) and len(name) <= 253 else ""


def _check(
    head: bytes, body: bytes, relaxed: list[bytes], index: int, value: bytes, keys: Mapping[str, bytes]
) -> Signature:
    tags = tags_of(value)
    domain = tags.get("d", b"").decode("ascii", "replace").lower()[:253]
    name = key_name(value)
    if not name:
        return Signature(domain, "permerror", "it names no key")
    if name not in keys:
        return Signature(domain, "temperror", "its key could not be fetched")
    if not keys[name]:
        return Signature(domain, "permerror", "its key does not exist")
    if len(keys[name]) > MOST_KEY:
        return Signature(domain, "permerror", "its key is too long")
    if "l" in tags:
        return Signature(domain, "policy", "it covers a part of the text only")  # RFC 6376 section 8.2
    if tags.get("c", b"").lower().endswith(b"/relaxed"):
        if not relaxed:
            relaxed.append(relax(body))
        body = relaxed[0]
    return _verify(head, body, index, domain, keys[name])


def relax(body: bytes) -> bytes:
    """The relaxed form of a body (RFC 6376 section 3.4.4) but for the empty lines at its end."""
    lines = body.split(b"\r\n")
    return b"\r\n".join(_BLANKS.sub(b" ", line.rstrip(b" \t")) for line in lines)


def _verify(head: bytes, body: bytes, index: int, domain: str, record: bytes) -> Signature:
    import dkim  # noqa: PLC0415 - only signed mail pays for it

    try:
        # The library cuts a whole mail into lines; of the header alone it makes the same, and the body is given as is.
        signed = dkim.DKIM(head + b"\r\n", minkey=1024)
        signed.body = body
        good = signed.verify(index, dnsfunc=lambda _name, timeout=5: record)  # noqa: ARG005 - as it calls us
    except dkim.ValidationError as error:
        return Signature(domain, "fail", why(error))
    except dkim.DKIMException as error:
        return Signature(domain, "permerror", why(error))
    except Exception as error:  # whatever its parser trips over: the signature is worth nothing
        return Signature(domain, "permerror", type(error).__name__)
    return Signature(domain, "pass") if good else Signature(domain, "fail", "the signature does not fit")


def why(error: Exception) -> str:
    """What a failed check says, in words for people."""
    said = str(error)
    if "body hash" in said:
        return "the text was changed on the way"
    return "".join(letter if letter.isprintable() else " " for letter in said)[:120]
