"""Who gets a copy of what: list, add, look what it would have sent, end."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from msgserver.records import Entity, Subscription, Viewer
from msgserver.routing.may import Act, require
from msgserver.store import consent, people, resource_types, resources, rules, saved
from msgserver.store import preview as previews
from msgserver.store import subscriptions as kept_subscriptions
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Fields, Tx, local, not_found, see_other
from msgserver.web.language import _, plural
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.meant import entity_meant
from msgserver.web.pages.resources import own
from msgserver.web.tags import read_tag
from msgserver.web.words import sentence, time_of_day

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class Listed(msgspec.Struct, frozen=True):
    """One subscription as it is shown."""

    subscription: Subscription
    who: str
    what: str
    mine: bool


class Seen(msgspec.Struct, frozen=True):
    """What the page shows; ``targets`` are types and saved searches by what the form calls them."""

    here: Around
    items: tuple[Listed, ...]
    own: Entity | None
    next: str
    tags: tuple[str, ...]
    targets: tuple[tuple[str, str], ...]


def look(tx: Tx, viewer: Viewer, who: int | None, after: str) -> Seen:
    """The subscriptions one may see, those who may be subscribed, and what there is to subscribe to."""
    names: dict[int, str] = {}
    page = kept_subscriptions.subscriptions(tx, viewer, who, cursor_word=after, limit=100)
    found = page.items
    for one in found:
        if one.pr_pe_id not in names and (entity := people.entity(tx, viewer, one.pr_pe_id)) is not None:
            names[one.pr_pe_id] = entity.name
    named = {(one.resource, one.record): consent.named(tx, one.resource, one.record) for one in found}
    items = tuple(
        Listed(one, names.get(one.pr_pe_id, ""), named[one.resource, one.record], one.pr_pe_id == viewer.entity_id)
        for one in found
    )
    tags = sorted({rule.record or rule.resource for rule in rules.rules(tx) if rule.resource == "tag"})
    targets = [
        (f"type/{kind.name}", _("Everything about: %s") % kind.label) for kind in resource_types.types(tx, viewer)
    ]
    targets += [(f"search/{view.id}", _("The search: %s") % view.name) for view in saved.shared(tx)]
    return Seen(around(tx, viewer), items, own(tx, viewer), page.next, tuple(tags), tuple(targets))


async def subscriptions(ask: Ask) -> Answer:
    """Who gets what by which channel; ``?who=`` shows one's."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200, told: str = "") -> Answer:
    who = ask.query.number("who")
    seen = await ask.store.read(look, ask.viewer, who, ask.query("after"))
    schemes = sorted({scheme for row in seen.here.channels for scheme in row.schemes})
    return desk_page(
        ask, "subscriptions.html", seen.here, "subscriptions", status=status, items=seen.items,
        own=seen.own, tags=seen.tags, targets=seen.targets, schemes=schemes, wrong=wrong, kept=ask.form,
        told=told, who=who, following=seen.next,
    )  # fmt: skip


def may_subscribe(viewer: Viewer, entity_id: int) -> None:
    """Oneself, always; others with the right to.

    Raises:
        Forbidden: in words.
    """
    require(viewer, Act.SUBSCRIBE if entity_id == viewer.entity_id else Act.SUBSCRIBE_OTHERS)


def read_clock(words: str) -> int | None:
    """A time of day as minutes after midnight; None where nothing is written.

    Raises:
        Refused: it is none.
    """
    if not words.strip():
        return None
    found = _CLOCK.fullmatch(words.strip())
    if found is None:
        raise Refused(_("Nothing was saved: write a time of day like 22:00."))
    return int(found[1]) * 60 + int(found[2])


def clock(minutes: int | None) -> str:
    """Minutes after midnight as people write them."""
    return "" if minutes is None else time_of_day(minutes)


def read_target(tx: Tx, viewer: Viewer, to: str, words: str) -> tuple[str, str]:
    """What is to be subscribed to: a type or a search that was chosen, else a tag or record that was typed.

    A record is typed as ``incident/`` and its name, code or uid.
    """
    kind, _slash, name = to.partition("/")
    if kind == "type" and name:
        return name, ""
    if kind == "search" and name:
        return saved.SEARCH, name
    resource, record = read_tag(words)
    if record and resource != "tag":
        wanted = record.casefold()
        for one in resources.complete(tx, viewer, record, resource):
            if wanted in (one.uid.casefold(), one.code.casefold(), one.name.casefold()):
                return resource, one.uid
    return resource, record


async def add(ask: Ask) -> Answer:
    """Subscribe somebody, or only look what it would have sent."""
    entity_id = ask.form.number("entity", 0) or 0
    try:
        if not entity_id and ask.form("who").strip():
            region = ask.house.config.hub.region
            entity_id = (await ask.store.read(entity_meant, ask.viewer, ask.form("who"), region)).id
        may_subscribe(ask.viewer, entity_id)
        resource, record = await ask.store.read(
            read_target, ask.viewer, ask.form("to"), ask.form("tag") or ask.form("record")
        )
        if not resource:
            raise Refused(_("Nothing was saved: say what to subscribe to."))
        channel, digest = ask.form("channel"), ask.form("digest")
        hours = read_clock(ask.form("quiet_from")), read_clock(ask.form("quiet_until"))
        if "look" in ask.form:
            return await _look(ask, entity_id, resource, record, channel, digest)
        made = await ask.store.write(
            kept_subscriptions.subscribe, ask.viewer, entity_id, resource, record, ask.at, channel, digest, *hours
        )
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    if made is None:
        raise not_found("person")
    back = local(ask.form("back"), "/subscriptions")
    if made.asked_at is None:
        return see_other(f"{back}?said=subscribed")
    asked = await ask.house.desk.ask_consent(ask.viewer, made.id)
    return see_other(f"{back}?said={'asked' if asked else 'unasked'}")


async def _look(ask: Ask, entity_id: int, resource: str, record: str, channel: str, digest: str) -> Answer:
    found = await ask.store.read(previews.preview, ask.viewer, entity_id, resource, record, ask.at, channel, digest)
    if found is None:
        raise not_found("person")
    return await _show(ask, told=said(found))


def said(found: previews.Preview) -> str:
    """A preview in words."""
    would = plural(
        _("It would have sent %(n)d message in the last seven days"),
        _("It would have sent %(n)d messages in the last seven days"),
        found.sends,
    )
    reached = _("%(messages)d came in, and %(reached)d of %(people)d people can be reached") % {
        "messages": found.messages,
        "reached": found.reached,
        "people": found.people,
    }
    return f"{would}: {reached}."


def one(tx: Tx, viewer: Viewer, subscription_id: int) -> tuple[Around, Subscription, str, str] | None:
    """One subscription, whose it is and to what."""
    found = kept_subscriptions.subscription(tx, viewer, subscription_id)
    if found is None:
        return None
    entity = people.entity(tx, viewer, found.pr_pe_id)
    name = entity.name if entity is not None else viewer.name
    return around(tx, viewer), found, name, consent.named(tx, found.resource, found.record)


async def subscription(ask: Ask) -> Answer:
    """One subscription, to be changed."""
    return await _show_one(ask)


async def _show_one(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    seen = await ask.store.read(one, ask.viewer, ask.part["subscription"])
    if seen is None:
        raise not_found("subscription")
    here, found, who, what = seen
    return desk_page(
        ask, "subscription.html", here, "subscriptions", status=status, wrong=wrong, s=found, who=who, what=what,
        clock=clock,
    )  # fmt: skip


async def _mine(ask: Ask) -> Subscription:
    """The subscription that is meant, if the asker may change it."""
    found = await ask.store.read(kept_subscriptions.subscription, ask.viewer, ask.part["subscription"])
    if found is None:
        raise not_found("subscription")
    may_subscribe(ask.viewer, found.pr_pe_id)
    return found


async def change(ask: Ask) -> Answer:
    """Give it another digest and other quiet hours."""
    found = await _mine(ask)
    form: Fields = ask.form
    try:
        hours = read_clock(form("quiet_from")), read_clock(form("quiet_until"))
        values: tuple[Any, ...] = (found.id, form("digest"), *hours, ask.at)
        await ask.store.write(kept_subscriptions.change, ask.viewer, *values)
    except Refused as refused:
        return await _show_one(ask, sentence(str(refused)), 422)
    return see_other("/subscriptions?said=saved")


async def remove(ask: Ask) -> Answer:
    """End a subscription."""
    found = await _mine(ask)
    await ask.store.write(kept_subscriptions.unsubscribe, ask.viewer, found.id, ask.at)
    return see_other("/subscriptions?said=removed")


async def ask_again(ask: Ask) -> Answer:
    """Ask once more whether they want it; at most three times a day."""
    found = await _mine(ask)
    asked = await ask.house.desk.ask_consent(ask.viewer, found.id)
    return see_other(f"/subscriptions?said={'asked' if asked else 'unasked'}")
