"""People out of a file, a slice at a time: who of them is known, and writing those who are not, set by set.

A row is somebody known by its uid, else by an address together with the name; everybody else is new. An address that is
somebody's of another name already is said, and shared. What is known is added to, never taken away; an address that
asked for no more messages stays stopped. The same file once more changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from msgserver.formats.people_csv import Problem, Row
from msgserver.formats.tokens import fold
from msgserver.records import EntityKind, Viewer
from msgserver.store import audit, bulk, membership, names, people
from msgserver.store.edits import Refused
from msgserver.store.schema import audit as audit_table
from msgserver.store.schema import msg_log, pe_contact, pe_entity, pe_membership, pe_merged, suppression, ticket
from msgserver.store.upsert import insert_new

SLICE = 250  # rows of one transaction: no other writer waits longer than for these
_ENTITY = ("id", "uid", "kind", "name", "name_folded", "language", "timezone", "comments", "quiet_from", "quiet_until",
           "created_at")  # fmt: skip
_CONTACT = ("entity_id", "scheme", "address", "verified_at", "preferred", "created_at")


class Report(msgspec.Struct, kw_only=True):
    """What became of a file so far; a run adds to it. ``problems`` are the first of ``problems_in_all``."""

    rows: int = 0
    new: int = 0
    known: int = 0
    left_out: int = 0
    new_groups: list[str] = []
    ignored_columns: tuple[str, ...] = ()
    problems: list[Problem] = []
    problems_in_all: int = 0

    def note(self, found: Sequence[Problem], most: int = 500) -> None:
        """Keep what is wrong."""
        self.problems_in_all += len(found)
        self.problems += found[: max(0, most - len(self.problems))]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What became of some rows, or would."""

    new: int
    known: int
    left_out: int
    new_groups: tuple[str, ...]
    problems: tuple[Problem, ...]


class _Known(msgspec.Struct, frozen=True):
    id: int
    kind: str
    name: str
    folded: str


class _Match(msgspec.Struct):
    """Which of the rows are known, which new, and what is wrong with them."""

    known: list[tuple[Row, _Known]] = []
    new: list[Row] = []
    problems: list[Problem] = []
    left_out: int = 0


class Seen:
    """What earlier rows of the file had, for those that say the same again: uids, addresses and names of groups."""

    def __init__(self) -> None:
        self.uids: dict[str, int] = {}
        self.addresses: dict[str, tuple[int, str, str]] = {}
        self.groups: set[str] = set()

    def clash(self, row: Row) -> Iterator[Problem]:
        """Whether an earlier row is the same person, or has an address of this one."""
        if row.given_uid and (line := self.uids.setdefault(row.uid, row.line)) != row.line:
            yield Problem(row.line, "uid", f"is the uid of line {line} once more: left out", True)
            return
        for address in row.addresses:
            line, folded, name = self.addresses.setdefault(address, (row.line, row.folded, row.name))
            if line != row.line and folded == row.folded:
                yield Problem(row.line, "", f"is {name} of line {line} once more ({address}): left out", True)
                return
            if line != row.line:
                yield Problem(row.line, "", f"{address} is also that of {name} (line {line}): both have it")


def _rows(tx: Connection, column: Any, values: Any, *more: Any) -> list[Any]:
    entity = pe_entity.c
    wanted = select(entity.id, entity.kind, entity.name, entity.name_folded, column.label("by"), *more)
    if column.table is not pe_entity:
        wanted = wanted.join(column.table, column.table.c.entity_id == entity.id)
    return list(tx.execute(wanted.where(column.in_(list(values))).order_by(entity.id)))


def _match(tx: Connection, rows: Sequence[Row], seen: Seen) -> _Match:
    match = _Match()
    uids = {row.uid for row in rows}
    by_uid = {one.by: _known(one) for column in (pe_merged.c.uid, pe_entity.c.uid) for one in _rows(tx, column, uids)}
    groups = {row.folded for row in rows if row.kind != "person"}
    by_name = {(one.kind, one.by): _known(one) for one in _rows(tx, pe_entity.c.name_folded, groups)} if groups else {}
    holders: dict[str, list[_Known]] = {}
    for one in _rows(tx, pe_contact.c.address, {address for row in rows for address in row.addresses}):
        holders.setdefault(one.by, []).append(_known(one))
    for row in rows:
        found = by_uid.get(row.uid) or (by_name.get((row.kind, row.folded)) if row.kind != "person" else None)
        wrong = list(seen.clash(row))
        told = {address for address in row.addresses if seen.addresses[address][0] != row.line}
        for address in row.addresses:
            others = [one for one in holders.get(address, ()) if found is None or one.id != found.id]
            same = [one for one in others if one.folded == row.folded and one.kind == row.kind]
            if found is None and same:
                found = same[0]
            elif others and not same and address not in told:
                wrong.append(Problem(row.line, "", f"{address} is {others[0].name}'s already: both have it"))
        if found is not None and found.kind != row.kind:
            wrong.append(Problem(row.line, "kind", f"{found.name} is a {found.kind} here, not a {row.kind}", True))
        row = _placed(row, wrong)
        match.problems += wrong
        if any(one.left_out for one in wrong):
            match.left_out += 1
        elif found is not None:
            match.known.append((row, found))
        else:
            match.new.append(row)
    return match


def _placed(row: Row, wrong: list[Problem]) -> Row:
    """The row without a time zone or language that is none."""
    for name, column, place in (
        ("timezone", "time zone", (row.timezone, "")),
        ("language", "language", ("", row.language)),
    ):
        try:
            people.check_place(*place)
        except Refused as refused:
            words = str(refused).removeprefix("Nothing was saved: ").partition(". ")[0]
            wrong.append(Problem(row.line, column, f"{words}: left out"))
            row = msgspec.structs.replace(row, **{name: ""})
    return row


def _known(row: Any) -> _Known:
    return _Known(row.id, row.kind, row.name, row.name_folded)


def _named(tx: Connection, rows: Sequence[Row], match: _Match) -> tuple[dict[str, int], dict[str, tuple[str, str]]]:
    """The groups that rows name: the ids of those there are, and name and kind of those to be made."""
    wanted: dict[str, tuple[str, str]] = {}
    for row in rows:
        for name, _role in row.groups:
            wanted.setdefault(fold(name), (name, "group"))
        if row.organisation:
            wanted.setdefault(fold(row.organisation[0]), (row.organisation[0], "organisation"))
    held: dict[str, list[_Known]] = {}
    for one in _rows(tx, pe_entity.c.name_folded, wanted) if wanted else ():
        if one.kind != "person":
            held.setdefault(one.by, []).append(_known(one))
    for folded, found in held.items():
        if len(found) > 1:
            lines = [row.line for row in rows if folded in map(fold, _group_names(row))]
            words = f"{found[0].name} is the name of {len(found)} groups: taken is the one that was there first"
            match.problems += [Problem(line, "groups", words) for line in lines]
    return {folded: found[0].id for folded, found in held.items()}, {
        folded: told for folded, told in wanted.items() if folded not in held
    }


def _group_names(row: Row) -> list[str]:
    return [name for name, _ in row.groups] + ([row.organisation[0]] if row.organisation else [])


def check(tx: Connection, rows: Sequence[Row], seen: Seen) -> Slice:
    """What would become of these rows; nothing is written."""
    match = _match(tx, rows, seen)
    _ids, missing = _named(tx, rows, match)
    fresh = [name for folded, (name, _kind) in missing.items() if folded not in seen.groups]
    seen.groups |= set(missing) | {row.folded for row in rows if row.kind != "person"}
    return _slice(match, fresh)


def _slice(match: _Match, new_groups: Sequence[str]) -> Slice:
    return Slice(
        new=len(match.new), known=len(match.known), left_out=match.left_out, new_groups=tuple(new_groups),
        problems=tuple(match.problems),
    )  # fmt: skip


def write(tx: Connection, actor: Viewer, rows: Sequence[Row], seen: Seen, file: str, now: float) -> Slice:
    """Write these rows, people with their addresses and groups; may be run again as a whole."""
    match = _match(tx, rows, _copy(seen, rows))
    ids = _insert(tx, match.new, now)
    for row, found in match.known:
        ids[row.line] = found.id
        _change(tx, actor, row, found, file, now)
    taken = [row for row in rows if row.line in ids]
    _addresses(tx, taken, ids, now)
    groups, missing = _named(tx, taken, match)
    for folded, (name, kind) in missing.items():
        uid = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{taken[0].uid}:{folded}"))
        renamed = people.entity_by_uid(tx, actor, uid)  # this file made it, and it is called otherwise by now
        groups[folded] = (renamed or people.create_entity(tx, actor, uid, EntityKind(kind), name, now)).id
    _memberships(tx, actor, taken, ids, groups, match, now)
    stopped = {address for row in taken for address in row.stopped}
    insert_new(tx, suppression, [{"address": one, "why": f"as in {file}", "at": now} for one in sorted(stopped)])
    notes = [
        (now, actor.user_id, f"import {row.kind}", f"entity/{ids[row.line]}",
         msgspec.json.encode({"name": row.name, "file": file, "line": row.line}).decode())
        for row in match.new
    ]  # fmt: skip
    bulk.insert_rows(tx, audit_table, ("at", "user_id", "act", "object", "detail"), notes)
    return _slice(match, [name for name, _kind in missing.values()])


def _copy(seen: Seen, rows: Sequence[Row]) -> Seen:
    """A unit may run twice: what it has seen is told to ``seen`` in a way that once more is the same."""
    again = Seen()
    wanted = {address for row in rows for address in row.addresses}
    lines = {row.line for row in rows}
    for address in wanted & seen.addresses.keys():
        if (told := seen.addresses[address])[0] not in lines:
            again.addresses[address] = told
    for row in rows:
        if row.given_uid and seen.uids.setdefault(row.uid, row.line) not in lines:
            again.uids[row.uid] = seen.uids[row.uid]
        for address in row.addresses:
            seen.addresses.setdefault(address, (row.line, row.folded, row.name))
    return again


def _insert(tx: Connection, rows: Sequence[Row], now: float) -> dict[int, int]:
    """New entities; their ids by their lines."""
    ids = dict(zip((row.line for row in rows), bulk.take_ids(tx, "pe_entity", len(rows)), strict=True))
    made = [
        (ids[row.line], row.uid, row.kind, row.name, row.folded, row.language, row.timezone, bulk.clean(row.comments),
         *(row.quiet or (None, None)), now)
        for row in rows
    ]  # fmt: skip
    bulk.insert_rows(tx, pe_entity, _ENTITY, made)
    words = [
        (ids[row.line], word)
        for row in rows
        for word in dict.fromkeys(
            [*names.words_of(row.name), *(word for one in row.addresses for word in names.words_of_address(one))]
        )
    ]
    names.put_all(tx, names.ENTITY, words)
    return ids


def _change(tx: Connection, actor: Viewer, row: Row, found: _Known, file: str, now: float) -> None:
    """What a row says of somebody who is known."""
    wish: dict[str, Any] = {"language": row.language, "timezone": row.timezone, "comments": row.comments}
    if row.given_uid:
        wish["name"] = row.name
    if row.quiet:
        wish["quiet_from"], wish["quiet_until"] = row.quiet
    before = people.entity(tx, actor, found.id)
    changes = {key: value for key, value in wish.items() if value not in ("", None) and value != getattr(before, key)}
    if changes:
        people.update_entity(tx, actor, found.id, changes, now)
        audit.note(tx, actor, f"import {row.kind}", f"entity/{found.id}", {"file": file, "line": row.line}, now)


def _addresses(tx: Connection, rows: Sequence[Row], ids: dict[int, int], now: float) -> None:
    """The addresses that are new, with what the rows say of them; what came from them before is theirs."""
    numbers = [ids[row.line] for row in rows]
    held = select(pe_contact.c.entity_id, pe_contact.c.address).where(pe_contact.c.entity_id.in_(numbers))
    there = {(row.entity_id, row.address) for row in tx.execute(held)}
    chosen = set(
        tx.scalars(select(pe_contact.c.entity_id).where(pe_contact.c.entity_id.in_(numbers), pe_contact.c.preferred))
    )
    fresh, grown = [], set()
    old = {number for number, _ in there}
    for row in rows:
        number = ids[row.line]
        first = row.preferred[0] if row.preferred and number not in chosen else ""
        for address in row.addresses:
            if (number, address) in there:
                _marks(tx, row, number, address, first, now)
                continue
            there.add((number, address))
            fresh.append((number, address.partition(":")[0], address, now if address in row.verified else None,
                          address == first, now))  # fmt: skip
            grown |= {number} & old
    bulk.insert_rows(tx, pe_contact, _CONTACT, fresh, skip_existing=True)
    people.reindex(tx, sorted(grown))
    _adopt(tx, {address: number for number, _, address, *_ in reversed(fresh)})


def _marks(tx: Connection, row: Row, number: int, address: str, first: str, now: float) -> None:
    mine = update(pe_contact).where(pe_contact.c.entity_id == number, pe_contact.c.address == address)
    if address in row.verified:
        tx.execute(mine.values(verified_at=func.coalesce(pe_contact.c.verified_at, now)))
    if address == first:
        tx.execute(mine.values(preferred=True))


def _adopt(tx: Connection, owners: dict[str, int]) -> None:
    """What came from an address before, from nobody known, is from its owner."""
    for table, column in ((msg_log, msg_log.c.sender), (ticket, ticket.c.address)):
        heard = select(column).distinct().where(column.in_(list(owners)), table.c.entity_id.is_(None))
        for address in tx.scalars(heard).all():
            mine = update(table).where(column == address, table.c.entity_id.is_(None))
            tx.execute(mine.values(entity_id=owners[address]))


def _memberships(
    tx: Connection, actor: Viewer, rows: Sequence[Row], ids: dict[int, int], groups: dict[str, int], match: _Match,
    now: float,
) -> None:  # fmt: skip
    wished: list[dict[str, Any]] = []
    for row in rows:
        for name, role in (*row.groups, *([row.organisation] if row.organisation else [])):
            group, number = groups[fold(name)], ids[row.line]
            if row.kind == "person":
                wished.append({"group_id": group, "member_id": number, "role": role, "at": now})
                continue
            try:
                membership.add_member(tx, actor, group, number, now, role)
            except Refused as refused:
                match.problems.append(Problem(row.line, "groups", str(refused)))
    columns = ("group_id", "member_id", "role", "at")
    values = [tuple(one[name] for name in columns) for one in wished]
    if bulk.insert_rows(tx, pe_membership, columns, values, skip_existing=True) < len(wished):
        _roles(tx, wished)


def _roles(tx: Connection, wished: Sequence[dict[str, Any]]) -> None:
    """Roles of those who were members already."""
    row = pe_membership.c
    for one in wished:
        if one["role"]:
            mine = update(pe_membership).where(row.group_id == one["group_id"], row.member_id == one["member_id"])
            tx.execute(mine.where(row.role != one["role"]).values(role=one["role"]))


def slices(rows: Iterator[Row | None], tell: Callable[[int, int], None]) -> Iterator[list[Row]]:
    """Rows in slices; ``tell`` hears of each slice's rows and how many of them were left out for what is in them."""
    held: list[Row] = []
    seen = lost = 0
    for row in rows:
        seen += 1
        if row is None:
            lost += 1
        else:
            held.append(row)
        if seen >= SLICE:
            tell(seen, lost)
            yield held
            held, seen, lost = [], 0, 0
    if seen:
        tell(seen, lost)
        yield held
