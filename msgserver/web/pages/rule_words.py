"""Rules in plain words, and rules out of the form in which people word them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgserver.formats.search import KEYWORD
from msgserver.records import Find, Holds, Priority, ResourceRecord, Rule
from msgserver.store.edits import Refused
from msgserver.web import words
from msgserver.web.ask import Fields
from msgserver.web.language import _
from msgserver.web.tags import read_tag

_SEPARATOR = re.compile(r"[,;،、\n]+")
_TIME = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])")
DAYS = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
HOLDS = {Holds.POSITION: _("a position"), Holds.PHONE: _("a phone number")}
FINDS = {
    Find.NONE: _("the record named here, or the type alone"),
    Find.PREFIX: _("the record whose code or name follows the first word"),
    Find.NAME: _("every record whose name stands in the text"),
}


def when(rule: Rule) -> list[tuple[str, str]]:
    """The conditions of a rule, each with what it is about."""
    said = []
    if rule.words:
        endings = f" ({_('other endings too')}: {rule.stem})" if rule.stem else ""
        said.append((_("any of the words"), ", ".join(rule.words) + endings))
    if rule.prefix:
        said.append((_("first word"), rule.prefix))
    if rule.hashtags:
        said.append((_("any hashtag of"), ", ".join(f"#{one.lstrip('#')}" for one in rule.hashtags)))
    if rule.pattern:
        said.append((_("pattern"), rule.pattern))
    if rule.holds:
        said.append((_("it names"), ", ".join(HOLDS[kind] for kind in rule.holds)))
    if rule.find is Find.NAME:
        said.append((_("it names"), _("a record of the type %s") % rule.resource))
    if rule.sender:
        said.append((_("sender"), rule.sender))
    if rule.doubted:
        said.append((_("sender"), _("looks forged")))
    if rule.connector:
        kind = rule.connector.endswith(":")
        said.append((_("came by"), words.channel(rule.connector) if kind else rule.connector))
    if rule.days:
        said.append((_("on"), ", ".join(DAYS[day] for day in rule.days)))
    if rule.from_minute is not None or rule.until_minute is not None:
        span = f"{clock(rule.from_minute) or '00:00'} – {clock(rule.until_minute) or '24:00'}"
        said.append((_("between"), span))
    return said


def then(
    rule: Rule, entities: Mapping[int, str], users: Mapping[int, str], records: Mapping[str, ResourceRecord]
) -> list[tuple[str, str]]:
    """The actions of a rule, each with what it is about; people and records are given by what they are called."""
    said = []
    if rule.resource:
        found = f" ({_('of the type')} {rule.resource})" if rule.find else ""
        said.append(
            (_("tag it with"), f"{FINDS[rule.find]}{found}" if rule.find else tag(rule.resource, rule.record, records))
        )
    if rule.entity_id:
        said.append((_("send it to"), entities.get(rule.entity_id, str(rule.entity_id))))
    if rule.priority is not None:
        said.append((_("priority"), words.PRIORITIES[rule.priority]))
    if rule.actionable is not None:
        said.append((_("somebody has to act"), _("yes") if rule.actionable else _("no")))
    if rule.verified:
        said.append((_("mark it"), _("verified, where the sender is confirmed")))
    if rule.assign:
        said.append((_("assign it to"), ", ".join(users.get(one, str(one)) for one in rule.assign)))
    if rule.reply:
        said.append((_("reply"), rule.reply))
    if rule.spam:
        said.append((_("mark it"), _("spam")))
    if rule.stop:
        said.append((_("then"), _("stop: no further rule acts")))
    return said


def elsewhere(rule: Rule, records: Mapping[str, ResourceRecord]) -> bool:
    """Whether a rule tags with a record that is not kept here."""
    return bool(rule.record) and rule.resource != KEYWORD and rule.record not in records


def tag(resource: str, record: str, records: Mapping[str, ResourceRecord]) -> str:
    """A tag as people say it: words of their own alone, records behind their type and by name."""
    held = records.get(record)
    record = held.name if held is not None and held.resource == resource else record
    return record if resource == KEYWORD and record else f"{resource}/{record}" if record else resource


def clock(minute: int | None) -> str:
    """Minutes after midnight as ``18:30``; empty where none is set."""
    return "" if minute is None else f"{minute // 60:02d}:{minute % 60:02d}"


def read_form(form: Fields, rule_id: int, position: int) -> Rule:
    """A rule as somebody filled it in.

    Raises:
        Refused: a time is none.
    """
    named = _list(form("words"))
    resource = form("resource").strip()
    record = form("uid").strip() or form("record").strip()
    if resource in ("", KEYWORD):
        word = read_tag(form("tag"))
        resource, record = word if word[0] else (resource, "")
    otherwise = ", ".join(named) or form("prefix").strip() or form("hashtags").strip() or tag(resource, record, {})
    return Rule(
        id=rule_id,
        name=form("name").strip() or otherwise[:100],
        position=position,
        words=named,
        stem=form("stem"),
        prefix=form("prefix").strip(),
        hashtags=tuple(one.lstrip("#") for one in _list(form("hashtags")) if one.strip("#")),
        sender=form("sender").strip(),
        connector=form("connector"),
        pattern=form("pattern"),
        holds=tuple(kind for kind in Holds if kind.value in form.all("holds")),
        from_minute=_minute(form("from")),
        until_minute=_minute(form("until")),
        days=tuple(day for day in range(7) if str(day) in form.all("day")),
        find=Find(form("find")) if form("find") in set(Find) else Find.NONE,
        doubted=form("doubted") == "yes",
        resource=resource,
        record=record,
        entity_id=form.number("entity"),
        priority=Priority(int(form("priority"))) if form("priority") in ("0", "1", "2", "3") else None,
        actionable={"yes": True, "no": False}.get(form("actionable")),
        verified=form("verified") == "yes",
        assign=tuple(int(one) for one in form.all("assign") if one.isascii() and one.isdigit() and len(one) < 16),
        reply=form("reply").strip(),
        spam=form("spam") == "yes",
        stop=form("stop") == "yes",
        active=form("off") != "yes",
    )


def _list(written: str) -> tuple[str, ...]:
    return tuple(filter(None, (one.strip() for one in _SEPARATOR.split(written))))


def _minute(written: str) -> int | None:
    written = written.strip()
    if not written:
        return None
    found = _TIME.fullmatch(written)
    if found is None:
        raise Refused(f"Nothing was saved: {written[:20]!r} is no time of day; write it as 18:30.")
    return int(found[1]) * 60 + int(found[2])
