"""A mail, written out: headers that cannot inject, text, HTML, attachments, seven bits wide (RFC 5322, 2045, 2047).

What strangers supplied (subjects, names, ids, file names) is flattened to one line before it is written; the shape
is mixed(alternative(text, related(html, inline parts)), attachments), each level only where it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b

from msgserver.formats.mailwords import base64_lines, display_name, encoded_body, file_name, one_line, unstructured
from msgserver.message import Attachment, Envelope, Mailing

_ID = re.compile(r"(?!.*=\?)[!-;=?-~]{1,900}\Z")  # nothing a reader would decode
_TOKEN = re.compile(r"[A-Za-z0-9._=-]{1,64}\Z")
_NO_ADDRESS = re.compile(r"[\x00-\x20<>,;\x7f-\x9f\u2028\u2029]")
_LINK = re.compile(r"https?://[!-;=?-~]{1,900}\Z")
_NOT_LABEL = re.compile(r"[^a-z0-9.]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,69}\Z")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}\Z")
_OURS = frozenset(
    [
        "message-id",
        "date",
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "subject",
        "in-reply-to",
        "references",
        "mime-version",
        "return-path",
        "received",
    ]
)
_REFERENCES = 20


def compose_mail(
    envelope: Envelope, sender_address: str, domain: str, date: float, boundary_seed: str = "", plus: bool = True
) -> bytes:
    """Write an envelope as a mail, lines ended by CR LF.

    Args:
        envelope: what to say to whom; ``to`` is a ``mailto`` address.
        sender_address: our own address, ``local@domain``; it gets the display name ``envelope.sender``.
        domain: ours, for Message-ID and the loop mark.
        date: POSIX seconds, for the Date header.
        boundary_seed: makes the boundaries; the same seed, the same mail.
        plus: whether answers may come to ``local+token@domain``.

    Raises:
        ValueError: ``envelope.headers`` has a name that is none or not for others to write; an address is none.
    """
    lines = _headers(envelope, sender_address, domain, date, plus)
    text_part = _text_part(envelope.text, "plain")
    inline = [a for a in envelope.attachments if a.inline and a.content_id and envelope.html]
    files = [a for a in envelope.attachments if a not in inline]
    body = text_part
    seed = boundary_seed or envelope.ref
    if envelope.html:
        html = _text_part(envelope.html, "html")
        if inline:
            html = _multipart("related", [html, *map(_file_part, inline)], f"r{seed}", '; type="text/html"')
        body = _multipart("alternative", [text_part, html], f"a{seed}")
    if files:
        body = _multipart("mixed", [body, *map(_file_part, files)], f"m{seed}")
    mail = "".join(lines).encode("utf-8") + b"MIME-Version: 1.0\r\n" + body
    return mail if mail.endswith(b"\r\n") else mail + b"\r\n"


def message_id(envelope: Envelope, domain: str) -> str:
    """The Message-ID that an envelope's mail has at every attempt, without angle brackets."""
    return _message_id(envelope.thread.message_id, envelope.ref, domain)


def _headers(envelope: Envelope, sender_address: str, domain: str, date: float, plus: bool) -> list[str]:
    thread = envelope.thread
    extra, names = _extra_headers(envelope.headers)
    lines = [
        f"Message-ID: <{message_id(envelope, domain)}>\r\n",
        f"Date: {_date(int(date))}\r\n",
        _our_mailbox("From", envelope.sender, sender_address),
        _mailbox("To", envelope.to_name, envelope.to.value),
        _subject(envelope.subject),
    ]
    if thread.token and plus and "reply-to" not in names:
        lines.append(_mailbox("Reply-To", envelope.sender, _plus(sender_address, thread.token)))
    in_reply_to = thread.in_reply_to.strip("<> ")
    if _ID.match(in_reply_to):
        lines.append(f"In-Reply-To: <{in_reply_to}>\r\n")
    references = _references(thread.references, in_reply_to)
    if references:
        lines.append("References: " + "\r\n ".join(f"<{reference}>" for reference in references) + "\r\n")
    if envelope.automatic and "auto-submitted" not in names:
        kind = "auto-replied" if in_reply_to and not envelope.copy else "auto-generated"
        lines.append(f"Auto-Submitted: {kind}\r\nX-Auto-Response-Suppress: All\r\n")
    if envelope.mailing is not None and not names & {"list-id", "list-unsubscribe"}:
        lines += _list_headers(envelope.mailing, sender_address, domain, plus)
    lines.append(f"X-Msgserver-Loop: {one_line(domain)}\r\n")
    return lines + extra


@lru_cache(4)
def _date(second: int) -> str:
    return formatdate(second)


@lru_cache(32)
def _subject(words: str) -> str:
    return f"Subject: {unstructured(words, len('Subject: '))}\r\n"


def _plus(address: str, token: str) -> str:
    if not _TOKEN.match(token):
        raise ValueError("the token has characters that no address can carry")
    local, _, host = address.rpartition("@")
    return f"{local}+{token}@{host}"


def _list_headers(mailing: Mailing, sender_address: str, domain: str, plus: bool) -> list[str]:
    """What mail programs make their "unsubscribe" button of; one click needs a page under TLS (RFC 8058)."""
    label = ".".join(word for word in _NOT_LABEL.sub("-", mailing.label.lower()).strip("-.").split(".") if word)
    identity = f"<{label[:80] or 'copies'}.{one_line(domain)}>"
    name = display_name(mailing.name, len("List-Id: "))
    ways = [f"<{mailing.link}>"] if _LINK.match(mailing.link) else []
    if plus:
        ways.append(f"<mailto:{_plus(sender_address, mailing.token)}?subject=unsubscribe>")
    lines = [f"List-Id: {name}{chr(13) + chr(10) + ' ' if name else ''}{identity}\r\n", "Precedence: list\r\n"]
    if ways:
        lines.append("List-Unsubscribe: " + ",\r\n ".join(ways) + "\r\n")
    if ways and ways[0].startswith("<https:"):
        lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    return lines


def _message_id(wanted: str, ref: str, domain: str) -> str:
    wanted = wanted.strip("<> ")
    if _ID.match(wanted) and "@" in wanted:
        return wanted
    left = ref if _TOKEN.match(ref) else blake2b(ref.encode("utf-8", "replace"), digest_size=16).hexdigest()
    host = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    return f"{left}@{host}"


def _references(references: Sequence[str], in_reply_to: str) -> list[str]:
    """What is answered and its ancestors, oldest first; the first and the newest where there are too many."""
    ids = [reference.strip("<> ") for reference in references]
    if in_reply_to and in_reply_to not in ids:
        ids.append(in_reply_to)
    ids = list(dict.fromkeys(one for one in ids if _ID.match(one)))
    return ids if len(ids) <= _REFERENCES else [ids[0], *ids[1 - _REFERENCES :]]


def _mailbox(header: str, name: str, address: str) -> str:
    if _NO_ADDRESS.search(address):
        raise ValueError("the address has characters that no address has")
    if not address.isascii():
        local, _, domain = address.rpartition("@")
        address = f"{local}@{domain.encode('idna').decode('ascii')}"  # what is left beyond ASCII needs SMTPUTF8
    words = display_name(name, len(header) + 2)
    if not words:
        return f"{header}: {address}\r\n"
    room = len(words.rpartition("\n")[2]) + len(header) + len(address)
    return f"{header}: {words}{' ' if room < 72 else chr(13) + chr(10) + ' '}<{address}>\r\n"


_our_mailbox = lru_cache(64)(_mailbox)  # few people speak, to many


def _extra_headers(headers: Sequence[tuple[str, str]]) -> tuple[list[str], set[str]]:
    lines, names = [], set()
    for name, value in headers:
        folded = name.lower()
        if not _HEADER_NAME.match(name) or folded in _OURS or folded.startswith(("content-", "resent-")):
            raise ValueError(f"{one_line(name)[:40]!r} is not a header that others may write")
        names.add(folded)
        lines.append(f"{name}: {unstructured(value, len(name) + 2, longest_word=900)}\r\n")
    return lines, names


# -- bodies: each is the bytes of Content-* headers, an empty line, and content that ends with CR LF


@lru_cache(32)  # what goes to many is encoded once
def _text_part(text: str, kind: str) -> bytes:
    encoding, content = encoded_body(text)
    charset = "us-ascii" if text.isascii() else "utf-8"
    head = f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + content


def _file_part(attachment: Attachment) -> bytes:
    media_type = attachment.media_type.lower()
    # RFC 2046 forbids base64 in multipart and message; what a stranger called so goes as bytes.
    if not _MEDIA_TYPE.match(media_type) or media_type.startswith(("multipart/", "message/")):
        media_type = "application/octet-stream"
    lines = [f"Content-Type: {media_type}", "Content-Transfer-Encoding: base64"]
    lines.append(f"Content-Disposition: {'inline' if attachment.inline else 'attachment'}{file_name(attachment.name)}")
    if _ID.match(attachment.content_id):
        lines.append(f"Content-ID: <{attachment.content_id}>")
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + base64_lines(attachment.content)


def _multipart(kind: str, parts: Sequence[bytes], seed: str, parameter: str = "") -> bytes:
    boundary = _boundary(parts, seed)
    head = f'Content-Type: multipart/{kind}; boundary="{boundary.decode("ascii")}"{parameter}\r\n\r\n'.encode("ascii")
    between = b"--" + boundary
    pieces = [head]
    for part in parts:
        pieces += [between, b"\r\n", part, b"" if part.endswith(b"\r\n") else b"\r\n"]
    return b"".join([*pieces, between, b"--\r\n"])


def _boundary(parts: Sequence[bytes], seed: str) -> bytes:
    for turn in range(1_000_000):
        made = blake2b(f"{seed}/{turn}".encode("utf-8", "replace"), digest_size=12).hexdigest()
        boundary = f"=_{made}".encode("ascii")
        if not any(boundary in part for part in parts):
            return boundary
    raise ValueError("no boundary can be found")
