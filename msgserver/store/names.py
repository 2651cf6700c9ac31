"""Finding people and records by the beginnings of words: of their names, aliases, codes and addresses.

Each word is a row of ``name_word``, folded as everywhere (``formats.tokens``), under the place it belongs to: so what
somebody types is a range of an index, whatever the script and however many names there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, false, func, select

from msgserver.formats.phones import ways_to_write
from msgserver.formats.tokens import tokens
from msgserver.store import bulk
from msgserver.store.schema import name_word

ENTITY = "entity"
_MOST = 40  # words kept of one name
_LAST = "\U0010ffff"  # sorts behind every word that begins alike


def place_of(resource: str) -> str:
    """Where the words of a resource type's records are kept."""
    return f"resource/{resource}"


def words_of(*texts: str, code: str = "") -> list[str]:
    """The words under which something with these names is found; a code also as one word ("site-12": "site12")."""
    found = dict.fromkeys(word for text in texts for word in tokens(text))
    whole = tokens(code)
    found |= dict.fromkeys([*whole, "".join(whole)] if whole else ())
    return list(found)[:_MOST]


def words_of_address(address: str) -> list[str]:
    """The words of an address; of a phone number its digits as they may be dialled."""
    scheme, _, value = address.partition(":")
    if scheme in ("sms", "tel") and value.startswith("+"):
        return list(ways_to_write(value))
    return list(dict.fromkeys((*tokens(value), value.lower())))


def put(tx: Connection, place: str, number: int, words: Iterable[str]) -> None:
    """See that something is found by exactly these words."""
    drop(tx, place, number)
    put_all(tx, place, [(number, word) for word in words])


def put_all(tx: Connection, place: str, words: Sequence[tuple[int, str]]) -> None:
    """Add words of many at once."""
    rows = [(place, word, number) for number, word in words]
    bulk.insert_rows(tx, name_word, ("place", "word", "id"), rows, skip_existing=True)


def drop(tx: Connection, place: str, number: int) -> None:
    """Let it be found no more."""
    tx.execute(delete(name_word).where(name_word.c.id == number, name_word.c.place == place))


def asked(query: str) -> list[str]:
    """What somebody typed as beginnings of words, the longest first."""
    bare = query.strip().lower()
    if "@" in bare and " " not in bare:
        return [bare.partition(":")[2] if bare.startswith(("mailto:", "xmpp:")) else bare]
    digits = "".join(sign for sign in bare if sign.isalnum())
    if digits.isdigit() and len(digits) >= 4:
        return [digits]
    return sorted(dict.fromkeys(tokens(query)), key=len, reverse=True)[:5]


def _beginning(places: Sequence[str], word: str) -> ColumnElement[bool]:
    row = name_word.c
    word = bulk.clean(word)
    return and_(row.place.in_(places), row.word >= word, row.word < word + _LAST)


def found_by(places: Sequence[str], query: str, number: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether each word of a query begins a word of the one with this id; false where the query has no words."""
    words = asked(query)
    if not words:
        return false()
    return and_(*(number.in_(select(name_word.c.id).where(_beginning(places, word))) for word in words))


def holding(place: str, code: str) -> Select[tuple[int]]:
    """The ids of those that have a code's letters and digits as one word."""
    word = "".join(tokens(code))
    return select(name_word.c.id).where(name_word.c.place == place, name_word.c.word == word)


def candidates(places: Sequence[str], query: str, limit: int) -> Select[tuple[int]] | None:
    """The ids of at most so many whose words begin as the query's do, in no order; None where it has no words."""
    words = asked(query)
    if not words:
        return None
    rows = select(name_word.c.id).where(_beginning(places, words[0]))
    for word in words[1:]:
        again = name_word.alias()
        begins = and_(again.c.place == name_word.c.place, again.c.word >= word, again.c.word < word + _LAST)
        rows = rows.where(select(again.c.id).where(again.c.id == name_word.c.id, begins).exists())
    return rows.limit(limit)


_FEW = 600  # ids that are looked up one by one; where more are found, a page is soon full of them
_COUNTED = 20_000  # names that are counted to find a query's rarest word


def _rarest(tx: Connection, places: Sequence[str], query: str) -> tuple[list[str], int]:
    """The words of a query, the rarest beginning first, and how many names have it (``_COUNTED``: or more)."""
    words = asked(query)
    counted = []
    for word in words:
        some = select(name_word.c.id).where(_beginning(places, word)).limit(_COUNTED).subquery()
        counted.append((tx.scalar(select(func.count()).select_from(some)) or 0, word))
    counted.sort()
    return [word for _, word in counted], counted[0][0] if counted else 0


def _has(places: Sequence[str], word: str, number: ColumnElement[int]) -> ColumnElement[bool]:
    again, word = name_word.alias(), bulk.clean(word)
    within = (again.c.place.in_(places), again.c.word >= word, again.c.word < word + _LAST)
    return select(again.c.id).where(again.c.id == number, *within).exists()


def _holders(places: Sequence[str], words: Sequence[str], limit: int) -> Select[tuple[int]]:
    """The ids of at most so many (some perhaps twice) whose words begin as all of these do."""
    rows = select(name_word.c.id).where(_beginning(places, words[0]))
    return rows.where(*(_has(places, word, name_word.c.id) for word in words[1:])).limit(limit)


def matching(tx: Connection, places: Sequence[str], query: str, number: ColumnElement[int]) -> ColumnElement[bool]:
    """As :func:`found_by`, planned by how many there are: few are fetched, many are met soon where one looks."""
    words, count = _rarest(tx, places, query)
    if not words:
        return false()
    if count <= _FEW or len(words) > 1:
        ids = list(tx.scalars(_holders(places, words, _FEW + 1)))
        if len(ids) <= _FEW:
            return number.in_(list(dict.fromkeys(ids)))
    return and_(*(_has(places, word, number) for word in words))


def likely(tx: Connection, places: Sequence[str], query: str, limit: int) -> list[int]:
    """The ids of at most so many whose words begin as the query's do, in no order."""
    words, _count = _rarest(tx, places, query)
    return list(dict.fromkeys(tx.scalars(_holders(places, words, limit)))) if words else []
