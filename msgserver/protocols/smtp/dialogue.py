"""What a client may say and in which order (RFC 5321 section 4.1); the bytes are its session's.

Nothing is bounced later: what is not wanted is refused here.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from msgserver.message import Address, Arrival
from msgserver.protocols.smtp import grammar, replies
from msgserver.protocols.smtp.auth import Exchange
from msgserver.protocols.smtp.body import Body, Verdict
from msgserver.protocols.smtp.naming import wire_id
from msgserver.wire.dots import with_crlf

if TYPE_CHECKING:
    from msgserver.protocols.smtp.gate import Gate
    from msgserver.protocols.smtp.session import Session

_WRONG_LOGINS = 3


class Dialogue:
    """The state of one conversation: introduced as whom, logged in as whom, which mail is under way."""

    def __init__(self, session: Session, gate: Gate, peer: str) -> None:
        self._session = session
        self._gate = gate
        self._peer = peer
        self._tls = False
        self._helo = ""
        self._extended = False
        self._user = ""
        self._wrong_logins = 0
        self._login: Exchange | None = None
        self._facts: dict[str, str] = {}
        self._facts_utf8: dict[str, str] = {}
        self._utf8 = False
        self._sender: Address | None = None
        self._has_sender = False
        self._recipients: list[Address] = []
        self._turned_away = 0

    def command(self, line: bytes) -> None:
        """Answer one line."""
        verb = line[:4].upper()
        command = _COMMANDS.get(verb)
        if command is not None and line[4:5] in _AFTER_VERB and b"\r" not in line and b"\0" not in line:
            try:
                command(self, line[5:])
            except grammar.Refused as refused:
                self._session.wrong(refused.reply + b"\r\n")
        elif line.upper() == b"STARTTLS" and self._gate.tls is not None and not self._tls:
            self._starttls()
        elif verb == b"BDAT":
            self._session.goodbye(replies.NO_CHUNKS)  # what follows it is a body, never commands
        elif grammar.is_http(line):
            self._session.goodbye(replies.HTTP)
        else:
            self._session.wrong(replies.UNKNOWN)

    def secured(self) -> None:
        """TLS is on: nothing that was said in clear counts (RFC 3207 section 4.2)."""
        self._reset()
        self._tls = True
        self._helo, self._user, self._login = "", "", None

    def _reset(self) -> None:
        self._has_sender = False
        self._recipients = []

    def _ehlo(self, argument: bytes) -> None:
        self._introduced(argument, extended=True)
        self._session.idle(self._gate.abilities(self._tls, bool(self._user)))

    def _helo_(self, argument: bytes) -> None:
        self._introduced(argument, extended=False)
        self._session.idle(self._gate.hello)

    def _introduced(self, argument: bytes, extended: bool) -> None:
        self._helo = grammar.helo_name(argument)
        self._extended = extended
        self._reset()
        self._note_facts()

    def _note_facts(self) -> None:
        """RFC 3848 names the protocol; the rest is for whoever judges the mail."""
        protocol = "ESMTP" if self._extended else "SMTP"
        protocol += ("S" if self._tls else "") + ("A" if self._user else "")
        self._facts = {"peer": self._peer, "helo": self._helo, "by": self._gate.own_name, "protocol": protocol}
        if self._tls:
            self._facts["tls"] = self._session.tls_words()
        if self._user:
            self._facts["auth"] = self._user
        self._facts_utf8 = {**self._facts, "protocol": "UTF8SMTP" + protocol.removeprefix("ESMTP")}

    def _mail_from(self, argument: bytes) -> None:
        if not self._helo:
            raise grammar.Refused(b"503 5.5.1 Say EHLO first")
        if self._has_sender:
            raise grammar.Refused(b"503 5.5.1 A mail is under way already: RSET begins anew")
        self._sender, self._utf8 = self._gate.senders.read(argument)
        self._has_sender = True
        self._session.say(replies.SENDER_FINE)

    def _rcpt_to(self, argument: bytes) -> None:
        if not self._has_sender:
            raise grammar.Refused(b"503 5.5.1 MAIL comes before RCPT")
        recipient = self._gate.recipients.read(argument, self._utf8)
        if recipient not in self._recipients:
            if len(self._recipients) >= self._gate.limits.recipients:
                self._too_many()
                return
            self._recipients.append(recipient)
        self._session.say(replies.RECIPIENT_FINE)

    def _too_many(self) -> None:
        """A long list comes in several transactions (RFC 5321 section 4.5.3.1.10); an endless one does not."""
        self._turned_away += 1
        if self._turned_away > 10 * self._gate.limits.recipients:
            self._session.goodbye(replies.TOO_MANY_ERRORS)
        else:
            self._session.say(replies.TOO_MANY_RECIPIENTS)

    def _data(self, argument: bytes) -> None:
        if argument.strip():
            raise grammar.Refused(b"501 5.5.4 DATA takes no parameters")
        if not self._recipients:
            if self._session.has_more and self._has_sender:
                # A body that was sent without waiting for the 354 must not run as commands.
                self._session.goodbye(replies.NO_RECIPIENTS)
                return
            raise grammar.Refused(b"503 5.5.1 RCPT comes before DATA, and one at least must be taken")
        self._session.expect_body()
        self._session.say(replies.GO_AHEAD)

    def _rset(self, _argument: bytes) -> None:
        self._reset()
        self._session.idle(replies.FINE)

    def _noop(self, _argument: bytes) -> None:
        self._session.idle(replies.FINE)

    def _vrfy(self, _argument: bytes) -> None:
        self._session.idle(replies.PERHAPS)

    def _expn(self, _argument: bytes) -> None:
        self._session.wrong(replies.NOT_OFFERED)

    def _help(self, _argument: bytes) -> None:
        self._session.idle(replies.HELP)

    def _quit(self, _argument: bytes) -> None:
        self._session.goodbye(replies.QUIT)

    def _starttls(self) -> None:
        if self._session.has_more:
            # Bytes sent in clear must never count as sent under TLS (RFC 3207 section 6).
            self._session.goodbye(replies.BEFORE_TLS)
        else:
            self._session.say(replies.BEGIN_TLS)
            self._session.begin_tls()

    def _auth(self, argument: bytes) -> None:
        if not self._gate.users:
            raise grammar.Refused(b"502 5.5.1 Nobody logs in here")
        if not self._tls:
            raise grammar.Refused(b"538 5.7.11 Passwords are taken under TLS only: STARTTLS first")
        if not self._helo or self._user or self._has_sender:
            raise grammar.Refused(b"503 5.5.1 Not now")
        self._login = Exchange(self._gate.users, lambda name: self._gate.may_try(name, self._peer))
        self._after_login(self._login.begin(argument))

    def login_line(self, line: bytes) -> None:
        """Answer one line of a login."""
        if self._login is not None:
            self._after_login(self._login.step(line))

    def _after_login(self, reply: bytes) -> None:
        login = self._login
        if login is None or not login.done:
            self._session.expect_login(True)
            self._session.say(reply + b"\r\n")
            return
        self._session.expect_login(False)
        self._login = None
        if login.tried is not None:
            self._gate.tried(login.tried, self._peer, bool(login.user))
        if login.user:
            self._user = login.user
            self._note_facts()
            self._session.say(reply + b"\r\n")
            return
        self._wrong_logins += reply.startswith((b"535", b"454"))
        if self._wrong_logins >= _WRONG_LOGINS:
            self._session.goodbye(replies.TOO_MANY_ERRORS)
        else:
            self._session.wrong(reply + b"\r\n")

    def arrival(self, body: Body) -> Arrival | None:
        """The mail that was under way is complete: what to hand in, or None where it was refused."""
        sender, recipients = self._sender, tuple(self._recipients)
        self._reset()
        raw, digest = body.content(), body.sha256.hexdigest()
        if body.verdict is Verdict.TOO_BIG:
            self._session.wrong(replies.TOO_BIG)
            return None
        if body.verdict is Verdict.NO_ROOM:
            self._session.say(replies.NO_ROOM)
            return None
        if body.bare:
            if self._gate.rejects_bare_newlines:
                self._session.wrong(replies.BARE_NEWLINE)
                return None
            raw = with_crlf(raw)
            digest = sha256(raw).hexdigest()
        return Arrival(
            wire_id=wire_id(sender, recipients, raw, digest),
            sender=sender,
            recipients=recipients,
            media_type="message/rfc822",
            raw=raw,
            sha256=digest,
            facts=self._facts_utf8 if self._utf8 else self._facts,
        )


_AFTER_VERB = frozenset((b"", b" ", b"\t"))
_COMMANDS = {
    b"EHLO": Dialogue._ehlo,
    b"HELO": Dialogue._helo_,
    b"MAIL": Dialogue._mail_from,
    b"RCPT": Dialogue._rcpt_to,
    b"DATA": Dialogue._data,
    b"RSET": Dialogue._rset,
    b"NOOP": Dialogue._noop,
    b"VRFY": Dialogue._vrfy,
    b"EXPN": Dialogue._expn,
    b"HELP": Dialogue._help,
    b"AUTH": Dialogue._auth,
    b"QUIT": Dialogue._quit,
}
