"""Which conversation an arrival belongs to, as far as its own words tell: signed tokens and hints.

A token is ``42.k7f3qz5hwa.c6tm2xpl4e``: the ticket's number and a keyed hash of it, so that nobody can write himself
into another person's ticket by guessing; then a keyed hash of the number with the address that it was sent to. All
who take part know the first two; the last proves that its bearer reads the mail of that address.
Outgoing mail carries it as a plus-address (``hub+42.k7f3...@hub.example``), chat in its thread. The store makes the
choice (DESIGN, Which ticket); this module only reads the hints.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b32encode
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from msgserver.message import Address, Arrival
from msgserver.records import Hints

CHAT_WINDOW = 72 * 3600.0  # seconds; an answer by text belongs to the newest ticket with traffic in this time
_DIGITS = 10  # of base32: 50 bits
_TOKEN = re.compile(rf"((\d{{1,12}})\.[a-z2-7]{{{_DIGITS}}})(?:\.[a-z2-7]{{{_DIGITS}}})?")
_SEAL = 16  # of base32: 80 bits
_LEAVE, _FILE = "leave", "file"
_LEAVING = re.compile(r"u(\d{1,15})\.(\d{1,15})")
_FILED = re.compile(r"(\d{1,15})\.(\d{1,12})")
_OUR_REF = re.compile(r"d\d{1,18}\.[0-9a-f]{12}")
_SUBJECT_TAG = re.compile(r"\[#(\d{1,12})(?:\.\d{1,6})?\]")
_LEADING_TAG = re.compile(r"\s*#(\d{1,12})(?:\.\d{1,6})?(?=$|[\s,:;.!?-])")
_MOST_REFERENCES = 30


class Tokens:
    """Signs the numbers of tickets and knows its own signature again."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key of the tokens must have at least 16 bytes")
        self._key = key
        self._of = lru_cache(1024)(self._of_ticket)  # one ticket's message may go to thousands

    @classmethod
    def kept_in(cls, directory: Path) -> Tokens:
        """Use the key kept in a directory; the first time, make one that only its owner can read.

        Raises:
            OSError: it can neither be read nor written.
        """
        path = directory / "token.key"
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            pass
        fresh = directory / f".token.key.{os.getpid()}"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # never over a key that another process has made meanwhile
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return cls(path.read_bytes())

    def sign(self, ticket_id: int, address: str = "") -> str:
        """The token of a ticket, for what is sent to an address; without one it proves nothing about who shows it."""
        return f"{self._of(ticket_id)}.{self._own(ticket_id, address)}" if address else self._of(ticket_id)

    def _of_ticket(self, ticket_id: int) -> str:
        return f"{ticket_id}.{self._short(f'ticket {ticket_id}')}"

    def _own(self, ticket_id: int, address: str) -> str:
        return self._short(f"ticket {ticket_id} for {address}")

    def _short(self, words: str) -> str:
        digest = hmac.digest(self._key, words.encode("utf-8", "replace"), hashlib.sha256)
        return b32encode(digest)[:_DIGITS].decode().lower()

    def seal(self, kind: str, words: str) -> str:
        """Words with a signature that only this hub can make, for one kind of use; lower case stays lower case."""
        digest = hmac.digest(self._key, f"{kind} {words}".encode(), hashlib.sha256)
        return f"{words}.{b32encode(digest)[:_SEAL].decode().lower()}"

    def unseal(self, kind: str, sealed: str) -> str | None:
        """The words under a seal; None where it is not ours, or of another kind."""
        words, _, signature = sealed.strip().rpartition(".")
        if not words or not signature.isascii() or not hmac.compare_digest(sealed.strip(), self.seal(kind, words)):
            return None
        return words

    def leaving(self, subscription_id: int, entity_id: int | None) -> str:
        """The token with which somebody ends a subscription: ``u17.5.k7f3...``, of a group's for that member alone."""
        return self.seal(_LEAVE, f"u{subscription_id}.{entity_id or 0}")

    def left(self, token: str) -> tuple[int, int] | None:
        """The subscription, and whose copies (0: nobody's in particular), that a token is for."""
        words = self.unseal(_LEAVE, token.lower()) if token[:1] in ("u", "U") else None
        found = _LEAVING.fullmatch(words or "")
        return (int(found[1]), int(found[2])) if found else None

    def file(self, attachment_id: int, until: float) -> str:
        """The token with which anybody may fetch a file until a time (POSIX seconds)."""
        return self.seal(_FILE, f"{attachment_id}.{int(until)}")

    def filed(self, token: str, now: float) -> int | None:
        """The attachment that a token opens; None where it is not ours or too old."""
        found = _FILED.fullmatch(self.unseal(_FILE, token) or "")
        return int(found[1]) if found and now <= int(found[2]) else None

    def ticket(self, token: str) -> int | None:
        """The ticket that a token names; None where the signature is not ours."""
        found = _TOKEN.fullmatch(token.strip().lower())
        if found is None or not hmac.compare_digest(found[1], self._of(int(found[2]))):
            return None
        return int(found[2])

    def made_for(self, token: str, address: Address | None) -> bool:
        """Whether a token was sent to this address: whoever shows it reads that address's mail."""
        found = _TOKEN.fullmatch(token.strip().lower())
        if found is None or address is None:
            return False
        return hmac.compare_digest(found[0], self.sign(int(found[2]), str(address)))


def plus_word(address: Address) -> str:
    """What stands after the plus of a mail address: ``42.k7f3`` of ``hub+42.k7f3@hub.example``, or ""."""
    if address.scheme != "mailto":
        return ""
    return address.value.rpartition("@")[0].partition("+")[2]


def token_in(tokens: Tokens, recipients: Iterable[Address], words: Iterable[str] = ()) -> int | None:
    """The ticket named by the first valid token among plus-addresses and other ``words``."""
    for word in (*map(plus_word, recipients), *words):
        if word and (ticket := tokens.ticket(word)) is not None:
            return ticket
    return None


def returned_ref(recipients: Iterable[Address]) -> str:
    """The delivery that a bounce names by the address it came to, ``hub+d17.0123456789ab@``; "" where it names none."""
    return next((word for word in map(plus_word, recipients) if _OUR_REF.fullmatch(word)), "")


def leaving_in(tokens: Tokens, recipients: Iterable[Address]) -> tuple[int, int] | None:
    """The subscription that a mail ends by the address it was sent to (see :meth:`Tokens.left`)."""
    return next((found for word in map(plus_word, recipients) if (found := tokens.left(word))), None)


def mail_hints(
    tokens: Tokens,
    recipients: Iterable[Address],
    in_reply_to: str,
    references: tuple[str, ...],
    subject: str,
    sender: Address | None = None,
) -> Hints:
    """The hints of a mail. ``references`` are oldest first, as in the header; the hints have the nearest first."""
    recipients = tuple(recipients)
    returned = returned_ref(recipients)  # robots answer to where bounces go
    nearest = dict.fromkeys(filter(None, (in_reply_to, *reversed(references), returned)))
    found = _SUBJECT_TAG.search(subject)
    return Hints(
        token=token_in(tokens, recipients),
        own_token=any(tokens.made_for(plus_word(address), sender) for address in recipients),
        references=tuple(nearest)[:_MOST_REFERENCES],
        subject_tag=int(found.group(1)) if found else None,
        window=0.0,
    )


def text_hints(tokens: Tokens, arrival: Arrival) -> Hints:
    """The hints of a text message or chat: a token where its wire keeps one, a leading ``#42``, else the last talk."""
    found = _LEADING_TAG.match(arrival.text or "")
    return Hints(
        token=token_in(tokens, arrival.recipients, (arrival.facts.get("thread", ""), arrival.in_reply_to)),
        references=(arrival.in_reply_to,) if arrival.in_reply_to else (),
        subject_tag=int(found.group(1)) if found else None,
        window=CHAT_WINDOW,
    )
