"""The map of the site: every route there is, one row each, and the making of the whole from the house."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.application import strports
from twisted.application.service import IService
from twisted.internet.threads import deferToThreadPool

from msgserver.routing.house import House
from msgserver.routing.imports import UPLOAD
from msgserver.routing.may import Act
from msgserver.routing.passwords import Passwords
from msgserver.store.door import Busy, DiskFull, StoreError
from msgserver.web import feeds, health, live
from msgserver.web.api.map import API
from msgserver.web.api.people_files import export
from msgserver.web.ask import Refusal
from msgserver.web.channel import LARGE, StrictSite
from msgserver.web.doorman import Doorman
from msgserver.web.health import Metrics
from msgserver.web.language import _
from msgserver.web.live import Streams
from msgserver.web.pages import (
    answer,
    audit,
    channels,
    compose,
    copies,
    counting,
    deliveries,
    download,
    entity,
    files,
    find,
    groups,
    inbox,
    log,
    login,
    me,
    people,
    people_files,
    preview,
    record,
    record_form,
    regroup,
    resources,
    rich,
    routing,
    rules,
    searches,
    station,
    subscriptions,
    templates,
    ticket,
    ticket_acts,
    trace,
    types,
    unsubscribe,
    users,
)
from msgserver.web.rates import Rates
from msgserver.web.rendering import Pages
from msgserver.web.routes import Open, Routes, Row

PAGES = (
    # method, path, act, who may
    Row("GET", "/healthz", health.healthz, Open.ANYONE),
    Row("GET", "/readyz", health.readyz, Open.ANYONE),
    Row("GET", "/metrics", health.metrics, Open.ANYONE),
    Row("GET", "/static/{name:word}", files.static, Open.ANYONE),
    Row("GET", "/setup", login.setup, Open.ANYONE),
    Row("POST", "/setup", login.make_administrator, Open.ANYONE),
    Row("GET", "/login", login.login, Open.ANYONE),
    Row("POST", "/login", login.enter, Open.ANYONE),
    Row("POST", "/logout", login.logout, Open.SIGNED_IN),
    Row("GET", "/unsubscribe/{token:word}", unsubscribe.form, Open.ANYONE),
    Row("POST", "/unsubscribe/{token:word}", unsubscribe.leave, Open.ANYONE, sealed=True),
    Row("GET", "/files/{token:word}", download.shared, Open.ANYONE),
    Row("GET", "/events", live.events, Act.SEE),
    Row("GET", "/", inbox.inbox, Act.SEE),
    Row("GET", "/log", log.log, Act.SEE),
    Row("GET", "/tickets/{ticket}", ticket.ticket, Act.SEE),
    Row("GET", "/tickets/{ticket}/thread", ticket.thread, Act.SEE),
    Row("POST", "/tickets/{ticket}/answer", answer.answer, Act.REPLY, LARGE),
    Row("POST", "/tickets/{ticket}/notes", answer.note, Act.NOTE),
    Row("POST", "/tickets/{ticket}/take", ticket_acts.take, Act.ASSIGN),
    Row("POST", "/tickets/{ticket}/drop", ticket_acts.drop, Act.ASSIGN),
    Row("POST", "/tickets/{ticket}/assign", ticket_acts.assign, Act.ASSIGN),
    Row("POST", "/tickets/{ticket}/priority", ticket_acts.prioritise, Act.TICKET),
    Row("POST", "/tickets/{ticket}/done", ticket_acts.done, Act.TICKET),
    Row("POST", "/tickets/{ticket}/reopen", ticket_acts.reopen, Act.TICKET),
    Row("POST", "/tickets/{ticket}/read", ticket_acts.read, Act.MARK),
    Row("POST", "/tickets/{ticket}/unread", ticket_acts.unread, Act.MARK),
    Row("POST", "/tickets/{ticket}/tags", ticket_acts.tag, Act.TAG),
    Row("GET", "/tickets/{ticket}/regroup", regroup.form, Act.TICKET),
    Row("POST", "/tickets/{ticket}/regroup", regroup.act, Act.TICKET),
    Row("GET", "/messages/new", compose.form, Act.WRITE),
    Row("POST", "/messages/new", compose.send, Act.WRITE, LARGE),
    Row("POST", "/messages/count", counting.fragment, Act.SEE),
    Row("POST", "/messages/preview", preview.fragment, Act.SEE),
    Row("GET", "/messages/{message}/original", download.original, Act.RAW),
    Row("GET", "/messages/{message}/html", rich.rich, Act.SEE),
    Row("GET", "/messages/{message}/route", routing.form, Act.TAG),
    Row("POST", "/messages/{message}/route", routing.forward, Act.ROUTE),
    Row("POST", "/messages/{message}/tags", routing.tag, Act.TAG),
    Row("POST", "/messages/{message}/tags/{tag}/remove", routing.untag, Act.TAG),
    Row("GET", "/attachments/{attachment}", download.attachment, Act.SEE),
    Row("GET", "/trace/{message}", trace.trace, Act.SEE),
    Row("POST", "/deliveries/{delivery}/retry", deliveries.retry, Act.SEE),
    Row("POST", "/deliveries/{delivery}/cancel", deliveries.cancel, Act.SEE),
    Row("GET", "/channels", channels.channels, Act.SEE),
    Row("POST", "/channels/{name:word}/pause", channels.pause, Act.CONNECTORS),
    Row("POST", "/channels/{name:word}/resume", channels.resume, Act.CONNECTORS),
    Row("GET", "/stations/{name:word}", station.page, Act.RELAY),
    Row("POST", "/stations/{name:word}/take", station.take, Act.RELAY),
    Row("POST", "/stations/{name:word}/delivered", station.delivered, Act.RELAY),
    Row("POST", "/stations/{name:word}/failed", station.failed, Act.RELAY),
    Row("POST", "/stations/{name:word}/back", station.back, Act.RELAY),
    Row("POST", "/stations/{name:word}/heard", station.heard, Act.RELAY),
    Row("GET", "/people", people.people, Act.SEE),
    Row("POST", "/people", people.add, Act.PEOPLE),
    Row("GET", "/people/likely-duplicates", entity.likely, Act.PEOPLE),
    Row("GET", "/people/import", people_files.upload, Act.PEOPLE),
    Row("POST", "/people/import", people_files.look_at, Act.PEOPLE, UPLOAD),
    Row("GET", "/people/import/{upload}", people_files.report, Act.PEOPLE),
    Row("POST", "/people/import/{upload}", people_files.begin, Act.PEOPLE),
    Row("GET", "/people/export", export, Act.PEOPLE),
    Row("GET", "/people/{entity}", entity.person, Act.SEE),
    Row("POST", "/people/{entity}", entity.change, Act.PEOPLE),
    Row("POST", "/people/{entity}/contacts", people.add_contact, Act.PEOPLE),
    Row("GET", "/people/find", find.entities, Act.SEE),
    Row("GET", "/records/find", find.records, Act.SEE),
    Row("GET", "/records/new", record_form.new, Act.RECORD),
    Row("GET", "/resources", resources.types, Act.SEE),
    Row("GET", "/resources/{type:word}", resources.listing, Act.SEE),
    Row("POST", "/resources/{type:word}", record_form.add, Act.RECORD),
    Row("GET", "/resources/{type:word}/{uid:word}", record.record, Act.SEE),
    Row("POST", "/resources/{type:word}/{uid:word}", record_form.change, Act.RECORD),
    Row("GET", "/resources/{type:word}/{uid:word}/edit", record_form.edit, Act.RECORD),
    Row("POST", "/resources/{type:word}/{uid:word}/remove", record.remove, Act.RECORD),
    Row("GET", "/feeds/log/{form:word}", feeds.log, Act.SEE),
    Row("GET", "/feeds/searches/{view}/{form:word}", feeds.search, Act.SEE),
    Row("GET", "/feeds/records/{type:word}/{form:word}", feeds.of_type, Act.SEE),
    Row("GET", "/feeds/records/{type:word}/{uid:word}/{form:word}", feeds.of_record, Act.SEE),
    Row("GET", "/types/new", types.new, Act.SETTINGS),
    Row("POST", "/types", types.add, Act.SETTINGS),
    Row("GET", "/types/{type:word}", types.edit, Act.SETTINGS),
    Row("POST", "/types/{type:word}", types.change, Act.SETTINGS),
    Row("POST", "/types/{type:word}/remove", types.remove, Act.SETTINGS),
    Row("POST", "/people/{entity}/contacts/{contact}", entity.contact, Act.PEOPLE),
    Row("GET", "/people/{entity}/merge", entity.compare, Act.PEOPLE),
    Row("POST", "/people/{entity}/merge", entity.merge, Act.PEOPLE),
    Row("POST", "/people/{entity}/remove", entity.remove, Act.PEOPLE),
    Row("GET", "/groups", groups.groups, Act.SEE),
    Row("POST", "/groups", groups.add, Act.PEOPLE),
    Row("GET", "/groups/{group}", groups.group, Act.SEE),
    Row("POST", "/groups/{group}/members", groups.add_members, Act.PEOPLE),
    Row("POST", "/groups/{group}/members/{member}", groups.change_member, Act.PEOPLE),
    Row("GET", "/templates", templates.templates, Act.SEE),
    Row("POST", "/templates", templates.add, Act.RULES),
    Row("GET", "/templates/{template}", templates.template, Act.SEE),
    Row("POST", "/templates/{template}", templates.save, Act.RULES),
    Row("POST", "/templates/{template}/remove", templates.remove, Act.RULES),
    Row("POST", "/templates/{template}/send", templates.send, Act.WRITE),
    Row("GET", "/rules", rules.rules, Act.RULES),
    Row("POST", "/rules", rules.add, Act.RULES),
    Row("GET", "/rules/new", rules.new, Act.RULES),
    Row("POST", "/rules/test", rules.test, Act.RULES),
    Row("GET", "/rules/{rule}", rules.rule, Act.RULES),
    Row("POST", "/rules/{rule}", rules.save, Act.RULES),
    Row("POST", "/rules/{rule}/move", rules.move, Act.RULES),
    Row("POST", "/rules/{rule}/switch", rules.switch, Act.RULES),
    Row("POST", "/rules/{rule}/remove", rules.remove, Act.RULES),
    Row("POST", "/rules/{rule}/undo", rules.undo, Act.RULES),
    Row("POST", "/rules/{rule}/restore", rules.restore, Act.RULES),
    Row("GET", "/subscriptions", subscriptions.subscriptions, Act.SUBSCRIBE),
    Row("POST", "/subscriptions", subscriptions.add, Act.SUBSCRIBE),
    Row("GET", "/subscriptions/{subscription}", subscriptions.subscription, Act.SUBSCRIBE),
    Row("POST", "/subscriptions/{subscription}", subscriptions.change, Act.SUBSCRIBE),
    Row("POST", "/subscriptions/{subscription}/ask", subscriptions.ask_again, Act.SUBSCRIBE),
    Row("POST", "/subscriptions/{subscription}/remove", subscriptions.remove, Act.SUBSCRIBE),
    Row("GET", "/copies", copies.copies, Act.DELIVERIES),
    Row("POST", "/copies/{message}/send", copies.send, Act.DELIVERIES),
    Row("POST", "/copies/{message}/cancel", copies.cancel, Act.DELIVERIES),
    Row("GET", "/audit", audit.audit, Act.AUDIT),
    Row("GET", "/searches", searches.searches, Act.SEE),
    Row("POST", "/searches", searches.add, Act.SEE),
    Row("POST", "/searches/{view}", searches.change, Act.SEE),
    Row("POST", "/searches/{view}/remove", searches.remove, Act.SEE),
    Row("GET", "/users", users.users, Act.USERS),
    Row("POST", "/users", users.add, Act.USERS),
    Row("GET", "/users/{user}", users.user, Act.USERS),
    Row("POST", "/users/{user}/role", users.set_role, Act.USERS),
    Row("POST", "/users/{user}/grants", users.grant, Act.USERS),
    Row("POST", "/users/{user}/revoke", users.revoke, Act.USERS),
    Row("POST", "/users/{user}/person", users.set_person, Act.USERS),
    Row("POST", "/users/{user}/off", users.switch_off, Act.USERS),
    Row("POST", "/users/{user}/on", users.switch_on, Act.USERS),
    Row("GET", "/me", me.me, Open.SIGNED_IN),
    Row("POST", "/me/password", me.change_password, Open.SIGNED_IN),
    Row("POST", "/me/leave", me.leave_elsewhere, Open.SIGNED_IN),
    Row("POST", "/me/tokens", me.add_token, Act.TOKENS),
    Row("POST", "/me/feeds", me.add_feed_key, Act.TOKENS),
    Row("POST", "/me/tokens/{token}/revoke", me.revoke_token, Act.TOKENS),
)


class Rooms(msgspec.Struct, frozen=True):
    """What the site itself keeps; acts find it as ``ask.site``."""

    pages: Pages
    passwords: Passwords
    streams: Streams
    metrics: Metrics
    rates: Rates
    feeds: feeds.Seen
    in_thread: Callable[..., Awaitable[Any]]
    rows: tuple[Row, ...]

    def store_trouble(self, error: BaseException) -> Refusal | None:
        """What the store's failures mean to the one who asked; None: it is no such failure."""
        if not isinstance(error, StoreError):
            return None
        if isinstance(error, DiskFull):
            refusal = Refusal(503, _("The disk is full."), _("Nothing was saved. Tell the operator; then try again."))
        elif isinstance(error, Busy):
            refusal = Refusal(503, _("The database is busy."), _("Nothing is lost. Go back and try again in a moment."))
        else:
            refusal = Refusal(503, _("The database cannot be reached."), _("Nothing was saved. Tell the operator."))
        refusal.headers = (("Retry-After", "5"),)
        return refusal


def make_site(house: House) -> IService:
    """The web as a service: it listens from its (privileged) start until it is stopped."""
    service: IService = strports.service(house.config.web.listen, make_factory(house), reactor=house.reactor)
    return service


def make_factory(house: House, in_thread: Callable[..., Awaitable[Any]] | None = None) -> StrictSite:
    """The factory of its connections; the live pages begin and end with its port."""
    reactor = house.reactor

    def in_pool(f: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), f, *args)

    run = in_thread or in_pool
    rooms = Rooms(
        Pages(house.config.hub.name, reactor),
        Passwords(run),
        Streams(house.store, house.bus, reactor),
        Metrics(),
        Rates(house.config.web.token_rate),
        feeds.Seen(),
        run,
        (*PAGES, *API),
    )
    doorman = Doorman(Routes(rooms.rows), house, rooms, reactor)
    return StrictSite(doorman.limit, doorman.take, reactor, rooms.streams, rooms.rows, doorman.quick, doorman.always)
