"""The TOML table of a mail connector."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

import msgspec

from msgserver.formats.dkim import Signer
from msgserver.settings import Listen, Secret, connect_mistake

MX = "mx"


def as_dns(name: str) -> str:
    """A name as the DNS writes it (RFC 5890)."""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("a domain that cannot be one (hostname, domains, sender)") from None


def _way_out(value: str) -> str | None:
    return None if value == MX else connect_mistake(value)


WayOut = Annotated[str, msgspec.Meta(extra={"check": _way_out})]
"""A smarthost's endpoint, or "mx": to each domain's own hosts."""
RelayTls = Literal["starttls", "tls", "opportunistic", "none"]
Policy = Literal["none", "may", "require", "verify"]


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


class MxSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How mail goes straight to the hosts of each domain (``relay = "mx"``)."""

    nameserver: str = ""  # "192.0.2.53" or "192.0.2.53:53"; default: the system's
    port: int = 25  # of the hosts
    private: bool = False  # whether hosts in private networks and on this machine are delivered to
    ipv6: bool = True  # whether hosts are tried over IPv6 too
    together: int = 50  # mails under way at once, to all hosts

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        if self.nameserver:
            try:
                ip_address(self.nameserver_place[0])
            except ValueError:
                raise ValueError('nameserver must be an address, as in "192.0.2.53" or "192.0.2.53:53"') from None
        if self.together < 1 or not 1 <= self.port <= 65535:
            raise ValueError("together must be at least 1, port from 1 to 65535")

    @property
    def nameserver_place(self) -> tuple[str, int]:
        """Its address and port."""
        host, colon, port = self.nameserver.rpartition(":")
        if colon and port.isdecimal() and ("." in host or host.endswith("]")):
            return host.strip("[]"), int(port)
        return self.nameserver.strip("[]"), 53


class DkimKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that signs what is sent from addresses of a domain (RFC 6376)."""

    domain: str
    selector: str  # its public half stands in the DNS under <selector>._domainkey.<domain>
    key: Secret  # PEM: RSA or Ed25519

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        self.signer()

    def signer(self) -> Signer:
        """What signs with it."""
        return Signer(as_dns(self.domain), self.selector, self.key.reveal())


class SenderRelay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way out for what is sent from addresses of one domain, instead of the connector's own."""

    relay: WayOut  # "tcp:127.0.0.1:2526" or "mx"
    relay_tls: RelayTls = "opportunistic"
    relay_name: str = ""
    relay_ca: str = ""
    relay_user: str = ""
    relay_password: Secret | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, in words."""
        if bool(self.relay_user) != (self.relay_password is not None):
            raise ValueError("relay_user and relay_password go together")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mail in over SMTP (``listen``), mail out (``relay``: a smarthost, or each domain's own hosts), or both."""

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
    plus_addresses: bool = True  # answers and bounces come back to hub+42.k7f3@...; false where those get lost
    relay: WayOut = ""  # the smarthost, "tcp:127.0.0.1:2526", or "mx"; none: receive only
    relay_tls: RelayTls = "opportunistic"
    relay_name: str = ""  # the name its certificate must carry; default: the host of relay
    relay_ca: str = ""  # a file, PEM, of whom to trust; default: whom the system trusts
    relay_user: str = ""
    relay_password: Secret | None = None
    connections: int = 4  # kept to one smarthost or host at once
    keep: float = 30.0  # seconds an unused connection is kept
    relays: dict[str, SenderRelay] = {}  # by the domain that mail is sent from
    tls_for: dict[str, Policy] = {}  # by the domain that mail is sent to, or "*"; with relay = "mx"
    mx: MxSettings = MxSettings()
    dkim: list[DkimKey] = []
    dsn: Literal["failures", "all", "none"] = "failures"  # which notices hosts are asked for (RFC 3461)
    largest: int = 20 * 1024 * 1024  # bytes of one mail; files beyond that become links

    @property
    def listens(self) -> tuple[str, ...]:
        """The endpoints to listen on, as a tuple in either spelling."""
        return (self.listen,) if isinstance(self.listen, str) else tuple(self.listen)

    @property
    def own_name(self) -> str:
        """The name in greeting and EHLO."""
        return as_dns(self.hostname or (self.domains[0] if self.domains else "localhost"))

    @property
    def own_address(self) -> str:
        """The address mail goes out from."""
        local, _, domain = self.sender.rpartition("@")
        if not self.sender:
            local, domain = "hub", self.domains[0] if self.domains else self.own_name
        return f"{local}@{as_dns(domain)}"

    def policy(self, domain: str) -> Policy:
        """How a domain's hosts are to be spoken to."""
        policies = {as_dns(name).lower(): policy for name, policy in self.tls_for.items()}
        return policies.get(domain.lower(), policies.get("*", "may"))

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
        self._check_sending()

    def _check_sending(self) -> None:
        if self.relays and not self.relay:
            raise ValueError("relays needs relay: which way does all other mail take?")
        if self.largest < 65_536:
            raise ValueError("largest must be at least 65536 bytes")
        if self.tls_for and MX not in (self.relay, *(one.relay for one in self.relays.values())):
            raise ValueError('tls_for is for relay = "mx"; a smarthost has relay_tls')
        for name in (*self.tls_for, *self.relays):
            as_dns(name)
        from_here = {as_dns(name).lower() for name in (*self.domains, self.own_address.rpartition("@")[2])}
        for name in self.relays:
            if as_dns(name).lower() not in from_here:
                raise ValueError(f"relays has {name}, but nothing is sent from it: it is not among domains")
