"""Who may do what: the one table that every act of a person is asked against. Pure.

A grant is a role, everywhere or within a scope (a resource type, or one record of it). Roles do not contain each
other, but for the administrator, who may do all that is not scoped to somebody else; what a person may *see* is in
``store.visible``.
"""

from __future__ import annotations

from enum import StrEnum

from msgserver.records import Role, Viewer


class Act(StrEnum):
    """What people do."""

    SEE = "see"  # log, tickets, records, within the scope
    MARK = "mark"  # read and unread, one's own
    REPLY = "reply"
    WRITE = "write"  # a new message to anybody
    TAG = "tag"
    ROUTE = "route"  # to a person or group: makes deliveries
    ASSIGN = "assign"
    TICKET = "ticket"  # subject, priority, done
    NOTE = "note"
    RECORD = "record"  # make and edit resource records
    PEOPLE = "people"  # entities, contacts, memberships
    SUBSCRIBE = "subscribe"  # oneself
    SUBSCRIBE_OTHERS = "subscribe others"
    ALERT = "alert"
    OVERRIDE_STOP = "override stop"
    RULES = "rules"
    CONNECTORS = "connectors"  # status, pause, test
    DELIVERIES = "deliveries"  # retry, cancel
    RELAY = "relay"  # work a station: pass on by voice or hand, log what was heard
    RAW = "raw"  # bytes as they arrived
    USERS = "users"
    TOKENS = "tokens"  # one's own
    AUDIT = "audit"
    SETTINGS = "settings"


_ANYBODY = frozenset({Act.SEE, Act.MARK, Act.SUBSCRIBE, Act.TOKENS})
_DESK = frozenset({Act.REPLY, Act.TAG, Act.ROUTE, Act.ASSIGN, Act.TICKET, Act.NOTE, Act.RECORD, Act.RAW})

ROLES: dict[Role, frozenset[Act]] = {
    Role.READER: _ANYBODY,
    Role.RESPONDER: _ANYBODY | _DESK | {Act.WRITE, Act.PEOPLE, Act.RELAY},
    Role.ALERT_SENDER: _ANYBODY | {Act.ALERT, Act.WRITE, Act.PEOPLE, Act.SUBSCRIBE_OTHERS},
    Role.OPERATOR: _ANYBODY | {Act.CONNECTORS, Act.DELIVERIES, Act.RELAY, Act.RULES, Act.RAW, Act.AUDIT},
    Role.ADMINISTRATOR: frozenset(Act),
}

# What is about no single record: a grant that is narrowed to a scope does not give it.
_EVERYWHERE = frozenset(
    {
        Act.WRITE,
        Act.PEOPLE,
        Act.SUBSCRIBE_OTHERS,
        Act.ALERT,
        Act.OVERRIDE_STOP,
        Act.RULES,
        Act.CONNECTORS,
        Act.RELAY,
        Act.USERS,
        Act.AUDIT,
        Act.SETTINGS,
    }
)


class Forbidden(Exception):
    """Somebody may not do this; the message says what is missing, in words for that person."""


def may(viewer: Viewer, act: Act, resource: str = "", record: str = "") -> bool:
    """Whether a viewer may do something, to a record or type where one is named.

    With no resource named, a scoped grant suffices for acts within a scope (whether the object lies in it is what the
    store's visibility checks when the object is fetched); acts about no single record need a grant for everywhere.
    """
    for grant in viewer.grants:
        if act not in ROLES[grant.role]:
            continue
        if not grant.resource:
            return True
        if act in _EVERYWHERE:
            continue
        if not resource or (grant.resource == resource and (not grant.record or grant.record == record)):
            return True
    return False


def narrowed(viewer: Viewer, *acts: Act) -> Viewer:
    """The same person with those rights alone that let them do one of these acts.

    Whoever may read everything and answer about one site answers about that site only: what an act is done to is
    looked up with the rights for the act.
    """
    if viewer.user_id == 0:
        return viewer
    grants = tuple(grant for grant in viewer.grants if not ROLES[grant.role].isdisjoint(acts))
    return Viewer(viewer.user_id, viewer.name, grants, viewer.entity_id)


def require(viewer: Viewer, act: Act, resource: str = "", record: str = "") -> None:
    """Let an act pass, or refuse it.

    Raises:
        Forbidden: in words.
    """
    if may(viewer, act, resource, record):
        return
    roles = " or ".join(role.value for role in Role if act in ROLES[role])
    raise Forbidden(f"You may not do this ({act.value}): it takes the role {roles}. Ask an administrator.")
