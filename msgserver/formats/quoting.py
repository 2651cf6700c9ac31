"""Where the new words of a mail end: its signature and the history it quotes, in the ways mail programs write them."""

from __future__ import annotations

import re

_MOST_LINES = 20_000
_SIGNATURE_LINES = 20

# "On Mon, 3 Nov 2025 at 10:00, Ana <ana@x.org> wrote:" in the languages people write in: the verb ends the line, or
# (German, Dutch, Scandinavian) only the name follows it.
_WROTE = re.compile(
    r"(?i)(?:\b(?:wrote|writes|a écrit|escribió|ha scritto|escreveu|napisał\(a\)|napisał|napsal\(a\)|napsal|a scris"
    r"|έγραψε|пишет|написал|написала|написав|пише|kirjoitti|írta|yazdı|menulis|đã viết|schrieb|schreef|skrev"
    r"|geschrieben)"
    r"|כתב|כתבה|كتب|写道|寫道|のメール|wrote|เขียนว่า)\s?[:：]?$"
)
_WROTE_THEN_NAME = re.compile(r"(?i)\b(?:schrieb|schreef|skrev|écrit)\s[^:]{1,100}[:：]$")
_WHEN = re.compile(r"\d{1,2}[:.h]\d{2}|\d{4}")
_WHO = re.compile(r"[^<>@\s]@[^<>@\s]")
_DATED = re.compile(r"\d{4}[-/年]\d{1,2}[-/月]\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_MARKS = frozenset("->_")  # with which a line may begin that begins history; else it has a colon
_SEPARATOR = re.compile(
    r"(?i)^[\s>]*-{2,}\s*(?:original message|forwarded message|urspr[üu]ngliche nachricht|message d'origine|"
    r"message original|mensaje original|mensagem original|messaggio originale|oorspronkelijk bericht|"
    r"oprindelig meddelelse|ursprungligt meddelande|исходное сообщение|пересылаемое сообщение|"
    r"weitergeleitete nachricht|message transféré|mensaje reenviado|原始邮件|原始郵件|original|رسالة أصلية)\s*-{2,}\s*$"
)
_FORWARD = re.compile(r"(?i)^\s*begin forwarded message\s*:\s*$")
# Outlook writes the old header as text: From: ... then Sent: or Date:, To:, Subject: within a few lines.
_FROM = re.compile(r"(?i)^[\s*>]*(?:from|von|de|da|van|från|fra|od|от|发件人|寄件者|差出人|من)\s?\*?\s*[:：]\*?\s*\S")
_SENT = re.compile(
    r"(?i)^[\s*>]*(?:sent|date|gesendet|datum|envoyé|enviado(?: el)?|enviada em|data|inviato|verzonden|skickat|sendt|"
    r"wysłano|отправлено|дата|发送时间|寄件日期|送信日時|تاريخ)\s?\*?\s*[:：]\*?\s*\S"
)
_ANY_RULE = re.compile(r"^\s*[-_=*]{5,}\s*$")
_RULE = re.compile(r"^\s*_{10,}\s*$")


def quoted_from(text: str) -> int | None:
    """The index in a text from which only a signature and quoted history follow, or None.

    What is folded there is still there. Answers written between quoted lines are not folded, nor is a text that is
    nothing but a quotation.
    """
    if "\n" not in text:
        return None
    lines = text.split("\n")[:_MOST_LINES]
    at = _history(lines)
    at = _signature(lines, len(lines) if at is None else at, at)
    at = _rule_above(lines, at) if at is not None else None
    if at is None or not any(line.strip() for line in lines[:at]):
        return None
    index = sum(len(line) + 1 for line in lines[:at])
    return index if index < len(text) else None


def _rule_above(lines: list[str], at: int) -> int:
    """The line of the rule that stands over an old mail, where there is one."""
    above = at - 1
    while above > 0 and not lines[above].strip():
        above -= 1
    return above if above > 0 and _ANY_RULE.match(lines[above]) else at


def _history(lines: list[str]) -> int | None:
    """The line at which history begins that runs to the end."""
    tail = _quoted_tail(lines)
    for index in [at for at, line in enumerate(lines) if ":" in line or "：" in line or line.lstrip()[:1] in _MARKS]:
        if tail is not None and index >= tail:
            return tail
        if len(lines[index]) <= 400 and _begins_history(lines, index):
            return index
    return tail


def _begins_history(lines: list[str], index: int) -> bool:
    """Whether everything from a line on is the old mail, not marked line by line."""
    line = lines[index]
    first = line.lstrip()[:1]
    if first in ("-", ">") and _SEPARATOR.match(line):
        return True
    if first == "_" and _RULE.match(line):
        return any(_FROM.match(after) for after in lines[index + 1 : index + 3])
    if ":" not in line and "：" not in line:
        return False
    if _old_header(lines[index : index + 5]):
        return True
    if _FORWARD.match(line):
        return True
    if not _attribution(lines, index):
        return False
    following = next((after for after in lines[index + 1 : index + 5] if after.strip()), "")
    # With marks below, only the marked run at the end is history (people answer between the lines).
    return bool(following) and not following.lstrip().startswith(">")


def _old_header(lines: list[str]) -> bool:
    """Whether lines are the header of an old mail, written as text by whoever answered it, in any order."""
    first = lines[0]
    if _FROM.match(first):
        return any(_SENT.match(line) for line in lines[1:4])
    if not _SENT.match(first):
        return False
    return any(_FROM.match(line) for line in lines[1:4]) and all(":" in line or "：" in line for line in lines[:3])


def _attribution(lines: list[str], index: int) -> int:
    """How many lines, counted up from a line, say who wrote what follows: 0, 1 or 2."""
    line = lines[index].strip()
    if not line.endswith((":", "：")) or len(line) > 300:
        return 0
    if line.endswith((">:", ">：")) and "@" in line and (_DATED.match(line) or _WHEN.search(line)):
        return 1
    if not _WROTE.search(line[-40:]) and not _WROTE_THEN_NAME.search(line[-130:]):
        return 0
    before = lines[index - 1].strip() if index else ""
    if before and len(before) < 200 and not _WHEN.search(line) and _WHEN.search(before):
        return 2
    return 1 if _WHEN.search(line) or _WHO.search(line) else 0


def _quoted_tail(lines: list[str]) -> int | None:
    """The line at which a run of marked and empty lines begins that reaches to the end, with its attribution."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    # A short signature or a list's footer may stand below the quotation.
    bottom = end
    for index in range(end - 1, max(-1, end - 1 - _SIGNATURE_LINES), -1):
        if lines[index].rstrip() in ("--", "---") or lines[index] == "-- ":
            bottom = index
            break
        if lines[index].startswith(">"):
            break
    at = _run_start(lines, bottom)
    if at is None and bottom != end:
        at = _run_start(lines, end)
    if at is None:
        return None
    above = at - 1
    while above >= 0 and not lines[above].strip():
        above -= 1
    if above >= 0:
        # Over marked lines a bare "Ana wrote:" is enough.
        height = _attribution(lines, above) or int(bool(_WROTE.search(lines[above].strip()[-40:])))
        at = above + 1 - height if height else at
    return at


def _run_start(lines: list[str], end: int) -> int | None:
    """Where the run of marked lines that ends at a line begins; None where that line is not marked."""
    at = end
    while at and (lines[at - 1].startswith(">") or not lines[at - 1].strip()):
        at -= 1
    while at < end and not lines[at].strip():
        at += 1
    return at if at < end else None


def _signature(lines: list[str], end: int, otherwise: int | None) -> int | None:
    """The line of the signature's ``-- `` (RFC 3676 section 4.3) shortly before an end, else what was given."""
    for index in range(end - 1, max(-1, end - 1 - _SIGNATURE_LINES), -1):
        if lines[index] in ("-- ", "--") and index + 1 < len(lines):
            return index
    return otherwise
