"""Logging in: AUTH PLAIN and LOGIN, the server's side (RFC 4954, 4616). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping

from msgserver.settings import Secret

_ASK_USER = b"334 " + base64.b64encode(b"Username:")
_ASK_PASSWORD = b"334 " + base64.b64encode(b"Password:")
TOO_OFTEN = b"454 4.7.0 Too many wrong passwords: wait, then try again"
BAD = b"501 5.5.2 This is not base64"


class Exchange:
    """One AUTH command and the lines after it. ``step`` gives the next reply; ``user`` is set on success.

    ``may_try(name)`` says whether a password for that name is looked at now; ``tried`` is the name that was judged.
    """

    def __init__(self, users: Mapping[str, Secret], may_try: Callable[[str], bool]) -> None:
        self._users = users
        self._may_try = may_try
        self.tried: str | None = None
        self._mechanism = b""
        self._name: bytes | None = None
        self.user = ""
        self.done = False

    def begin(self, argument: bytes) -> bytes:
        """Answer ``AUTH mechanism [initial-response]``."""
        mechanism, _, initial = argument.strip().partition(b" ")
        self._mechanism = mechanism.upper()
        if self._mechanism not in (b"PLAIN", b"LOGIN"):
            return self._end(b"504 5.5.4 Only PLAIN and LOGIN are offered")
        if initial:
            return self.step(b"" if initial == b"=" else initial)
        return b"334 " if self._mechanism == b"PLAIN" else _ASK_USER

    def step(self, line: bytes) -> bytes:
        """Answer one line of the exchange."""
        if line == b"*":
            return self._end(b"501 5.7.0 Broken off")
        try:
            words = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            return self._end(BAD)
        if self._mechanism == b"LOGIN":
            if self._name is None:
                self._name = words
                return _ASK_PASSWORD
            return self._judge(self._name, words)
        parts = words.split(b"\0")
        if len(parts) != 3:
            return self._end(b"501 5.5.2 PLAIN takes identity, name and password")
        if parts[0] not in (b"", parts[1]):
            return self._end(b"535 5.7.8 Nobody acts for another here")
        return self._judge(parts[1], parts[2])

    def _judge(self, name: bytes, password: bytes) -> bytes:
        user = name.decode("utf-8", "replace")
        if not self._may_try(user):
            return self._end(TOO_OFTEN)
        self.tried = user
        known = self._users.get(user)
        expected = (known.reveal() if known is not None else "").encode()
        right = hmac.compare_digest(hashlib.sha256(expected).digest(), hashlib.sha256(password).digest())
        if right and known is not None and expected:
            self.user = user
            return self._end(b"235 2.7.0 Welcome")
        return self._end(b"535 5.7.8 Name or password is wrong")

    def _end(self, reply: bytes) -> bytes:
        self.done = True
        return reply
