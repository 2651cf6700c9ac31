"""Subscriptions, what they would have sent, and copies that wait for a person's word, for programs."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from msgserver.records import Subscription
from msgserver.store import asking, subscriptions
from msgserver.store import preview as previews
from msgserver.store.edits import Refused
from msgserver.web.api.giving import NOTHING, edit, give, give_all, give_page, limit
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import AskingShape, DecidedShape, PreviewShape, subscription_shape
from msgserver.web.api.taken import NewSubscription, SubscriptionChange
from msgserver.web.ask import Answer, Ask, Refusal, not_found
from msgserver.web.pages import copies
from msgserver.web.pages.subscriptions import may_subscribe
from msgserver.web.words import sentence


async def listing(ask: Ask) -> Answer:
    """Who gets copies of what."""
    who, after = ask.query.number("entity"), ask.query("after")
    found = await ask.store.read(
        subscriptions.subscriptions, ask.viewer, who, ask.query("resource"), None, after, limit(ask)
    )
    return give_page(found, subscription_shape)


async def subscribe(ask: Ask) -> Answer:
    """Let an entity have copies; a person whose address nobody has verified is asked first."""
    new = taken(ask, NewSubscription)
    may_subscribe(ask.viewer, new.entity)
    made = await edit(
        ask, subscriptions.subscribe, ask.viewer, new.entity, new.resource, new.record, ask.at, new.channel,
        new.digest, new.quiet_from, new.quiet_until,
    )  # fmt: skip
    if made is None:
        raise not_found("entity")
    if made.asked_at is not None:
        await ask.house.desk.ask_consent(ask.viewer, made.id)
    return give(subscription_shape(made), 201, place=f"/api/v1/subscriptions/{made.id}")


async def preview(ask: Ask) -> Answer:
    """What a subscription would have sent in the last week; nothing is saved."""
    new = taken(ask, NewSubscription)
    may_subscribe(ask.viewer, new.entity)
    try:
        found = await ask.store.read(
            previews.preview, ask.viewer, new.entity, new.resource, new.record, ask.at, new.channel, new.digest
        )
    except Refused as refused:
        raise Refusal(422, sentence(str(refused))) from None
    if found is None:
        raise not_found("entity")
    return give(PreviewShape(**msgspec.structs.asdict(found)))


async def _one(ask: Ask) -> Subscription:
    found = await ask.store.read(subscriptions.subscription, ask.viewer, ask.part["subscription"])
    if found is None:
        raise not_found("subscription")
    return found


async def show(ask: Ask) -> Answer:
    """One subscription."""
    return give(subscription_shape(await _one(ask)))


async def patch(ask: Ask) -> Answer:
    """Change the digest or the quiet hours."""
    found, wish = await _one(ask), taken(ask, SubscriptionChange)
    may_subscribe(ask.viewer, found.pr_pe_id)
    digest = found.digest if wish.digest is UNSET else wish.digest
    quiet_from = found.quiet_from if wish.quiet_from is UNSET else wish.quiet_from
    quiet_until = found.quiet_until if wish.quiet_until is UNSET else wish.quiet_until
    changed = await edit(ask, subscriptions.change, ask.viewer, found.id, digest, quiet_from, quiet_until, ask.at)
    if changed is None:
        raise not_found("subscription")
    return give(subscription_shape(changed))


async def unsubscribe(ask: Ask) -> Answer:
    """End a subscription; copies that have not left yet do not."""
    found = await _one(ask)
    may_subscribe(ask.viewer, found.pr_pe_id)
    await edit(ask, subscriptions.unsubscribe, ask.viewer, found.id, ask.at)
    return NOTHING


# Copies that wait ------------------------------------------------------------------------------------------------


def _asking(one: asking.Asking) -> AskingShape:
    return AskingShape(
        one.message_id, one.ticket_id, one.number, one.subject, one.copies, dict(one.channels), one.writing
    )


async def waiting(ask: Ask) -> Answer:
    """Messages whose copies wait because so many people would get them."""
    return give_all(await ask.store.read(asking.asking, ask.viewer), _asking)


async def let_go(ask: Ask) -> Answer:
    """Send all copies of a message that wait."""
    return give(DecidedShape(await copies.decide(ask, True)))


async def keep_back(ask: Ask) -> Answer:
    """Send none of the copies that wait."""
    return give(DecidedShape(await copies.decide(ask, False)))
