"""Logging in: SCRAM (RFC 5802, RFC 7677) where the server offers it, else what Twisted knows.

With SCRAM the server never sees the password, and proves that it knows it too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from twisted.words.protocols.jabber import client, sasl

from msgserver.wire import wokkel_shim  # noqa: F401  (before wokkel)

from wokkel.client import CheckAuthInitializer  # isort: skip

MECHANISMS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}  # best first
_MAX_ROUNDS = 200_000  # some 0.1 s; RFC 7677 asks for 4,096 at least


class ScramRefused(Exception):
    """The server's part of the exchange does not fit: it does not know the password, or is no SCRAM."""


class Scram:
    """One SCRAM exchange, as a SASL mechanism in Twisted's sense; without channel binding ("n,,")."""

    def __init__(self, name: str, user: str, password: str, nonce: Callable[[], str] = secrets.token_urlsafe) -> None:
        self.name = name
        self._hash = MECHANISMS[name]
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._nonce = nonce()
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._first = f"n={escaped},r={self._nonce}"
        self._server_signature: bytes | None = None
        self._proven = False

    def getInitialResponse(self) -> bytes:
        """The client-first-message."""
        return f"n,,{self._first}".encode()

    def getResponse(self, challenge: bytes) -> bytes:
        """The client-final-message; nothing where the challenge is the server's proof.

        Raises:
            ScramRefused: the challenge cannot be answered.
        """
        if self._server_signature is not None:
            self.verify(challenge)
            return b""
        fields = _fields(challenge)
        nonce, rounds = fields.get("r", ""), fields.get("i", "")
        if not nonce.startswith(self._nonce) or nonce == self._nonce or "m" in fields or not rounds.isdigit():
            raise ScramRefused("the challenge is not one for us")
        if not 1 <= int(rounds) <= _MAX_ROUNDS:
            raise ScramRefused(f"{rounds} rounds of hashing are not reasonable")
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, b64decode(fields["s"]), int(rounds))
        client_key = hmac.digest(salted, b"Client Key", self._hash)
        bare = f"c=biws,r={nonce}"
        signed = f"{self._first},{challenge.decode()},{bare}".encode()
        signature = hmac.digest(hashlib.new(self._hash, client_key).digest(), signed, self._hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = hmac.digest(hmac.digest(salted, b"Server Key", self._hash), signed, self._hash)
        return f"{bare},p={b64encode(proof).decode()}".encode()

    def verify(self, success: bytes) -> None:
        """Check the server-final-message.

        Raises:
            ScramRefused: the server could not prove that it knows the password.
        """
        if self._proven and not success:
            return
        given = _fields(success).get("v", "")
        if self._server_signature is None or not hmac.compare_digest(given.encode(), b64encode(self._server_signature)):
            raise ScramRefused("the server did not prove that it knows the password")
        self._proven = True


class SecureSASL(sasl.SASLInitiatingInitializer):  # type: ignore[misc]
    """Twisted's SASL step, which prefers SCRAM."""

    def setMechanism(self) -> None:
        """Choose the best mechanism that both sides know."""
        offered = sasl.get_mechanisms(self.xmlstream)
        account = self.xmlstream.authenticator
        for name in MECHANISMS:
            if name in offered:
                self.mechanism = Scram(name, account.jid.user, account.password)
                return
        super().setMechanism()

    def onChallenge(self, element: Any) -> None:
        """Answer; a challenge that makes no sense ends the login instead of leaving it hanging."""
        try:
            super().onChallenge(element)
        except (ScramRefused, ValueError, KeyError) as trouble:
            self._end(trouble)

    def onSuccess(self, success: Any) -> None:
        """Believe in success only once the server has proved itself (RFC 5802 section 5)."""
        if isinstance(self.mechanism, Scram):
            try:
                self.mechanism.verify(sasl.fromBase64(str(success)))
            except (ScramRefused, ValueError, sasl.SASLError) as trouble:
                self._end(trouble)
                return
        super().onSuccess(success)

    def _end(self, trouble: Exception) -> None:
        if self._deferred is not None and not self._deferred.called:
            self._deferred.errback(ScramRefused(str(trouble)))


class SecureAuthInitializer(CheckAuthInitializer):  # type: ignore[misc]
    """wokkel's choice of the steps after TLS, with our SASL; the old non-SASL login is not offered at all."""

    def initialize(self) -> None:
        """Append the steps. Raises SASLNoAcceptableMechanism."""
        if (sasl.NS_XMPP_SASL, "mechanisms") not in self.xmlstream.features:
            raise sasl.SASLNoAcceptableMechanism
        self.xmlstream.initializers += [
            SecureSASL(self.xmlstream, required=True),
            client.BindInitializer(self.xmlstream, required=True),
            client.SessionInitializer(self.xmlstream, required=False),
        ]


def _fields(message: bytes) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in message.decode("utf-8").split(","))
