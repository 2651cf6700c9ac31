"""One way out: a smarthost or a host of some domain, how to reach it and what it must prove."""

from __future__ import annotations

from typing import Literal

import msgspec

from msgserver.protocols.smtp.settings import SenderRelay, Settings
from msgserver.settings import Secret

Tls = Literal["starttls", "tls", "required", "opportunistic", "none"]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """See the module. ``tls``: "starttls" and "tls" check the certificate, "required" asks for any."""

    where: str  # the endpoint, also shown to people
    tls: Tls = "opportunistic"
    name: str = ""  # that the certificate must carry
    ca: str = ""
    user: str = ""
    password: Secret | None = None
    own_name: str = "localhost"
    connections: int = 4
    keep: float = 30.0
    stop: float = 10.0
    lasting: bool = True  # looked for from the start and while it is away; else only when something is for it


def host_of(endpoint: str) -> str:
    """The host in ``tcp:host:port``."""
    words = [word.replace("\0", ":") for word in endpoint.replace("\\:", "\0").split(":")]
    named = dict(word.split("=", 1) for word in words if "=" in word)
    return named.get("host", words[1] if len(words) > 1 else "").strip("[]")


def smarthost(settings: Settings, of: Settings | SenderRelay) -> Way:
    """The way through a smarthost: the connector's own, or one domain's."""
    return Way(
        where=of.relay,
        tls=of.relay_tls,
        name=of.relay_name or host_of(of.relay),
        ca=of.relay_ca,
        user=of.relay_user,
        password=of.relay_password,
        own_name=settings.own_name,
        connections=settings.connections,
        keep=settings.keep,
        stop=settings.limits.stop,
    )
