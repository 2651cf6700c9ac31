"""Why there is no line, in words for the people who can mend it."""

from __future__ import annotations

import msgspec
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import defer, error

from msgserver.protocols.imap.line import LineLost
from msgserver.protocols.imap.login import NotUsable


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong; ``settled``: waiting does not mend it, so it is tried again seldom."""

    words: str
    settled: bool = False
    unknown: bool = False  # an error of our own


def explain(reason: BaseException, name: str, where: str) -> Trouble:
    """Tell in words why a connection could not be had, or ended.

    Args:
        reason: what was raised.
        name: the connector's, for the key to look at.
        where: what was connected to.
    """
    while isinstance(reason, LineLost) and isinstance(reason.__cause__, (SSL.Error, VerificationError)):
        reason = reason.__cause__
    table = f"connector.{name}"
    if isinstance(reason, NotUsable):
        hint = f"; check {table}" if reason.settled else ""
        return Trouble(f"{where}: {reason}{hint}", reason.settled)
    if isinstance(reason, LineLost):
        return Trouble(f"no line to {where}: {reason}")
    if isinstance(reason, VerificationError):
        return Trouble(f"the certificate at {where} is for another name: check {table}.tls_name", settled=True)
    if isinstance(reason, SSL.Error):
        return _tls(str(reason), table, where)
    if isinstance(reason, error.DNSLookupError):
        return Trouble(f"the name in {where} leads nowhere: check {table}.connect and the network")
    if isinstance(reason, error.ConnectionRefusedError):
        return Trouble(f"nobody listens at {where}")
    if isinstance(reason, (TimeoutError, error.TimeoutError, defer.TimeoutError)):
        return Trouble(f"no answer from {where}")
    if isinstance(reason, (OSError, error.ConnectError, error.ConnectionClosed)):
        return Trouble(f"no line to {where}: {reason}" if str(reason) else f"no line to {where}")
    return Trouble(f"stopped by an error of its own ({type(reason).__name__}), see the log", unknown=True)


def _tls(said: str, table: str, where: str) -> Trouble:
    if "wrong version number" in said or "record layer failure" in said or "packet length too long" in said:
        return Trouble(f'{where} speaks no TLS from the first byte: {table}.tls = "starttls"?', settled=True)
    if "certificate" in said:
        return Trouble(f"{where} has a certificate that is not trusted: check {table}.ca_file", settled=True)
    return Trouble(f"no line to {where}: TLS failed there: {said[:200]}")
