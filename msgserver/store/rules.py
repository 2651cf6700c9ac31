"""Parser rules as people edit them: in their order, with every former wording kept, and as the parser takes them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from msgserver.formats.linear import mistake
from msgserver.formats.stems import LANGUAGES
from msgserver.formats.tokens import phrase
from msgserver.records import Find, Rule, RuleSet, Viewer
from msgserver.store import audit
from msgserver.store.bulk import clean
from msgserver.store.counting import bump
from msgserver.store.edits import Refused, Stale
from msgserver.store.schema import auth_user, counter, pe_entity, rule, rule_hit, rule_version

_COUNTER = "rules"
_CONDITIONS = (
    "words", "stem", "prefix", "hashtags", "sender", "connector", "pattern", "holds", "from_minute", "until_minute",
    "days", "find", "doubted",
)  # fmt: skip
_ACTIONS = (
    "resource", "record", "entity_id", "priority", "actionable", "verified", "assign", "reply", "spam", "stop",
)  # fmt: skip
_DAY = 86400.0
_LONGEST_REPLY = 1_000
_MINUTES = 24 * 60


class Wording(msgspec.Struct, frozen=True):
    """What a rule said in one of its versions."""

    version: int
    rule: Rule
    user_id: int | None
    at: float


def _part(one: Rule, names: tuple[str, ...]) -> str:
    return msgspec.json.encode({name: getattr(one, name) for name in names}).decode()


def _rule(row: Any) -> Rule:
    written = msgspec.json.decode(row.conditions) | msgspec.json.decode(row.actions)
    kept = {"id": row.id, "name": row.name, "position": row.position, "active": bool(row.active)}
    return msgspec.convert(written | kept, Rule)


def rules(tx: Connection) -> list[Rule]:
    """All rules in their order, inactive ones too."""
    return [_rule(row) for row in tx.execute(select(rule).order_by(rule.c.position, rule.c.id))]


def rule_set(tx: Connection) -> RuleSet:
    """The active rules as the parser sees them, and the version that a plan made by them carries."""
    held = select(counter.c.value).where(counter.c.name == _COUNTER, counter.c.key == "", counter.c.user_id == 0)
    version = tx.scalar(held) or 0
    return RuleSet(version, tuple(one for one in rules(tx) if one.active))


def rule_of(tx: Connection, rule_id: int) -> tuple[Rule, int] | None:
    """One rule and the version of its wording."""
    row = tx.execute(select(rule).where(rule.c.id == rule_id)).one_or_none()
    return None if row is None else (_rule(row), row.version)


def check(tx: Connection, one: Rule, before: Rule | None = None) -> Rule:
    """Look whether a rule can be kept; gives it back.

    Raises:
        Refused: it says not when, or not what, or something in it cannot be so.
    """
    if not one.name.strip():
        raise Refused("Nothing was saved: give the rule a name.")
    _check_conditions(one)
    decides = one.priority is not None or one.actionable is not None or one.spam or one.stop or one.verified
    if not (one.resource or one.entity_id or decides or one.assign or one.reply.strip()):
        raise Refused(
            "Nothing was saved: say what the rule does (tag, route, priority, actionable, verified, assign, reply, spam"
            " or stop)."
        )
    if one.record and not one.resource:
        raise Refused("Nothing was saved: a record needs the resource type that it is one of.")
    if any(ord(sign) < 32 for sign in one.resource + one.record):
        raise Refused("Nothing was saved: a tag is one line of plain text.")
    if len(one.reply) > _LONGEST_REPLY:
        raise Refused(f"Nothing was saved: the reply has more than {_LONGEST_REPLY} characters.")
    _check_people(tx, one, before)
    return one


def _check_people(tx: Connection, one: Rule, before: Rule | None) -> None:
    """Whoever is named must be there; whom the rule named before may be gone since (it can still be switched off)."""
    wanted = one.entity_id if before is None or before.entity_id != one.entity_id else None
    if wanted is not None and tx.scalar(select(pe_entity.c.id).where(pe_entity.c.id == wanted)) is None:
        raise Refused(f"Nothing was saved: there is no person, group or organisation {wanted}.")
    fresh = [user_id for user_id in one.assign if before is None or user_id not in before.assign]
    known = set(tx.scalars(select(auth_user.c.id).where(auth_user.c.id.in_(fresh)))) if fresh else set()
    for user_id in fresh:
        if user_id not in known:
            raise Refused(f"Nothing was saved: there is no user {user_id} to assign to.")


def _check_conditions(one: Rule) -> None:
    times = one.from_minute is not None or one.until_minute is not None or one.days
    named: object = one.words or one.prefix or one.hashtags or one.sender or one.connector or one.pattern or one.holds
    named = named or one.doubted
    if not (named or times or one.find is Find.NAME):
        raise Refused(
            "Nothing was saved: say when the rule holds (words, first word, hashtag, sender, channel, pattern, time,"
            " a position, a phone number, the name of a record or a doubtful sender)."
        )
    for words in (*one.words, *filter(None, [one.prefix])):
        if not phrase(words)[0]:
            raise Refused(f"Nothing was saved: {words!r} has neither letters nor digits, so no text can have it.")
    if one.stem and one.stem not in LANGUAGES:
        raise Refused(
            f"Nothing was saved: the endings of {one.stem!r} are not known; known are {', '.join(LANGUAGES)}."
        )
    if one.pattern and (wrong := mistake(one.pattern)):
        raise Refused(f"Nothing was saved: {wrong}.")
    for minute in (one.from_minute, one.until_minute):
        if minute is not None and not 0 <= minute <= _MINUTES:
            raise Refused("Nothing was saved: a time of day is between 00:00 and 24:00.")
    if one.from_minute is not None and one.from_minute == one.until_minute:
        raise Refused("Nothing was saved: the times of day are the same, so the rule would never hold or always.")
    if not set(one.days) <= set(range(7)):
        raise Refused("Nothing was saved: the days of the week are 0 (Monday) to 6 (Sunday).")
    if one.find and not one.resource:
        raise Refused("Nothing was saved: say of which resource type the record is that the rule looks for.")
    if one.find is Find.PREFIX and not one.prefix:
        raise Refused("Nothing was saved: to look for a record behind the first word, the rule needs a first word.")
    if one.find and one.record:
        raise Refused("Nothing was saved: name the record, or let the rule look for it, not both.")


def _columns(one: Rule) -> dict[str, Any]:
    return {
        "name": clean(one.name.strip())[:200],
        "position": one.position,
        "conditions": _part(one, _CONDITIONS),
        "actions": _part(one, _ACTIONS),
        "active": one.active,
    }


def _keep_wording(tx: Connection, actor: Viewer, rule_id: int, version: int, one: Rule, now: float) -> None:
    content = msgspec.json.encode(one).decode()
    row = {"rule_id": rule_id, "version": version, "content": content, "user_id": actor.user_id, "at": now}
    tx.execute(insert(rule_version).values(**row))
    bump(tx, _COUNTER)


def create_rule(tx: Connection, actor: Viewer, one: Rule, now: float) -> Rule:
    """A new rule; its id is given here, and its place at the end where it names none.

    Raises:
        Refused: it says not when, or not what, or something in it cannot be so.
    """
    if not one.position:
        last = tx.scalar(select(func.coalesce(func.max(rule.c.position), 0))) or 0
        one = msgspec.structs.replace(one, position=last + 1)
    row = _columns(check(tx, one)) | {"changed_at": now}
    rule_id = tx.execute(insert(rule).values(**row).returning(rule.c.id)).scalar_one()
    one = msgspec.structs.replace(one, id=rule_id)
    _keep_wording(tx, actor, rule_id, 1, one, now)
    audit.note(tx, actor, "create rule", f"rule/{rule_id}", {"name": one.name}, now)
    return one


def update_rule(
    tx: Connection, actor: Viewer, one: Rule, now: float, expected_version: int | None = None
) -> Rule | None:
    """Say it otherwise; None where there is no such rule.

    Raises:
        Stale: it is not at ``expected_version`` any more; carries (rule, version).
        Refused: it says not when, or not what.
    """
    held = rule_of(tx, one.id)
    if held is None:
        return None
    changed = update(rule).where(rule.c.id == one.id)
    if expected_version is not None:
        changed = changed.where(rule.c.version == expected_version)
    row = _columns(check(tx, one, held[0])) | {"changed_at": now}
    version = tx.execute(changed.values(version=rule.c.version + 1, **row).returning(rule.c.version)).scalar()
    if version is None:
        raise Stale(held)
    _keep_wording(tx, actor, one.id, version, one, now)
    audit.note(tx, actor, "change rule", f"rule/{one.id}", {"version": version}, now)
    return one


def remove_rule(tx: Connection, actor: Viewer, rule_id: int, now: float) -> bool:
    """Take a rule away; its wordings stay and :func:`restore` brings it back."""
    if not tx.execute(delete(rule).where(rule.c.id == rule_id)).rowcount:
        return False
    bump(tx, _COUNTER)
    audit.note(tx, actor, "remove rule", f"rule/{rule_id}", {}, now)
    return True


def arrange(tx: Connection, actor: Viewer, rule_ids: list[int], now: float) -> None:
    """Put rules into this order; those not named follow as they were."""
    ids = [one.id for one in rules(tx)]
    order = [rule_id for rule_id in dict.fromkeys(rule_ids) if rule_id in ids]
    for place, rule_id in enumerate([*order, *(other for other in ids if other not in order)], 1):
        tx.execute(update(rule).where(rule.c.id == rule_id, rule.c.position != place).values(position=place))
    bump(tx, _COUNTER)
    audit.note(tx, actor, "arrange rules", "rules", {"order": order}, now)


def move(tx: Connection, actor: Viewer, rule_id: int, by: int, now: float) -> bool:
    """Move a rule up (``by`` -1) or down (+1) in the order; False where there is no such rule."""
    ids = [one.id for one in rules(tx)]
    if rule_id not in ids:
        return False
    at = ids.index(rule_id)
    ids.insert(max(0, min(len(ids) - 1, at + by)), ids.pop(at))
    arrange(tx, actor, ids, now)
    return True


def hits(tx: Connection, now: float) -> dict[int, int]:
    """On how many messages each rule acted in the last 7 days, today (UTC) included; those on none are left out."""
    row = rule_hit.c
    rows = select(row.rule_id, func.sum(row.hits)).where(row.day > int(now // _DAY) - 7).group_by(row.rule_id)
    return {rule_id: int(many) for rule_id, many in tx.execute(rows)}


def forget_hits(tx: Connection, now: float) -> int:
    """Forget the counts of days that nobody asks for any more; returns how many."""
    return tx.execute(delete(rule_hit).where(rule_hit.c.day <= int(now // _DAY) - 7)).rowcount


def wordings(tx: Connection, rule_id: int) -> list[Wording]:
    """What a rule said, newest first; also of a rule that was removed."""
    rows = select(rule_version).where(rule_version.c.rule_id == rule_id).order_by(rule_version.c.version.desc())
    return [_wording(row) for row in tx.execute(rows)]


def undo(tx: Connection, actor: Viewer, rule_id: int, now: float) -> Rule | None:
    """Take the last change of a rule back, its removal included; None where there is nothing before it."""
    said = [wording.version for wording in wordings(tx, rule_id)]
    former = said[:1] if rule_of(tx, rule_id) is None else said[1:2]
    return restore(tx, actor, rule_id, former[0], now) if former else None


def removed(tx: Connection, limit: int = 50) -> list[Wording]:
    """Rules that were removed, by what they said last; the newest first."""
    row = rule_version.c
    last = select(row.rule_id, func.max(row.version).label("version")).group_by(row.rule_id).subquery()
    rows = (
        select(row.version, row.content, row.user_id, row.at)
        .join(last, (last.c.rule_id == row.rule_id) & (last.c.version == row.version))
        .where(row.rule_id.not_in(select(rule.c.id)))
        .order_by(row.rule_id.desc())
        .limit(limit)
    )
    return [_wording(one) for one in tx.execute(rows)]


def _wording(row: Any) -> Wording:
    return Wording(row.version, msgspec.json.decode(row.content, type=Rule), row.user_id, row.at)


def restore(tx: Connection, actor: Viewer, rule_id: int, version: int, now: float) -> Rule | None:
    """Make a rule say again what it said; a removed one comes back. None where there is no such wording."""
    former = [wording for wording in wordings(tx, rule_id) if wording.version == version]
    if not former:
        return None
    held = rule_of(tx, rule_id)
    if held is not None:  # it keeps its place: only what it says is taken back
        return update_rule(tx, actor, msgspec.structs.replace(former[0].rule, position=held[0].position), now)
    last = tx.scalar(select(func.max(rule_version.c.version)).where(rule_version.c.rule_id == rule_id)) or 0
    row = _columns(former[0].rule) | {"id": rule_id, "version": last + 1, "changed_at": now}
    tx.execute(insert(rule).values(**row))
    _keep_wording(tx, actor, rule_id, last + 1, former[0].rule, now)
    audit.note(tx, actor, "restore rule", f"rule/{rule_id}", {"version": version}, now)
    return former[0].rule
