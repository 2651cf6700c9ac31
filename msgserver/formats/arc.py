"""Chains of seals on forwarded mail (ARC, RFC 8617): what those who handed it on say they found, if that is to be had.

A list that changes a mail breaks its author's signature; before that it writes down what it found, and seals that. A
seal proves who wrote it and not that it is true: whom to believe is the house's to know. Pure, as ``signatures``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgserver.formats.reading import Seal
from msgserver.formats.signatures import (
    LONG_BLANKS,
    MOST_HEADER,
    MOST_KEY,
    halves,
    key_name,
    relax,
    tags_of,
    why,
)

MOST_SEALS = 10  # in one chain; the RFC lets there be 50, mail has two or three
_FIELD = re.compile(rb"(?im)^arc-(seal|message-signature)[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)")
_QUIET = logging.getLogger("msgserver.formats.arc")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


def keys_wanted(raw: bytes, sealers: Collection[str]) -> tuple[str, ...]:
    """The DNS names of the keys for a mail's chain; () where its last seal is of none of these domains."""
    if not sealers or b"ARC-SEAL" not in raw[:MOST_HEADER].upper():
        return ()
    fields = _fields(halves(raw)[0])
    last = _last(fields)
    if last is None or last not in sealers:
        return ()
    return tuple(dict.fromkeys(name for _, value in fields if (name := key_name(value))))


def check(raw: bytes, keys: Mapping[str, bytes]) -> tuple[Seal, ...]:
    """A mail's seals, the last one first; () where there are none whose keys were asked for.

    The chain is good as a whole or not at all: each seal must fit, and the mail be as the last sealer handed it on.

    Args:
        raw: the mail as it arrived.
        keys: TXT records by their names; see ``signatures.check``.
    """
    head, body = halves(raw)
    fields = _fields(head)
    seals = [value for kind, value in fields if kind == b"seal"]
    if not seals or len(head) > MOST_HEADER or not any(key_name(value) in keys for value in seals):
        return ()
    domain = _last(fields) or ""
    if len(seals) > MOST_SEALS or LONG_BLANKS.search(head):
        return (Seal(domain, "fail", "the chain is too long to be checked"),)
    wrong = _unfit(fields, keys)
    if wrong:
        return (Seal(domain, *wrong),)
    last = max(_number(value) for value in seals)
    return _verify(head, _as_signed(fields, last, body), domain, last, keys)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Seals and message signatures, by kind, as they stand."""
    return [(one[1].lower(), one[2]) for one in _FIELD.finditer(head)][: 2 * MOST_SEALS + 2]


def _number(value: bytes) -> int:
    words = tags_of(value).get("i", b"")
    return int(words) if words.isdigit() and len(words) < 3 else 0


def _last(fields: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The domain of the seal with the highest number."""
    numbered = [(_number(value), value) for kind, value in fields if kind == b"seal"]
    if not numbered:
        return None
    return tags_of(max(numbered)[1]).get("d", b"").decode("ascii", "replace").lower()[:253]


def _unfit(fields: Sequence[tuple[bytes, bytes]], keys: Mapping[str, bytes]) -> tuple[str, str] | None:
    """Why a chain need not be looked at any further: result and reason; None where it does."""
    last = max(_number(value) for _, value in fields)
    for kind, value in fields:
        if kind != b"seal" and _number(value) != last:
            continue  # of the message signatures the last one counts: what was sealed earlier may have been changed
        name = key_name(value)
        if not name:
            return "fail", "a seal names no key"
        if name not in keys:
            return "temperror", "a key could not be fetched"
        if not 0 < len(keys[name]) <= MOST_KEY:
            return "fail", "a key does not exist" if not keys[name] else "a key is too long"
        if kind == b"seal":
            continue
        tags = tags_of(value)
        if "l" in tags:
            return "fail", "it covers a part of the text only"
        if b"from" not in tags.get("h", b"").lower().split(b":"):
            return "fail", "it does not cover who wrote the mail"
    return None


def _as_signed(fields: Sequence[tuple[bytes, bytes]], last: int, body: bytes) -> bytes:
    """The body, relaxed already where the last signature is over that, since the library is slow on it."""
    for kind, value in fields:
        if kind != b"seal" and _number(value) == last:
            how = tags_of(value).get("c", b"relaxed/relaxed").lower()
            return relax(body) if how.endswith(b"/relaxed") else body
    return body


def _verify(head: bytes, body: bytes, domain: str, last: int, keys: Mapping[str, bytes]) -> tuple[Seal, ...]:
    import dkim  # noqa: PLC0415 - only sealed mail pays for it

    class Chain(dkim.ARC):  # type: ignore[misc]
        """Of the signatures over the whole mail only the last one is checked, which is the only one that counts."""

        def verify_sig(self, sig: dict[bytes, bytes], *how: Any) -> bool:
            return (b"bh" not in sig or int(sig[b"i"]) == last) and bool(super().verify_sig(sig, *how))

    def key(name: bytes, timeout: float = 5) -> bytes:  # noqa: ARG001 - as it calls us
        return keys.get(name.decode("ascii", "replace").rstrip(".").lower(), b"")

    try:
        chain = Chain(head + b"\r\n", logger=_QUIET, minkey=1024)
        chain.body = body
        result, sets, reason = chain.verify(key)
    except Exception as error:  # whatever its parser trips over: the chain is worth nothing
        return (Seal(domain, "fail", why(error) if isinstance(error, dkim.DKIMException) else type(error).__name__),)
    if result != dkim.CV_Pass:
        return (Seal(domain, "fail", why(Exception(reason))),)
    return tuple(
        Seal(
            one["as-domain"].decode("ascii", "replace").lower(),
            "pass",
            found=one["aar-value"].decode("utf-8", "replace").partition(";")[2][:8_000],
        )
        for one in sets
    )
