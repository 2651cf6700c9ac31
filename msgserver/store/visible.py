"""Who may see what: the only place that says so (DESIGN, Who sees what).

A message is visible to whoever holds a grant for everywhere; else where one of its tags lies in a granted scope, or
the viewer is assigned to its ticket, or it has no tag and the viewer may respond. What hangs on a message (its bytes
as they arrived, attachments, deliveries) follows it; a ticket and its notes follow its messages. For a viewer of the
whole log each of these is plain true, so that plans stay those of the bare query.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, and_, exists, false, or_, select, true

from msgserver.records import Role, Viewer
from msgserver.store.schema import (
    msg_log,
    msg_tag,
    pe_entity,
    pe_subscription,
    resource_record,
    ticket,
    ticket_assignee,
)

RESPONDING = frozenset({Role.RESPONDER, Role.ADMINISTRATOR})


def whole_log(viewer: Viewer) -> bool:
    """Whether the viewer sees everything: the hub itself, and whoever holds any role for everywhere."""
    return viewer.user_id == 0 or any(not grant.resource for grant in viewer.grants)


def responds(viewer: Viewer) -> bool:
    """Whether the viewer may answer at least somewhere, and so sees what nobody has tagged yet."""
    return viewer.user_id == 0 or any(grant.role in RESPONDING for grant in viewer.grants)


def in_scope(viewer: Viewer, resource: ColumnElement[str], record: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a type and record lie in one of the viewer's scopes."""
    if whole_log(viewer):
        return true()
    types = sorted({grant.resource for grant in viewer.grants if not grant.record})
    single = sorted({(grant.resource, grant.record) for grant in viewer.grants if grant.record})
    within: list[ColumnElement[bool]] = [and_(resource == a, record == b) for a, b in single]
    if types:
        within.append(resource.in_(types))
    return or_(*within) if within else false()


def messages(viewer: Viewer, log: FromClause = msg_log) -> ColumnElement[bool]:
    """Of ``msg_log`` (or an alias of it): which rows the viewer may see."""
    if whole_log(viewer):
        return true()
    tagged = select(msg_tag.c.id).where(msg_tag.c.message_id == log.c.id).correlate(log)
    ways: list[ColumnElement[bool]] = [
        exists(
            select(ticket_assignee.c.user_id)
            .where(ticket_assignee.c.ticket_id == log.c.ticket_id, ticket_assignee.c.user_id == viewer.user_id)
            .correlate(log)
        )
    ]
    if viewer.grants:
        ways.append(exists(tagged.where(in_scope(viewer, msg_tag.c.resource, msg_tag.c.record))))
    if responds(viewer):
        # A saved search finds a message; it does not take it off the heap of what nobody has filed yet.
        ways.append(~exists(tagged.where(msg_tag.c.resource != "search")))
    return or_(*ways)


def tickets(viewer: Viewer) -> ColumnElement[bool]:
    """Of ``ticket``: those with a message the viewer may see, or to which the viewer is assigned."""
    if whole_log(viewer):
        return true()
    log = msg_log.alias("seen_log")
    return or_(
        exists(
            select(ticket_assignee.c.user_id)
            .where(ticket_assignee.c.ticket_id == ticket.c.id, ticket_assignee.c.user_id == viewer.user_id)
            .correlate(ticket)
        ),
        exists(select(log.c.id).where(log.c.ticket_id == ticket.c.id, messages(viewer, log)).correlate(ticket)),
    )


def entities(viewer: Viewer) -> ColumnElement[bool]:
    """Of ``pe_entity``: with a scope only, oneself, whoever wrote what one may see, and subscribers in the scope."""
    if whole_log(viewer):
        return true()
    log = msg_log.alias("heard_log")
    ways: list[ColumnElement[bool]] = [
        exists(select(log.c.id).where(log.c.entity_id == pe_entity.c.id, messages(viewer, log)).correlate(pe_entity)),
        exists(
            select(pe_subscription.c.id)
            .where(
                pe_subscription.c.pr_pe_id == pe_entity.c.id,
                in_scope(viewer, pe_subscription.c.resource, pe_subscription.c.record),
            )
            .correlate(pe_entity)
        ),
    ]
    if viewer.entity_id is not None:
        ways.append(pe_entity.c.id == viewer.entity_id)
    return or_(*ways)


def records(viewer: Viewer) -> ColumnElement[bool]:
    """Of ``resource_record``: those in the viewer's scopes."""
    return in_scope(viewer, resource_record.c.resource, resource_record.c.uid)


def sees_type(viewer: Viewer, resource: str) -> bool:
    """Whether the viewer sees every record of a resource type."""
    return whole_log(viewer) or any(grant.resource == resource and not grant.record for grant in viewer.grants)
