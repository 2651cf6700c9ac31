"""A mail as its sender laid it out, for a frame that runs nothing and fetches nothing (THREATS T13).

The HTML was made harmless when the mail was read (what went out: now); here it gets its other walls: a sandbox without
scripts and without our origin, and a policy under which the browser asks nobody for anything. Pictures that came with
the mail stand in the page itself; those from elsewhere are fetched only when a person says so.
"""

from __future__ import annotations

import re
from base64 import b64encode
from html import escape, unescape
from urllib.parse import unquote

import msgspec

from msgserver.formats.safe_html import safe_html
from msgserver.records import Direction, Message, StoredAttachment, Viewer
from msgserver.store import blobs, messages
from msgserver.web.ask import Answer, Ask, Tx, not_found

MOST_BYTES = 5_000_000  # of pictures in one page
_CID = re.compile(r'(<img\b[^>]*?)\ssrc="cid:([^"]{1,300})"', re.IGNORECASE)
_BLOCKED = re.compile(r'(<img\b[^>]*?)\sdata-blocked-src="(https?://[^"]*)"', re.IGNORECASE)
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)
_PAGE = """<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light"><title>%s</title><style>
html { background: #fff; color: #111; font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
body { margin: 12px } img, table { max-width: 100%% } img { height: auto } pre { white-space: pre-wrap }
blockquote { margin: 0; padding-inline-start: 12px; border-inline-start: 2px solid #ccc; color: #555 }
</style></head><body dir="auto">%s</body></html>
"""


def look(tx: Tx, viewer: Viewer, message_id: int) -> tuple[Message, dict[str, str]] | None:
    """A message with HTML, made harmless, and the pictures it refers to as ``data:`` addresses."""
    message = messages.message(tx, viewer, message_id)
    if message is not None and message.direction is Direction.OUT:  # written here or by a program, and sent as it is
        message = msgspec.structs.replace(message, html=safe_html(message.html))
    if message is None or not message.html:
        return None
    wanted = {unquote(unescape(found)) for _, found in _CID.findall(message.html)}
    files = messages.attachments(tx, viewer, [message_id]).get(message_id, []) if wanted else []
    pictures: dict[str, str] = {}
    left = MOST_BYTES
    for file in files:
        if file.content_id in wanted and file.size <= left and (shown := _picture(tx, viewer, file)):
            pictures[file.content_id] = shown
            left -= file.size
    return message, pictures


def _picture(tx: Tx, viewer: Viewer, file: StoredAttachment) -> str:
    """A picture in full, or "" where its bytes are none, whatever its type says."""
    found = messages.attachment_content(tx, viewer, file.id)
    if found is None:
        return ""
    content = blobs.get(blobs.folder(tx), found.blob) if found.blob else found.content
    kind = next((kind for begin, kind in _KINDS if content.startswith(begin)), "")
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}" if kind else ""


async def rich(ask: Ask) -> Answer:
    """The page in the frame; ``?pictures=yes`` lets those from elsewhere be fetched."""
    found = await ask.store.read(look, ask.viewer, ask.part["message"])
    if found is None:
        raise not_found("message")
    message, pictures = found
    fetched = ask.query("pictures") == "yes"

    def with_picture(image: re.Match[str]) -> str:
        shown = pictures.get(unquote(unescape(image[2])))
        return f'{image[1]} src="{shown}"' if shown else image[1]

    html = _CID.sub(with_picture, message.html)
    if fetched:
        html = _BLOCKED.sub(r'\1 src="\2"', html)
    policy = (
        f"default-src 'none'; img-src data:{' http: https:' if fetched else ''}; style-src 'unsafe-inline'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; "
        "sandbox allow-popups allow-popups-to-escape-sandbox"
    )
    return Answer(
        body=(_PAGE % (escape(message.subject), html)).encode(),
        headers=(
            ("Content-Security-Policy", policy),
            ("X-Frame-Options", "SAMEORIGIN"),
            ("Referrer-Policy", "no-referrer"),
        ),
    )
