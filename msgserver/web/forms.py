"""Forms as they come over the wire: urlencoded (WHATWG URL section 5) and multipart (RFC 7578)."""

from __future__ import annotations

import re
from typing import BinaryIO
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartParser, parse_options_header

from msgserver.message import Attachment
from msgserver.web.ask import Fields, Refusal

FIELDS = 1000
FILES = 20
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def read_query(query: bytes) -> Fields:
    """Read what stands behind the ``?``; wrong bytes are replaced, too many fields are refused."""
    return _urlencoded(query)


def read_form(media_type: str, body: BinaryIO) -> tuple[Fields, tuple[Attachment, ...]]:
    """Read a form's fields and files.

    Raises:
        Refusal: 400, it is broken; 415, it is no form.
    """
    kind, options = parse_options_header(media_type)
    kind = kind.lower()
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(body.read()), ()
    if kind == "multipart/form-data":
        return _multipart(options.get("boundary", ""), body)
    raise Refusal(415, "This page takes forms only.", "Send application/x-www-form-urlencoded.")


def _urlencoded(text: bytes) -> Fields:
    try:
        pairs = parse_qsl(
            text.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS, errors="replace"
        )
    except ValueError:
        raise Refusal(400, f"There are more than {FIELDS} fields.") from None
    return Fields((name, _plain(value)) for name, value in pairs)


def _multipart(boundary: str, body: BinaryIO) -> tuple[Fields, tuple[Attachment, ...]]:
    fields: list[tuple[str, str]] = []
    files: list[Attachment] = []
    try:
        for part in MultipartParser(body, boundary, part_limit=FIELDS, disk_limit=1 << 26, memory_limit=1 << 26):
            if part.filename is None:
                fields.append((part.name, _plain(part.raw.decode("utf-8", "replace"))))
            elif part.filename or part.size:
                files.append(Attachment(file_name(part.filename), part.content_type, part.raw))
            if len(files) > FILES:
                raise Refusal(413, f"There are more than {FILES} files.", "Send them in several messages.")
            part.close()
    except (MultipartError, LookupError) as error:
        raise Refusal(400, "The form arrived broken.", "Nothing was sent or changed. Send it again.") from error
    return Fields(fields), tuple(files)


def _plain(value: str) -> str:
    """Line ends as we keep them, no NUL (PostgreSQL takes none), no lone surrogates."""
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def file_name(name: str) -> str:
    """A file's last name only, without what cannot be seen or turns the reading direction; at most 120 characters."""
    bare = _UNSEEN.sub("", name.replace("\\", "/").rpartition("/")[2]).strip(" .")
    if len(bare) > 120:
        stem, dot, ending = bare.rpartition(".")
        bare = stem[: 119 - len(ending)] + dot + ending if dot and len(ending) < 12 else bare[:120]
    return bare or "file"
