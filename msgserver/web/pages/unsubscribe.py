"""The page behind "unsubscribe" in a mail: its signed address is right enough, nobody signs in (RFC 8058)."""

from __future__ import annotations

from msgserver.store import subscriptions
from msgserver.web.ask import Answer, Ask


async def form(ask: Ask) -> Answer:
    """What would end, and a button: programs that only look at a link must not end anything."""
    asked = ask.house.signer.left(ask.part["token"])
    topic = await ask.store.read(subscriptions.topic, asked[0]) if asked is not None else None
    if topic is None:
        return ask.page("unsubscribe.html", 200 if asked else 404, topic="", done=asked is not None)
    return ask.page("unsubscribe.html", topic=topic, done=False)


async def leave(ask: Ask) -> Answer:
    """End it, for whoever shows the address: a mail program's one click, or the button; once more is harmless."""
    asked = ask.house.signer.left(ask.part["token"])
    if asked is None:
        return ask.page("unsubscribe.html", 404, topic="", done=False)
    topic = await ask.store.write(subscriptions.leave, *asked, ask.at)
    return ask.page("unsubscribe.html", topic=topic or "", done=True)
