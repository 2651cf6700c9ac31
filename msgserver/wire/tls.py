"""TLS for connectors: what we show as a server, whom we trust as a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)


def _certificates(path: str) -> list[Any]:
    try:
        return load_pem_x509_certificates(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} holds no certificate (PEM)") from error


def server_context(certificate: str, key: str = "") -> CertificateOptions:
    """What a server shows: a PEM file with its certificate and chain, and one with the key (default: the same).

    Raises:
        OSError: a file cannot be read.
        ValueError: it holds no such thing, or key and certificate do not belong together.
    """
    chain = _certificates(certificate)
    try:
        private: Any = load_pem_private_key(Path(key or certificate).read_bytes(), None)
        options = CertificateOptions(
            privateKey=private,
            certificate=chain[0],
            extraCertChain=chain[1:],
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        options.getContext()
    except (ValueError, TypeError, SSL.Error) as error:
        raise ValueError(f"{key or certificate} holds no key (PEM) that fits the certificate") from error
    return options


def client_context(name: str, authorities: str = "") -> IOpenSSLClientConnectionCreator:
    """A client that insists on a certificate for ``name`` (host or IP address) by somebody it trusts.

    ``authorities`` is a PEM file of whom to trust; empty: whom the system trusts.
    """
    trusted = (
        trustRootFromCertificates(
            [Certificate.loadPEM(found.public_bytes(Encoding.PEM)) for found in _certificates(authorities)]
        )
        if authorities
        else platformTrust()
    )
    return optionsForClientTLS(name, trustRoot=trusted, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2})


def unverified_client_context() -> CertificateOptions:
    """A client that takes any certificate: better than no TLS at all, no proof of anything."""
    return CertificateOptions(verify=False, raiseMinimumTo=TLSVersion.TLSv1_2)
