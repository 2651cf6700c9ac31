"""Where the server is, and how to know it: the SRV records of its domain (RFC 6120 section 3.2), its certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import ssl
from twisted.internet.endpoints import HostnameEndpoint, clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import DomainError

from OpenSSL import crypto  # isort: skip

from msgserver.protocols.xmpp.settings import Settings

PORT = 5222
_SRV_TIMEOUTS = (1, 3)  # seconds


class NoServiceThere(Exception):
    """The domain says in its SRV record that it offers no XMPP."""


def tls_options(settings: Settings) -> Any:
    """The TLS settings for STARTTLS: the certificate must name the account's domain (RFC 6120 section 13.7.2).

    Raises:
        ValueError: ``ca_file`` cannot be read, or holds no certificate.
    """
    trust = None
    if settings.ca_file is not None:
        try:
            pem = Path(settings.ca_file).read_text()
            blocks = [block for block in pem.split("-----END CERTIFICATE-----") if "-----BEGIN" in block]
            certificates = [ssl.Certificate.loadPEM(f"{block}-----END CERTIFICATE-----\n".encode()) for block in blocks]
        except (OSError, ValueError, crypto.Error) as trouble:
            raise ValueError(f"ca_file: {settings.ca_file} cannot be used: {trouble}") from None
        if not certificates:
            raise ValueError(f"ca_file: {settings.ca_file} holds no certificate")
        trust = ssl.trustRootFromCertificates(certificates)
    domain = settings.domain.encode("idna").decode()
    return ssl.optionsForClientTLS(domain, trustRoot=trust)


async def places(settings: Settings, reactor: Any) -> list[tuple[str, IStreamClientEndpoint]]:
    """Where to try, in order: words for people, and an endpoint.

    Raises:
        NoServiceThere: see there.
    """
    if settings.connect is not None:
        return [(":".join(settings.connect.split(":")[1:3]), clientFromString(reactor, settings.connect))]
    domain = settings.domain.encode("idna").decode()
    found = [(domain, PORT)] if domain == "localhost" else await _look_up(domain, reactor)
    return [(f"{host}:{port}", HostnameEndpoint(reactor, host, port)) for host, port in found]


async def _look_up(domain: str, reactor: Any) -> list[tuple[str, int]]:
    resolver = Resolver(resolv="/etc/resolv.conf", reactor=reactor)
    try:
        answers, _, _ = await resolver.lookupService(f"_xmpp-client._tcp.{domain}", _SRV_TIMEOUTS)
    except (DomainError, OSError, TimeoutError):
        return [(domain, PORT)]
    records = [answer.payload for answer in answers if answer.type == dns.SRV]
    records.sort(key=lambda record: (record.priority, -record.weight))
    found = [(record.target.name.decode(), record.port) for record in records]
    if found and found[0][0] in {"", "."}:
        raise NoServiceThere(f"{domain} says that it offers no XMPP")
    return found or [(domain, PORT)]
