"""A rule set made ready for the parser: an index over its conditions, made once a version. Pure.

Each rule is found by its most telling condition (its words; else hashtags, first word, pattern, named records, sender)
and only then asked for the others, so a message costs a walk over its words, however many rules there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo

import msgspec

from msgserver.formats.linear import Patterns
from msgserver.formats.stems import stems
from msgserver.formats.tokens import phrase
from msgserver.records import Find, Rule, RuleSet
from msgserver.routing.names import Names


class Phrase(msgspec.Struct, frozen=True):
    """One of the words or phrases of a rule; ``rule`` is its place in the compiled order."""

    rule: int
    tokens: tuple[str, ...]
    written: str
    open: bool  # the last token is only a beginning: a single sign of a script that is cut into pairs
    whole: tuple[str, ...]  # the tokens with their endings

    def at(self, text: Sequence[str], place: int) -> bool:
        """Whether the phrase stands in a text from this token on."""
        tokens = self.tokens
        found = text[place : place + len(tokens)]
        if not self.open:
            return tuple(found) == tokens
        return len(found) == len(tokens) and tuple(found[:-1]) == tokens[:-1] and found[-1].startswith(tokens[-1])


class PhraseIndex(msgspec.Struct, frozen=True):
    """Phrases by their first token; ``signs``: single signs, by that sign."""

    phrases: dict[str, tuple[Phrase, ...]]
    signs: dict[str, tuple[Phrase, ...]]


class Compiled(msgspec.Struct, frozen=True):
    """A rule set made ready; ``parse`` alone looks inside. ``zone`` None: that of the machine."""

    version: int
    rules: tuple[Rule, ...]
    words: dict[str, PhraseIndex]  # by language; "": as they are written
    prefixes: dict[str, tuple[Phrase, ...]]  # by first token
    first_words: dict[int, tuple[Phrase, ...]]  # rules with a prefix: it
    hashtags: dict[str, tuple[int, ...]]
    patterns: Patterns
    pattern_rules: tuple[int, ...]  # whose each pattern is
    by_pattern: frozenset[int]  # rules that are found by their pattern
    by_name: tuple[int, ...]  # rules that are found by a record's name
    name_resources: frozenset[str]  # types whose names are looked for in running text
    senders: dict[str, tuple[int, ...]]  # rules with a whole address, without words and prefix
    tails: dict[str, tuple[int, ...]]  # rules with a sender of the kind *@host, by what follows the star
    tail_lengths: tuple[int, ...]
    loose: tuple[int, ...]  # the others: looked at one by one
    names: Names
    zone: tzinfo | None = None
    region: str = ""  # the country of phone numbers that name none

    @property
    def looks_up(self) -> bool:
        """Whether any rule looks for records by what they are called."""
        return any(rule.find for rule in self.rules)


class _Index:
    """What is gathered, rule by rule."""

    def __init__(self) -> None:
        self.words: dict[str, tuple[dict[str, list[Phrase]], dict[str, list[Phrase]]]] = {}
        self.prefixes: dict[str, list[Phrase]] = {}
        self.hashtags: dict[str, list[int]] = {}
        self.by_pattern: list[int] = []
        self.by_name: list[int] = []
        self.senders: dict[str, list[int]] = {}
        self.tails: dict[str, list[int]] = {}
        self.loose: list[int] = []

    def put(self, place: int, rule: Rule) -> None:
        """Put a rule under its most telling condition; one without any never matches."""
        sender = folded(rule.sender)
        if rule.words:
            phrases, signs = self.words.setdefault(rule.stem, ({}, {}))
            for made in written_phrases(place, rule.words, rule.stem):
                lone = made.open and len(made.tokens) == 1
                (signs if lone else phrases).setdefault(made.tokens[0], []).append(made)
        elif rule.hashtags:
            for hashtag in rule.hashtags:
                self.hashtags.setdefault(plain_hashtag(hashtag), []).append(place)
        elif rule.prefix:
            for made in written_phrases(place, (rule.prefix,)):
                self.prefixes.setdefault(made.tokens[0], []).append(made)
        elif rule.pattern:
            self.by_pattern.append(place)
        elif rule.find is Find.NAME:
            self.by_name.append(place)
        elif sender and "*" not in sender:
            self.senders.setdefault(sender, []).append(place)
        elif sender.startswith("*") and sender.count("*") == 1:
            self.tails.setdefault(sender[1:], []).append(place)
        elif sender or rule.connector or rule.holds or rule.doubted or timed(rule):
            self.loose.append(place)


def compile_rules(
    rule_set: RuleSet, names: Names | None = None, zone: tzinfo | None = None, region: str = ""
) -> Compiled:
    """Index a rule set. Rules that name no condition at all never match."""
    rules = sorted((rule for rule in rule_set.rules if rule.active), key=_specific)
    index = _Index()
    for place, rule in enumerate(rules):
        index.put(place, rule)
    patterned = [place for place, rule in enumerate(rules) if rule.pattern]
    return Compiled(
        version=rule_set.version,
        rules=tuple(rules),
        words={
            language: PhraseIndex(_frozen(phrases), _frozen(signs))
            for language, (phrases, signs) in index.words.items()
        },
        prefixes=_frozen(index.prefixes),
        first_words={
            place: tuple(written_phrases(place, (rule.prefix,))) for place, rule in enumerate(rules) if rule.prefix
        },
        hashtags={hashtag: tuple(places) for hashtag, places in index.hashtags.items()},
        patterns=Patterns([rules[place].pattern for place in patterned]),
        pattern_rules=tuple(patterned),
        by_pattern=frozenset(index.by_pattern),
        by_name=tuple(index.by_name),
        name_resources=frozenset(rule.resource for rule in rules if rule.find is Find.NAME),
        senders={address: tuple(places) for address, places in index.senders.items()},
        tails={tail: tuple(places) for tail, places in index.tails.items()},
        tail_lengths=tuple(sorted(set(map(len, index.tails)))),
        loose=tuple(index.loose),
        names=names if names is not None else Names(),
        zone=zone,
        region=region,
    )


def conditions(rule: Rule) -> int:
    """How many conditions a rule names."""
    named = (rule.words, rule.prefix, rule.hashtags, rule.pattern, rule.sender, rule.connector, rule.doubted)
    return sum(map(bool, named)) + len(rule.holds) + timed(rule) + (rule.find is Find.NAME)


def timed(rule: Rule) -> bool:
    """Whether a rule holds at some times only."""
    return rule.from_minute is not None or rule.until_minute is not None or bool(rule.days)


def written_phrases(place: int, written: Iterable[str], language: str = "") -> Iterable[Phrase]:
    """Words or phrases of a rule as tokens."""
    for words in written:
        split, beginning = phrase(words)
        if split:
            yield Phrase(place, stems(split, language) if language else split, words.strip(), beginning, split)


def plain_hashtag(written: str) -> str:
    """A hashtag as texts are searched for it."""
    return written.strip().lstrip("#＃").casefold()


def folded(pattern: str) -> str:
    """A sender pattern as it is compared."""
    return pattern.strip().lower()


def _specific(rule: Rule) -> tuple[int, int, int]:
    return (-conditions(rule), rule.position, rule.id)


def _frozen(index: dict[str, list[Phrase]]) -> dict[str, tuple[Phrase, ...]]:
    return {token: tuple(phrases) for token, phrases in index.items()}
