"""One errand after the other over an open connection, as few writes and waits as SMTP allows (RFC 5321, 2920).

-> MAIL, RCPT, DATA           in one write where PIPELINING is offered, else one after the other
<- 250, 250, 354
-> body CRLF . CRLF, and right behind it MAIL, RCPT, DATA of the next one (RFC 2920 section 3.1)
<- 250                        the receipt; no answer here is the only case of "unknown" (RFC 1047)
<- 250, 250, 354              and so on

The answers come in the order of the questions, so what is expected is a queue. A lost connection says of the errand
whose body went out that it is unknown, and of the one behind it that nothing was taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgserver.connector import SendFailure, TemporaryFailure, Unknown
from msgserver.protocols.smtp.client import Connection, Gone
from msgserver.protocols.smtp.errands import Errand
from msgserver.protocols.smtp.reply import Reply, Step, verdict

_WHOLE = 262_144  # bytes of a body written at once; a larger one goes in pieces, and nothing goes behind it

_Command = tuple[Step, bytes]


class Carrier:
    """See the module.

    Args:
        connection: open, greeted, secured and logged in.
        more: gives the next errand that waits, if any; asked when it can be begun at once.
        free: told when nothing is left to do.
        lost: told of an errand of which nothing was taken, because the connection is gone.
    """

    def __init__(
        self,
        connection: Connection,
        more: Callable[[], Errand | None],
        free: Callable[[Carrier], None],
        lost: Callable[[Carrier, Errand, Gone], None],
    ) -> None:
        self.connection = connection
        self.kept = False  # it was idle, or carried something before: the far side may have closed it meanwhile
        self.idle_since = 0.0
        self._more = more
        self._free = free
        self._lost = lost
        self._pipelining = "PIPELINING" in connection.abilities
        self._expected: deque[tuple[Step, Errand]] = deque()
        self._left: deque[_Command] = deque()  # without PIPELINING: the commands not yet written
        self._body = b""  # of the errand whose envelope is being agreed on
        self._writing: Errand | None = None  # whose body is being written in pieces
        self._dirty = False  # a transaction was begun and refused: RSET goes first
        connection.on_reply = self._take
        connection.on_turn = self._turn_over

    @property
    def busy(self) -> bool:
        """Is something under way?"""
        return bool(self._expected)

    def go(self) -> None:
        """Begin with what waits; for a carrier that is not busy."""
        self._turn_over()

    # -- what is said

    def _next(self) -> bytes:
        """The first words of the next errand that can be put into words for this host; none: there is none."""
        while self.connection.alive and (errand := self._more()) is not None:
            try:
                mail, rcpt, body = errand.letter.ready(self.connection.abilities)
            except Exception as failure:
                errand.fail(failure)
                continue
            self._body = body
            errand.give_up = self.give_up
            commands: list[_Command] = [(Step.MAIL, mail), (Step.RCPT, rcpt), (Step.DATA, b"DATA\r\n")]
            if self._dirty:
                commands.insert(0, (Step.RESET, b"RSET\r\n"))
            self._dirty = True
            if self._pipelining:
                self._expected.extend([(step, errand) for step, _ in commands])
                return b"".join([words for _, words in commands])
            self._left.extend(commands[1:])
            self._expected.append((commands[0][0], errand))
            return commands[0][1]
        return b""

    def _send_body(self, errand: Errand) -> None:
        """The host waits for it: from its last byte on the mail may be taken."""
        self._dirty = False
        body, self._body = self._body, b""
        self._expected.append((Step.DOT, errand))
        if len(body) > _WHOLE:
            self._writing = errand
            self.connection.write_pieces(body, self._written)
            return
        self.kept = True
        behind = self._next() if self._pipelining else b""
        self.connection.write(body + behind if behind else body)

    def _written(self) -> None:
        self._writing = None
        self._turn_over()

    # -- what is answered

    def _take(self, reply: Reply) -> None:
        """The next answer."""
        if not self._expected:
            self.connection.abort(f"an answer nobody asked for: {reply.words}")
            return
        step, errand = self._expected.popleft()
        if step is Step.DOT:
            self._dot(errand, reply)
        elif step is not Step.RESET:
            self._envelope(step, errand, reply)
        elif self._left:
            self._say_next(errand)

    def _envelope(self, step: Step, errand: Errand, reply: Reply) -> None:
        errand.refused = errand.refused or verdict(reply, step)
        if not errand.refused:
            if step is Step.DATA:
                self._send_body(errand)
            elif self._left:
                self._say_next(errand)
            return
        self._left.clear()
        if self._pipelining and step is not Step.DATA:
            return
        self._body = b""
        if reply.code == 354:  # it waits for a body that must not come
            self.connection.abort("refused, and yet asked for the mail")
        self._ended(errand, errand.refused)

    def _say_next(self, errand: Errand) -> None:
        step, words = self._left.popleft()
        self._expected.append((step, errand))
        self.connection.write(words)

    def _dot(self, errand: Errand, reply: Reply) -> None:
        failure = verdict(reply, Step.DOT)
        if self._writing is errand:  # it does not wait for the end
            self._writing = None
            early = f"it answered before the mail was whole: {reply.words}"
            if failure is None:
                self._lost(self, errand, Gone(early))
            else:
                errand.fail(failure)
            self.connection.abort(early)
        elif failure is not None:
            self._ended(errand, failure)
        elif reply.code >= 300:
            self.connection.abort("an answer out of place")
            errand.fail(Unknown(f"sent, but the answer makes no sense: {reply.words}"))
        else:
            errand.succeed(reply)

    def _ended(self, errand: Errand, failure: SendFailure) -> None:
        if isinstance(failure, TemporaryFailure) and str(failure).startswith("421"):
            self.connection.leave()  # RFC 5321 section 3.8: it closes
        errand.fail(failure)

    def _turn_over(self) -> None:
        """The answers that came together are read: go on, or wait for the next one."""
        if not self.connection.alive:
            return
        if not self._expected:
            words = self._next()
            if words:
                self.connection.write(words)
        if self._expected:
            if self._writing is None:
                self.connection.expect(self._expected[0][0])
        else:
            self.connection.expect(None)
            self._free(self)

    # -- the end

    def give_up(self, errand: Errand) -> None:
        """Nobody waits for it any more. One that stands behind another is not sent, and harms that one not."""
        step, first = next(((step, n) for n, (step, one) in enumerate(self._expected) if one is errand), (None, 0))
        if step is not Step.DOT or errand is self._writing:
            errand.refused = TemporaryFailure("given up before it was sent")
        if first == 0:
            self.connection.abort("given up")
        elif errand.refused is not None:
            errand.fail(errand.refused)

    def closed(self, words: str) -> None:
        """The connection is gone: what that means for each errand."""
        expected, self._expected = self._expected, deque()
        self._left.clear()
        seen: list[Errand] = []
        for step, errand in expected:
            if errand in seen:
                continue
            seen.append(errand)
            if step is Step.DOT and errand is not self._writing:
                errand.fail(Unknown(f"sent, but no answer: {words}"))
            elif errand.refused is not None:
                errand.fail(errand.refused)
            else:
                self._lost(self, errand, Gone(words))
        self._writing = None
