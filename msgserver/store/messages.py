"""The log as people read it: messages, their tags, attachments and deliveries, and what each has read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
)

from msgserver.formats.search import parse
from msgserver.records import Delivery, DeliveryState, Direction, Message, StoredAttachment, Tag, Viewer
from msgserver.store import audit, counting, visible
from msgserver.store.bulk import clean
from msgserver.store.edits import Refused
from msgserver.store.paging import Page, cursor, position, size
from msgserver.store.schema import (
    msg_attachment,
    msg_delivery_status,
    msg_log,
    msg_read_status,
    msg_tag,
    pe_entity,
    resource_record,
    resource_type,
    saved_view,
)
from msgserver.store.search import finding, inbound, of_others, unread, unread_from
from msgserver.store.upsert import insert_new, inserting

ENTITY = "entity"  # the resource of tags that say to whom a message was routed
GLIMPSE = 500  # characters of a body that a list carries
_HIDDEN = {"automatic"}
_strings = msgspec.json.Decoder(tuple[str, ...])


@lru_cache(maxsize=512)
def columns(viewer: Viewer, *, whole: bool) -> tuple[ColumnElement[Any], ...]:
    """The columns :func:`from_row` reads. Not ``whole``: the body's beginning and no HTML."""
    picked: list[ColumnElement[Any]] = []
    for column in msg_log.c:
        if column.name in _HIDDEN or column.name not in Message.__struct_fields__:
            continue
        if not whole and column.name == "body":
            picked.append(func.substr(msg_log.c.body, 1, GLIMPSE).label("body"))
        elif not whole and column.name == "html":
            picked.append(literal_column("''").label("html"))
        else:
            picked.append(column)
    picked.append(unread(viewer).label("unread"))
    return tuple(picked)


@lru_cache(maxsize=512)
def _everything(viewer: Viewer, whole: bool) -> Select[Any]:
    """The whole log, newest first; parameter ``most``."""
    rows = select(*columns(viewer, whole=whole)).where(visible.messages(viewer))
    return rows.order_by(msg_log.c.id.desc()).limit(bindparam("most", type_=Integer))


def from_row(row: Any) -> Message:
    """A row of :func:`columns` as a record."""
    values = dict(row._mapping)
    values["direction"] = Direction(values["direction"])
    values["recipients"] = _strings.decode(values["recipients"])
    values["trouble"] = _strings.decode(values["trouble"])
    values["spam"] = bool(values["spam"])
    values["unread"] = bool(values["unread"])
    if values["actionable"] is not None:
        values["actionable"] = bool(values["actionable"])
    return Message(**values)


def log(
    tx: Connection,
    viewer: Viewer,
    query: str = "",
    cursor_word: str = "",
    limit: int = 50,
    *,
    whole: bool = False,
    now: float | None = None,
    verified: bool = False,
    spam: bool = True,
) -> Page[Message]:
    """The newest messages that answer a query (``formats.query``), everything included that is on no ticket.

    Rows carry ``GLIMPSE`` characters of the body and no HTML, unless ``whole``. ``verified``: only what is; without
    ``spam``: only what is none.
    """
    asked = parse(query)
    limit = size(limit)
    after = position(cursor_word, int)
    rows = _everything(viewer, whole)
    key: ColumnElement[int] = msg_log.c.id
    if asked.tree is not None:
        found = finding(tx, asked.tree, viewer, now)
        key = found.key
        rows = found.over(columns(viewer, whole=whole)).where(visible.messages(viewer))
        rows = rows.order_by(key.desc()).limit(bindparam("most", type_=Integer))
    if verified:
        rows = rows.where(msg_log.c.verified != "")
    if not spam:
        rows = rows.where(msg_log.c.spam.is_(False))
    if after is not None:
        rows = rows.where(key < after[0])
    items = [from_row(row) for row in tx.execute(rows, {"most": limit + 1})]
    following = cursor(items[limit - 1].id) if len(items) > limit else ""
    return Page(tuple(items[:limit]), following, asked.ignored)


def message(tx: Connection, viewer: Viewer, message_id: int) -> Message | None:
    """One message, whole; None where there is none or the viewer may not see it."""
    rows = _one(tx, viewer, msg_log.c.id == message_id)
    return rows[0] if rows else None


def message_by_uid(tx: Connection, viewer: Viewer, uid: str) -> Message | None:
    """One message by its outside name."""
    rows = _one(tx, viewer, msg_log.c.uid == uid)
    return rows[0] if rows else None


def numbered(tx: Connection, viewer: Viewer, ticket_id: int, number: int) -> Message | None:
    """The message that people call ``42.3``."""
    rows = _one(tx, viewer, and_(msg_log.c.ticket_id == ticket_id, msg_log.c.number == number))
    return rows[0] if rows else None


def _one(tx: Connection, viewer: Viewer, condition: ColumnElement[bool]) -> list[Message]:
    rows = select(*columns(viewer, whole=True)).where(condition, visible.messages(viewer)).limit(1)
    return [from_row(row) for row in tx.execute(rows)]


def visible_ids(tx: Connection, viewer: Viewer, message_ids: Iterable[int]) -> list[int]:
    """Those of the ids that exist and may be seen."""
    rows = select(msg_log.c.id).where(msg_log.c.id.in_(list(message_ids)), visible.messages(viewer))
    return list(tx.scalars(rows.order_by(msg_log.c.id)))


# --- tags ----------


def _tag_rows() -> Any:
    name = func.coalesce(resource_record.c.name, resource_type.c.label, msg_tag.c.resource)
    own = func.nullif(msg_tag.c.record, "")
    return (
        select(
            msg_tag,
            func.coalesce(resource_record.c.name, pe_entity.c.name, saved_view.c.name, own, name).label("name"),
        )
        .outerjoin(
            resource_record,
            and_(resource_record.c.uid == msg_tag.c.record, resource_record.c.resource == msg_tag.c.resource),
        )
        .outerjoin(resource_type, resource_type.c.name == msg_tag.c.resource)
        .outerjoin(pe_entity, and_(pe_entity.c.uid == msg_tag.c.record, msg_tag.c.resource == ENTITY))
        .outerjoin(saved_view, and_(msg_tag.c.resource == "search", cast(saved_view.c.id, Text) == msg_tag.c.record))
        .join(msg_log, msg_log.c.id == msg_tag.c.message_id)
    )


def tags(tx: Connection, viewer: Viewer, message_ids: Iterable[int]) -> dict[int, list[Tag]]:
    """The tags of messages, each with its name for people; messages without tags are not in the answer."""
    found: dict[int, list[Tag]] = {}
    rows = _tag_rows().where(msg_tag.c.message_id.in_(list(message_ids)), visible.messages(viewer))
    # Sorted here: asked for them in the order of their ids, SQLite walks through every tag there is.
    for row in sorted(tx.execute(rows), key=lambda row: row.id):
        found.setdefault(row.message_id, []).append(Tag(**row._mapping))
    return found


def _this(message_id: int, resource: str, record: str) -> ColumnElement[bool]:
    row = msg_tag.c
    return and_(row.message_id == message_id, row.resource == resource, row.record == record)


def add_tag(
    tx: Connection, actor: Viewer, message_id: int, resource: str, record: str, now: float, *, why: str = ""
) -> Tag | None:
    """Tag a message by hand; tagging twice is harmless. None where the message may not be seen.

    Raises:
        Refused: the resource's name is none.
    """
    resource, record = clean(resource), clean(record)
    if not resource or len(resource) > 60 or len(record) > 200:
        raise Refused("Nothing was tagged: choose what the message is about.")
    if not visible_ids(tx, actor, [message_id]):
        return None
    row = {
        "message_id": message_id,
        "resource": resource,
        "record": record,
        "user_id": actor.user_id or None,
        "why": why or f"by hand: {actor.name}",
        "created_at": now,
    }
    if insert_new(tx, msg_tag, [row]):
        counting.count_tags(tx, _this(message_id, resource, record), +1)
        audit.note(tx, actor, "tag", f"message/{message_id}", {"resource": resource, "record": record}, now)
    found = tx.execute(_tag_rows().where(_this(message_id, resource, record))).one()
    return Tag(**found._mapping)


def remove_tag(tx: Connection, actor: Viewer, tag_id: int, now: float) -> bool:
    """Take a tag off; False where there is none that the actor may see."""
    row = tx.execute(_tag_rows().where(msg_tag.c.id == tag_id, visible.messages(actor))).one_or_none()
    if row is None:
        return False
    counting.count_tags(tx, msg_tag.c.id == tag_id, -1)
    tx.execute(delete(msg_tag).where(msg_tag.c.id == tag_id))
    detail = {"resource": row.resource, "record": row.record, "why": row.why}
    audit.note(tx, actor, "untag", f"message/{row.message_id}", detail, now)
    return True


# --- attachments ----------


class Content(msgspec.Struct, frozen=True):
    """An attachment with its bytes, or the name under which the blob store has them."""

    attachment: StoredAttachment
    content: bytes
    blob: str


_ATTACHMENT = [msg_attachment.c[name] for name in StoredAttachment.__struct_fields__]


def attachments(tx: Connection, viewer: Viewer, message_ids: Iterable[int]) -> dict[int, list[StoredAttachment]]:
    """What hangs on messages, without the bytes; messages without attachments are not in the answer."""
    found: dict[int, list[StoredAttachment]] = {}
    rows = (
        select(*_ATTACHMENT)
        .join(msg_log, msg_log.c.id == msg_attachment.c.message_id)
        .where(msg_attachment.c.message_id.in_(list(message_ids)), visible.messages(viewer))
    )
    for row in sorted(tx.execute(rows), key=lambda row: row.id):
        found.setdefault(row.message_id, []).append(StoredAttachment(**row._mapping))
    return found


def attachment_content(tx: Connection, viewer: Viewer, attachment_id: int) -> Content | None:
    """One attachment with its bytes; None where there is none or the viewer may not see its message."""
    rows = (
        select(*_ATTACHMENT, msg_attachment.c.content, msg_attachment.c.blob)
        .join(msg_log, msg_log.c.id == msg_attachment.c.message_id)
        .where(msg_attachment.c.id == attachment_id, visible.messages(viewer))
    )
    row = tx.execute(rows).one_or_none()
    if row is None:
        return None
    known = {name: getattr(row, name) for name in StoredAttachment.__struct_fields__}
    return Content(StoredAttachment(**known), bytes(row.content or b""), row.blob)


# --- deliveries ----------

_DELIVERY = [msg_delivery_status.c[name] for name in Delivery.__struct_fields__]


def deliveries(
    tx: Connection,
    viewer: Viewer,
    message_ids: Iterable[int] | None = None,
    *,
    ticket_id: int | None = None,
    states: Sequence[DeliveryState] = (),
    connector: str = "",
    address: str = "",
    entity_id: int | None = None,
    alert_id: int | None = None,
    cursor_word: str = "",
    limit: int = 100,
) -> Page[Delivery]:
    """Deliveries of messages that may be seen, newest first, narrowed by whatever is given."""
    row = msg_delivery_status.c
    rows = select(*_DELIVERY)
    if not visible.whole_log(viewer):
        rows = rows.join(msg_log, msg_log.c.id == row.message_id).where(visible.messages(viewer))
    if message_ids is not None:
        rows = rows.where(row.message_id.in_(list(message_ids)))
    if states:
        rows = rows.where(row.state.in_([state.value for state in states]))
    for column, value in (
        (row.ticket_id, ticket_id),
        (row.connector, connector or None),
        (row.address, address or None),
        (row.entity_id, entity_id),
        (row.alert_id, alert_id),
    ):
        if value is not None:
            rows = rows.where(column == value)
    after = position(cursor_word, int)
    if after is not None:
        rows = rows.where(row.id < after[0])
    limit = size(limit)
    items = [_delivery(found) for found in tx.execute(rows.order_by(row.id.desc()).limit(limit + 1))]
    following = cursor(items[limit - 1].id) if len(items) > limit else ""
    return Page(tuple(items[:limit]), following)


def delivery(tx: Connection, viewer: Viewer, delivery_id: int) -> Delivery | None:
    """One delivery; None where its message may not be seen."""
    rows = (
        select(*_DELIVERY)
        .join(msg_log, msg_log.c.id == msg_delivery_status.c.message_id)
        .where(msg_delivery_status.c.id == delivery_id, visible.messages(viewer))
    )
    row = tx.execute(rows).one_or_none()
    return None if row is None else _delivery(row)


def _delivery(row: Any) -> Delivery:
    values = dict(row._mapping)
    values["state"] = DeliveryState(values["state"])
    return Delivery(**values)


# --- read and unread ----------

_MARKED_UNREAD = 0.0  # read_at of a message marked unread that lies below the viewer's watermark


def mark_read(tx: Connection, viewer: Viewer, message_ids: Iterable[int], now: float) -> int:
    """Mark messages read for the viewer alone; again is harmless. Returns how many were unread."""
    return _mark_read(tx, viewer, msg_log.c.id.in_(list(message_ids)), now)


def mark_ticket_read(tx: Connection, viewer: Viewer, ticket_id: int, now: float) -> int:
    """Mark all messages on a ticket read for the viewer."""
    return _mark_read(tx, viewer, msg_log.c.ticket_id == ticket_id, now)


def _mark_read(tx: Connection, viewer: Viewer, which: ColumnElement[bool], now: float) -> int:
    if viewer.user_id == 0:
        return 0
    chosen = select(msg_log.c.id, literal(viewer.user_id), literal(now)).where(
        which, visible.messages(viewer), unread(viewer)
    )
    marked = inserting(tx, msg_read_status).from_select(["message_id", "auth_user_id", "read_at"], chosen)
    key = [msg_read_status.c.message_id, msg_read_status.c.auth_user_id]
    marked = marked.on_conflict_do_update(index_elements=key, set_={"read_at": now})
    ids = list(tx.scalars(marked.returning(msg_read_status.c.message_id)))
    counting.count_marks(tx, viewer.user_id, ids, +1)
    return len(ids)


def mark_unread(tx: Connection, viewer: Viewer, message_ids: Iterable[int]) -> int:
    """Mark messages unread again for the viewer alone. Returns how many were read."""
    row = msg_read_status.c
    if viewer.user_id == 0:
        return 0
    chosen = select(msg_log.c.id).where(
        msg_log.c.id.in_(list(message_ids)),
        visible.messages(viewer),
        inbound(),
        of_others(viewer),
        ~unread(viewer).self_group(),
    )
    ids = list(tx.scalars(chosen))
    if not ids:
        return 0
    tx.execute(delete(msg_read_status).where(row.auth_user_id == viewer.user_id, row.message_id.in_(ids)))
    below = select(msg_log.c.id, literal(viewer.user_id), literal(_MARKED_UNREAD)).where(
        msg_log.c.id.in_(ids), msg_log.c.id <= unread_from(viewer)
    )
    tx.execute(insert(msg_read_status).from_select(["message_id", "auth_user_id", "read_at"], below))
    counting.count_marks(tx, viewer.user_id, ids, -1)
    return len(ids)
