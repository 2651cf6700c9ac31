"""The short way for gateways' calls: one to ``/in/...`` that is plain and comes whole is answered without a Request.

What is in any way unusual (no length, an escape in the path, a header twice, anything behind the body, ...) goes the
long way, which is the same as for every page; both end at the same connector's ``Webhook``, with the same ``Call``. The
long way costs most of the time that a call takes; see ``bench/webhook_in.py``.
"""

from __future__ import annotations

import re
from functools import lru_cache

from twisted.web.http import datetimeToString

from msgserver.wire.webhook import LARGEST, Call, Reply

_LINE = re.compile(rb"(GET|POST) (/in/([A-Za-z0-9._~-]+)((?:/[A-Za-z0-9._~-]+)*))(?:\?([!-~]*))? HTTP/1\.1")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNUSUAL = (b"transfer-encoding", b"expect", b"upgrade", b"content-encoding")
_HEAD = 8192  # bytes
_NAMES: dict[bytes, str] = {}  # of headers, as they are written, to how we call them


class Quick:
    """A call and whom it is for."""

    __slots__ = ("call", "connector")

    def __init__(self, connector: str, call: Call) -> None:
        self.connector = connector
        self.call = call


def read(data: bytes, peer: str) -> Quick | None:
    """A whole plain call; None: this is something else, or there is more or less of it.

    Args:
        data: all that has come on the connection since the last request.
        peer: whose connection it is.
    """
    end = data.find(b"\r\n\r\n", 0, _HEAD)
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    line = _LINE.fullmatch(lines[0])
    if line is None:
        return None
    headers = _headers(lines)
    if headers is None or "host" not in headers or headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    length = headers.get("content-length", "" if line[1] == b"POST" else "0")
    body = data[end + 4 :]
    if not (length.isascii() and length.isdigit() and len(length) < 8 and int(length) == len(body) <= LARGEST):
        return None
    rest = line[4].decode("ascii")
    call = Call(
        method=line[1].decode("ascii"),
        path=tuple(rest[1:].split("/")) if rest else (),
        query=line[5] or b"",
        headers=headers,
        body=body,
        peer=peer,
    )
    return Quick(line[3].decode("ascii"), call)


def _headers(lines: list[bytes]) -> dict[str, str] | None:
    headers: dict[str, str] = {}
    for each in lines[1:]:
        written, colon, value = each.partition(b":")
        name = _NAMES.get(written) or _name(written)
        if not (colon and name) or name in headers or b"\n" in value or b"\r" in value or b"\0" in value:
            return None
        headers[name] = value.strip(b" \t").decode("latin-1")
    return headers


def _name(written: bytes) -> str:
    """A header's name in small letters; empty where it is none, or one that changes what the bytes mean."""
    if not _NAME.fullmatch(written) or written.lower() in _UNUSUAL:
        return ""
    name = written.lower().decode("ascii")
    if len(_NAMES) < 1000:
        _NAMES[written] = name
    return name


_WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


@lru_cache(64)
def _start(status: int, media_type: str, always: tuple[tuple[str, str], ...], second: int) -> bytes:
    lines = [f"HTTP/1.1 {status} {_WORDS.get(status, 'Status')}", f"Date: {datetimeToString(second).decode()}"]
    lines += [f"{name}: {value}" for name, value in (*always, ("Content-Type", media_type))]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"


def written(reply: Reply, always: tuple[tuple[str, str], ...], now: float) -> bytes:
    """A reply as it goes over the wire; ``always`` are the headers that every answer has."""
    more = "".join(f"{name}: {_plain(value)}\r\n" for name, value in reply.headers).encode("latin-1")
    start = _start(reply.status, _plain(reply.media_type), always, int(now))
    return b"%s%sContent-Length: %d\r\n\r\n%s" % (start, more, len(reply.body), reply.body)


def _plain(value: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", value) if not value.isprintable() else value
