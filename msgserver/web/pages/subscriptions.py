"""Who gets a copy of what: list, add, end."""

from __future__ import annotations

from msgserver.records import Entity, Subscription, Viewer
from msgserver.routing.may import Act, may, require
from msgserver.store import people, rules
from msgserver.store import subscriptions as kept_subscriptions
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Tx, local, not_found, see_other
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.tags import read_tag
from msgserver.web.words import sentence


def look(tx: Tx, viewer: Viewer) -> tuple[Around, tuple[Subscription, ...], tuple[Entity, ...], list[str]]:
    """The subscriptions one may see, those who may be subscribed, and the tags there are rules for."""
    entities = people.entities(tx, viewer, limit=500).items
    if not may(viewer, Act.SUBSCRIBE_OTHERS):
        entities = tuple(entity for entity in entities if entity.id == viewer.entity_id)
    tags = sorted({rule.record or rule.resource for rule in rules.rules(tx) if rule.resource})
    return around(tx, viewer), kept_subscriptions.subscriptions(tx, viewer, limit=500).items, entities, tags


async def subscriptions(ask: Ask) -> Answer:
    """Who gets what by which channel."""
    return await _show(ask)


async def _show(ask: Ask, wrong: str = "", status: int = 200) -> Answer:
    here, found, entities, tags = await ask.store.read(look, ask.viewer)
    schemes = sorted({scheme for row in here.channels for scheme in row.schemes})
    return desk_page(
        ask, "subscriptions.html", here, "subscriptions", status=status, subscriptions=found, entities=entities,
        names={entity.id: entity.name for entity in entities}, tags=tags, schemes=schemes, wrong=wrong, kept=ask.form,
    )  # fmt: skip


def may_subscribe(viewer: Viewer, entity_id: int) -> None:
    """Oneself, always; others with the right to.

    Raises:
        Forbidden: in words.
    """
    require(viewer, Act.SUBSCRIBE if entity_id == viewer.entity_id else Act.SUBSCRIBE_OTHERS)


async def add(ask: Ask) -> Answer:
    """Subscribe somebody to a tag."""
    entity_id = ask.form.number("entity", 0) or 0
    may_subscribe(ask.viewer, entity_id)
    resource, record = read_tag(ask.form("tag"))
    try:
        if not resource:
            raise Refused("Nothing was saved: say to which tag.")
        made = await ask.store.write(
            kept_subscriptions.subscribe, ask.viewer, entity_id, resource, record, ask.at, ask.form("channel")
        )
    except Refused as refused:
        return await _show(ask, sentence(str(refused)), 422)
    if made is None:
        raise not_found("person")
    return see_other(f"{local(ask.form('back'), '/subscriptions')}?said=subscribed")


async def remove(ask: Ask) -> Answer:
    """End a subscription."""
    found = await ask.store.read(kept_subscriptions.subscription, ask.viewer, ask.part["subscription"])
    if found is None:
        raise not_found("subscription")
    may_subscribe(ask.viewer, found.pr_pe_id)
    await ask.store.write(kept_subscriptions.unsubscribe, ask.viewer, found.id, ask.at)
    return see_other("/subscriptions?said=removed")
