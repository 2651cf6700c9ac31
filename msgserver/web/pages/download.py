"""What is only ever downloaded, never shown by us: attachments, and messages as they arrived."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from msgserver.records import HUB, StoredAttachment, Viewer
from msgserver.store import blobs, journal, messages
from msgserver.web.ask import Answer, Ask, Refusal, Tx, not_found
from msgserver.web.forms import file_name
from msgserver.web.language import _

# Pictures and plain text may be opened; everything else is a file to save, whatever it says it is.
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
SANDBOX = "default-src 'none'; sandbox"


def download(name: str, media_type: str, content: bytes) -> Answer:
    """A file as bytes that no browser runs (RFC 6266; CSP sandbox)."""
    plain = "".join(c if 32 <= ord(c) < 127 and c not in '"\\%;' else "_" for c in name) or "file"
    disposition = (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    )
    kind = media_type.lower() if media_type.lower() in SHOWN else "application/octet-stream"
    return Answer(
        body=content,
        media_type=kind,
        headers=(("Content-Disposition", disposition), ("Content-Security-Policy", SANDBOX)),
    )


def read_attachment(tx: Tx, viewer: Viewer, attachment_id: int) -> tuple[StoredAttachment, bytes] | None:
    """An attachment with its bytes, wherever they lie."""
    found = messages.attachment_content(tx, viewer, attachment_id)
    if found is None:
        return None
    return found.attachment, blobs.get(blobs.folder(tx), found.blob) if found.blob else found.content


def read_original(tx: Tx, viewer: Viewer, message_id: int) -> bytes | None:
    """A message's bytes as they arrived."""
    message = messages.message(tx, viewer, message_id)
    raw = journal.raw(tx, viewer, message.raw_id) if message is not None and message.raw_id else None
    if raw is None:
        return None
    return blobs.get(blobs.folder(tx), raw.blob) if raw.blob else raw.raw or raw.envelope


async def attachment(ask: Ask) -> Answer:
    """One attachment's bytes, under the name it came with."""
    found = await ask.store.read(read_attachment, ask.viewer, ask.part["attachment"])
    if found is None:
        raise not_found("attachment")
    known, content = found
    return download(file_name(known.name), known.media_type, content)


async def shared(ask: Ask) -> Answer:
    """A file by its signed link, as it stands in a mail that was too small for it; whoever has the link may."""
    number = ask.house.signer.filed(ask.part["token"], ask.at)
    found = None if number is None else await ask.store.read(read_attachment, HUB, number)
    if found is None:
        raise Refusal(
            404,
            _("This file is not to be had here (any more)."),
            _("Links to files hold for 30 days. Answer the message it came with, and ask for it again."),
        )
    known, content = found
    return download(file_name(known.name), known.media_type, content)


async def original(ask: Ask) -> Answer:
    """A message byte for byte, as a text file: nothing in it is shown or run."""
    content = await ask.store.read(read_original, ask.viewer, ask.part["message"])
    if content is None:
        raise not_found("message")
    answer = download(f"message-{ask.part['message']}.txt", "", content)
    return msgspec.structs.replace(answer, media_type="text/plain; charset=utf-8")
