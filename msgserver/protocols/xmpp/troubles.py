"""Why there is no line, in words for the people who can mend it."""

from __future__ import annotations

import msgspec
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.words.protocols.jabber import sasl, xmlstream
from twisted.words.protocols.jabber.error import StreamError

from msgserver.protocols.xmpp.places import NoServiceThere
from msgserver.protocols.xmpp.scram import ScramRefused
from msgserver.protocols.xmpp.stream import ClearTextRefused, Restricted

_PASSWORD = {"not-authorized", "credentials-expired", "invalid-authzid", "account-disabled", "malformed-request"}


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong; ``settled``: waiting does not mend it, so it is tried again seldom."""

    words: str
    settled: bool = False


def explain(reason: BaseException, *, name: str, jid: str, where: str, logged_in: bool) -> Trouble:
    """Tell a failure or the end of a line in words.

    Args:
        reason: what was raised or why the line ended.
        name: the connector's, for the key to look at.
        jid: the account.
        where: what was connected to.
        logged_in: had the line been in use?
    """
    table, domain = f"connector.{name}", jid.partition("@")[2].partition("/")[0]
    if isinstance(reason, sasl.SASLAuthError):
        condition = str(reason.args[0] if reason.args else "") or "no reason given"
        if condition in _PASSWORD:
            return Trouble(f"password refused: check {table}.password and {table}.jid", settled=True)
        return Trouble(f"{domain} refused the login ({condition})", settled=condition != "temporary-auth-failure")
    if isinstance(reason, ScramRefused):
        return Trouble(f"{domain} could not prove that it knows the password: {reason}", settled=True)
    if isinstance(reason, sasl.SASLNoAcceptableMechanism):
        return Trouble(f"{domain} offers no way to log in that is safe here (SCRAM, or PLAIN over TLS)", settled=True)
    if isinstance(reason, ClearTextRefused):
        words = f"{domain} offers no encryption, and the password is never sent in clear"
        return Trouble(words, settled=True)
    if isinstance(reason, xmlstream.FeatureNotAdvertized):
        return Trouble(f'{domain} offers no encryption, and {table}.tls is "required"', settled=True)
    if isinstance(reason, xmlstream.TLSRequired):
        return Trouble(f'{domain} asks for encryption: remove {table}.tls = "none"', settled=True)
    if isinstance(reason, (SSL.Error, VerificationError)):
        return Trouble(f"{domain} has a certificate that is not trusted: check {table}.ca_file", settled=True)
    if isinstance(reason, Restricted):
        return Trouble(f"{where} sent XML that is not allowed in a stream", settled=True)
    if isinstance(reason, NoServiceThere):
        return Trouble(str(reason), settled=True)
    if isinstance(reason, StreamError):
        return _stream_error(reason, jid, domain)
    if isinstance(reason, (TimeoutError, error.TimeoutError)):
        return Trouble(f"no answer from {where}")
    if isinstance(reason, error.DNSLookupError):
        return Trouble(
            f"the name {where.rpartition(':')[0] or where} leads nowhere: check {table}.connect and the network"
        )
    if isinstance(reason, error.ConnectionRefusedError):
        return Trouble(f"nobody listens at {where}")
    if isinstance(reason, (error.ConnectionDone, error.ConnectionLost)):
        return Trouble(f"{where} closed the line" if logged_in else f"{where} hung up during the login")
    return Trouble(f"no line to {where}: {reason}" if str(reason) else f"no line to {where}")


def _stream_error(reason: StreamError, jid: str, domain: str) -> Trouble:
    if reason.condition == "conflict":
        return Trouble(f"another program has logged in as {jid}: give each its own resource", settled=True)
    if reason.condition == "host-unknown":
        return Trouble(f"the server does not serve {domain}: check the jid", settled=True)
    if reason.condition == "system-shutdown":
        return Trouble(f"{domain} is shutting down")
    words = reason.condition.replace("-", " ")
    return Trouble(f"{domain} ended the line: {words}{f' ({reason.text})' if reason.text else ''}")
