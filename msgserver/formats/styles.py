"""Styles of an HTML mail, written into its elements: mail programs drop style sheets. Pure; nothing is fetched."""

from __future__ import annotations

LONGEST = 500_000  # characters; longer ones go as they are


def inlined(html: str) -> str:
    """The HTML with its ``<style>`` written into ``style`` attributes; media queries stay, for who knows them."""
    if len(html) > LONGEST:
        return html
    from css_inline import CSSInliner, InlineError  # noqa: PLC0415 - only who sends styled mail loads it

    whole = "<html" in html.lower()
    inliner = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
    try:
        if whole:
            return inliner.inline(html)
        dressed = inliner.inline(f"<html><head></head><body>{html}</body></html>")
    except (InlineError, ValueError):
        return html
    head = dressed.partition("<head>")[2].partition("</head>")[0]
    body = dressed.partition("<body>")[2].rpartition("</body>")[0]
    return head + body
