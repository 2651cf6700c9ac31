"""HTML from strangers made harmless: no scripts, no forms, nothing fetched from anywhere (W16, T13).

The page that shows it adds its own walls: a sandboxed frame and a Content-Security-Policy.
"""

from __future__ import annotations

import re

_NAMES = re.compile(r"[a-z0-9]+")
_TAGS = set(
    _NAMES.findall(
        "a abbr b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn div dl dt em font h1 h2 h3"
        " h4 h5 h6 hr i img ins kbd li ol p pre q rp rt ruby s samp small span strike strong sub sup table tbody td"
        " tfoot th thead tr tt u ul var wbr"
    )
)
_ATTRIBUTES = {
    "*": {"dir", "lang", "title", "align", "valign", "style"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "font": {"color", "size"},
    "td": {"colspan", "rowspan", "width", "bgcolor"},
    "th": {"colspan", "rowspan", "width", "bgcolor"},
    "table": {"width", "border", "cellpadding", "cellspacing", "bgcolor"},
    "ol": {"start", "type"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "blockquote": {"type"},
}
_STYLES = {
    "color", "background-color", "font-weight", "font-style", "font-size", "text-align", "text-decoration", "direction",
    "unicode-bidi", "white-space", "vertical-align", "margin-left", "padding-left", "border-left", "list-style-type",
}  # fmt: skip
_SKIPPED = {"script", "style", "title", "head", "template", "noscript", "svg", "math", "object", "iframe"}
# Marks an image that is not to be fetched while nh3 writes the page; no input can hold it.
_BLOCKED = "\ue0fe"
# Stands for a no-break space meanwhile: nh3 takes quadratic time for many of them in one text.
_NO_BREAK = "\ue0fd"
_FETCHING = re.compile(r"url|image|expression|import|@|\\|/\*", re.IGNORECASE)
_ELEMENT = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Elements without an end, or whose end HTML lets people leave out: they make no depth.
_FLAT = frozenset(
    _NAMES.findall(
        "area base br col embed hr img input link meta param source track wbr p li td th tr dt dd option tbody thead"
        " tfoot html head body o"
    )
)


def depth(html: str) -> int:
    """How deep the elements of a page may lie in each other, at most: an estimate on the high side, linear."""
    level = deepest = 0
    for found in _ELEMENT.finditer(html):
        closing, name = found.groups()
        if name.lower() in _FLAT:
            continue
        if closing:
            level = max(0, level - 1)
        else:
            level += 1
            deepest = max(deepest, level)
    return deepest


def safe_html(html: str, length: int = 512 * 1024, most_depth: int = 300) -> str:
    """HTML with only harmless elements and attributes left, or "" where it is too long or too deep to be touched.

    Images inside the mail keep ``src="cid:..."``; all others lose their ``src`` and carry ``data-blocked-src``, for the
    page to offer. Links open in a new window and tell nobody where they came from.
    """
    if not html.strip() or len(html) > length or depth(html) > most_depth or html.count("<") > length // 8:
        return ""
    import nh3  # noqa: PLC0415 - only mails with HTML pay for it

    out = nh3.clean(
        html.replace(_BLOCKED, "").replace(_NO_BREAK, "").replace("\xa0", _NO_BREAK),
        tags=_TAGS,
        clean_content_tags=_SKIPPED,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "tel", "sms", "xmpp", "cid"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        filter_style_properties=_STYLES,
        strip_comments=True,
    )
    return out.replace(f' src="{_BLOCKED}', ' data-blocked-src="').replace(_NO_BREAK, "&nbsp;").strip()


def _attribute(_tag: str, name: str, value: str) -> str | None:
    if name == "src":
        if value[:4].lower() == "cid:":
            return value
        return _BLOCKED + value if value[:8].lower().startswith(("http://", "https://")) else None
    if name == "style" and _FETCHING.search(value):
        return None
    if name == "href" and not value[:7].lower().startswith(("http:", "https:", "mailto:", "tel:", "sms:", "xmpp:")):
        return None
    return value
