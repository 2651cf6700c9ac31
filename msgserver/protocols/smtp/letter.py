"""One mail for one recipient, put into bytes for the host that takes it: what it offers decides how."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgserver.connector import PermanentFailure
from msgserver.wire.dots import stuff

_NOT_XTEXT = re.compile(rb"[^!-*,-<>-~]")  # RFC 3461 section 4: what is written as +XX
_ENVELOPE_ID = 100  # characters (RFC 3461 section 4.4)


class Letter:
    """See the module.

    Args:
        sender: the reverse-path, without brackets; empty: nobody wants to hear of it.
        rcpt: the recipient, without brackets.
        utf8: whether one of the two needs SMTPUTF8 (RFC 6531).
        write: composes the mail in at most so many bytes (None: any number); raises ValueError where it cannot.
        notify: of what the hosts shall give notice, "FAILURE,DELAY" (RFC 3461 section 4.1); empty: not asked.
        ref: our name for it in such a notice.
        priority: the more urgent goes first where there is a queue.
    """

    def __init__(
        self,
        sender: bytes,
        rcpt: bytes,
        write: Callable[[int | None], bytes],
        *,
        utf8: bool = False,
        notify: str = "",
        ref: str = "",
        priority: int = 1,
    ) -> None:
        self.sender = sender
        self.rcpt = rcpt
        self.priority = priority
        self._write = write
        self._utf8 = utf8
        self._notify = notify.encode("ascii")
        self._ref = ref.encode("utf-8", "replace")
        self._stuffed = b""
        self._limit: int | None = -1  # for which it was written

    @property
    def domain(self) -> str:
        """Whose hosts take it."""
        return self.rcpt.rpartition(b"@")[2].decode("ascii").lower()

    def ready(self, abilities: Mapping[str, str]) -> tuple[bytes, bytes, bytes]:
        """The commands MAIL and RCPT, and the body with dots doubled and the final one, for a host of such abilities.

        Raises:
            PermanentFailure: this host cannot carry it.
        """
        size = abilities.get("SIZE")
        limit = int(size) if size and size.isdecimal() and int(size) > 0 else None
        stuffed = self._body(limit)
        mail, rcpt = b"MAIL FROM:<%b>" % self.sender, b"RCPT TO:<%b>" % self.rcpt
        if self._utf8:
            if "SMTPUTF8" not in abilities:
                raise PermanentFailure("the host cannot carry addresses beyond ASCII (no SMTPUTF8)")
            mail += b" SMTPUTF8"
        if size is not None:
            mail += b" SIZE=%d" % (len(stuffed) - 3)
        if self._notify and self.sender and "DSN" in abilities:
            mail += b" RET=HDRS ENVID=" + xtext(self._ref)[:_ENVELOPE_ID]
            kind = b"utf-8" if self._utf8 else b"rfc822"
            rcpt += b" NOTIFY=%b ORCPT=%b;%b" % (self._notify, kind, xtext(self.rcpt))
        return mail + b"\r\n", rcpt + b"\r\n", stuffed

    def _body(self, limit: int | None) -> bytes:
        if self._stuffed and (limit is None or len(self._stuffed) - 3 <= limit):
            return self._stuffed
        if limit != self._limit:
            try:
                self._stuffed, self._limit = stuff(self._write(limit)), limit
            except ValueError as error:
                raise PermanentFailure(f"this cannot be written as a mail: {error}") from error
        if limit is not None and len(self._stuffed) - 3 > limit:
            raise PermanentFailure(
                f"the mail has {len(self._stuffed) - 3} bytes, and the host takes {limit}: send less, or give a link"
            )
        return self._stuffed


def xtext(words: bytes) -> bytes:
    """RFC 3461 section 4: printable ASCII without "+" and "="."""
    return _NOT_XTEXT.sub(lambda found: b"+%02X" % found[0][0], words)
