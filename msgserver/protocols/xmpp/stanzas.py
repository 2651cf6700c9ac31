"""Chat stanzas to and from the values of the seam; pure functions of an element."""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote

from twisted.words.protocols.jabber import error
from twisted.words.protocols.jabber.jid import JID, InvalidFormat
from twisted.words.xish import domish

from msgserver.connector import PermanentFailure
from msgserver.message import Address, Arrival, Envelope

NS_CLIENT = "jabber:client"
NS_RECEIPTS = "urn:xmpp:receipts"  # XEP-0184
NS_STANZA_ID = "urn:xmpp:sid:0"  # XEP-0359
NS_DELAY = "urn:xmpp:delay"  # XEP-0203
NS_REPLY = "urn:xmpp:reply:0"  # XEP-0461
NS_FALLBACK = "urn:xmpp:fallback:0"  # XEP-0428
NS_CORRECT = "urn:xmpp:message-correct:0"  # XEP-0308
NS_HINTS = "urn:xmpp:hints"  # XEP-0334
NS_NICK = "http://jabber.org/protocol/nick"  # XEP-0172
_ENCRYPTED = {
    ("eu.siacs.conversations.axolotl", "encrypted"): "OMEMO",
    ("urn:xmpp:omemo:2", "encrypted"): "OMEMO",
    ("urn:xmpp:openpgp:0", "openpgp"): "OpenPGP",
    ("jabber:x:encrypted", "x"): "OpenPGP",
}

MAX_SENT = 250_000  # bytes of one stanza; servers commonly cut at 256 KiB
_SURE_ID = 8  # characters; shorter ids are counters that begin again with each session
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2


class Names:
    """Stanza ids that only we can have made: the envelope's ref, and a tag over ref and recipient.

    So a receipt or an error is believed only where it comes from the one to whom we wrote, after a restart too.
    """

    def __init__(self, secret: str) -> None:
        self._key = sha256(b"msgserver stanza ids\0" + secret.encode()).digest()

    def id_for(self, ref: str, bare: str) -> str:
        """The id of the stanza that carries ``ref`` to ``bare``; the same at each attempt."""
        return f"{quote(ref, safe='@:+')}.{self._tag(ref, bare)}"

    def ref_of(self, stanza_id: str, bare: str) -> str | None:
        """The ref in an id of ours, None where we never sent such an id to ``bare``."""
        quoted, _, tag = stanza_id.rpartition(".")
        ref = unquote(quoted)
        return ref if hmac.compare_digest(tag.encode(), self._tag(ref, bare).encode()) else None

    def _tag(self, ref: str, bare: str) -> str:
        tag = hmac.digest(self._key, f"{ref}\0{bare.lower()}".encode(), "sha256")
        return b32encode(tag[:10]).decode().lower()


def legal(text: str) -> str:
    """Text with what XML cannot carry replaced; one such character would end the stream."""
    return _ILLEGAL.sub("\ufffd", text.replace("\r\n", "\n"))


def bare_of(jid: str | None) -> str:
    """The bare form of a full JID, folded; empty for None."""
    return (jid or "").partition("/")[0].lower()


def child(element: Any, uri: str, name: str) -> Any:
    """The first child of that namespace and name, or None."""
    return next((one for one in element.elements() if one.uri == uri and one.name == name), None)


def write_message(envelope: Envelope, names: Names) -> Any:
    """Render an envelope as a chat message.

    Raises:
        PermanentFailure: the address is no JID, or the text is too long for any server.
    """
    try:
        to = JID(envelope.to.value).userhost()
    except (InvalidFormat, UnicodeError):
        raise PermanentFailure(f"{envelope.to.value} is no chat address", bad_address=True) from None
    stanza_id = names.id_for(envelope.ref, to)
    message = domish.Element((None, "message"))
    message["to"], message["type"], message["id"] = to, "chat", stanza_id
    if envelope.subject:
        message.addElement("subject", content=legal(envelope.subject))
    message.addElement("body", content=legal(envelope.text))
    if envelope.thread.token:
        message.addElement("thread", content=legal(envelope.thread.token))
    message.addElement((NS_STANZA_ID, "origin-id"))["id"] = stanza_id
    if envelope.want_receipt:
        message.addElement((NS_RECEIPTS, "request"))
    size = len(message.toXml().encode())
    if size > MAX_SENT:
        raise PermanentFailure(f"too long for chat: {size:,} bytes, and {MAX_SENT:,} is the most")
    return message


def write_receipt(message: Any) -> Any | None:
    """The XEP-0184 receipt which ``message`` asks for, or None where it asks for none."""
    stanza_id, sender = message.getAttribute("id"), message.getAttribute("from")
    if not stanza_id or not sender or child(message, NS_RECEIPTS, "request") is None:
        return None
    receipt = domish.Element((None, "message"))
    receipt["to"] = sender
    if message.getAttribute("type"):
        receipt["type"] = message["type"]
    receipt.addElement((NS_RECEIPTS, "received"))["id"] = stanza_id
    receipt.addElement((NS_HINTS, "store"))
    return receipt


def write_error(stanza: Any, condition: str, kind: str, words: str) -> Any:
    """The error stanza (RFC 6120 section 8.3) that answers ``stanza``."""
    return error.StanzaError(condition, type=kind, text=words).toResponse(stanza)


def read_error(stanza: Any) -> tuple[str, str, str]:
    """Condition, type ("cancel", "wait", "modify", "auth", "continue") and words of an error stanza."""
    found = next((one for one in stanza.elements() if one.name == "error"), None)
    condition, words, kind = "undefined-condition", "", "cancel"
    if found is not None:
        kind = found.getAttribute("type") or kind
        for one in found.elements():
            if one.uri == error.NS_XMPP_STANZAS and one.name == "text":
                words = str(one)[:500]
            elif one.uri == error.NS_XMPP_STANZAS:
                condition = one.name
    said = condition.replace("-", " ")
    return condition, kind, f"{said}: {words}" if words else said


def read_message(message: Any, own: str, now: float) -> Arrival | None:
    """What a person says in a chat message; None where it says nothing (chat states, key exchanges).

    Args:
        message: a message element of type chat or normal.
        own: our bare JID; a stanza-id is believed only where our own server set it (XEP-0359 section 6).
        now: POSIX seconds; part of the wire_id of a message which has no id of its own.

    Raises:
        ValueError: its sender is no address that could be remembered.
    """
    sender = message.getAttribute("from") or ""
    text, encrypted = _text_of(message), _encryption_of(message)
    if text is None and encrypted is not None:
        text = f"(A message encrypted with {encrypted}, which the hub cannot read. Ask for it unencrypted.)"
    if not text or not text.strip():
        return None
    sent_at = _sent_at(message)
    facts = {"jid": sender, "resource": sender.partition("/")[2], "id": message.getAttribute("id") or ""}
    replaced = child(message, NS_CORRECT, "replace")
    if replaced is not None:
        facts["replaces"] = replaced.getAttribute("id") or ""
    if encrypted is not None:
        facts["encrypted"] = encrypted
    return Arrival(
        wire_id=_wire_id(message, own, text, sent_at, now),
        sender=Address.of("xmpp", sender),
        recipients=(Address.of("xmpp", own),),
        sent_at=sent_at,
        media_type="application/xmpp+xml",
        raw=message.toXml().encode(),
        text=text,
        subject=_content(message, NS_CLIENT, "subject"),
        sender_name=_content(message, NS_NICK, "nick"),
        in_reply_to=_in_reply_to(message),
        facts={key: value for key, value in facts.items() if value},
    )


def _content(message: Any, uri: str, name: str) -> str:
    found = child(message, uri, name)
    return "" if found is None else str(found)


def _text_of(message: Any) -> str | None:
    bodies = [one for one in message.elements() if one.uri == NS_CLIENT and one.name == "body"]
    if not bodies:
        return None
    plain = [one for one in bodies if not one.getAttribute(("http://www.w3.org/XML/1998/namespace", "lang"))]
    text = str((plain or bodies)[0])
    for fallback in message.elements():
        if (fallback.uri, fallback.name, fallback.getAttribute("for")) == (NS_FALLBACK, "fallback", NS_REPLY):
            text = _without(text, child(fallback, NS_FALLBACK, "body"))
    return text


def _without(text: str, span: Any) -> str:
    """Text without the quotation that a client put in front for those who do not know replies (XEP-0461)."""
    if span is None:
        return text
    start, end = span.getAttribute("start") or "", span.getAttribute("end") or ""
    if not (start.isdecimal() and end.isdecimal() and len(start + end) < 14):
        return text
    rest = text[: int(start)] + text[int(end) :]
    return rest if int(start) <= int(end) and rest.strip() else text


def _encryption_of(message: Any) -> str | None:
    for one in message.elements():
        name = _ENCRYPTED.get((one.uri, one.name))
        if name == "OMEMO" and not any(part.name == "payload" for part in one.elements()):
            continue  # an exchange of keys, with nothing said
        if name is not None:
            return name
    return None


def _sent_at(message: Any) -> float | None:
    delay = child(message, NS_DELAY, "delay")
    try:
        stamp = datetime.fromisoformat(delay["stamp"]) if delay is not None else None
        return None if stamp is None else stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _in_reply_to(message: Any) -> str:
    reply = child(message, NS_REPLY, "reply")
    if reply is not None and reply.getAttribute("id"):
        return str(reply["id"])
    return _content(message, NS_CLIENT, "thread")


def _wire_id(message: Any, own: str, text: str, sent_at: float | None, now: float) -> str:
    """The same for a message that our server hands over twice, another for any other message.

    The text is part of it, because there are clients that use an id again. An id which is missing or short enough
    to be a counter does not tell messages apart; then session and time do.
    """
    sender = message.getAttribute("from") or ""
    for one in message.elements():
        if (one.uri, one.name) == (NS_STANZA_ID, "stanza-id") and bare_of(one.getAttribute("by")) == own.lower():
            return _hash("stanza-id", bare_of(sender), one.getAttribute("id") or "", text)
    origin = child(message, NS_STANZA_ID, "origin-id")
    stanza_id = (origin.getAttribute("id") if origin is not None else None) or message.getAttribute("id") or ""
    if len(stanza_id) >= _SURE_ID:
        return _hash("id", bare_of(sender), stanza_id, text)
    return _hash("seen", sender, stanza_id, text, repr(sent_at if sent_at is not None else now))


def _hash(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
