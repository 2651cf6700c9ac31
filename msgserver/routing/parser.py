"""What the rules make of a message: tags, routes, priority and the like, each with its why. Pure.

``compile_rules`` turns a rule set into an index once a version; ``parse`` then costs a walk over the words of the
message, however many rules there are. A rule matches when every condition it names holds; all rules that match act,
the most specific first: more conditions before fewer, longer phrases before shorter, then the order people gave them.
Words are what the house's tokeniser makes of text, so a rule written "EAU" finds "l'eau", in any script. After the
rules come what plug-in parsers suggest, and what the text names by itself: ``@code`` is a record, ``#word`` a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property

import msgspec

from msgserver.formats.extract import codes, extract, hashtags, positions
from msgserver.formats.search import KEYWORD
from msgserver.formats.stems import stems
from msgserver.message import Address
from msgserver.records import Find, Holds, PlannedTag, Rule
from msgserver.routing.decision import Decision, Growing, Match, Suggestion, Words
from msgserver.routing.names import Call
from msgserver.routing.ruleset import (
    Compiled,
    Phrase,
    PhraseIndex,
    compile_rules,
    conditions,
    folded,
    plain_hashtag,
    timed,
)

__all__ = ["Compiled", "Decision", "Match", "Suggestion", "Words", "compile_rules", "matches", "parse"]

STEMMED = 0.9  # confidence of a tag by another ending of a word
SPOKEN = 0.8  # by a record's name in running text
ALIKE = 0.5  # by a name that several records have
NOT_FOUND = 0.5  # by a first word that wants a record and none is called so
MOST_HASHTAGS = 10  # of one message that become tags by themselves
_PROVEN = frozenset({"sms", "tel", "xmpp", "x"})  # whose network says who writes; anybody can write a From: line


class _Reason(msgspec.Struct, frozen=True):
    """Why a rule's main condition holds; ``length`` in tokens of the phrase that was found."""

    words: str = ""
    length: int = 0
    confidence: float = 1.0


_NAMED = _Reason()
_NAMES = {Holds.POSITION: "it names the position", Holds.PHONE: "it names the number"}


def parse(words: Words, compiled: Compiled, suggestions: Sequence[Suggestion] = ()) -> Decision:
    """Decide. Never raises for any words; takes time linear in them."""
    seen = _Seen(words, compiled)
    reasons = _candidates(seen)
    growing = Growing()
    rules = compiled.rules
    for place in sorted(reasons, key=lambda at: (-conditions(rules[at]), -reasons[at].length, at)):
        rule, reason = rules[place], reasons[place]
        more = _other_conditions(place, rule, seen)
        if more is None:
            continue
        records, said = _looked_up(place, rule, seen)
        why = ", ".join([*filter(None, [reason.words]), *more, *said])
        growing.act(rule, why, reason.confidence, records, rule.verified and seen.believed())
        if growing.stopped:
            break
    if not growing.stopped:
        for suggestion in suggestions:
            growing.suggest(suggestion)
        if not growing.spam:
            _what_names_itself(seen, growing)
    return growing.decision()


def matches(pattern: str, address: Address | None) -> bool:
    """Whether a sender pattern fits: an address, bare or with its scheme, where ``*`` stands for any characters."""
    if address is None:
        return False
    wanted = folded(pattern)
    return _glob(wanted, str(address).lower()) or _glob(wanted, address.value.lower())


# What is looked at ------------------------------------------------------------------------------------------------


class _Seen:
    """A message and what was found out about it so far; what no rule asks for is not worked out."""

    def __init__(self, words: Words, compiled: Compiled) -> None:
        self.words = words
        self.compiled = compiled
        self.hashtags = hashtags(words.text) if words.text else ()
        self.patterns: dict[int, str] = {}  # rule -> what its pattern found
        if compiled.pattern_rules and words.text:
            for hit in compiled.patterns.search(words.text):
                self.patterns[compiled.pattern_rules[hit.place]] = hit.text
        self._spoken: list[list[Call]] | None = None
        self._minute: tuple[int, int] | None = None
        self._held: dict[Holds, str] = {}

    @cached_property
    def subject(self) -> list[str]:
        """Its words, each by itself."""
        return self.words.subject.split()

    @cached_property
    def body(self) -> list[str]:
        """The words of what is new in it."""
        return self.words.body.split()

    def names(self, kind: Holds) -> str:
        """The first thing of a kind that the text names, as it is written; "" where there is none."""
        if kind not in self._held:
            text = self.words.text
            if kind == Holds.POSITION:
                found = positions(text)
                self._held[kind] = found[0].written if found else ""
            else:
                self._held[kind] = next(iter(extract(text, self.compiled.region).phones), "")
        return self._held[kind]

    @property
    def spoken(self) -> list[list[Call]]:
        """Records whose names stand in the text."""
        if self._spoken is None:
            names, resources = self.compiled.names, self.compiled.name_resources
            self._spoken = [*names.spoken_of(self.subject, resources), *names.spoken_of(self.body, resources)]
        return self._spoken

    @property
    def minute(self) -> tuple[int, int]:
        """When it came, where the hub is: weekday (0 is Monday) and minutes after midnight."""
        if self._minute is None:
            local = datetime.fromtimestamp(self.words.at, UTC).astimezone(self.compiled.zone)
            self._minute = (local.weekday(), local.hour * 60 + local.minute)
        return self._minute

    def believed(self) -> bool:
        """Whether the sender is who the address says."""
        sender = self.words.sender
        return sender is not None and (bool(self.words.trust) or sender.scheme in _PROVEN)


def _candidates(seen: _Seen) -> dict[int, _Reason]:
    """Rules whose main condition holds, by their place, and why it does."""
    words, compiled = seen.words, seen.compiled
    found: dict[int, _Reason] = {}
    if compiled.words or compiled.prefixes:
        _find_words(seen.subject, "subject: ", compiled, found)
        _find_words(seen.body, "", compiled, found)
    for hashtag in seen.hashtags if compiled.hashtags else ():
        reason = _Reason(f"hashtag #{hashtag}", 1)
        for rule in (*compiled.hashtags.get(hashtag, ()), *compiled.hashtags.get("*", ())):
            found.setdefault(rule, reason)
    for rule, text in seen.patterns.items():
        if rule in compiled.by_pattern:
            found[rule] = _Reason(f'pattern found "{_short(text)}"')
    if compiled.by_name and seen.spoken:
        found.update(dict.fromkeys(compiled.by_name, _NAMED))
    if words.sender is not None and compiled.senders:
        for key in (str(words.sender).lower(), words.sender.value.lower()):
            found.update(dict.fromkeys(compiled.senders.get(key, ()), _NAMED))
    if words.sender is not None and compiled.tails:
        whole = str(words.sender).lower()
        for length in compiled.tail_lengths:
            tail = whole[len(whole) - length :] if length <= len(whole) else None
            found.update(dict.fromkeys(compiled.tails.get(tail, ()) if tail is not None else (), _NAMED))
    found.update(dict.fromkeys(compiled.loose, _NAMED))
    return found


def _find_words(text: Sequence[str], place: str, compiled: Compiled, found: dict[int, _Reason]) -> None:
    for language, index in compiled.words.items():
        _find_phrases(text, place, language, index, found)
    for made in compiled.prefixes.get(text[0], ()) if text else ():
        if made.at(text, 0):
            found.setdefault(made.rule, _Reason(f'first word "{made.written}"', len(made.tokens)))


def _find_phrases(
    text: Sequence[str], place: str, language: str, index: PhraseIndex, found: dict[int, _Reason]
) -> None:
    phrases, signs = index.phrases, index.signs
    sought = stems(text, language) if language else text
    if not signs and phrases.keys().isdisjoint(sought):  # so it is with most texts
        return
    for at, token in enumerate(sought):
        if token in phrases or (signs and token[0] in signs):
            for made in (*phrases.get(token, ()), *signs.get(token[0], ())):
                length = len(made.tokens)
                before = found.get(made.rule)
                if (before is None or before.length < length) and made.at(sought, at):
                    found[made.rule] = _phrase_found(made, place, text[at : at + length], language)


def _phrase_found(made: Phrase, place: str, text: Sequence[str], language: str) -> _Reason:
    kind = "word" if " " not in made.written else "words"
    said = f'{place}{kind} "{made.written}"'
    if not language or made.whole == tuple(text):
        return _Reason(said, len(made.tokens))
    return _Reason(f'{said} (as "{" ".join(text)}")', len(made.tokens), STEMMED)


def _other_conditions(place: int, rule: Rule, seen: _Seen) -> list[str] | None:
    """The further conditions of a rule, in words; None where one does not hold."""
    words, said = seen.words, []
    if rule.prefix and (rule.words or rule.hashtags):
        if not any(made.at(text, 0) for made in seen.compiled.first_words[place] for text in (seen.body, seen.subject)):
            return None
        said.append(f'first word "{rule.prefix}"')
    if rule.hashtags and rule.words:
        wanted = [one for one in map(plain_hashtag, rule.hashtags) if one == "*" or one in seen.hashtags]
        if not wanted or not seen.hashtags:
            return None
        said.append(f"hashtag #{seen.hashtags[0] if wanted[0] == '*' else wanted[0]}")
    if rule.pattern and place not in seen.compiled.by_pattern:
        if place not in seen.patterns:
            return None
        said.append(f'pattern found "{_short(seen.patterns[place])}"')
    if rule.find is Find.NAME and not _spoken_of(rule, seen):
        return None
    if rule.sender:
        if not matches(rule.sender, words.sender):
            return None
        said.append(f"sender {rule.sender}")
    if rule.connector:
        if rule.connector not in (words.connector, f"{words.sender.scheme}:" if words.sender is not None else ""):
            return None
        said.append(f"came by {rule.connector.rstrip(':')}")
    for kind in rule.holds:
        if not seen.names(kind):
            return None
        said.append(f"{_NAMES[kind]} {_short(seen.names(kind))}")
    if rule.doubted:
        if not words.doubt:
            return None
        said.append("its sender looks forged")
    if timed(rule):
        if not _on_time(rule, *seen.minute):
            return None
        said.append(f"came at {seen.minute[1] // 60:02d}:{seen.minute[1] % 60:02d}")
    return said


def _on_time(rule: Rule, weekday: int, minute: int) -> bool:
    """Whether a time lies in a rule's hours; those that go over midnight belong to the day they begin on."""
    begin = 0 if rule.from_minute is None else rule.from_minute
    end = 24 * 60 if rule.until_minute is None else rule.until_minute
    if begin < end:
        within = begin <= minute < end
    else:
        within = minute >= begin or minute < end
        if minute < end:
            weekday = (weekday - 1) % 7
    return within and (not rule.days or weekday in rule.days)


# Records ----------------------------------------------------------------------------------------------------------


def _looked_up(place: int, rule: Rule, seen: _Seen) -> tuple[list[tuple[str, float]], list[str]]:
    """The records that a rule was to look for, each with how sure it is meant, and what to say about it."""
    if rule.hashtags and rule.resource == KEYWORD and not rule.record:
        wanted = set(map(plain_hashtag, rule.hashtags))
        return [(one, 1.0) for one in seen.hashtags if "*" in wanted or one in wanted], []
    if rule.find is Find.NAME:
        calls = _spoken_of(rule, seen)
        found = {call.uid: ALIKE if len(alike) > 1 else SPOKEN for alike in reversed(calls) for call in alike}
        return list(found.items()), [f'it speaks of "{alike[0].written}"' for alike in calls]
    if rule.find is Find.PREFIX:
        meant = _after_prefix(place, rule, seen)
        if not meant:
            return [(rule.record, NOT_FOUND)], [f"no {rule.resource} is called what follows"]
        return [(call.uid, ALIKE if len(meant) > 1 else 1.0) for call in meant], [f'then "{meant[0].written}"']
    return [], []


def _spoken_of(rule: Rule, seen: _Seen) -> list[list[Call]]:
    return [kept for alike in seen.spoken if (kept := [call for call in alike if call.resource == rule.resource])]


def _after_prefix(place: int, rule: Rule, seen: _Seen) -> list[Call]:
    for text in (seen.body, seen.subject):
        for made in seen.compiled.first_words.get(place, ()):
            if made.at(text, 0):
                return seen.compiled.names.following(text, len(made.tokens), rule.resource)
    return []


def _what_names_itself(seen: _Seen, growing: Growing) -> None:
    """Tag with the records whose ``@code`` stands in the text, and with its ``#words``; of robots not the latter."""
    for code in codes(seen.words.text) if len(seen.compiled.names) else ():
        found = seen.compiled.names.coded(code)
        for resource, uid in found:
            growing.tag(
                PlannedTag(resource, uid, why=f"it names @{code}", confidence=1.0 if len(found) == 1 else ALIKE)
            )
    if not seen.words.robot:
        for hashtag in seen.hashtags[:MOST_HASHTAGS]:
            growing.tag(PlannedTag(KEYWORD, hashtag, why=f"hashtag #{hashtag}"))


# Small things -----------------------------------------------------------------------------------------------------


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _glob(pattern: str, text: str) -> bool:
    """Match ``*`` in time linear in both: nothing backtracks."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
