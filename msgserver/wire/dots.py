"""Lines and leading dots of mail in transit (RFC 5321 section 4.5.2), whole messages at a time."""

from __future__ import annotations


def has_bare_newline(body: bytes) -> bool:
    """Is there a CR without its LF, or an LF without its CR? (RFC 5321 section 2.3.8 forbids both.)"""
    pairs = body.count(b"\r\n")
    return pairs != body.count(b"\n") or pairs != body.count(b"\r")


def with_crlf(body: bytes) -> bytes:
    """Make every line end, CR LF or either alone, a CR LF."""
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def unstuff(body: bytes) -> bytes:
    """Take the transparency dots out of a received body."""
    if body.startswith(b"."):
        body = body[1:]
    return body.replace(b"\r\n.", b"\r\n") if b"\r\n." in body else body


def stuff(message: bytes) -> bytes:
    """Make a message ready for DATA: CR LF everywhere, leading dots doubled, the final dot appended.

    Works on the whole message, so that no dot is missed at the border of two pieces.
    """
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if lines and not lines.endswith(b"\n"):
        lines += b"\n"
    if lines.startswith(b"."):
        lines = b"." + lines
    return lines.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".\r\n"
