"""How a text with light marks will look in a mail, before it is sent."""

from __future__ import annotations

import msgspec

from msgserver.formats.marks import as_html, unmarked
from msgserver.web.ask import Answer, Ask


class Preview(msgspec.Struct, frozen=True):
    """What is shown: ``html`` is harmless; ``text`` goes to those without HTML; ``files`` have to be chosen again."""

    html: str
    text: str
    files: bool = False


async def fragment(ask: Ask) -> Answer:
    """The preview alone, for the page that is open: of an answer (``rich``) or of a new message with more by e-mail."""
    text = ask.form("text")
    html = as_html(text) if ask.form("rich") else unmarked(text) + as_html(ask.form("more"))
    return ask.page("preview.html", preview=Preview(html, text))
