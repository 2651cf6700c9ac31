"""Parser rules as people edit them: in their order, with every former wording kept, and as the parser takes them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from msgserver.records import Rule, RuleSet, Viewer
from msgserver.store import audit
from msgserver.store.counting import bump
from msgserver.store.edits import Refused, Stale
from msgserver.store.schema import counter, rule, rule_version

_COUNTER = "rules"
_CONDITIONS = ("words", "prefix", "sender", "connector", "doubted")
_ACTIONS = ("resource", "record", "entity_id", "priority", "actionable", "spam", "stop", "verified")


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


def _checked(one: Rule) -> Rule:
    if not one.name.strip():
        raise Refused("Nothing was saved: give the rule a name.")
    if not (one.words or one.prefix or one.sender or one.connector or one.doubted):
        raise Refused(
            "Nothing was saved: say when the rule holds (words, first word, sender, connector or a doubtful sender)."
        )
    decides = one.priority is not None or one.actionable is not None or one.spam or one.stop
    if not (one.resource or one.entity_id or decides):
        raise Refused("Nothing was saved: say what the rule does (tag, route, priority, actionable, spam or stop).")
    return one


def _columns(one: Rule) -> dict[str, Any]:
    return {
        "name": one.name.strip()[:200],
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
        Refused: it says not when, or not what.
    """
    if not one.position:
        last = tx.scalar(select(func.coalesce(func.max(rule.c.position), 0))) or 0
        one = msgspec.structs.replace(one, position=last + 1)
    row = _columns(_checked(one)) | {"changed_at": now}
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
    row = _columns(_checked(one)) | {"changed_at": now}
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


def wordings(tx: Connection, rule_id: int) -> list[Wording]:
    """What a rule said, newest first; also of a rule that was removed."""
    rows = select(rule_version).where(rule_version.c.rule_id == rule_id).order_by(rule_version.c.version.desc())
    return [
        Wording(row.version, msgspec.json.decode(row.content, type=Rule), row.user_id, row.at)
        for row in tx.execute(rows)
    ]


def restore(tx: Connection, actor: Viewer, rule_id: int, version: int, now: float) -> Rule | None:
    """Make a rule say again what it said; a removed one comes back. None where there is no such wording."""
    former = [wording for wording in wordings(tx, rule_id) if wording.version == version]
    if not former:
        return None
    if rule_of(tx, rule_id) is not None:
        return update_rule(tx, actor, former[0].rule, now)
    last = tx.scalar(select(func.max(rule_version.c.version)).where(rule_version.c.rule_id == rule_id)) or 0
    row = _columns(former[0].rule) | {"id": rule_id, "version": last + 1, "changed_at": now}
    tx.execute(insert(rule).values(**row))
    _keep_wording(tx, actor, rule_id, last + 1, former[0].rule, now)
    audit.note(tx, actor, "restore rule", f"rule/{rule_id}", {"version": version}, now)
    return former[0].rule
