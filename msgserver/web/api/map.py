"""The API's part of the site map: a row a route, with what it takes and gives, from which its description is made."""

from __future__ import annotations

from typing import Any

from msgserver.routing.imports import LARGEST
from msgserver.routing.may import Act
from msgserver.web.api import (
    desk,
    groups,
    messages,
    openapi,
    people,
    people_files,
    records,
    rights,
    rules,
    searches,
    station,
    subscriptions,
    templates,
    tickets,
)
from msgserver.web.api import people_shapes as of_people
from msgserver.web.api import record_shapes as of_records
from msgserver.web.api import record_taken as for_records
from msgserver.web.api import rule_shapes as ruled
from msgserver.web.api import shapes as gives
from msgserver.web.api import taken as takes
from msgserver.web.api.asked import served
from msgserver.web.routes import Open, Row

QUEUED = "/connectors/{name:word}/queue/{delivery}"
PAGED = ("after", "limit")
COPIES = ("entity", "resource", *PAGED)


def _get(pattern: str, act: Any, who: Act, shape: Any, query: tuple[str, ...] = (), many: bool = False) -> Row:
    return Row("GET", f"/api/v1{pattern}", act, who, gives=shape, query=query, many=many)


def _list(pattern: str, act: Any, who: Act, shape: Any, query: tuple[str, ...] = ()) -> Row:
    return _get(pattern, act, who, shape, query, many=True)


def _post(pattern: str, act: Any, who: Act, takes_: Any, shape: Any, status: int = 201) -> Row:
    return Row("POST", f"/api/v1{pattern}", act, who, takes=takes_, gives=shape, status=status, once=True)


def _delete(pattern: str, act: Any, who: Act) -> Row:
    return Row("DELETE", f"/api/v1{pattern}", act, who, status=204)


def _change(method: str, pattern: str, act: Any, who: Act, takes_: Any, shape: Any, matches: bool = False) -> Row:
    return Row(method, f"/api/v1{pattern}", act, who, takes=takes_, gives=shape, matches=matches, once=True)


_ROWS = (
    Row("GET", "/api/v1/openapi.json", openapi.describe, Open.ANYONE, gives=dict[str, Any]),
    _list("/messages", messages.listing, Act.SEE, gives.MessageShape, ("q", *PAGED)),
    _post("/messages", messages.send, Act.WRITE, takes.NewMessage, gives.MessageShape),
    _get("/messages/{message}", messages.show, Act.SEE, gives.MessageShape),
    _post("/messages/{message}/reply", messages.reply, Act.REPLY, takes.NewReply, gives.MessageShape),
    Row("PUT", "/api/v1/messages/{message}/read", messages.mark_read, Act.MARK, status=204),
    _delete("/messages/{message}/read", messages.mark_unread, Act.MARK),
    _list("/messages/{message}/tags", messages.tags, Act.SEE, gives.TagShape),
    _post("/messages/{message}/tags", messages.add_tag, Act.TAG, takes.NewTag, gives.TagShape),
    _list("/messages/{message}/deliveries", messages.deliveries, Act.SEE, gives.DeliveryShape),
    Row("GET", "/api/v1/messages/{message}/original", messages.original, Act.RAW, gives=bytes),
    Row("GET", "/api/v1/attachments/{attachment}", messages.attachment, Act.SEE, gives=bytes),
    _delete("/tags/{tag}", messages.remove_tag, Act.TAG),
    _list("/tickets", tickets.listing, Act.SEE, gives.TicketShape, ("view", "q", *PAGED)),
    _get("/tickets/{ticket}", tickets.show, Act.SEE, gives.TicketShape),
    _change("PATCH", "/tickets/{ticket}", tickets.patch, Act.TICKET, takes.TicketChange, gives.TicketShape, True),
    _post("/tickets/{ticket}/merge", tickets.merge, Act.TICKET, takes.Merge, gives.TicketShape, 200),
    _post("/tickets/{ticket}/split", tickets.split, Act.TICKET, takes.Split, gives.TicketShape),
    _post("/tickets/{ticket}/move", tickets.move, Act.TICKET, takes.Move, gives.TicketShape, 200),
    _list("/tickets/{ticket}/messages", tickets.messages, Act.SEE, gives.MessageShape),
    _list("/tickets/{ticket}/notes", tickets.notes, Act.NOTE, gives.NoteShape),
    _post("/tickets/{ticket}/notes", tickets.add_note, Act.NOTE, takes.NewNote, gives.NoteShape),
    _list("/deliveries", desk.list_deliveries, Act.SEE, gives.DeliveryShape, ("state", "connector", "address", *PAGED)),
    _get("/deliveries/{delivery}", desk.delivery, Act.SEE, gives.DeliveryShape),
    _post("/deliveries/{delivery}/retry", desk.retry, Act.SEE, None, gives.DeliveryShape, 200),
    _post("/deliveries/{delivery}/cancel", desk.cancel, Act.SEE, None, gives.DeliveryShape, 200),
    _list("/entities", people.listing, Act.SEE, gives.EntityShape, ("q", "kind", "uid", *PAGED)),
    _post("/entities", people.add, Act.PEOPLE, takes.NewEntity, gives.EntityShape),
    _get("/entities/{entity}", people.show, Act.SEE, gives.EntityShape),
    _change("PATCH", "/entities/{entity}", people.patch, Act.PEOPLE, takes.EntityChange, gives.EntityShape),
    _delete("/entities/{entity}", people.remove, Act.PEOPLE),
    _list("/entities/{entity}/contacts", people.contacts, Act.SEE, gives.ContactShape),
    _post("/entities/{entity}/contacts", people.add_contact, Act.PEOPLE, takes.NewContact, gives.ContactShape),
    _list("/entities/{entity}/groups", people.groups, Act.SEE, of_people.MemberShape),
    Row(
        "POST", "/api/v1/entities/import", people_files.bring_in, Act.PEOPLE, LARGEST, takes=bytes,
        gives=of_people.ImportShape, query=("dry_run", "region", "file"), once=True,
    ),
    Row("GET", "/api/v1/entities/export", people_files.export, Act.PEOPLE, gives=bytes, media_type="text/csv"),
    _list("/entities/likely-duplicates", people.likely, Act.PEOPLE, of_people.LikelyShape),
    _post("/entities/{entity}/merge", people.merge, Act.PEOPLE, of_people.Duplicate, gives.EntityShape, 200),
    _list("/groups", groups.listing, Act.SEE, of_people.GroupShape, ("q", "kind:group", *PAGED)),
    _get("/groups/{group}", groups.show, Act.SEE, of_people.GroupShape),
    _list("/groups/{group}/unreachable", groups.unreachable, Act.SEE, of_people.UnreachableShape),
    _list("/groups/{group}/members", groups.members, Act.SEE, of_people.MemberShape, ("q", *PAGED)),
    _post("/groups/{group}/members", groups.add, Act.PEOPLE, of_people.NewMember, of_people.MemberShape),
    _get("/groups/{group}/members/{member}", groups.member, Act.SEE, of_people.MemberShape),
    _change(
        "PATCH", "/groups/{group}/members/{member}", groups.change, Act.PEOPLE, of_people.MemberChange,
        of_people.MemberShape,
    ),
    _delete("/groups/{group}/members/{member}", groups.remove, Act.PEOPLE),
    _get("/contacts/{contact}", people.contact, Act.SEE, gives.ContactShape),
    _change(
        "PATCH", "/contacts/{contact}", people.patch_contact, Act.PEOPLE, of_people.ContactChange, gives.ContactShape
    ),
    _delete("/contacts/{contact}", people.remove_contact, Act.PEOPLE),
    _get("/messages/{message}/record", records.fill, Act.RECORD, of_records.FilledShape, ("resource",)),
    _post("/messages/{message}/route", records.route, Act.ROUTE, for_records.NewRoute, of_records.RoutedShape),
    _list("/resources", records.list_types, Act.SEE, of_records.TypeShape),
    _get("/resources/{name:word}", records.show_type, Act.SEE, of_records.TypeShape),
    _change(
        "PUT", "/resources/{name:word}", records.put_type, Act.SETTINGS, for_records.TypeWish, of_records.TypeShape
    ),
    _delete("/resources/{name:word}", records.remove_type, Act.SETTINGS),
    _list("/records", records.listing, Act.SEE, of_records.RecordShape, ("q", "resource", "code", "parent", *PAGED)),
    _post("/records", records.add, Act.RECORD, for_records.NewRecord, of_records.RecordShape),
    _list("/completions", records.complete, Act.SEE, of_records.RecordShape, ("q", "resource", "limit")),
    _get("/records/{uid:word}", records.show, Act.SEE, of_records.RecordShape),
    _change(
        "PATCH", "/records/{uid:word}", records.patch, Act.RECORD, for_records.RecordChange, of_records.RecordShape,
        True,
    ),
    _delete("/records/{uid:word}", records.remove, Act.RECORD),
    _list("/records/{uid:word}/history", records.history, Act.SEE, of_records.ChangeShape, PAGED),
    _list(
        "/records/{uid:word}/messages", records.about_record, Act.SEE, gives.MessageShape, ("resource", "show", *PAGED)
    ),
    _list("/subscriptions", subscriptions.listing, Act.SUBSCRIBE, gives.SubscriptionShape, COPIES),
    _post("/subscriptions", subscriptions.subscribe, Act.SUBSCRIBE, takes.NewSubscription, gives.SubscriptionShape),
    Row(
        "POST", "/api/v1/subscriptions/preview", subscriptions.preview, Act.SUBSCRIBE, takes=takes.NewSubscription,
        gives=gives.PreviewShape,
    ),
    _get("/subscriptions/{subscription}", subscriptions.show, Act.SUBSCRIBE, gives.SubscriptionShape),
    _change(
        "PATCH", "/subscriptions/{subscription}", subscriptions.patch, Act.SUBSCRIBE, takes.SubscriptionChange,
        gives.SubscriptionShape,
    ),
    _delete("/subscriptions/{subscription}", subscriptions.unsubscribe, Act.SUBSCRIBE),
    _list("/copies", subscriptions.waiting, Act.DELIVERIES, gives.AskingShape),
    _post("/copies/{message}/send", subscriptions.let_go, Act.DELIVERIES, None, gives.DecidedShape, 200),
    _post("/copies/{message}/cancel", subscriptions.keep_back, Act.DELIVERIES, None, gives.DecidedShape, 200),
    _list("/searches", searches.listing, Act.SEE, gives.SearchShape),
    _post("/searches", searches.add, Act.SEE, takes.NewSearch, gives.SearchShape),
    _change("PUT", "/searches/{view}", searches.put, Act.SEE, takes.NewSearch, gives.SearchShape),
    _delete("/searches/{view}", searches.remove, Act.SEE),
    _list("/audit", rights.audit, Act.AUDIT, gives.AuditShape, ("who", "act", "thing", *PAGED)),
    _list("/rules", rules.list_rules, Act.RULES, ruled.RuleShape),
    _post("/rules", rules.add_rule, Act.RULES, ruled.NewRule, ruled.RuleShape),
    _post("/rules/test", rules.test, Act.RULES, ruled.RuleTest, ruled.TrialShape, 200),
    Row(
        "PUT", "/api/v1/rules/order", rules.arrange, Act.RULES, takes=ruled.RuleOrder, gives=ruled.RuleShape,
        many=True, once=True,
    ),
    _list("/rules/removed", rules.removed, Act.RULES, ruled.WordingShape),
    _get("/rules/{rule}", rules.rule, Act.RULES, ruled.RuleShape),
    _change("PUT", "/rules/{rule}", rules.put_rule, Act.RULES, ruled.NewRule, ruled.RuleShape, True),
    _delete("/rules/{rule}", rules.remove_rule, Act.RULES),
    _list("/rules/{rule}/versions", rules.versions, Act.RULES, ruled.WordingShape),
    _post("/rules/{rule}/undo", rules.undo, Act.RULES, None, ruled.RuleShape, 200),
    _post("/rules/{rule}/restore", rules.restore, Act.RULES, ruled.RuleVersion, ruled.RuleShape, 200),
    _list("/parsers", rules.parsers, Act.RULES, ruled.ParserShape),
    _list("/templates", templates.listing, Act.SEE, gives.TemplateShape),
    _post("/templates", templates.add, Act.RULES, takes.NewTemplate, gives.TemplateShape),
    _get("/templates/{template}", templates.show, Act.SEE, gives.TemplateShape),
    _change("PUT", "/templates/{template}", templates.put, Act.RULES, takes.NewTemplate, gives.TemplateShape, True),
    _delete("/templates/{template}", templates.remove, Act.RULES),
    _post("/templates/{template}/preview", templates.preview, Act.SEE, takes.Values, gives.WordedShape, 200),
    _list("/connectors", desk.list_connectors, Act.SEE, gives.ConnectorShape),
    _get("/connectors/{name:word}", desk.connector, Act.SEE, gives.ConnectorShape),
    _change(
        "PATCH", "/connectors/{name:word}", desk.patch_connector, Act.CONNECTORS, takes.ConnectorChange,
        gives.ConnectorShape,
    ),
    _list("/connectors/{name:word}/queue", station.queue, Act.RELAY, gives.QueuedShape),
    _post(f"{QUEUED}/take", station.take, Act.RELAY, None, gives.QueuedShape, 200),
    _post(f"{QUEUED}/delivered", station.delivered, Act.RELAY, takes.ReadBack, gives.QueuedShape, 200),
    _post(f"{QUEUED}/failed", station.failed, Act.RELAY, takes.NotPassed, gives.QueuedShape, 200),
    _post(f"{QUEUED}/back", station.back, Act.RELAY, None, gives.QueuedShape, 200),
    _post("/connectors/{name:word}/heard", station.heard, Act.RELAY, takes.NewHeard, None, 204),
    _list("/users", rights.listing, Act.USERS, gives.UserShape),
    _post("/users", rights.add, Act.USERS, takes.NewUser, gives.UserShape),
    _get("/users/{user}", rights.show, Act.USERS, gives.UserShape),
    _change("PATCH", "/users/{user}", rights.patch, Act.USERS, takes.UserChange, gives.UserShape),
    _get("/users/me", desk.me, Act.TOKENS, gives.UserShape),
    _list("/tokens", desk.list_tokens, Act.TOKENS, gives.TokenShape),
    # Not "once": the answer holds a key, which nobody keeps.
    Row("POST", "/api/v1/tokens", desk.add_token, Act.TOKENS, takes=takes.NewToken, gives=gives.TokenShape, status=201),
    _delete("/tokens/{token}", desk.revoke_token, Act.TOKENS),
)  # fmt: skip

API = tuple(map(served, _ROWS))
