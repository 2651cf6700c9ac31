"""Deliveries, connectors and tokens for programs."""

from __future__ import annotations

import secrets
from typing import Any

from msgserver.records import DeliveryState, Viewer
from msgserver.routing.may import Act, require
from msgserver.store import connectors, deliveries, logins, messages, users
from msgserver.web.api.giving import NOTHING, edit, give, give_all, give_page, limit
from msgserver.web.api.giving import take as taken
from msgserver.web.api.shapes import (
    TokenShape,
    connector_shape,
    delivery_shape,
    user_shape,
)
from msgserver.web.api.taken import ConnectorChange, NewToken
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found
from msgserver.web.pages.deliveries import decide, may_decide, ring

# Deliveries ------------------------------------------------------------------------------------------------------


def find_deliveries(tx: Tx, viewer: Viewer, states: tuple[DeliveryState, ...], named: dict[str, Any]) -> Any:
    """Deliveries by state, connector, address."""
    return messages.deliveries(tx, viewer, states=states, **named)


async def list_deliveries(ask: Ask) -> Answer:
    """Deliveries, newest first, by state, connector or address."""
    words = [word for word in ask.query("state").split(",") if word]
    if not set(words) <= set(DeliveryState):
        raise Refusal(422, "There is no such state.", f"The states are {', '.join(DeliveryState)}.")
    named = {"connector": ask.query("connector"), "address": ask.query("address")}
    more = {"cursor_word": ask.query("after"), "limit": limit(ask)}
    states = tuple(DeliveryState(word) for word in words)
    return give_page(await ask.store.read(find_deliveries, ask.viewer, states, named | more), delivery_shape)


async def delivery(ask: Ask) -> Answer:
    """One delivery."""
    found = await ask.store.read(messages.delivery, ask.viewer, ask.part["delivery"])
    if found is None:
        raise not_found("delivery")
    return give(delivery_shape(found))


async def retry(ask: Ask) -> Answer:
    """Try again now; of an unknown one you accept that it may arrive twice."""
    return await _decide(ask, deliveries.retry)


async def cancel(ask: Ask) -> Answer:
    """Do not send it (again)."""
    return await _decide(ask, deliveries.cancel)


async def _decide(ask: Ask, act: Any) -> Answer:
    may_decide(ask.viewer)
    row = await edit(ask, decide, ask.viewer, act, ask.part["delivery"], ask.at)
    if row is None:
        raise not_found("delivery")
    ring(ask, row)
    return await delivery(ask)


# Connectors ------------------------------------------------------------------------------------------------------


async def list_connectors(ask: Ask) -> Answer:
    """Every channel and how it is."""
    return give_all(await ask.store.read(connectors.rows), connector_shape)


async def connector(ask: Ask) -> Answer:
    """One channel."""
    found = await ask.store.read(connectors.connector, ask.part["name"])
    if found is None:
        raise not_found("connector")
    return give(connector_shape(found))


async def patch_connector(ask: Ask) -> Answer:
    """Pause a channel (what is for it waits), or let it go on."""
    name, wish = ask.part["name"], taken(ask, ConnectorChange)
    found = await edit(ask, connectors.set_paused, ask.viewer, name, wish.paused, ask.at)
    if found is None:
        raise not_found("connector")
    ask.house.bus.ring("connector", [name])
    return give(connector_shape(found))


# Users and tokens ------------------------------------------------------------------------------------------------


async def me(ask: Ask) -> Answer:
    """The login for which this token acts."""
    found = await ask.store.read(users.user, ask.viewer.user_id)
    if found is None:
        raise not_found("user")
    return give(user_shape(found))


def _token(token: logins.Token, key: str = "") -> TokenShape:
    return TokenShape(token.id, token.name, token.created_at, token.used_at, token.expires_at, key, token.scope)


async def list_tokens(ask: Ask) -> Answer:
    """One's own tokens, without their keys."""
    return give_all(await ask.store.read(logins.tokens, ask.viewer.user_id), _token)


def make_token(tx: Tx, actor: Viewer, name: str, key: str, now: float, scope: str) -> logins.Token:
    """A token of one's own."""
    return logins.create_token(tx, actor, actor.user_id, name, key, now, scope=scope)


async def add_token(ask: Ask) -> Answer:
    """Make a token for oneself; its key is told this once."""
    new, key = taken(ask, NewToken), secrets.token_urlsafe(32)
    made = await edit(ask, make_token, ask.viewer, new.name, key, ask.at, new.scope)
    return give(_token(made, key), 201)


async def revoke_token(ask: Ask) -> Answer:
    """End one of one's own tokens."""
    require(ask.viewer, Act.TOKENS)
    found = await ask.store.read(logins.tokens, ask.viewer.user_id)
    if ask.part["token"] not in {token.id for token in found}:
        raise not_found("token")
    await edit(ask, logins.revoke_token, ask.viewer, ask.part["token"], ask.at)
    return NOTHING
