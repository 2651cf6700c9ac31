"""The TOML table of a mail connector."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

import msgspec

from msgserver.settings import Connect, Listen, Secret


def _as_dns(name: str) -> str:
    """A name as the DNS writes it (RFC 5890)."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("a domain that cannot be one (hostname, domains, sender)") from None


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one stranger, and all of them together, may take of the server. Times in seconds, sizes in bytes."""

    size: int = 25 * 1024 * 1024  # of one mail (RFC 1870)
    recipients: int = 100  # in one transaction; further ones are told 452
    errors: int = 20  # wrong commands and refused recipients in a session, then 421
    idle_commands: int = 100  # NOOP, RSET, VRFY, ... without a mail between them, then 421
    connections: int = 200  # at once, all together
    per_ip: int = 10  # at once, from one IPv4 address or one IPv6 /64
    per_ip_exempt: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # networks that per_ip does not count
    memory: int = 64 * 1024 * 1024  # of mails under way, all sessions together
    idle: float = 300.0  # without a byte from the far side (RFC 5321 section 4.5.3.2.7)
    idle_crowded: float = 30.0  # the same when three quarters of the connections are taken
    session: float = 900.0  # from greeting to goodbye
    data_rate: float = 500.0  # bytes a second a body must keep up, after data_grace
    data_grace: float = 30.0
    accept_deadline: float = 25.0  # for the house to store a mail, then 451
    stop: float = 10.0  # for running transactions to end when the hub stops

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        for network in self.per_ip_exempt:
            try:
                ip_network(network)
            except ValueError:
                raise ValueError('per_ip_exempt must be networks, as in "10.0.0.0/8"') from None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mail in over SMTP (``listen``), mail out through a smarthost (``relay``), or both."""

    listen: Listen | list[Listen] = []  # "tcp:2525:interface=127.0.0.1", or several; none: send only
    domains: list[str] = []  # the domains that are ours; mail for any other is refused
    addresses: Literal["*"] | list[str] = "*"  # local parts that exist; others get 550
    hostname: str = ""  # how we introduce ourselves; default: the first domain
    bare_newlines: Literal["reject", "normalise"] = "reject"  # lone CR or LF in an arriving mail
    certificate: str = ""  # a file, PEM, with its chain: offers STARTTLS
    key: str = ""  # a file, PEM; default: it is in the certificate's file
    users: dict[str, Secret] = {}  # who may log in (AUTH), under TLS only; nobody has to
    limits: ServerLimits = ServerLimits()
    border: str = ""  # the mail server before this one, as its Authentication-Results name it: they are believed

    sender: str = ""  # our address on what we send; default: hub@<first domain>
    relay: Connect = ""  # the smarthost, "tcp:127.0.0.1:2526"; none: receive only
    relay_tls: Literal["starttls", "tls", "opportunistic", "none"] = "opportunistic"
    relay_name: str = ""  # the name its certificate must carry; default: the host of relay
    relay_ca: str = ""  # a file, PEM, of whom to trust; default: whom the system trusts
    relay_user: str = ""
    relay_password: Secret | None = None
    connections: int = 4  # kept to the smarthost at once
    keep: float = 30.0  # seconds an unused connection to the smarthost is kept

    @property
    def listens(self) -> tuple[str, ...]:
        """The endpoints to listen on, as a tuple in either spelling."""
        return (self.listen,) if isinstance(self.listen, str) else tuple(self.listen)

    @property
    def own_name(self) -> str:
        """The name in greeting and EHLO."""
        return _as_dns(self.hostname or (self.domains[0] if self.domains else "localhost"))

    @property
    def own_address(self) -> str:
        """The address mail goes out from."""
        local, _, domain = self.sender.rpartition("@")
        if not self.sender:
            local, domain = "hub", self.domains[0] if self.domains else self.own_name
        return f"{local}@{_as_dns(domain)}"

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        if not self.listens and not self.relay:
            raise ValueError("neither listen nor relay is set: name an endpoint to receive on or to send through")
        if self.listens and not self.domains:
            raise ValueError('listen needs domains: which mail is ours? (domains = ["hub.example"])')
        if self.key and not self.certificate:
            raise ValueError("key is set without certificate")
        if self.users and not self.certificate:
            raise ValueError("users need certificate: passwords are taken under TLS only")
        if bool(self.relay_user) != (self.relay_password is not None):
            raise ValueError("relay_user and relay_password go together")
        local, _, domain = self.own_address.rpartition("@")
        if not local or not domain or not self.own_address.isprintable() or " " in self.own_address:
            raise ValueError('sender must be an address, as in "desk@hub.example"')
        if self.connections < 1:
            raise ValueError("connections must be at least 1")
