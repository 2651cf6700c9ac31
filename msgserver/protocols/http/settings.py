"""The TOML table of an SMS gateway."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

import msgspec

from msgserver.protocols.http.profile import is_signed, load, read_options
from msgserver.settings import Secret, Url

_SECRET = re.compile(r"[A-Za-z0-9._~-]{12,200}")


def _network(value: str) -> str | None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return 'must be addresses or networks, as in "203.0.113.7" or "203.0.113.0/24"'
    return None


def _positive(value: float) -> str | None:
    return None if value > 0 else "must be more than 0"


_Positive = Annotated[float, msgspec.Meta(extra={"check": _positive})]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account at an SMS gateway. Times in seconds."""

    profile: str  # which gateway's words to speak
    url: Url = ""  # where it takes messages; default: the gateway's own address
    user: str = ""  # the account: user name, account SID, API key's name
    password: Secret | None = None  # its password, token or API key
    sender: str = ""  # the number or name that messages come from
    callback: Url = ""  # how the gateway reaches this connector, "https://hub.example/in/NAME"; none: send only
    callback_secret: Secret | None = None  # a word in the callback's address, for gateways that do not sign
    allow_from: list[Annotated[str, msgspec.Meta(extra={"check": _network})]] = []  # who may call; none: all
    receipts: bool = True  # ask what became of each message
    country: Annotated[str, msgspec.Meta(pattern=r"^(\+[1-9][0-9]{0,3})?$")] = ""  # "+254" makes 0722... +254722...
    max_parts: Annotated[int, msgspec.Meta(ge=1, le=255)] = 10  # the longest text
    rate: _Positive | None = None  # texts the account may send in rate_seconds
    rate_seconds: _Positive = 1.0
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8  # requests to the gateway at once
    deadline: _Positive = 30.0  # for one answer of the gateway
    allow_private: bool = False  # whether url may lead into a private network or to this machine
    ca_file: str = ""  # a file, PEM, of whom to trust; default: whom the system trusts
    credit_every: Annotated[float, msgspec.Meta(ge=0)] = 3600.0  # between questions for the credit; 0: never
    options: dict[str, Any] = {}  # what this gateway alone has, see the page on gateways

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        profile = load(self.profile)
        options = read_options(profile, self.options)
        needs = profile.NEEDS if profile.URL else ("url", *profile.NEEDS)
        missing = [name for name in needs if not getattr(self, name)]
        if missing:
            raise ValueError(f"the profile {self.profile} needs {' and '.join(missing)}")
        secret = self.callback_secret
        if secret is not None and not _SECRET.fullmatch(secret.reveal()):
            raise ValueError("callback_secret must be 12 or more letters and digits: it is part of a web address")
        if self.callback and not (is_signed(profile, options) or secret or self.allow_from):
            raise ValueError("anybody could call: calls are not signed, so set callback_secret or allow_from (or both)")
