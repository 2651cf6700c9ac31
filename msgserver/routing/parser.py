"""What the rules make of a message: tags, routes, priority and the like, each with its why. Pure.

``compile_rules`` turns a rule set into an index once a version; ``parse`` then costs a walk over the words of the
message, however many rules there are. A rule matches when every condition it names holds; all rules that match act,
the most specific first: more conditions before fewer, longer phrases before shorter, then the order people gave them.
Words are what the house's tokeniser makes of text, so a rule written "EAU" finds "l'eau", in any script.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from msgserver.formats.tokens import phrase
from msgserver.message import Address
from msgserver.records import PlannedTag, Priority, Rule, RuleSet


class Words(msgspec.Struct, frozen=True):
    """A message as the parser sees it: the tokens of its subject and of what is new in its body."""

    subject: Sequence[str] = ()
    body: Sequence[str] = ()
    sender: Address | None = None
    connector: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be done; ``why`` has a line for each rule that matched."""

    tags: tuple[PlannedTag, ...] = ()
    routes: tuple[int, ...] = ()
    priority: Priority = Priority.NORMAL
    actionable: bool | None = None
    spam: bool = False
    why: tuple[str, ...] = ()


class _Phrase(msgspec.Struct, frozen=True):
    """One of the words or phrases of a rule; ``rule`` is its place in the compiled order."""

    rule: int
    tokens: tuple[str, ...]
    written: str
    open: bool  # the last token is only a beginning: a single sign of a script that is cut into pairs

    def at(self, text: Sequence[str], place: int) -> bool:
        """Whether the phrase stands in a text from this token on."""
        tokens = self.tokens
        found = text[place : place + len(tokens)]
        if not self.open:
            return tuple(found) == tokens
        return len(found) == len(tokens) and tuple(found[:-1]) == tokens[:-1] and found[-1].startswith(tokens[-1])


class Compiled(msgspec.Struct, frozen=True):
    """A rule set made ready; ``parse`` alone looks inside."""

    version: int
    rules: tuple[Rule, ...]
    phrases: dict[str, tuple[_Phrase, ...]]  # by first token
    signs: dict[str, tuple[_Phrase, ...]]  # single signs, by that sign
    prefixes: dict[str, tuple[_Phrase, ...]]  # by first token
    senders: dict[str, tuple[int, ...]]  # rules with a whole address, without words and prefix
    tails: dict[str, tuple[int, ...]]  # rules with a sender of the kind *@host, by what follows the star
    tail_lengths: tuple[int, ...]
    loose: tuple[int, ...]  # the others that name a sender or a connector: looked at one by one


def compile_rules(rule_set: RuleSet) -> Compiled:
    """Index a rule set. Rules that name no condition at all never match."""
    rules = sorted((rule for rule in rule_set.rules if rule.active), key=_specific)
    phrases: dict[str, list[_Phrase]] = {}
    signs: dict[str, list[_Phrase]] = {}
    prefixes: dict[str, list[_Phrase]] = {}
    senders: dict[str, list[int]] = {}
    tails: dict[str, list[int]] = {}
    loose: list[int] = []
    for place, rule in enumerate(rules):
        if rule.words:
            for made in _phrases(place, rule.words):
                lone = made.open and len(made.tokens) == 1
                (signs if lone else phrases).setdefault(made.tokens[0], []).append(made)
        elif rule.prefix:
            for made in _phrases(place, (rule.prefix,)):
                prefixes.setdefault(made.tokens[0], []).append(made)
        elif rule.sender and "*" not in rule.sender:
            senders.setdefault(_folded(rule.sender), []).append(place)
        elif rule.sender.startswith("*") and rule.sender.count("*") == 1:
            tails.setdefault(_folded(rule.sender)[1:], []).append(place)
        elif rule.sender or rule.connector:
            loose.append(place)
    return Compiled(
        version=rule_set.version,
        rules=tuple(rules),
        phrases=_frozen(phrases),
        signs=_frozen(signs),
        prefixes=_frozen(prefixes),
        senders={address: tuple(places) for address, places in senders.items()},
        tails={tail: tuple(places) for tail, places in tails.items()},
        tail_lengths=tuple(sorted(set(map(len, tails)))),
        loose=tuple(loose),
    )


def parse(words: Words, compiled: Compiled) -> Decision:
    """Decide. Never raises for any words; takes time linear in them."""
    reasons = _candidates(words, compiled)
    if not reasons:
        return Decision()
    tags: dict[tuple[str, str], PlannedTag] = {}
    routes: dict[int, None] = {}
    priority: Priority | None = None
    actionable: bool | None = None
    spam = False
    why: list[str] = []
    order = sorted(reasons, key=lambda place: (-_conditions(compiled.rules[place]), -reasons[place][1], place))
    for place in order:
        rule = compiled.rules[place]
        more = _other_conditions(rule, words)
        if more is None:
            continue
        said = f'rule "{rule.name}": ' + ", ".join([*filter(None, [reasons[place][0]]), *more])
        why.append(said)
        if rule.resource:
            tags.setdefault(
                (rule.resource, rule.record), PlannedTag(rule.resource, rule.record, rule_id=rule.id, why=said)
            )
        if rule.entity_id is not None:
            routes.setdefault(rule.entity_id)
        priority = rule.priority if priority is None else priority
        actionable = rule.actionable if actionable is None else actionable
        spam = spam or rule.spam
        if rule.stop:
            break
    return Decision(
        tags=tuple(tags.values()),
        routes=tuple(routes),
        priority=Priority.NORMAL if priority is None else priority,
        actionable=actionable,
        spam=spam,
        why=tuple(why),
    )


def matches(pattern: str, address: Address | None) -> bool:
    """Whether a sender pattern fits: an address, bare or with its scheme, where ``*`` stands for any characters."""
    if address is None:
        return False
    folded = _folded(pattern)
    return _glob(folded, str(address).lower()) or _glob(folded, address.value.lower())


def _candidates(words: Words, compiled: Compiled) -> dict[int, tuple[str, int]]:
    """Rules whose main condition holds: place -> (why, tokens in the longest phrase that was found)."""
    found: dict[int, tuple[str, int]] = {}
    for text, place in ((words.subject, "subject: "), (words.body, "")):
        _find_phrases(text, place, compiled, found)
        for made in compiled.prefixes.get(text[0], ()) if text else ():
            if made.at(text, 0):
                found.setdefault(made.rule, (f'first word "{made.written}"', len(made.tokens)))
    if words.sender is not None and compiled.senders:
        for key in (str(words.sender).lower(), words.sender.value.lower()):
            found.update(dict.fromkeys(compiled.senders.get(key, ()), ("", 0)))
    if words.sender is not None and compiled.tails:
        whole = str(words.sender).lower()
        for length in compiled.tail_lengths:
            tail = whole[len(whole) - length :] if length <= len(whole) else None
            found.update(dict.fromkeys(compiled.tails.get(tail, ()) if tail is not None else (), ("", 0)))
    found.update(dict.fromkeys(compiled.loose, ("", 0)))
    return found


def _find_phrases(text: Sequence[str], place: str, compiled: Compiled, found: dict[int, tuple[str, int]]) -> None:
    phrases, signs = compiled.phrases, compiled.signs
    if not phrases and not signs:
        return
    for at, token in enumerate(text):
        if token in phrases or (signs and token[0] in signs):
            for made in (*phrases.get(token, ()), *signs.get(token[0], ())):
                length = len(made.tokens)
                if (made.rule not in found or found[made.rule][1] < length) and made.at(text, at):
                    kind = "word" if " " not in made.written else "words"
                    found[made.rule] = (f'{place}{kind} "{made.written}"', length)


def _other_conditions(rule: Rule, words: Words) -> list[str] | None:
    """The further conditions of a rule, in words; None where one does not hold."""
    said = []
    if rule.prefix and rule.words:
        if not any(made.at(text, 0) for made in _phrases(0, (rule.prefix,)) for text in (words.body, words.subject)):
            return None
        said.append(f'first word "{rule.prefix}"')
    if rule.sender:
        if not matches(rule.sender, words.sender):
            return None
        said.append(f"sender {rule.sender}")
    if rule.connector:
        if rule.connector != words.connector:
            return None
        said.append(f"came by {rule.connector}")
    return said


def _conditions(rule: Rule) -> int:
    return bool(rule.words) + bool(rule.prefix) + bool(rule.sender) + bool(rule.connector)


def _specific(rule: Rule) -> tuple[int, int, int]:
    return (-_conditions(rule), rule.position, rule.id)


def _phrases(place: int, written: Iterable[str]) -> Iterable[_Phrase]:
    for words in written:
        split, beginning = phrase(words)
        if split:
            yield _Phrase(place, split, words.strip(), beginning)


def _frozen(index: dict[str, list[_Phrase]]) -> dict[str, tuple[_Phrase, ...]]:
    return {token: tuple(phrases) for token, phrases in index.items()}


def _folded(pattern: str) -> str:
    return pattern.strip().lower()


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
