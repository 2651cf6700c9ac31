"""Mails of a folder as arrivals of the house, and the place in the folder that is kept with them. Pure."""

from __future__ import annotations

import hashlib
import re

import msgspec

from msgserver.message import Address, Arrival
from msgserver.protocols.imap.folder import Entry

_MOST = 2_000  # mails that wait to be marked; older ones are let go
_TO = re.compile(rb"(?im)^(?:Delivered-To|X-Original-To):[ \t]*<?([^\s<>,;]{3,320})>?[ \t]*\r?$")
_MIME = re.compile(rb"(?im)^(Content-|MIME-Version)")


class Cursor(msgspec.Struct, frozen=True):
    """How far a folder is read: ``uid`` is the last that was taken while its UIDVALIDITY was ``validity``.

    ``unmarked`` were taken, and are still to be marked (moved, deleted) on the server.
    """

    validity: int = 0
    uid: int = 0
    unmarked: tuple[int, ...] = ()

    def past(self, uid: int, marked: bool) -> Cursor:
        """Behind one more mail; ``marked``: it is to be marked."""
        waiting = (*self.unmarked, uid)[-_MOST:] if marked else self.unmarked
        return Cursor(self.validity, uid, waiting)

    def encode(self) -> bytes:
        """As it is remembered."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, kept: bytes | None) -> Cursor:
        """Of what was remembered; the beginning where that is nothing, or nothing we know."""
        try:
            return msgspec.json.decode(kept, type=cls) if kept else cls()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls()


def whole(raw: bytes, facts: dict[str, str]) -> Arrival:
    """A mail, named by its octets alone: under whatever UID it comes again, it is the same one."""
    digest = hashlib.sha256(raw).hexdigest()
    return Arrival(
        wire_id=digest,
        sender=None,
        recipients=recipients(raw),
        media_type="message/rfc822",
        raw=raw,
        sha256=digest,
        facts=facts,
    )


def head_only(head: bytes, entry: Entry, largest: int, facts: dict[str, str]) -> Arrival:
    """A mail that is too large, by its header; the words about it stand where its text would be."""
    here = f"{entry.size / 1_048_576:.1f} MB, and this connector takes {largest / 1_048_576:.1f} MB (largest)"
    words = f"[This mail is too large: it has {here}. Only its header is here. It lies untouched in {facts['folder']}.]"
    head = head.rstrip(b"\r\n")
    if len(head) >= 99_000:
        head = head[: head.rfind(b"\n") + 1].rstrip(b"\r\n")
    kept = _MIME.sub(rb"X-Left-Out-\1", head) + b"\r\n" if head else b""
    plain = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return Arrival(
        wire_id=hashlib.sha256(b"head of %d\n" % entry.size + head).hexdigest(),
        sender=None,
        recipients=recipients(head),
        media_type="message/rfc822",
        raw=kept + plain + words.encode() + b"\r\n",
        facts={**facts, "header_only": f"yes, of {entry.size} octets", "trouble": words.strip("[]")},
    )


def not_fetched(words: str, entry: Entry, facts: dict[str, str]) -> Arrival:
    """A mail that the server does not hand out: told, so that a person can look there."""
    which = f"UID {entry.uid}, {entry.size} octets, of {entry.at}"
    text = f"[A mail in {facts['folder']} cannot be fetched ({which}): {words}. It lies there untouched.]"
    return Arrival(
        wire_id=hashlib.sha256(f"{facts['uidvalidity']} {entry.uid} {facts['folder']}".encode()).hexdigest(),
        sender=None,
        text=text,
        subject="A mail that cannot be fetched",
        facts={**facts, "robot": "trouble of a mailbox", "trouble": words},
    )


def recipients(raw: bytes) -> tuple[Address, ...]:
    """Whom the last server delivered it for (Delivered-To, X-Original-To); To: is for the reader."""
    head = raw[:65_536]
    end = re.search(rb"\r?\n\r?\n", head)
    found = [_address(match[1]) for match in _TO.finditer(head[: end.start() + 1] if end else head)][:2]
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _address(word: bytes) -> Address | None:
    try:
        return Address.of("mailto", word.decode("utf-8"))
    except ValueError:
        return None
