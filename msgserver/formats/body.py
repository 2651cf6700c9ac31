"""What a mail's tree of parts says to its reader: the text, the HTML, and what is attached."""

from __future__ import annotations

import re
from html import escape

import msgspec

from msgserver.formats.attached import attach, attach_file, file_name, is_winmail
from msgserver.formats.flowed import unflow
from msgserver.formats.headers import people, words
from msgserver.formats.html_text import html_to_text
from msgserver.formats.opaque import signed_content
from msgserver.formats.parts import Piece, cut
from msgserver.formats.reading import ReadingLimits
from msgserver.formats.text import clean, decode, one_line
from msgserver.formats.tnef import Winmail, read_winmail
from msgserver.message import Attachment

_ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_PGP = re.compile(r"^-----BEGIN PGP (SIGNED )?MESSAGE-----$", re.MULTILINE)
_FOR_PROGRAMS = frozenset(
    f"text/{kind}"
    for kind in ("calendar", "csv", "css", "directory", "javascript", "rfc822-headers", "vcard", "x-vcard", "xml")
)
_MESSAGES = ("message/rfc822", "message/global", "message/news")
_META = re.compile(rb"<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}[\"']?([A-Za-z0-9_.:\-]{2,40})", re.IGNORECASE)
_MOST_CALENDAR = 400_000  # bytes looked at
_MOST_OPENED = 3
_MOST_FORWARDS = 5  # messages inside the message whose words are shown
_FORWARD_DEPTH = 3
_MOST_THOROUGH = 3  # texts of a mail whose charset is guessed at length


class Body:
    """Gathers text, HTML and attachments while it walks over a tree of parts."""

    def __init__(self, limits: ReadingLimits, inside: int = 0) -> None:
        self.limits = limits
        self.inside = inside  # how many messages this one lies in
        self.words: list[tuple[str | None, str]] = []  # what is shown, in order: (text, HTML); None: only as HTML
        self.forwards: list[str] = []
        self.attachments: list[Attachment] = []
        self.trouble: list[str] = []
        self.seal = ""
        self.complete = True
        self.attached: list[Piece] = []  # the parts that became attachments
        self.calendars: list[str] = []  # the events that came with it
        self.opened = 0  # wraps of signatures that were taken off

    def text(self) -> str:
        """All that is to be read, as plain text."""
        texts = [html_to_text(html) if text is None else text for text, html in self.words]
        return texts[0] if len(texts) == 1 else "\n\n".join(text for text in texts if text)

    def html(self) -> str:
        """All that is to be read as HTML, not yet sanitised; "" where it is all plain text."""
        if not self.rich():
            return ""
        if len(self.words) == 1:
            return self.words[0][1]
        return "\n<hr>\n".join(html or f"<pre>{escape(text or '')}</pre>" for text, html in self.words if html or text)

    def rich(self) -> bool:
        """Whether any of it is HTML."""
        return any(html for _, html in self.words)

    def note(self, trouble: str) -> None:
        """Remember what was wrong, once."""
        if trouble and trouble not in self.trouble and len(self.trouble) < 30:
            self.trouble.append(trouble)

    def walk(self, piece: Piece) -> None:
        """Take in one part and what it holds; the tree is no deeper than the limits allow."""
        kind = piece.type
        if not kind.startswith("multipart/"):
            self._leaf(piece)
        elif not piece.children:
            self._childless(piece)
        elif kind == "multipart/alternative":
            self._alternative(piece)
        elif kind == "multipart/related":
            self._related(piece)
        elif kind == "multipart/encrypted":
            self.seal = "encrypted"
            self._attach_all(piece.children)
        elif kind == "multipart/signed":
            self.seal = self.seal or "signed"
            self.walk(piece.children[0])
            self._attach_all(piece.children[1:])
        elif kind == "multipart/report":
            self.walk(piece.children[0])
            self._attach_all(piece.children[1:])
        else:
            for child in piece.children:
                self.walk(child)

    def _childless(self, piece: Piece) -> None:
        """A multipart in which no boundary was found: whatever is there is text, if it is the whole mail."""
        if piece.depth:
            if piece.encoded().strip():
                self._attach(piece)
            return
        self.note("no part was found where several were announced")
        text, trouble = decode(piece.encoded()[: self.limits.text_length])
        self.note(trouble)
        self.words.append((clean(text).rstrip(), ""))

    def _leaf(self, piece: Piece) -> None:
        if piece.type in _MESSAGES:
            self._attach(piece)
            self._forwarded(piece)
        elif piece.type in _ENCRYPTED:
            self._sealed(piece)
        elif self._is_words(piece):
            self._words(piece)
        else:
            self._attach(piece)
            if piece.type == "text/calendar":
                content, _ = piece.content()
                self.calendars.append(decode(content[:_MOST_CALENDAR], piece.names.get("charset", ""))[0])

    def _sealed(self, piece: Piece) -> None:
        """S/MIME: what is signed inside is read as if it stood there; for the rest it takes a key."""
        content, _ = piece.content()
        signed = signed_content(content) if self.opened < _MOST_OPENED else None
        if signed is not None:
            self.opened += 1
            self.walk(cut(signed, self.limits)[0])
        declared = piece.names.get("smime-type", "").lower() == "signed-data"
        kind = "signed" if signed is not None or declared else "encrypted"
        self.seal = kind if kind == "encrypted" else self.seal or kind
        self._attach(piece)

    def _is_words(self, piece: Piece) -> bool:
        """Whether a part is there to be read rather than a file."""
        if piece.type not in ("text/plain", "text/html"):
            # Text of an unknown kind is shown as plain text (RFC 2046 section 4.1.4), what is for programs is a file.
            shown = piece.type.startswith("text/") and piece.type not in _FOR_PROGRAMS
            return shown and (piece.depth == 0 or not (file_name(piece) or piece.disposition[0]))
        if piece.disposition[0] == "attachment":
            return piece.depth == 0 and not file_name(piece)
        return not self.words or not file_name(piece)

    def _words(self, piece: Piece) -> None:
        content, trouble = piece.content()
        self.note(trouble)
        html = piece.type == "text/html"
        most = 2 * self.limits.html_length if html else 4 * self.limits.text_length
        if len(content) > most:
            content = _shorter(content, most)
            self.complete = False
            self.note("the text is too long: its beginning is shown")
        label = piece.names.get("charset", "")
        if html and not label and (found := _META.search(content[:2_000])):
            label = found.group(1).decode("ascii")
        text, trouble = decode(content, label, thorough=len(self.words) < _MOST_THOROUGH and not self.inside)
        self.note(trouble)
        text = clean(text)
        if html:
            self.words.append((None, text))
            return
        text = text[: self.limits.text_length + 1]
        if piece.names.get("format", "").lower() == "flowed":
            text = unflow(text, piece.names.get("delsp", "").lower() == "yes")
        if text.startswith("-----BEGIN PGP ") or "\n-----BEGIN PGP " in text:
            found_pgp = _PGP.search(text)
            if found_pgp:
                self.seal = self.seal or ("signed" if found_pgp.group(1) else "encrypted")
        self.words.append((text.rstrip(), ""))

    def _alternative(self, piece: Piece) -> None:
        """The same said in several ways (RFC 2046 section 5.1.4): plain text for reading, the last HTML beside it."""
        ways = []
        for child in piece.children:
            way = Body(self.limits, self.inside)
            way.attachments, way.attached, way.forwards = self.attachments, self.attached, self.forwards
            way.calendars, way.opened = self.calendars, self.opened
            way.walk(child)
            self._take_notes(way)
            ways.append(way)
        plain = next((way for way in ways if not way.rich() and way.text().strip()), None)
        rich = next((way for way in reversed(ways) if way.rich()), None)
        if plain:
            self.words.append((plain.text(), rich.html() if rich else ""))
        elif rich:
            self.words.append((rich.text(), rich.html()))

    def _related(self, piece: Piece) -> None:
        """One part and what it refers to (RFC 2387)."""
        start = piece.names.get("start", "").strip("<> ")
        root = next(
            (child for child in piece.children if start and child.first("content-id").strip("<> \t") == start),
            piece.children[0],
        )
        self.walk(root)
        self._attach_all([child for child in piece.children if child is not root])

    def _take_notes(self, other: Body) -> None:
        for trouble in other.trouble:
            self.note(trouble)
        self.seal = self.seal or other.seal
        self.complete = self.complete and other.complete

    def _attach_all(self, pieces: list[Piece]) -> None:
        """Attach parts as they are, and open what they hold."""
        for piece in pieces:
            if piece.children:
                self._attach_all(piece.children)
            else:
                self._attach(piece)

    def _attach(self, piece: Piece) -> None:
        if is_winmail(piece) and (found := read_winmail(piece.content()[0])) is not None:
            self._unpack(found)
            return
        attachment, trouble = attach(piece, len(self.attachments) + 1)
        self.note(trouble)
        self.attachments.append(attachment)
        self.attached.append(piece)

    def _unpack(self, found: Winmail) -> None:
        """The files out of a winmail.dat in its place, its words where the mail has none, and messages within."""
        self.attachments += [attach_file(one, len(self.attachments) + n) for n, one in enumerate(found.files, 1)]
        if not any((text or "").strip() or html for text, html in self.words) and (found.text or found.html):
            most = self.limits.html_length
            self.words.append((found.text[: self.limits.text_length] or None, found.html[: 2 * most]))
        for inner in found.inside[: _MOST_FORWARDS - len(self.forwards)]:
            said = inner.text or html_to_text(inner.html[: 2 * self.limits.html_length])
            head = f"---------- Forwarded message ----------\nSubject: {one_line(inner.subject, 300)}"
            self.forwards.append(f"{head}\n\n{said[: self.limits.text_length].strip()}".rstrip())
            self._unpack(msgspec.structs.replace(inner, text="", html=""))
        self.note("files and words were taken out of winmail.dat, Outlook's own format")

    def _forwarded(self, piece: Piece) -> None:
        """The words of a message that was sent along, to be shown below the mail's own."""
        if self.inside >= _FORWARD_DEPTH or len(self.forwards) >= _MOST_FORWARDS:
            return
        raw, _ = piece.content()
        root, _, _ = cut(raw, self.limits)
        inner = Body(self.limits, self.inside + 1)
        inner.walk(root)
        said = "\n\n".join(filter(None, (inner.text().strip(), *inner.forwards)))
        self.forwards.append(f"{_heading(root)}\n\n{said}".rstrip())


def _shorter(content: bytes, most: int) -> bytes:
    """The beginning of a content, not cut within a character where words or lines can be told apart."""
    edge = max(content.rfind(b"\n", most - 1_000, most), content.rfind(b" ", most - 1_000, most)) + 1 or most
    while edge and edge > most - 4 and content[edge : edge + 1] >= b"\x80":
        edge -= 1
    return content[:edge]


def _heading(root: Piece) -> str:
    """Who wrote a forwarded message, when and about what, as mail programs put it above."""
    sender = people(root.first("from"), 1)
    who = " ".join(filter(None, (sender[0][0], f"<{sender[0][1].value}>"))) if sender else ""
    lines = {"From": who, "Date": words(root.first("date"), 80), "Subject": words(root.first("subject"), 300)}
    return "\n".join(["---------- Forwarded message ----------", *(f"{k}: {v}" for k, v in lines.items() if v)])
