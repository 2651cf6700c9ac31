"""From the greeting to the account: encryption, then a password or a token.

S: * OK   C: STARTTLS (then TLS)   C: CAPABILITY   C: AUTHENTICATE PLAIN | XOAUTH2 | OAUTHBEARER, else LOGIN
"""

from __future__ import annotations

import base64
import binascii
import json

from msgserver.protocols.imap.line import Line, Refused, Response
from msgserver.protocols.imap.settings import Settings

_PASSING = {"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN"}  # not the password's fault, RFC 5530


class NotUsable(Exception):
    """The account cannot be used, in words; ``settled``: waiting does not mend it."""

    def __init__(self, words: str, settled: bool = True) -> None:
        super().__init__(words)
        self.settled = settled


async def log_in(line: Line, settings: Settings, context: object) -> frozenset[bytes]:
    """Take a greeted line to the account.

    Args:
        line: connected, greeted.
        settings: who, and by which means.
        context: for STARTTLS, where the settings ask for it.

    Returns:
        what the server can do, in upper case.

    Raises:
        NotUsable: it will not let us in.
        LineLost: the connection ended.
    """
    if settings.tls == "starttls":
        await _secure(line, context)
    if line.state == "unauth":
        abilities = await _abilities(line)
        try:
            if settings.auth == "password":
                await _by_password(line, settings, abilities)
            else:
                await _by_token(line, settings, abilities)
        except Refused as no:
            raise _refusal(settings, no) from no
    return await _abilities(line)


async def _abilities(line: Line) -> frozenset[bytes]:
    found: set[bytes] = set()

    def heard(response: Response) -> None:
        words = response.text.upper().split()
        if words[:1] == [b"CAPABILITY"]:
            found.update(words[1:])

    try:
        await line.ask(b"CAPABILITY", heard)
    except Refused as no:
        raise NotUsable(f"it does not say what it can do: {no}", settled=False) from no
    return frozenset(found)


async def _secure(line: Line, context: object) -> None:
    """RFC 3501 section 6.2.1; nothing said before counts afterwards."""
    if line.state != "unauth":
        raise NotUsable('it lets in anybody before encryption begins: somebody may stand between; tls = "tls" may help')
    if b"STARTTLS" not in await _abilities(line):
        raise NotUsable('it offers no STARTTLS, and tls = "starttls" asks for it')
    try:
        await line.ask(b"STARTTLS")
    except Refused as no:
        raise NotUsable(f"it refuses STARTTLS: {no}", settled=False) from no
    if line.unread:
        raise NotUsable("it said more in clear after STARTTLS: somebody may stand between", settled=False)
    line.transport.startTLS(context)


async def _by_password(line: Line, settings: Settings, abilities: frozenset[bytes]) -> None:
    assert settings.password is not None
    user, password = settings.user, settings.password.reveal()
    if b"AUTH=PLAIN" in abilities:
        await _authenticate(line, b"PLAIN", f"\0{user}\0{password}".encode(), abilities, on_failure=b"*")
        return
    if b"LOGINDISABLED" in abilities:
        raise NotUsable("it takes no password here (LOGINDISABLED): another tls or auth is needed")
    if not (user + password).isascii() or not (user + password).isprintable():
        raise NotUsable("it offers LOGIN only, which carries plain letters and digits: use another password")
    await line.ask(b"LOGIN " + quoted(user.encode()) + b" " + quoted(password.encode()))


async def _by_token(line: Line, settings: Settings, abilities: frozenset[bytes]) -> None:
    assert settings.token is not None
    try:
        token = settings.token.fresh().strip()
    except (OSError, ValueError) as error:
        raise NotUsable(f"the token's file cannot be read: {getattr(error, 'strerror', '') or error}", False) from error
    mechanism = settings.auth.upper().encode()
    if b"AUTH=" + mechanism not in abilities:
        raise NotUsable(f"it does not offer {settings.auth}: choose another auth")
    if settings.auth == "xoauth2":
        first, on_failure = f"user={settings.user}\1auth=Bearer {token}\1\1", b""
    else:  # RFC 7628 section 3.1; user names are escaped as in RFC 5801 section 4
        user = settings.user.replace("=", "=3D").replace(",", "=2C")
        first, on_failure = f"n,a={user},\1host={settings.host}\1auth=Bearer {token}\1\1", b"AQ=="
    await _authenticate(line, mechanism, first.encode(), abilities, on_failure)


async def _authenticate(
    line: Line, mechanism: bytes, first: bytes, abilities: frozenset[bytes], on_failure: bytes
) -> None:
    """One exchange in which we speak first; what the server asks beyond that is why it will not let us in."""
    words = base64.b64encode(first)
    at_once = b"SASL-IR" in abilities  # RFC 4959
    asked: list[bytes] = []

    def go_on(rest: bytes) -> None:
        asked.append(rest)
        if len(asked) > 3:
            line.break_off("it asks for ever during the login")
        else:
            line.sendLine(words if len(asked) == 1 and not at_once else on_failure)  # type: ignore[no-untyped-call]

    try:
        await line.ask(b"AUTHENTICATE " + mechanism + (b" " + words if at_once else b""), go_on=go_on)
    except Refused as no:
        if mechanism == b"PLAIN" or len(asked) <= (not at_once):
            raise
        raise NotUsable(_token_refusal(asked[-1])) from no


def _token_refusal(challenge: bytes) -> str:
    """What a server says of a token that it does not like (RFC 7628 section 3.2.2)."""
    try:
        said = json.loads(base64.b64decode(challenge))
        status = str(said.get("status", ""))[:40]
    except (ValueError, AttributeError, binascii.Error, RecursionError):
        status = ""
    return f"the token was refused ({status})" if status.isprintable() and status else "the token was refused"


def _refusal(settings: Settings, no: Refused) -> NotUsable:
    if no.code in _PASSING:
        return NotUsable(f"no login just now: {no}", settled=False)
    return NotUsable(f"{'password' if settings.auth == 'password' else 'token'} refused: {no}")


def quoted(word: bytes) -> bytes:
    """A quoted string (RFC 3501 section 4.3); ``word`` holds no line ends."""
    return b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
