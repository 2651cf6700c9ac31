"""Lines and leading dots of mail in transit (RFC 5321 section 4.5.2), whole messages at a time."""

from __future__ import annotations


def with_crlf(body: bytes) -> bytes:
    """Make every line end, CR LF or either alone, a CR LF."""
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def stuff(message: bytes) -> bytes:
    """Make a message ready for DATA: CR LF everywhere, leading dots doubled, the final dot appended.

    Works on the whole message, so that no dot is missed at the border of two pieces.
    """
    if message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r") and message.endswith(b"\n"):
        if message.startswith(b".") or b"\n." in message:
            message = (b"\n" + message).replace(b"\n.", b"\n..")[1:]
        return message + b".\r\n"
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if lines and not lines.endswith(b"\n"):
        lines += b"\n"
    if lines.startswith(b"."):
        lines = b"." + lines
    return lines.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".\r\n"
