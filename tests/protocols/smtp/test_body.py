"""The body's end, dots, line ends and hash, whatever the cuts: compared with doing it all at once."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from msgserver.protocols.smtp.body import END, Body, Verdict
from msgserver.wire.budget import ByteBudget

streams = st.lists(
    st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"\r\n.", b"\r\n..", b"a", b"x" * 40]), max_size=25
).map(b"".join)


def at_once(stream: bytes) -> tuple[bytes, bytes]:
    """The message and what follows it, the slow and plain way."""
    whole = b"\r\n" + stream
    at = whole.index(END)
    return whole[: at + 2].replace(b"\r\n.", b"\r\n")[2:], whole[at + 5 :]


def feed(body: Body, stream: bytes, cuts: list[int]) -> bytes | None:
    """Feed the stream in pieces; what is left over after its end."""
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for n, piece in enumerate(pieces):
        if piece and (end := body.feed(piece)) >= 0:
            return piece[end:] + b"".join(pieces[n + 1 :])
    return None


@settings(max_examples=500, deadline=None)
@given(streams, st.data())
def test_cuts_make_no_difference(stream, data):
    stream += b"x" + END + b"MAIL"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    body = Body(10_000, ByteBudget(100_000))
    rest = feed(body, stream, cuts)
    message, after = at_once(stream)
    assert rest == after
    without = message.replace(b"\r\n", b"")
    assert body.bare == (b"\r" in without or b"\n" in without)
    assert body.sha256.hexdigest() == sha256(message).hexdigest()
    assert body.content() == message
    assert body.verdict is Verdict.FINE


@settings(deadline=None)
@given(streams, st.integers(0, 200), st.integers(1, 9))
def test_the_budget_is_given_back_and_the_size_is_exact(stream, limit, step):
    stream += b"x" + END
    budget = ByteBudget(1000)
    body = Body(limit, budget)
    feed(body, stream, list(range(step, len(stream), step)))
    message, _ = at_once(stream)
    assert (body.verdict is Verdict.FINE) == (len(message) <= limit)
    assert body.content() == (message if len(message) <= limit else b"")
    assert budget.taken == 0


def test_a_large_mail_byte_by_byte_does_not_grow():
    body = Body(10_000_000, ByteBudget(10_000_000))
    for _ in range(200_000):
        body.feed(b"x")
    assert len(body._chunks) <= 4
    assert body.feed(END) == 5
    assert body.content() == b"x" * 200_000 + b"\r\n"
