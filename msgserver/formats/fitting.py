"""Files that are too large for a mail become links: the largest first, until the rest fits. Pure."""

from __future__ import annotations

from html import escape

import msgspec

from msgserver.message import Attachment, Envelope

_HEAD = 4_096  # bytes for headers, boundaries and the words about the links
_PART = 400  # bytes around one attachment


def fitting(envelope: Envelope, limit: int | None) -> Envelope:
    """The envelope with as many of its files as go into a mail of ``limit`` bytes; the others are named with links.

    Raises:
        ValueError: it cannot be made to fit: a file has no link, or the words alone are too many.
    """
    if limit is None:
        return envelope
    if not envelope.attachments and _HEAD + 8 * (len(envelope.text) + len(envelope.html)) <= limit:
        return envelope  # whatever its letters are
    words = _HEAD + 2 * (len(envelope.text.encode("utf-8", "replace")) + len(envelope.html.encode("utf-8", "replace")))
    left = [_size(attachment) for attachment in envelope.attachments]
    over = words + sum(left) - limit
    if over <= 0:
        return envelope
    gone: set[int] = set()
    for place in sorted(range(len(left)), key=left.__getitem__, reverse=True):
        if over <= 0:
            break
        if not envelope.attachments[place].link:
            raise ValueError(f"it is too large: at most {spoken_size(limit)} can be sent")
        over -= left[place]
        gone.add(place)
    if over > 0:
        raise ValueError(f"it is too long: at most {spoken_size(limit)} can be sent")
    kept = tuple(one for place, one in enumerate(envelope.attachments) if place not in gone)
    linked = [one for place, one in enumerate(envelope.attachments) if place in gone]
    html = envelope.html + _as_html(linked) if envelope.html else ""
    changed: Envelope = msgspec.structs.replace(
        envelope, attachments=kept, text=f"{envelope.text.rstrip()}\n\n{_as_text(linked)}", html=html
    )
    return changed


def spoken_size(size: int) -> str:
    """Bytes, for people: "12.3 MB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _size(attachment: Attachment) -> int:
    """As base64 in lines of 76."""
    return (len(attachment.content) + 2) // 3 * 4 * 78 // 76 + _PART + 6 * len(attachment.name)


def _as_text(linked: list[Attachment]) -> str:
    lines = [f"{one.name or 'file'} ({spoken_size(len(one.content))}): {one.link}" for one in linked]
    return "\n".join(["Too large for mail, to be had here for 30 days:", *lines])


def _as_html(linked: list[Attachment]) -> str:
    items = "".join(
        f'<li><a href="{escape(one.link)}">{escape(one.name or "file")}</a> ({spoken_size(len(one.content))})</li>'
        for one in linked
    )
    return f"<p>Too large for mail, to be had here for 30 days:</p><ul>{items}</ul>"
