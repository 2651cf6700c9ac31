"""Commands and addresses on the wire (RFC 5321 section 4.1.2), and which addresses are ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from msgserver.message import Address

_PATH = re.compile(rb"(?i)(FROM|TO):[ \t]*<([^<>]*)>[ \t]*(.*)$", re.DOTALL)
_MAILBOX = re.compile(
    rb"""(?x)
    (?P<local> [\w.!\#$%&'*+/=?^`{|}~\x80-\xff-]+ | "(?: [^"\\\x00-\x1f\x7f] | \\[\x20-\x7e] )*" )
    @ (?P<domain> [A-Za-z0-9\x80-\xff] [A-Za-z0-9_.\x80-\xff-]* | \[ [0-9A-Za-z.:]+ \] ) \Z""",
)
_HELO = re.compile(rb"[\x21-\x7e\x80-\xff]{1,255}\Z")
_HTTP = frozenset(
    b"GET POST PUT HEAD OPTIONS CONNECT DELETE PATCH TRACE PRI HOST: USER-AGENT: ACCEPT: CONTENT-TYPE:".split()
)
_REMEMBERED = 4096  # arguments
_SHORT = 200  # bytes of one that is worth remembering


class Refused(Exception):
    """The command is answered with these bytes (a reply without its line end)."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


def is_http(line: bytes) -> bool:
    """Is this somebody's browser, or a proxy made to talk to us?"""
    return line.split(None, 1)[0].upper() in _HTTP if line.strip() else False


def helo_name(argument: bytes) -> str:
    """The name a client gives itself, as text; never trusted.

    Raises:
        Refused: there is none, or it cannot be one.
    """
    name = argument.strip()
    if not _HELO.match(name):
        raise Refused(b"501 5.5.4 Say your name: EHLO host.example")
    words = name.decode("utf-8", "replace")
    return words if words.isprintable() else "".join(c if c.isprintable() else "?" for c in words)


def split_path(argument: bytes, word: bytes) -> tuple[bytes, bytes]:
    """Take ``FROM:<path> parameters`` apart.

    Raises:
        Refused: it is not of that form.
    """
    match = _PATH.match(argument)
    if match is None or match[1].upper() != word:
        verb = b"MAIL FROM" if word == b"FROM" else b"RCPT TO"
        raise Refused(b"501 5.5.4 Write it so: %b:<name@host.example>" % verb)
    return match[2], match[3]


def mail_parameters(words: bytes, limit: int) -> tuple[bool, int]:
    """Read the parameters of MAIL (RFC 1870, 6152, 6531): is it SMTPUTF8, and the declared size.

    Raises:
        Refused: unknown, malformed, or beyond ``limit`` bytes.
    """
    utf8, declared = False, 0
    for word in words.upper().split():
        name, _, value = word.partition(b"=")
        if name == b"SIZE" and value.isdigit() and len(value) <= 20:
            declared = int(value)
            if declared > limit:
                raise Refused(b"552 5.3.4 Too big: a mail may have %d bytes here" % limit)
        elif name == b"SMTPUTF8" and not value:
            utf8 = True
        elif (name == b"BODY" and value in (b"7BIT", b"8BITMIME")) or (name == b"AUTH" and value):
            continue
        elif name in (b"SIZE", b"BODY", b"SMTPUTF8", b"AUTH"):
            raise Refused(b"501 5.5.4 The value of this parameter cannot be understood")
        else:
            raise Refused(b"555 5.5.4 This parameter is not offered here")
    return utf8, declared


def _decoded(path: bytes, utf8: bool) -> str:
    if not path.isascii() and not utf8:
        raise Refused(b"553 5.6.7 Addresses beyond ASCII need the SMTPUTF8 parameter")
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(b"553 5.6.7 The address is not UTF-8") from None


class Senders:
    """Reads the argument of MAIL; remembers the usual ones, since few senders bring most of the mail."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[bytes, tuple[Address | None, bool]] = {}

    def read(self, argument: bytes) -> tuple[Address | None, bool]:
        """The sender, None for ``<>``, and whether the mail is SMTPUTF8.

        Raises:
            Refused: it is no address one could answer, or a parameter is wrong.
        """
        known = self._known.get(argument)
        if known is None:
            known = self._checked(argument)
            if len(self._known) >= _REMEMBERED:
                self._known = {}
            if len(argument) <= _SHORT:
                self._known[argument] = known
        return known

    def _checked(self, argument: bytes) -> tuple[Address | None, bool]:
        path, words = split_path(argument, b"FROM")
        utf8, _declared = mail_parameters(words, self._limit)
        if not path:
            return None, utf8
        if not _MAILBOX.match(path):
            raise Refused(b"553 5.1.7 The sender's address cannot be understood")
        try:
            return Address.of("mailto", _decoded(path, utf8)), utf8
        except ValueError:
            raise Refused(b"553 5.1.7 The sender's address is one we could not answer") from None


def _domain_forms(domain: str) -> set[str]:
    """A domain as people and as the DNS write it (RFC 5890), folded."""
    forms = {domain.lower()}
    with suppress(UnicodeError):
        forms.add(domain.lower().encode("idna").decode("ascii"))
    with suppress(UnicodeError):
        forms.add(domain.lower().encode("ascii").decode("idna"))
    return forms


class Recipients:
    """Which forward-paths are ours: the domains, and the local parts ("*": all) with any ``+suffix``.

    Source routes, percent and bang paths and quoted ``@`` are relaying in disguise and refused in the session.
    """

    def __init__(self, domains: Sequence[str], addresses: str | Sequence[str]) -> None:
        self._domains = frozenset(form for domain in domains for form in _domain_forms(domain))
        self._first = domains[0].lower() if domains else ""
        everyone = isinstance(addresses, str)
        self._locals = None if everyone else frozenset(name.lower() for name in addresses) | {"postmaster"}
        self._known: dict[tuple[bytes, bool], Address] = {}

    def read(self, argument: bytes, utf8: bool) -> Address:
        """The recipient in the argument of RCPT.

        Raises:
            Refused: no address, not ours, or nobody here.
        """
        known = self._known.get((argument, utf8))
        if known is None:
            path, words = split_path(argument, b"TO")
            if words:
                raise Refused(b"555 5.5.4 RCPT takes no parameters here")
            known = self._checked(path, utf8)
            if len(self._known) >= _REMEMBERED:
                self._known = {}
            if len(argument) <= _SHORT:
                self._known[argument, utf8] = known
        return known

    def _checked(self, path: bytes, utf8: bool) -> Address:
        if path.lower() == b"postmaster":  # RFC 5321 section 4.5.1
            return Address.of("mailto", f"postmaster@{self._first}")
        if path.startswith(b"@"):
            raise Refused(b"550 5.7.1 No relaying here: source routes are not taken")
        match = _MAILBOX.match(path)
        if match is None:
            raise Refused(b"553 5.1.3 The recipient's address cannot be understood")
        if _decoded(match["domain"], utf8).lower() not in self._domains:
            raise Refused(b"550 5.7.1 No relaying here: this domain is not ours")
        local = _decoded(match["local"], utf8).lower()
        if any(mark in local for mark in '%!@"\\'):
            raise Refused(b"550 5.7.1 No relaying here: routes inside an address are not taken")
        if self._locals is not None and local not in self._locals and local.partition("+")[0] not in self._locals:
            raise Refused(b"550 5.1.1 There is nobody of this name here")
        try:
            return Address.of("mailto", _decoded(path, utf8))
        except ValueError:
            raise Refused(b"553 5.1.3 The recipient's address cannot be understood") from None
