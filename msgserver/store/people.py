"""People, groups and organisations with their addresses, and the addresses that asked for no more messages."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from msgserver.formats.tokens import fold
from msgserver.message import Address
from msgserver.records import Contact, Entity, EntityKind, Viewer
from msgserver.store import audit, names, visible
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import (
    auth_user,
    msg_log,
    pe_contact,
    pe_entity,
    pe_membership,
    pe_merged,
    pe_subscription,
    suppression,
    ticket,
)
from msgserver.store.upsert import insert_new

ENTITY = [pe_entity.c[name] for name in Entity.__struct_fields__]
_CONTACT = [
    *(pe_contact.c[name] for name in Contact.__struct_fields__ if not name.startswith("stopped")),
    suppression.c.at.label("stopped_at"),
    func.coalesce(suppression.c.why, "").label("stopped_why"),
]
_ADDRESSES = select(*_CONTACT).outerjoin(suppression, suppression.c.address == pe_contact.c.address)
_LANGUAGE = re.compile(
    r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"
)  # RFC 5646 section 2.1, as far as it goes without its registry
_CHANGEABLE = frozenset({"name", "language", "timezone", "comments", "quiet_from", "quiet_until"})
_CANDIDATES = 200  # that are looked at for a completion


def entity_from(row: Any) -> Entity:
    """A row with the columns ``ENTITY`` as a record."""
    values = {name: getattr(row, name) for name in Entity.__struct_fields__}
    values["kind"] = EntityKind(row.kind)
    return Entity(**values)


def _contact(row: Any) -> Contact:
    values = {name: getattr(row, name) for name in Contact.__struct_fields__}
    values["preferred"] = bool(row.preferred)
    return Contact(**values)


# --- entities ----------


def named_like(text: str) -> ColumnElement[bool]:
    """Of pe_entity: each word of the text begins a word of the name or of an address."""
    return names.found_by([names.ENTITY], text, pe_entity.c.id)


def reindex(tx: Connection, entity_ids: Iterable[int]) -> None:
    """See that each is found by its name and addresses, and one that is gone by nothing."""
    for entity_id in entity_ids:
        _index(tx, entity_id)


def _index(tx: Connection, entity_id: int) -> None:
    name = tx.scalar(select(pe_entity.c.name).where(pe_entity.c.id == entity_id)) or ""
    words = names.words_of(name)
    for address in tx.scalars(select(pe_contact.c.address).where(pe_contact.c.entity_id == entity_id)):
        words += names.words_of_address(address)
    names.put(tx, names.ENTITY, entity_id, dict.fromkeys(words))


def entities(
    tx: Connection,
    viewer: Viewer,
    query: str = "",
    kind: EntityKind | None = None,
    cursor_word: str = "",
    limit: int = 50,
) -> Page[Entity]:
    """Those that may be seen, by name; ``query`` finds the beginnings of words of the name and of addresses."""
    row = pe_entity.c
    rows = select(*ENTITY, row.name_folded).where(visible.entities(viewer))
    if kind is not None:
        rows = rows.where(row.kind == kind.value)
    if query.strip():
        rows = rows.where(named_like(query))
    after = position(cursor_word, str, int)
    if after is not None:
        name, last = after
        rows = rows.where(row.name_folded >= name, or_(row.name_folded > name, row.id > last))
    limit = size(limit)
    found = list(tx.execute(rows.order_by(row.name_folded, row.id).limit(limit + 1)))
    following = cursor(found[limit - 1].name_folded, found[limit - 1].id) if len(found) > limit else ""
    return Page(tuple(entity_from(one) for one in found[:limit]), following)


def complete(
    tx: Connection, viewer: Viewer, query: str, kinds: Iterable[EntityKind] = tuple(EntityKind), limit: int = 10
) -> list[Entity]:
    """Whom somebody may mean who types this: names that begin so, then those with such words in them."""
    row = pe_entity.c
    folded = fold(query)
    seen = select(*ENTITY).where(visible.entities(viewer), row.kind.in_([kind.value for kind in kinds]))
    within = names.candidates([names.ENTITY], query, _CANDIDATES)
    if within is None:
        return []
    begins = seen.where(row.name_folded >= folded, row.name_folded < folded + "\U0010ffff")
    found = list(tx.execute(begins.order_by(row.name_folded, row.id).limit(limit))) if folded else []
    if len(found) < limit:
        ids = [one.id for one in found]
        others = seen.where(row.id.in_(within), row.id.not_in(ids)).order_by(row.name_folded, row.id)
        found += tx.execute(others.limit(limit - len(found)))
    return [entity_from(one) for one in found]


def entity(tx: Connection, viewer: Viewer, entity_id: int) -> Entity | None:
    """One of them; None where there is none or the viewer may not see it."""
    row = tx.execute(select(*ENTITY).where(pe_entity.c.id == entity_id, visible.entities(viewer))).one_or_none()
    return None if row is None else entity_from(row)


def entity_by_uid(tx: Connection, viewer: Viewer, uid: str) -> Entity | None:
    """One of them by its outside name; of one that was merged away the one that stayed."""
    row = tx.execute(select(*ENTITY).where(pe_entity.c.uid == uid, visible.entities(viewer))).one_or_none()
    return _stayed(tx, viewer, pe_merged.c.uid == uid) if row is None else entity_from(row)


def merged_into(tx: Connection, viewer: Viewer, entity_id: int) -> Entity | None:
    """With whom somebody was made one who had this number; None where nobody was whom the viewer may see."""
    return _stayed(tx, viewer, pe_merged.c.was_id == entity_id)


def _stayed(tx: Connection, viewer: Viewer, was: ColumnElement[bool]) -> Entity | None:
    rows = select(*ENTITY).join(pe_merged, pe_merged.c.entity_id == pe_entity.c.id)
    row = tx.execute(rows.where(was, visible.entities(viewer))).one_or_none()
    return None if row is None else entity_from(row)


def create_entity(
    tx: Connection,
    actor: Viewer,
    uid: str,
    kind: EntityKind,
    name: str,
    now: float,
    language: str = "",
    timezone: str = "",
    comments: str = "",
) -> Entity:
    """A new person, group or organisation.

    Raises:
        Refused: it has no name, its uid is taken, or there is no such time zone or language.
    """
    check_place(timezone, language)
    name = clean(" ".join(name.split())[:200])
    if not name:
        raise Refused("Nothing was saved: give a name.")
    known = select(pe_entity.c.id).where(pe_entity.c.uid == uid)
    if tx.scalar(known.union_all(select(pe_merged.c.entity_id).where(pe_merged.c.uid == uid)).limit(1)) is not None:
        raise Refused("Nothing was saved: this has been saved before.")
    row = {"uid": uid, "kind": kind.value, "name": name, "name_folded": fold(name), "created_at": now}
    row |= {"language": language, "timezone": timezone, "comments": clean(comments)}
    made = tx.execute(insert(pe_entity).values(**row).returning(*ENTITY)).one()
    _index(tx, made.id)
    audit.note(tx, actor, f"create {kind.value}", f"entity/{made.id}", {"name": name}, now)
    return entity_from(made)


def update_entity(tx: Connection, actor: Viewer, entity_id: int, changes: dict[str, Any], now: float) -> Entity | None:
    """Change name, language, timezone, comments or the quiet hours; None where the actor may not see it.

    ``quiet_from`` and ``quiet_until`` are minutes after midnight where they live, or both None.

    Raises:
        Refused: the name is empty, there is no such time zone or language, or one end of the quiet hours is missing.
    """
    before = entity(tx, actor, entity_id)
    if before is None:
        return None
    values: dict[str, Any] = {
        key: clean(value) if isinstance(value, str) else value for key, value in changes.items() if key in _CHANGEABLE
    }
    _check(values, before)
    if "name" in values:
        values["name"] = " ".join(values["name"].split())[:200]
        values["name_folded"] = fold(values["name"])
        if not values["name"]:
            raise Refused("Nothing was saved: give a name.")
    if not values:
        return before
    row = tx.execute(update(pe_entity).where(pe_entity.c.id == entity_id).values(**values).returning(*ENTITY)).one()
    if "name" in values:
        _index(tx, entity_id)
    after = entity_from(row)
    audit.note(tx, actor, f"change {before.kind.value}", f"entity/{entity_id}", {"changes": differ(before, after)}, now)
    return after


def differ(before: Any, after: Any) -> dict[str, list[Any]]:
    """What a change changed, for the history: of each field the value before and after."""
    ours = [name for name in before.__struct_fields__ if name not in ("version", "changed_at")]
    return {
        name: [_told(getattr(before, name)), _told(getattr(after, name))]
        for name in ours
        if getattr(before, name) != getattr(after, name)
    }


def _told(value: Any) -> Any:
    return value[:300] if isinstance(value, str) else value


def check_place(timezone: str, language: str) -> None:
    """See that a time zone and a language are such; empty ones are fine.

    Raises:
        Refused: one is not.
    """
    if timezone and timezone not in _zones():
        raise Refused(f"Nothing was saved: there is no time zone {timezone[:60]!r}. Write it as in Asia/Kabul.")
    if language and not _LANGUAGE.fullmatch(language):
        raise Refused(f"Nothing was saved: {language[:40]!r} is no language. Write its code, as in fa or pt-BR.")


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _check(values: dict[str, Any], before: Entity) -> None:
    check_place(values.get("timezone", ""), values.get("language", ""))
    ends = [values.get(name, getattr(before, name)) for name in ("quiet_from", "quiet_until")]
    if ends.count(None) == 1 or not all(end is None or 0 <= end < 24 * 60 for end in ends):
        raise Refused("Nothing was saved: give both ends of the quiet hours, from 00:00 to 23:59, or neither.")


def remove_entity(tx: Connection, actor: Viewer, entity_id: int, now: float) -> bool:
    """Take it away with its addresses, memberships and subscriptions; messages stay, by their addresses alone.

    Raises:
        Refused: a login belongs to it.
    """
    before = entity(tx, actor, entity_id)
    if before is None:
        return False
    if tx.scalar(select(auth_user.c.id).where(auth_user.c.entity_id == entity_id, auth_user.c.active).limit(1)):
        raise Refused(f"{before.name} was kept: there is a login for them. Switch the login off first.")
    for table in (msg_log, ticket, auth_user):
        tx.execute(update(table).where(table.c.entity_id == entity_id).values(entity_id=None))
    either = or_(pe_membership.c.group_id == entity_id, pe_membership.c.member_id == entity_id)
    tx.execute(delete(pe_membership).where(either))
    tx.execute(delete(pe_subscription).where(pe_subscription.c.pr_pe_id == entity_id))
    tx.execute(delete(pe_contact).where(pe_contact.c.entity_id == entity_id))
    tx.execute(delete(pe_entity).where(pe_entity.c.id == entity_id))
    names.drop(tx, names.ENTITY, entity_id)
    audit.note(tx, actor, f"remove {before.kind.value}", f"entity/{entity_id}", {"name": before.name}, now)
    return True


# --- addresses ----------


def contacts(tx: Connection, viewer: Viewer, entity_id: int) -> list[Contact]:
    """All addresses of one entity, the preferred first."""
    return contacts_of(tx, viewer, [entity_id]).get(entity_id, [])


def contacts_of(tx: Connection, viewer: Viewer, entity_ids: Iterable[int]) -> dict[int, list[Contact]]:
    """The addresses of several; those without any are not in the answer."""
    row = pe_contact.c
    rows = _ADDRESSES.where(row.entity_id.in_(list(entity_ids)))
    if not visible.whole_log(viewer):
        rows = rows.join(pe_entity, pe_entity.c.id == row.entity_id).where(visible.entities(viewer))
    found: dict[int, list[Contact]] = {}
    for one in tx.execute(rows.order_by(row.preferred.desc(), row.id)):
        found.setdefault(one.entity_id, []).append(_contact(one))
    return found


def contact(tx: Connection, viewer: Viewer, contact_id: int) -> Contact | None:
    """One address; None where the viewer may not see whose it is."""
    rows = _ADDRESSES.join(pe_entity, pe_entity.c.id == pe_contact.c.entity_id)
    row = tx.execute(rows.where(pe_contact.c.id == contact_id, visible.entities(viewer))).one_or_none()
    return None if row is None else _contact(row)


def add_contact(
    tx: Connection,
    actor: Viewer,
    entity_id: int,
    address: Address,
    now: float,
    verified: bool = False,
    preferred: bool = False,
) -> Contact | None:
    """Give an entity an address; what came from it before, from nobody known, is theirs now. Again is harmless."""
    if entity(tx, actor, entity_id) is None:
        return None
    uri = str(address)
    row = {"entity_id": entity_id, "scheme": address.scheme, "address": uri, "created_at": now}
    if insert_new(tx, pe_contact, [row | {"verified_at": now if verified else None}]):
        for table, column in ((msg_log, msg_log.c.sender), (ticket, ticket.c.address)):
            tx.execute(update(table).where(column == uri, table.c.entity_id.is_(None)).values(entity_id=entity_id))
        _index(tx, entity_id)
        audit.note(tx, actor, "add address", f"entity/{entity_id}", {"address": uri}, now)
    here = tx.scalar(select(pe_contact.c.id).where(pe_contact.c.entity_id == entity_id, pe_contact.c.address == uri))
    assert here is not None
    if preferred:
        prefer(tx, actor, here, now)
    return contact(tx, actor, here)


def prefer(tx: Connection, actor: Viewer, contact_id: int, now: float, preferred: bool = True) -> Contact | None:
    """Make this address the one to use first (or one like the others)."""
    chosen = contact(tx, actor, contact_id)
    if chosen is None or chosen.preferred == preferred:
        return chosen
    row = pe_contact.c
    mine = update(pe_contact).where(row.entity_id == chosen.entity_id)
    tx.execute(mine.values(preferred=row.id == (contact_id if preferred else 0)))
    detail = {"address": chosen.address, "preferred": preferred}
    audit.note(tx, actor, "prefer address", f"entity/{chosen.entity_id}", detail, now)
    return contact(tx, actor, contact_id)


def set_bouncing(tx: Connection, actor: Viewer, contact_id: int, words: str, now: float) -> Contact | None:
    """Say why messages to an address come back, or with no words that it is used again."""
    chosen = contact(tx, actor, contact_id)
    if chosen is None or not (words or chosen.bouncing_at):
        return chosen
    words = clean(words[:500])
    values = {"bouncing_at": (chosen.bouncing_at or now) if words else None, "bounce_words": words}
    tx.execute(update(pe_contact).where(pe_contact.c.id == contact_id).values(**values))
    detail = {"address": chosen.address, "bouncing": words}
    audit.note(tx, actor, "mark address", f"entity/{chosen.entity_id}", detail, now)
    return contact(tx, actor, contact_id)


def verify(tx: Connection, actor: Viewer, contact_id: int, verified: bool, now: float) -> Contact | None:
    """Say that an address is truly theirs (or that nobody knows), and that it no longer bounces."""
    chosen = contact(tx, actor, contact_id)
    if chosen is None:
        return None
    values = {"verified_at": now if verified else None, "bouncing_at": None, "bounce_words": ""}
    tx.execute(update(pe_contact).where(pe_contact.c.id == contact_id).values(**values))
    detail = {"address": chosen.address, "verified": verified}
    audit.note(tx, actor, "verify address", f"entity/{chosen.entity_id}", detail, now)
    return contact(tx, actor, contact_id)


def remove_contact(tx: Connection, actor: Viewer, contact_id: int, now: float) -> bool:
    """Take an address off its entity."""
    chosen = contact(tx, actor, contact_id)
    if chosen is None:
        return False
    tx.execute(delete(pe_contact).where(pe_contact.c.id == contact_id))
    _index(tx, chosen.entity_id)
    audit.note(tx, actor, "remove address", f"entity/{chosen.entity_id}", {"address": chosen.address}, now)
    return True


def who(tx: Connection, addresses: Sequence[Address | str]) -> dict[str, Entity]:
    """Whose addresses these are, by the address as a URI: who had it first counts, unknown ones are left out."""
    uris = sorted({str(address) for address in addresses})
    rows = select(*ENTITY, pe_contact.c.address).join(pe_contact, pe_contact.c.entity_id == pe_entity.c.id)
    found: dict[str, Entity] = {}
    for row in tx.execute(rows.where(pe_contact.c.address.in_(uris)).order_by(pe_contact.c.id)):
        found.setdefault(row.address, entity_from(row))
    return found


# --- STOP ----------


def suppress(tx: Connection, address: str, why: str, now: float) -> bool:
    """Send nothing more to an address, across everything. True where that is new."""
    return insert_new(tx, suppression, [{"address": address, "why": clean(why), "at": now}]) > 0


def unsuppress(tx: Connection, address: str, now: float) -> bool:  # noqa: ARG001 -- as all units that edit
    """Send to it again. True where it had been stopped."""
    return tx.execute(delete(suppression).where(suppression.c.address == address)).rowcount > 0


def set_stopped(tx: Connection, actor: Viewer, contact_id: int, stopped: bool, why: str, now: float) -> Contact | None:
    """Write down that they want no more messages to this address, or want them again."""
    chosen = contact(tx, actor, contact_id)
    if chosen is None:
        return None
    changed = suppress(tx, chosen.address, why, now) if stopped else unsuppress(tx, chosen.address, now)
    if changed:
        act = "stop address" if stopped else "allow address"
        audit.note(tx, actor, act, f"entity/{chosen.entity_id}", {"address": chosen.address, "why": why[:200]}, now)
    return contact(tx, actor, contact_id)


def suppressed(tx: Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Those of the addresses to which nothing may be sent, with why."""
    rows = select(suppression.c.address, suppression.c.why).where(suppression.c.address.in_(list(addresses)))
    return {row.address: row.why for row in tx.execute(rows)}
