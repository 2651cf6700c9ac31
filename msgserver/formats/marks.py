"""Text written with light marks (**bold**, lists, links) as the HTML of a mail, and what plain text stands beside it.

The marks are those of Markdown that people use in mail anyway; tables, pictures and HTML are none of them. Lines end
where their writer ended them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from msgserver.formats.html_text import html_to_text
from msgserver.formats.safe_html import safe_html

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

LONGEST = 50_000  # characters that are looked at for marks
_RULES = ["newline", "escape", "emphasis", "link", "autolink", "list", "heading", "blockquote", "hr", "balance_pairs"]
_BLOCKS = frozenset(("paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote"))
_URL = re.compile(r"https?://[^\s<>\"“”]{3,2000}")
_AFTER = ".,;:!?)]}'’»*_"  # at the end of a URL it belongs to the sentence
_WORD = re.compile(r"\w+")
_MOST_COMPARED = 200_000  # characters


@lru_cache(1)
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only who writes rich text loads it

    return MarkdownIt("zero", {"breaks": True, "html": False, "linkify": False}).enable(_RULES)


def as_html(text: str) -> str:
    """The text as harmless HTML, in the direction of its own script; longer texts than LONGEST stay without marks."""
    if len(text) > LONGEST:
        return unmarked(text)
    reader = _reader()
    tokens = reader.parse(text)
    for token in tokens:
        if token.nesting == 1 and token.type.removesuffix("_open") in _BLOCKS:
            token.attrSet("dir", "auto")
        if token.children:
            token.children = _linked(token.children)
    return safe_html(reader.renderer.render(tokens, reader.options, {}))


def unmarked(text: str) -> str:
    """The text as HTML paragraphs, every sign as it stands."""
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", text.strip().replace("\r\n", "\n"))
    return "".join(
        f'<p dir="auto">{escape(one, quote=False).replace(chr(10), "<br>")}</p>' for one in paragraphs if one
    )


def _linked(pieces: list[Any]) -> list[Any]:
    """Inline tokens with the addresses of pages that stand in the text made links."""
    from markdown_it.token import Token  # noqa: PLC0415

    out, inside = [], 0
    for piece in pieces:
        inside += piece.nesting if piece.type in ("link_open", "link_close") else 0
        if piece.type != "text" or inside:
            out.append(piece)
            continue
        at = 0
        for found in _URL.finditer(piece.content):
            url = found[0].rstrip(_AFTER)
            out.append(Token("text", "", 0, content=piece.content[at : found.start()]))
            out.append(Token("link_open", "a", 1, attrs={"href": url}))
            out.append(Token("text", "", 0, content=url))
            out.append(Token("link_close", "a", -1))
            at = found.start() + len(url)
        out.append(Token("text", "", 0, content=piece.content[at:]))
    return out


@lru_cache(32)  # the same message goes to many
def plain_beside(text: str, html: str) -> str:
    """The plain text of a mail that has both: the text as written, but of the HTML where that says all this and more.

    Whoever sends a short text to everybody and more to those with e-mail, sends all of it to those who read mail
    without HTML, too.
    """
    if not html or len(html) > _MOST_COMPARED:
        return text
    whole = html_to_text(html)
    here, there = ({*map(str.casefold, _WORD.findall(words))} for words in (text, whole))
    return whole.strip("\n") if here <= there and not there <= here else text
