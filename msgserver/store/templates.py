"""Templates: texts with holes, each wording a version of its own that stays; what was written from one goes by it."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select

from msgserver.formats.wording import BadWording, Wording, check, fill
from msgserver.records import Draft, Template, Viewer
from msgserver.store import audit
from msgserver.store.edits import Refused, Stale
from msgserver.store.schema import template

# What a recipient is called in the log's own row, which is nobody's in particular.
SOMEBODY = {"name": "…", "address": "…"}


def templates(tx: Connection) -> list[Template]:
    """The newest wording of each template that was not removed, by name."""
    newest = select(func.max(template.c.id)).group_by(template.c.name)
    rows = select(template).where(template.c.id.in_(newest), ~template.c.removed).order_by(template.c.name)
    return [_template(row) for row in tx.execute(rows)]


def template_of(tx: Connection, template_id: int) -> Template | None:
    """One wording, of whatever version; None where there is none."""
    row = tx.execute(select(template).where(template.c.id == template_id)).one_or_none()
    return None if row is None else _template(row)


def newest(tx: Connection, template_id: int) -> Template | None:
    """The newest wording of the template that had this id; None where it was removed, or never was."""
    asked = select(template.c.name).where(template.c.id == template_id).scalar_subquery()
    rows = select(template).where(template.c.name == asked).order_by(template.c.version.desc()).limit(1)
    row = tx.execute(rows).one_or_none()
    return None if row is None or row.removed else _template(row)


def save(
    tx: Connection, actor: Viewer, name: str, wording: Wording, now: float, expected_version: int | None = None
) -> Template:
    """Word a template, new or anew; its former wordings stay as they were.

    Raises:
        Refused: it has no name or says nothing, or cannot be used; says why.
        Stale: it is not at ``expected_version`` any more (0: there is none yet).
    """
    name = " ".join(name.split())[:100]
    if not name:
        raise Refused("Nothing was saved: give the template a name.")
    if not (wording.text.strip() or wording.html.strip()):
        raise Refused("Nothing was saved: the template says nothing.")
    try:
        check(wording)
    except BadWording as error:
        raise Refused(f"Nothing was saved: {error}.") from error
    held = tx.execute(
        select(template.c.version, template.c.removed, template.c.id)
        .where(template.c.name == name).order_by(template.c.version.desc()).limit(1)
    ).one_or_none()  # fmt: skip
    version = held.version if held is not None else 0
    known = 0 if held is None or held.removed else version
    if expected_version is not None and expected_version != known:
        raise Stale(newest(tx, held.id) if held is not None else None)
    row = {"name": name, "version": version + 1, "changed_at": now} | msgspec.structs.asdict(wording)
    made = tx.execute(insert(template).values(**row).returning(template)).one()
    audit.note(tx, actor, "save template", f"template/{made.id}", {"name": name, "version": version + 1}, now)
    return _template(made)


def remove(tx: Connection, actor: Viewer, template_id: int, now: float) -> bool:
    """Take a template away; what was written from it still goes out. False where there is none."""
    held = newest(tx, template_id)
    if held is None:
        return False
    row = {"name": held.name, "version": held.version + 1, "changed_at": now, "removed": True}
    tx.execute(insert(template).values(**row))
    audit.note(tx, actor, "remove template", f"template/{held.id}", {"name": held.name}, now)
    return True


def worded(tx: Connection, draft: Draft) -> Draft:
    """A draft in the words of its template, as the log keeps it; each recipient's own are found when it goes out.

    Raises:
        Refused: there is no such template, or it cannot be filled with the draft's values.
    """
    if draft.template is None:
        return draft
    found = template_of(tx, draft.template)
    if found is None:
        raise Refused("nothing was sent: there is no such template")
    try:
        words = fill(wording_of(found), {**draft.values, "to": SOMEBODY})
    except BadWording as error:
        raise Refused(f"nothing was sent: {error}") from error
    changed: Draft = msgspec.structs.replace(
        draft, subject=draft.subject or words.subject, text=words.text, html=words.html
    )
    return changed


def _template(row: Any) -> Template:
    return Template(
        id=row.id, name=row.name, version=row.version, subject=row.subject, text=row.text, html=row.html,
        changed_at=row.changed_at,
    )  # fmt: skip


def wording_of(found: Template) -> Wording:
    """Its three parts."""
    return Wording(found.subject, found.text, found.html)
