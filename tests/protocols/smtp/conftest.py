"""Certificates and running connectors."""

from __future__ import annotations

import datetime
import ipaddress

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write_certificate(path, host: str = "127.0.0.1") -> str:
    """A self-signed certificate and its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub.example")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("hub.example"), x509.IPAddress(ipaddress.ip_address(host))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return str(path)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> str:
    """A PEM file that a server shows and a client may trust."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "hub.pem")


@pytest.fixture
def running():
    """Start connectors; they are stopped at the end of the test."""
    started = []

    def start(connector):
        connector.privilegedStartService()
        connector.startService()
        started.append(connector)
        return connector

    yield start
    for connector in reversed(started):
        if connector.running:
            pytest_twisted.blockon(connector.stopService())
