"""What rules should know of the reserved words, which win over every rule (``formats.reserved``). Pure."""

from __future__ import annotations

from msgserver.formats.reserved import Choice, listen, reserved
from msgserver.records import Rule

_MEANS = {
    Choice.STOP: 'whoever writes "{word}" wants no more messages: the hub obeys, and no rule sees it',
    Choice.START: 'whoever writes "{word}" wants messages again: the hub obeys, and no rule sees it',
    Choice.HELP: 'whoever writes "{word}" and nothing else also gets the hub\'s answer to HELP',
}


def conflicts(rule: Rule) -> tuple[str, ...]:
    """Where a rule waits for what it will not see, or is not alone with: a sentence for each of its words."""
    found = {}
    for words in (*rule.words, *filter(None, [rule.prefix])):
        means = reserved(words)
        if means.choice:
            found[words] = _sentence(means.choice, words.strip(), listen(f"{words} and so on").flagged)
    return tuple(found.values())


def _sentence(choice: Choice, word: str, leading: bool) -> str:
    said = _MEANS[choice].format(word=word)
    if choice is Choice.HELP:
        return f"{said}."
    if leading:
        return f"{said}, as of every text of up to three words that begins so."
    return f"{said}, unless more words stand beside it."
