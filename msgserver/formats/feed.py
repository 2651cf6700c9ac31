"""Feeds: Atom (RFC 4287) and RSS 2.0 of messages and records, and their export as XML. Pure.

The words of messages are strangers': readers show an item's content as HTML, so all of it is escaped here, and what
no XML document may hold (XML 1.0 section 2.2) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any
from xml.etree import ElementTree

import msgspec

_ATOM = "{http://www.w3.org/2005/Atom}"
TITLE = 120  # characters
ElementTree.register_namespace("", _ATOM.strip("{}"))
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in a feed. ``link`` leads to its page, ``related`` (title, address) to what it is about."""

    id: str  # an IRI that never changes
    title: str
    link: str
    text: str
    at: float
    changed: float
    author: str = ""
    tags: tuple[str, ...] = ()
    related: tuple[tuple[str, str], ...] = ()


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Items, newest first; ``own`` is the feed's address, ``link`` that of the page it is made of."""

    title: str
    link: str
    own: str
    items: tuple[Item, ...] = ()


def fit(words: str) -> str:
    """Words without what no XML document may hold."""
    return _UNFIT.sub("", words)


def heading(words: str, otherwise: str = "") -> str:
    """The first line as a title, cut to ``TITLE``."""
    line = next((line.strip() for line in words.splitlines() if line.strip()), otherwise)
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def atom(feed: Feed) -> bytes:
    """The feed as Atom."""
    # feedgen writes an entry's links bare, in their order: say again which is which (RFC 4287 section 4.2.7.2).
    top = ElementTree.fromstring(_made(feed).atom_str(pretty=False))  # noqa: S314 -- our own
    for entry, item in zip(top.iterfind(f"{_ATOM}entry"), feed.items, strict=True):
        for link, (title, _address) in zip(entry.findall(f"{_ATOM}link")[1:], item.related, strict=True):
            link.set("rel", "related")
            link.set("title", fit(title))
    written: bytes = ElementTree.tostring(top, "utf-8", xml_declaration=True)
    return written


def rss(feed: Feed) -> bytes:
    """The feed as RSS 2.0."""
    written: bytes = _made(feed).rss_str(pretty=False)
    return written


def _made(feed: Feed) -> Any:
    from feedgen.feed import FeedGenerator  # noqa: PLC0415 -- it brings lxml along, which a hub without feeds spares

    made = FeedGenerator()
    made.id(fit(feed.own))
    made.title(fit(feed.title) or "–")
    made.link(href=fit(feed.own), rel="self")
    made.link(href=fit(feed.link), rel="alternate")
    made.description(fit(feed.title) or "–")
    made.generator("msgserver")
    made.updated(_when(max((item.changed for item in feed.items), default=0.0)))
    for item in feed.items:
        entry = made.add_entry(order="append")
        entry.id(fit(item.id))
        entry.guid(fit(item.id), permalink=False)
        entry.title(fit(item.title) or "–")
        entry.link(href=fit(item.link), rel="alternate")
        for _title, address in item.related:
            entry.link(href=fit(address), rel="related")
        entry.content(_html(item), type="html")
        entry.published(_when(item.at))
        entry.updated(_when(item.changed))
        if item.author:
            entry.author(name=fit(item.author))
        for tag in item.tags:
            entry.category(term=fit(tag))
    return made


def _html(item: Item) -> str:
    """The text as paragraphs, then the links: RSS readers know no other way to show these."""
    paragraphs = [
        f"<p>{'<br>'.join(escape(fit(line)) for line in part.splitlines())}</p>"
        for part in re.split(r"\n\s*\n", item.text)
        if part.strip()
    ]
    links = [f'<a href="{escape(fit(address))}">{escape(fit(title))}</a>' for title, address in item.related]
    return "".join(paragraphs) + (f"<p>{', '.join(links)}</p>" if links else "")


def _when(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(microsecond=0)


# Export ----------------------------------------------------------------------------------------------------------


def xml(name: str, content: Mapping[str, Any]) -> bytes:
    """What an export's JSON says, as XML: a mapping is an element with a child a key, a list repeats its element.

    A list ``records`` has elements ``record`` within ``records``; the fields of a record, whose names are the
    administrator's, are ``<field name="...">``. What is null or empty is left out.
    """
    top = ElementTree.Element(name)
    _add(top, content)
    written: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return written


def _add(parent: ElementTree.Element, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        if name == "fields" and isinstance(value, dict):
            for field, words in value.items():
                ElementTree.SubElement(parent, "field", {"name": fit(field)}).text = fit(words)
        elif isinstance(value, list | tuple):
            if not value:
                continue
            within = ElementTree.SubElement(parent, name)
            for one in value:
                child = ElementTree.SubElement(within, name.removesuffix("es" if name == "aliases" else "s"))
                if isinstance(one, dict):
                    _add(child, one)
                else:
                    child.text = fit(str(one))
        elif isinstance(value, dict):
            _add(ElementTree.SubElement(parent, name), value)
        elif value not in (None, ""):
            ElementTree.SubElement(parent, name).text = (
                str(value).lower() if value in (True, False) else fit(str(value))
            )
