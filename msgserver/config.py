"""TOML to typed settings; every mistake with its table, key and a hint. Imports nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path


class Secret:
    """A word that is never shown: ``{ file = "..." }`` or ``{ env = "..." }`` in the configuration."""

    __slots__ = ("_word",)

    def __init__(self, word: str) -> None:
        self._word = word

    @classmethod
    def from_file(cls, path: Path) -> Secret:
        """Read a file; one trailing line end is not part of the secret."""
        return cls(path.read_text().removesuffix("\n"))

    @classmethod
    def from_env(cls, name: str) -> Secret:
        """Read an environment variable."""
        return cls(os.environ[name])

    def reveal(self) -> str:
        """The word itself, for the wire only."""
        return self._word

    def __repr__(self) -> str:
        return "****"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._word == self._word

    def __hash__(self) -> int:
        return hash(self._word)
