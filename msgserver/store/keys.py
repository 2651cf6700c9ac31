"""How secret keys are kept: as their SHA-256, so that who reads the database cannot log in with what it holds."""

from __future__ import annotations

import hashlib


def hashed(key: str) -> str:
    """A session's, token's or setup link's key (at least 128 random bits, made by the caller) as it is kept."""
    return hashlib.sha256(key.encode()).hexdigest()
