"""Attachments of a mail: their bytes, and names that are safe to show and to save under (T14)."""

from __future__ import annotations

import re

from msgserver.formats.headers import split_head, words
from msgserver.formats.parts import Piece
from msgserver.formats.text import one_line
from msgserver.formats.tnef import File
from msgserver.message import Attachment

_NAME_LENGTH = 120
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}")
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f]+')
# Names that some systems open as a device, whatever their ending.
_DEVICE = re.compile(r"(?i)^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\u00ad\u034f]+")
_ENDINGS = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/xml": ".xml",
    "application/xml": ".xml",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/json": ".json",
    "application/pgp-signature": ".asc",
    "application/pgp-encrypted": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "application/x-pkcs7-signature": ".p7s",
    "application/x-pkcs7-mime": ".p7m",
    "application/ms-tnef": ".dat",
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "text/rfc822-headers": ".txt",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "image/tiff": ".tiff",
    "audio/mpeg": ".mp3",
    "audio/amr": ".amr",
    "audio/ogg": ".ogg",
    "video/mp4": ".mp4",
    "video/3gpp": ".3gp",
}
_KNOWN_AS = {
    "application/pgp-signature": "signature",
    "application/pkcs7-signature": "smime",
    "application/x-pkcs7-signature": "smime",
    "application/pkcs7-mime": "smime",
    "application/x-pkcs7-mime": "smime",
    "application/ms-tnef": "winmail",
    "text/calendar": "invitation",
    "message/delivery-status": "delivery-status",
    "message/disposition-notification": "read-receipt",
    "text/rfc822-headers": "returned-headers",
}


def safe_name(name: str) -> str:
    """A file name without path, control, turning or invisible characters, of 120 characters at most; "" may result.

    The ending is kept when the name is cut.
    """
    name = _INVISIBLE.sub("", one_line(name, 5_000)).replace("\\", "/").rpartition("/")[2]
    name = _UNSAFE.sub("_", name).strip(" .")
    if _DEVICE.match(name):
        name = f"_{name}"
    if len(name) > _NAME_LENGTH:
        stem, dot, ending = name.rpartition(".")
        tail = f"{dot}{ending}" if stem and len(ending) <= 12 else ""
        name = (stem if tail else name)[: _NAME_LENGTH - len(tail)].rstrip(" .") + tail
    return name


def file_name(piece: Piece) -> str:
    """The name that a part gives itself, safe, or ""."""
    return safe_name(piece.disposition[1].get("filename", "") or piece.names.get("name", ""))


def attach(piece: Piece, number: int) -> tuple[Attachment, str]:
    """A part as attachment, and what was wrong with it ("" where nothing). Nothing is ever unpacked.

    Args:
        number: which attachment it is, for a name where it has none.
    """
    content, trouble = (piece.encoded(), "") if piece.type.startswith("multipart/") else piece.content()
    name = file_name(piece)
    if not name and piece.type.startswith("message/"):
        name = _message_name(content)
    name = name or f"{_KNOWN_AS.get(piece.type, f'attachment-{number}')}{_ENDINGS.get(piece.type, '.bin')}"
    content_id = one_line(piece.first("content-id"), 300).strip("<> ")
    if is_winmail(piece):
        trouble = trouble or f"{name} is in Outlook's own format: what lies inside could not be read"
    inline = piece.disposition[0] == "inline" or (bool(content_id) and piece.disposition[0] != "attachment")
    return Attachment(name, piece.type[:120], content, content_id, inline), trouble


def is_winmail(piece: Piece) -> bool:
    """Whether a part says that it holds what Outlook wrote in its own format."""
    named = piece.type in ("application/ms-tnef", "application/vnd.ms-tnef")
    return named or file_name(piece).lower() == "winmail.dat"


def attach_file(file: File, number: int) -> Attachment:
    """A file out of a winmail.dat as attachment; its type is its writer's, and nobody here relies on it."""
    name = safe_name(file.name) or f"attachment-{number}{_ENDINGS.get(file.media_type.lower(), '.bin')}"
    media_type = file.media_type.lower() if _TYPE.fullmatch(file.media_type) else "application/octet-stream"
    content_id = one_line(file.content_id, 300)
    return Attachment(name, media_type, file.content, content_id, bool(content_id))


def _message_name(content: bytes) -> str:
    fields, _, _ = split_head(content, 0, len(content), 100_000)
    subject = fields.get("subject")
    return safe_name(words(subject[0], 80) + ".eml") if subject and words(subject[0], 80) else ""
