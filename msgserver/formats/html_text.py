"""HTML mail as plain text that reads well: one pass, linear in the input, whatever the input."""

from __future__ import annotations

import re
from html import unescape

_MOST = 1_000_000  # characters looked at
# A tag's end: quoted attribute values may hold ">". The window keeps an unclosed quote from costing the rest each time.
_TAG_REST = re.compile(r"(?:[^>\"'=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+|[\"'])*+>")
_WINDOW = 4_000
_MARKUP = re.compile(r"<[a-zA-Z/!?]")
_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9:]{0,30}")
_HUGE_NUMBER = re.compile(r"&#(?:[xX][0-9a-fA-F]{7,}|[0-9]{8,});?")
_SPACE = re.compile(r"[ \t\n\r\f\v\xa0]+")
_INVISIBLE = re.compile("(?:[\u200b-\u200d\u034f\ufeff\u00ad\u2007]+[ \xa0\n]?){4,}")
_MANY_NEWLINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]{0,300})"|'([^']{0,300})')""", re.IGNORECASE)

_SKIPPED = frozenset(("script", "style", "title", "template", "noscript", "object", "iframe", "svg", "math"))
_NEW_LINE = frozenset(
    re.findall(
        "[a-z]+",
        "address article aside div dl dt dd fieldset figure figcaption footer form header li main nav ol ul pre section"
        " table tr caption center",
    )
)
_NEW_PARAGRAPH = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr"))


class _Page:
    """The text so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.quotes = 0
        self.pre = 0
        self.link: tuple[str, int] | None = None

    def break_line(self) -> None:
        text = "".join(self.line)
        if not self.pre:
            text = text.strip(" ")
        self.line.clear()
        self.link = None
        mark = "> " * min(self.quotes, 10)
        self.lines.append((mark + text).rstrip() if mark else text.rstrip())

    def break_block(self, paragraph: bool) -> None:
        if any(piece.strip() for piece in self.line):
            self.break_line()
        else:
            self.line.clear()
        if paragraph and self.lines and self.lines[-1].strip("> "):
            self.lines.append(("> " * min(self.quotes, 10)).rstrip())

    def write(self, text: str) -> None:
        if "&" in text:
            text = unescape(_HUGE_NUMBER.sub("\ufffd", text))
        if self.pre:
            first, *rest = text.split("\n")
            self.line.append(first)
            for line in rest:
                self.break_line()
                self.line.append(line)
            return
        text = _SPACE.sub(" ", text)
        if text == " " and (not self.line or self.line[-1].endswith(" ")):
            return
        if text:
            self.line.append(text)

    def end_link(self) -> None:
        if self.link is None:
            return
        href, start = self.link
        self.link = None
        shown = "".join(self.line[start:]).strip()
        web = href.lower().startswith(("http://", "https://", "mailto:"))
        bare = href.removeprefix("mailto:").removesuffix("/")
        if web and shown and shown.removesuffix("/") not in (bare, bare.partition("//")[2]):
            self.line.append(f" <{href}>")


def html_to_text(html: str) -> str:
    """HTML as plain text: blocks as lines, quotations with "> ", links with their address, images by their words.

    Total and linear; looks at the first million characters.
    """
    html = html[:_MOST]
    page = _Page()
    at, end = 0, len(html)
    while at < end:
        found = _MARKUP.search(html, at)
        if not found:
            page.write(html[at:])
            break
        open_ = found.start()
        if open_ > at:
            page.write(html[at:open_])
        at = _markup(html, open_, end, page)
    page.break_block(False)
    text = "\n".join(page.lines)
    if not text.isascii():
        text = _INVISIBLE.sub(" ", text)
    return _MANY_NEWLINES.sub("\n\n", text).strip()


def _markup(html: str, at: int, end: int, page: _Page) -> int:
    """Take in what begins with ``<``; gives the index after it."""
    found = _NAME.match(html, at + 1)
    if not found:
        return _other_markup(html, at, end, page)
    name = found.group().lower()
    rest = _TAG_REST.match(html, found.end(), min(end, found.end() + _WINDOW))
    stop = rest.end() if rest else html.find(">", found.end()) + 1
    if not stop:
        return end
    if name in _SKIPPED:
        if html[stop - 2] == "/":
            return stop
        close = _closing(html, name, stop)
        return close if close >= 0 else end
    _tag(name, html, found.end(), stop, page)
    return stop


def _other_markup(html: str, at: int, end: int, page: _Page) -> int:
    """A comment, a declaration, or what is no markup after all."""
    if html.startswith("<!--", at):
        close = html.find("-->", at + 4)
        return close + 3 if close >= 0 else end
    if html.startswith(("<!", "<?", "</"), at):
        close = html.find(">", at)
        return close + 1 if close >= 0 else end
    page.write(html[at : at + 2])
    return at + 2


_CLOSERS = {name: re.compile(f"</{name}[^>]{{0,200}}>", re.IGNORECASE) for name in _SKIPPED}


def _closing(html: str, name: str, at: int) -> int:
    """The index after the closing tag of an element that is skipped, or -1."""
    found = _CLOSERS[name].search(html, at)
    return found.end() if found else -1


def _tag(name: str, html: str, start: int, stop: int, page: _Page) -> None:
    bare = name.removeprefix("/")
    closing = name[0] == "/"
    if bare == "br":
        page.break_line()
    elif bare == "a":
        page.end_link()
        found = None if closing else _HREF.search(html, start, stop)
        if found:
            href = unescape(_HUGE_NUMBER.sub("", next(value for value in found.groups() if value is not None)))
            page.link = (_SPACE.sub("", href), len(page.line))
    elif bare == "img":
        found = _ALT.search(html, start, stop)
        words = (found.group(1) or found.group(2) or "").strip() if found else ""
        if words:
            page.write(f"[{words}]")
    elif bare in ("td", "th"):
        if closing and page.line:
            page.line.append(" ")
    elif bare in _NEW_PARAGRAPH:
        page.break_block(True)
        if bare == "blockquote":
            page.quotes = max(0, page.quotes + (-1 if closing else 1))
        elif bare == "hr":
            page.lines.append("-" * 20)
    elif bare in _NEW_LINE:
        page.break_block(False)
        if bare == "li" and not closing:
            page.line.append("- ")
        elif bare == "pre":
            page.pre = max(0, page.pre + (-1 if closing else 1))
