"""Passwords: argon2id (RFC 9106), computed off the reactor and few at a time, so that logins cannot starve the hub."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import DeferredSemaphore

SHORTEST = 10  # characters
LONGEST = 1024

# RFC 9106 section 4 leaves the figures to the machine: 32 MiB and three passes take 60 ms on a Raspberry Pi 5.
_argon2 = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_nobody = ""


def weakness(password: str, name: str = "") -> str:
    """Say what is wrong with a new password, in words; empty: nothing (NIST SP 800-63B section 5.1.1.2)."""
    if len(password) < SHORTEST:
        return f"It is too short: take at least {SHORTEST} characters. A few words in a row are easy to remember."
    if len(password) > LONGEST:
        return f"It is too long: at most {LONGEST} characters."
    if len(set(password)) < 4 or (name and password.strip().casefold() == name.strip().casefold()):
        return "It is too easy to guess. A few words in a row are easy to remember."
    return ""


def hash_password(password: str) -> str:
    """Hash a password at once, in the calling thread: for the command line and for threads."""
    return _argon2.hash(password)


def password_matches(stored: str, password: str) -> bool:
    """Compare in the calling thread. An empty ``stored`` takes as long as a real one and never matches."""
    global _nobody  # noqa: PLW0603
    if not stored and not _nobody:
        _nobody = _argon2.hash(secrets.token_urlsafe(32))
    try:
        return _argon2.verify(stored or _nobody, password) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


class Passwords:
    """Hashes and compares off the reactor, at most ``at_once`` at a time; the rest wait their turn.

    ``in_thread(f, *args)`` runs a function in one of the reactor's threads.
    """

    def __init__(self, in_thread: Callable[..., Any], at_once: int = 2) -> None:
        self._in_thread = in_thread
        self._turns = DeferredSemaphore(at_once)

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        hashed: str = await self._turns.run(self._in_thread, hash_password, password)
        return hashed

    async def match(self, stored: str, password: str) -> bool:
        """Whether the password is the stored one; takes the same time where there is none (``stored`` empty)."""
        if len(password) > LONGEST:
            password = ""
        matched: bool = await self._turns.run(self._in_thread, password_matches, stored, password)
        return matched
