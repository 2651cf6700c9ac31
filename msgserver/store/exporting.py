"""All people as a table, a page at a time: groups and organisations first, to be read back in that order."""

from __future__ import annotations

from sqlalchemy import Connection, case, or_, select

from msgserver.formats import people_csv
from msgserver.formats.hours import hour_words
from msgserver.records import Contact, Entity, EntityKind, Viewer
from msgserver.store import people, visible
from msgserver.store.paging import cursor, position
from msgserver.store.schema import pe_entity, pe_membership

PAGE = 500
_CHANNELS = {"sms": "phone", "mailto": "mail", "xmpp": "chat"}


def page(tx: Connection, viewer: Viewer, cursor_word: str = "") -> tuple[bytes, str]:
    """Some lines of the table as UTF-8, the first of them with its head, and where the next begin ("": nowhere)."""
    row = pe_entity.c
    order = case((row.kind == EntityKind.ORGANISATION.value, 0), (row.kind == EntityKind.GROUP.value, 1), else_=2)
    rows = select(*people.ENTITY, order.label("place")).where(visible.entities(viewer))
    after = position(cursor_word, int, int)
    if after is not None:
        rows = rows.where(or_(order > after[0], (order == after[0]) & (row.id > after[1])))
    found = list(tx.execute(rows.order_by(order, row.id).limit(PAGE + 1)))
    held = [people.entity_from(one) for one in found[:PAGE]]
    contacts = people.contacts_of(tx, viewer, [one.id for one in held])
    groups = _groups(tx, viewer, [one.id for one in held])
    lines = "".join(people_csv.line_of(_cells(one, contacts.get(one.id, []), groups.get(one.id, []))) for one in held)
    following = cursor(found[PAGE - 1].place, found[PAGE - 1].id) if len(found) > PAGE else ""
    head = people_csv.BEGINNING + people_csv.line_of(people_csv.COLUMNS).encode() if after is None else b""
    return head + lines.encode(), following


def _groups(tx: Connection, viewer: Viewer, entity_ids: list[int]) -> dict[int, list[str]]:
    rows = select(pe_membership.c.member_id, pe_membership.c.role, pe_entity.c.name).join(
        pe_entity, pe_entity.c.id == pe_membership.c.group_id
    )
    rows = rows.where(pe_membership.c.member_id.in_(entity_ids), visible.entities(viewer))
    found: dict[int, list[str]] = {}
    for member_id, role, name in tx.execute(rows.order_by(pe_entity.c.name_folded, pe_entity.c.id)):
        found.setdefault(member_id, []).append(people_csv.group_words(name, role))
    return found


def _cells(one: Entity, contacts: list[Contact], groups: list[str]) -> list[str]:
    by_column: dict[str, list[str]] = {}
    for contact in sorted(contacts, key=lambda contact: contact.id):
        scheme, _, value = contact.address.partition(":")
        short = scheme == "sms" and not value.startswith("+")  # a service's number or name: no phone number
        column = "addresses" if short else _CHANNELS.get(scheme, "addresses")
        by_column.setdefault(column, []).append(contact.address if column == "addresses" else value)

    def those(marked: str) -> str:
        return "; ".join(contact.address for contact in contacts if getattr(contact, marked))

    quiet = f"{hour_words(one.quiet_from)}-{hour_words(one.quiet_until)}" if one.quiet_from is not None else ""
    cells = {column: "; ".join(held) for column, held in by_column.items()} | {
        "uid": one.uid, "kind": one.kind.value, "name": one.name, "preferred": those("preferred"),
        "verified": those("verified_at"), "opted out": those("stopped_at"), "bouncing": those("bouncing_at"),
        "language": one.language, "time zone": one.timezone, "quiet hours": quiet, "groups": "; ".join(groups),
        "comments": one.comments,
    }  # fmt: skip
    return [cells.get(column, "") for column in people_csv.COLUMNS]
