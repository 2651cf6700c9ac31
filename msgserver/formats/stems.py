"""Words without their endings, so that "tents" finds "tent": Snowball's stemmers over folded words. Pure.

Both sides of a comparison are folded (``formats.tokens``) and then stemmed, so accents make no difference here either.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import snowballstemmer

LANGUAGES: tuple[str, ...] = tuple(sorted(set(snowballstemmer.algorithms()) - {"porter", "dutch_porter"}))


def stem(word: str, language: str) -> str:
    """A folded word without its ending; as it is where the language is none of ``LANGUAGES``."""
    return _stem(word, language)


def stems(words: Sequence[str], language: str) -> tuple[str, ...]:
    """Folded words without their endings, in their order."""
    return tuple([_stem(word, language) for word in words])


@lru_cache(20_000)
def _stem(word: str, language: str) -> str:
    found = _stemmer(language)
    return word if found is None else str(found.stemWord(word)) or word


@cache
def _stemmer(language: str) -> Any:
    return snowballstemmer.stemmer(language) if language in LANGUAGES else None
