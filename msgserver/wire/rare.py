"""Questions that are asked seldom (what credit is left), with treq: no kept connection, no redirect, bounded."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from treq.content import collect
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from msgserver.wire.answer import LARGEST, Answer
from msgserver.wire.line import Request
from msgserver.wire.reach import Reach


async def ask(request: Request, deadline: float, reach: Reach, reactor: Any) -> Answer:
    """Ask, and read the whole answer.

    Args:
        deadline: seconds until the head of the answer must be there, and again until its end.

    Raises:
        NotReachable: no connection came about.
        Exception: whatever else went wrong.
    """
    client = HTTPClient(Agent.usingEndpointFactory(reactor, reach))
    headers = Headers({"User-Agent": ["msgserver"]})
    for name, value in request.headers:
        headers.addRawHeader(name, value)
    response = await client.request(
        request.method,
        request.url,
        headers=headers,
        data=request.body or None,
        allow_redirects=False,
        unbuffered=True,
        timeout=deadline,
        reactor=reactor,
    )
    named = {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in _all(response)}
    pieces: list[bytes] = []
    size = 0

    def keep(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > LARGEST:
            raise ValueError(f"the answer is longer than {LARGEST} bytes")
        pieces.append(piece)

    await collect(response, keep).addTimeout(deadline, reactor)
    return Answer(response.code, named, b"".join(pieces), reactor.seconds())


def _all(response: Any) -> list[tuple[bytes, list[bytes]]]:
    return list(response.headers.getAllRawHeaders())
