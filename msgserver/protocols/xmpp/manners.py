"""How the bot behaves as a contact: it answers pings and questions about itself, and lets people add it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from twisted.words.protocols.jabber.xmlstream import XMPPHandler, toResponse
from twisted.words.xish import domish

from msgserver.protocols.xmpp.stanzas import NS_CORRECT, NS_RECEIPTS, NS_REPLY, NS_STANZA_ID, bare_of
from msgserver.wire import wokkel_shim  # noqa: F401  (before wokkel)

from wokkel.disco import NS_DISCO_INFO, NS_DISCO_ITEMS, DiscoFeature, DiscoIdentity, DiscoInfo, DiscoItems  # isort: skip
from wokkel.generic import NS_VERSION, FallbackHandler, VersionHandler  # isort: skip
from wokkel.ping import NS_PING, PingHandler  # isort: skip

_FEATURES = (NS_DISCO_INFO, NS_PING, NS_VERSION, NS_RECEIPTS, NS_CORRECT, NS_REPLY, NS_STANZA_ID)


class Self(XMPPHandler):  # type: ignore[misc]
    """Answers XEP-0030 about the account itself.

    wokkel's own answerer remembers every JID that ever asked, for good; strangers could fill the memory with it.
    """

    def connectionInitialized(self) -> None:
        """Listen for questions."""
        for namespace, answer in ((NS_DISCO_INFO, self._info), (NS_DISCO_ITEMS, self._items)):
            self.xmlstream.addObserver(f"/iq[@type='get']/query[@xmlns='{namespace}']", answer)

    def _info(self, iq: Any) -> None:
        info = DiscoInfo()
        info.append(DiscoIdentity("client", "bot", "msgserver"))
        for feature in _FEATURES:
            info.append(DiscoFeature(feature))
        self._answer(iq, info)

    def _items(self, iq: Any) -> None:
        self._answer(iq, DiscoItems())

    def _answer(self, iq: Any, about: Any) -> None:
        if iq.query.getAttribute("node"):
            return  # there are none: the fallback says so
        response = toResponse(iq, "result")
        response.addChild(about.toElement())
        self.send(response)
        iq.handled = True


def handlers() -> list[XMPPHandler]:
    """What answers questions on a session; a request that nobody knows is answered so too (RFC 6120 section 8.2.3)."""
    return [Self(), PingHandler(), VersionHandler("msgserver", version("msgserver")), FallbackHandler()]


def answer_presence(presence: Any, *, accept: bool) -> list[Any]:
    """The presence stanzas that answer one about subscriptions (RFC 6121 section 3)."""
    kind, sender = presence.getAttribute("type"), bare_of(presence.getAttribute("from"))
    answers: tuple[str, ...] = ()
    if kind == "subscribe":
        answers = ("subscribed", "subscribe") if accept else ("unsubscribed",)
    elif kind == "unsubscribe":
        answers = ("unsubscribed",)
    return [_presence(sender, answer) for answer in answers if sender]


def _presence(to: str, kind: str) -> Any:
    presence = domish.Element((None, "presence"))
    presence["to"], presence["type"] = to, kind
    return presence
