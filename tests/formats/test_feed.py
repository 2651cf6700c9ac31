"""Atom, RSS and exports as other programs read them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from msgserver.formats.feed import Feed, Item, atom, heading, rss, xml

ATOM = "{http://www.w3.org/2005/Atom}"
HOSTILE = 'a < b & <script>alert("1")</script>\x00\x0b\ud800 \u202e💧'
ITEM = Item(
    id="urn:uuid:1", title=HOSTILE, link="https://desk.example/tickets/1?view=all#m1", text=f"first\nline\n\n{HOSTILE}",
    at=1_700_000_000.5, changed=1_700_000_100.0, author="Rai", tags=("Flood",),
    related=(("Flood", "https://desk.example/resources/incident/1"),),
)  # fmt: skip
FEED = Feed(title="Log", link="https://desk.example/log", own="https://desk.example/feeds/log/atom", items=(ITEM,))


def test_atom() -> None:
    top = ElementTree.fromstring(atom(FEED))
    [entry] = top.findall(f"{ATOM}entry")
    assert top.findtext(f"{ATOM}updated") == "2023-11-14T22:15:00+00:00"
    assert entry.findtext(f"{ATOM}id") == "urn:uuid:1"
    assert entry.findtext(f"{ATOM}published") == "2023-11-14T22:13:20+00:00"
    links = {link.get("rel", "alternate"): link.get("href") for link in entry.findall(f"{ATOM}link")}
    assert links == {"alternate": ITEM.link, "related": "https://desk.example/resources/incident/1"}
    content = entry.find(f"{ATOM}content")
    assert content is not None
    assert content.get("type") == "html"
    assert "<p>first<br>line</p>" in (content.text or "")
    assert "<script" not in (content.text or "")
    assert entry.find(f"{ATOM}category").get("term") == "Flood"


def test_rss() -> None:
    [item] = ElementTree.fromstring(rss(FEED)).findall("channel/item")
    assert item.findtext("link") == ITEM.link
    assert item.findtext("guid") == "urn:uuid:1"
    assert item.findtext("pubDate") == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert "&lt;script&gt;" in (item.findtext("description") or "")
    assert "<script" not in (item.findtext("description") or "")
    assert item.findtext("category") == "Flood"


@pytest.mark.parametrize("write", [atom, rss])
def test_the_same_feed_is_the_same_bytes_and_an_empty_one_is_one(write) -> None:
    assert write(FEED) == write(FEED)
    assert (
        ElementTree.fromstring(write(Feed(title="", link="https://x.example/", own="https://x.example/f"))) is not None
    )


def test_export_as_xml() -> None:
    top = ElementTree.fromstring(
        xml("export", {"records": [{"name": HOSTILE, "fields": {"بئر": "1"}, "aliases": ["a"], "spam": False,
                                    "latitude": 0.0, "code": "", "messages": []}]})
    )  # fmt: skip
    [record] = top.findall("records/record")
    assert record.findtext("aliases/alias") == "a"
    assert [(field.get("name"), field.text) for field in record.findall("field")] == [("بئر", "1")]
    assert [child.tag for child in record] == ["name", "field", "aliases", "spam", "latitude"]
    assert (record.findtext("spam"), record.findtext("latitude")) == ("false", "0.0")


def test_headings_are_one_short_line() -> None:
    assert heading("\n first \nsecond") == "first"
    assert heading(" ", "none") == "none"
    assert len(heading("x" * 500)) == 120
