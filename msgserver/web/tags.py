"""How people write tags: ``flood`` is a word of their own, ``site/17`` a record of a resource type."""

from __future__ import annotations

WORD = "tag"  # the resource under which tags that are just words are kept


def read_tag(words: str) -> tuple[str, str]:
    """A tag as resource and record; both empty where nothing is written."""
    words = " ".join(words.split()).lstrip("#")[:200]
    resource, slash, record = words.partition("/")
    if slash and resource.strip() and record.strip():
        return resource.strip().lower(), record.strip()
    return (WORD, words.casefold()) if words else ("", "")
