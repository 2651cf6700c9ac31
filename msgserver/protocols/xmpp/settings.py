"""The TOML table of a chat account."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from msgserver.settings import Connect, Secret

_JID = re.compile(r"[^\s@/\"&'<>:]+@[^\s@/]+")
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|\\?:\\?:1|::1")


def _account(value: str) -> str | None:
    return None if _JID.fullmatch(value) else 'is no account; write it as "hub@xmpp.example", without a resource'


Account = Annotated[str, msgspec.Meta(extra={"check": _account})]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account on one server; every field is explained at the head of the package."""

    jid: Account
    password: Secret
    connect: Connect | None = None
    tls: Literal["required", "optional", "none"] = "required"
    ca_file: str | None = None
    resource: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "hub"
    ping_every: Seconds = 60.0
    ping_timeout: Seconds = 20.0
    accept_subscriptions: bool = True

    def __post_init__(self) -> None:
        """Refuse what would show the password."""
        if self.tls == "none" and not (self.connect and is_loopback_endpoint(self.connect)):
            raise ValueError(
                'tls = "none" would send the password in clear; it is allowed only with connect = "tcp:127.0.0.1:..."'
            )

    @property
    def domain(self) -> str:
        """The server's domain, which its certificate must name."""
        return self.jid.partition("@")[2].lower()


def is_loopback_endpoint(connect: str) -> bool:
    """Does this endpoint string stay on this machine?"""
    kind, _, rest = connect.partition(":")
    if kind == "unix":
        return True
    host = rest.rpartition(":")[0] if rest.count(":") == 1 else rest
    match = re.match(r"(?:host=)?(" + _LOOPBACK.pattern + r")(?::|$)", host)
    return kind in {"tcp", "tls"} and match is not None
