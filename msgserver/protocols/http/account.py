"""An account at a gateway as its profile sees it: settings, numbers in both directions, addresses of ours."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from msgserver.connector import PermanentFailure
from msgserver.message import Address, Arrival, Envelope, Part
from msgserver.protocols.http.settings import Settings

_DIALLED = re.compile(r"\+?[0-9*#]{3,20}")
_DIGITS = re.compile(r"[0-9]{8,15}")
_GAPS = re.compile(r"[\s().-]")
_ODD = re.compile(r"[\x00\ud800-\udfff]")


class Account(msgspec.Struct, frozen=True):
    """``options`` are the profile's own settings, read into its Struct; ``url`` is the gateway's address."""

    name: str
    settings: Settings
    options: Any
    url: str

    @property
    def user(self) -> str:
        """The account's name."""
        return self.settings.user

    @property
    def password(self) -> str:
        """The account's secret, for the wire only; empty where there is none."""
        return self.settings.password.reveal() if self.settings.password else ""

    @property
    def sender(self) -> str:
        """Who messages come from; empty where the gateway knows."""
        return self.settings.sender

    def wants_receipt(self, envelope: Envelope) -> bool:
        """Whether the gateway shall tell, and can, what became of it."""
        return self.settings.receipts and envelope.want_receipt and bool(self.settings.callback)

    def callback(self, *path: str, **query: str) -> str:
        """The address of ours that the gateway shall call, with the secret in it."""
        secret = self.settings.callback_secret
        parts = [self.settings.callback.rstrip("/"), *([secret.reveal()] if secret else []), *path]
        return "/".join(parts) + (f"?{urlencode(query)}" if query else "")

    # Numbers

    def number(self, written: str) -> str:
        """A number as a gateway writes it, as we do: ``0015551234`` and ``15551234`` are ``+15551234``."""
        return _number(written, self.settings.country)

    def address(self, written: str) -> Address | None:
        """The address of whoever a gateway names; None where it names nobody."""
        return _address(written, self.settings.country)

    # Arrivals

    def arrival(self, wire_id: str, sender: str, text: str, **rest: Any) -> Arrival:
        """A text that came.

        Among the rest: ``to`` is the number it was sent to; ``time`` is what the gateway says when, which names the
        text where there is no ``wire_id`` (sender and words alone do not: people say "yes" twice).
        """
        to = self.address(rest.pop("to", "") or self.sender)
        time = rest.pop("time", "")
        if not wire_id and time:
            words = "\x00".join((sender, str(to), text, time))
            wire_id = "h" + hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:40]
        return Arrival(
            wire_id=wire_id,
            sender=self.address(sender),
            recipients=(to,) if to is not None else (),
            text=plain(text),
            **rest,
        )


def _number(written: str, country: str) -> str:
    bare = _GAPS.sub("", written)
    if bare.startswith("00") and _DIGITS.fullmatch(bare[2:]):
        return f"+{bare[2:]}"
    if bare.startswith("0") and country and bare.isascii() and bare.isdigit():
        return country + bare.lstrip("0")
    if not bare.startswith("0") and _DIGITS.fullmatch(bare):
        return f"+{bare}"
    return bare if _DIALLED.fullmatch(bare) else written.strip()


@lru_cache(4096)
def _address(written: str, country: str) -> Address | None:
    """People write more than once, and mostly to the same number."""
    try:
        return Address.of("sms", _number(written, country))
    except ValueError:
        return None


def dialled(to: Address) -> str:
    """The number of an address, checked to be one.

    Raises:
        PermanentFailure: it is a name, or nothing that can be dialled.
    """
    if not _DIALLED.fullmatch(to.value):
        raise PermanentFailure(f"{to.value[:40]!r} is no number that a text can be sent to", bad_address=True)
    return to.value


def digits(to: Address) -> str:
    """The number without its ``+``."""
    return dialled(to).removeprefix("+")


def plain(text: str) -> str:
    """Text without NUL and half characters, and with our line ends."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ODD.sub("", text)


def part_of(reference: str, total: int, index: int) -> Part | None:
    """A piece of a longer text, where the numbers make sense."""
    return Part(reference, index, total) if reference and total > 1 and 1 <= index <= total else None


def form(**fields: str) -> bytes:
    """A urlencoded form without the empty fields."""
    return urlencode({name: value for name, value in fields.items() if value}).encode("ascii")


def path_word(word: str) -> str:
    """A word as one segment of a path."""
    return quote(word, safe="")
