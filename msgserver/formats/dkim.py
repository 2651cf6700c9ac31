"""Signs mail so that a receiver can tell it is ours: DKIM, relaxed/relaxed (RFC 6376), by RSA or Ed25519 (RFC 8463).

A signer is made once a key and signs whole mails, lines ended by CR LF. Headers that give a mail its meaning are signed
once more often than they occur, so that nobody can add another one on the way (section 8.15).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")
_SPACES = re.compile(rb"[ \t]+")
_ENDING_SPACES = re.compile(rb"[ \t]+(?=\r\n)")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\Z")
_GUARDED = ("from", "to", "cc", "subject", "date", "reply-to", "message-id", "in-reply-to", "references",
            "mime-version", "content-type")  # fmt: skip
_SIGNED = frozenset((*_GUARDED, "content-transfer-encoding", "auto-submitted", "list-id", "list-unsubscribe",
                     "list-unsubscribe-post", "precedence", "sender"))  # fmt: skip

_Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Signer:
    """Signs for one domain with one key.

    Args:
        domain: in whose name, as the DNS writes it.
        selector: under which the public key stands: ``<selector>._domainkey.<domain>``.
        key: the private key, PEM, without a password.

    Raises:
        ValueError: in words, what is wrong with one of them.
    """

    def __init__(self, domain: str, selector: str, key: str) -> None:
        for what, name in (("domain", domain), ("selector", selector)):
            if not _NAME.match(name):
                raise ValueError(f"the DKIM {what} is no name that the DNS could hold")
        self.domain = domain.lower()
        self.selector = selector
        self._key = _read_key(key)
        self.algorithm = "rsa-sha256" if isinstance(self._key, rsa.RSAPrivateKey) else "ed25519-sha256"

    def header(self, mail: bytes, at: float) -> bytes:
        """The DKIM-Signature field of a mail, to be put in front of it; ``at`` is POSIX seconds."""
        head, _, body = mail.partition(b"\r\n\r\n")
        fields = _FIELD.findall(head + b"\r\n")
        names, lines = _chosen(fields)
        body_hash = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
        unsigned = (
            f"DKIM-Signature: v=1; a={self.algorithm}; c=relaxed/relaxed; d={self.domain};\r\n"
            f" s={self.selector}; t={int(at)};\r\n h={_folded(names)};\r\n bh={body_hash};\r\n b="
        ).encode("ascii")
        ((name, value),) = _FIELD.findall(unsigned + b"\r\n")
        signature = self._sign(b"".join(lines) + _relaxed_field(name, value)[:-2])
        coded = base64.b64encode(signature).decode()
        return unsigned + "\r\n ".join(re.findall(".{1,72}", coded)).encode("ascii") + b"\r\n"

    def record(self) -> str:
        """What the DNS must say under ``<selector>._domainkey.<domain>``, as one text."""
        public = self._key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            whole = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            return f"v=DKIM1; k=rsa; p={base64.b64encode(whole).decode()}"
        bare = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(bare).decode()}"

    def _sign(self, words: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(words, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(hashlib.sha256(words).digest())  # RFC 8463 section 3: of the hash


def new_key(algorithm: str) -> str:
    """A fresh private key, PEM: "rsa" (2048 bits, what every receiver knows) or "ed25519"."""
    key: _Key
    if algorithm == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def _read_key(key: str) -> _Key:
    try:
        found = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError) as error:
        raise ValueError("the DKIM key is no private key (PEM, without a password)") from error
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return found
    if not isinstance(found, rsa.RSAPrivateKey):
        raise ValueError("the DKIM key must be an RSA or Ed25519 key")
    if found.key_size < 1024:
        raise ValueError(f"the DKIM key has {found.key_size} bits: receivers ask for 1024 at least, take 2048")
    return found


def _chosen(fields: Sequence[tuple[bytes, bytes]]) -> tuple[list[str], list[bytes]]:
    """The names for ``h=`` and the fields they stand for: of one name the last first (section 5.4.2)."""
    names: list[str] = []
    lines: list[bytes] = []
    for name, value in reversed(fields):
        low = name.lower().decode("ascii")
        if low in _SIGNED:
            names.append(low)
            lines.append(_relaxed_field(name, value))
    return [*names, *_GUARDED], lines


def _relaxed_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 section 3.4.2."""
    return name.lower() + b":" + _SPACES.sub(b" ", value.replace(b"\r\n", b"")).strip() + b"\r\n"


def _relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4."""
    if b" " in body or b"\t" in body:
        body = _SPACES.sub(b" ", _ENDING_SPACES.sub(b"", body))
    body = body.rstrip(b"\r\n")
    return body + b"\r\n" if body else b""


def _folded(names: Sequence[str]) -> str:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > 66:
            lines.append(line)
            line = ""
        line += name + ":"
    return "\r\n  ".join([*lines, line]).rstrip(":")
