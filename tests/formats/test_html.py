"""HTML mail: as text, and made harmless."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.html_text import html_to_text
from msgserver.formats.safe_html import depth, safe_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("One<br>Two<br/>\nThree", "One\nTwo\nThree"),
        ("<div>One</div><div>Two</div>", "One\nTwo"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ('<a href="https://x.org/p">here</a>', "here <https://x.org/p>"),
        ('<a href="https://x.org/">x.org</a> <a href="mailto:a@x.org">a@x.org</a>', "x.org a@x.org"),
        ('<a href="javascript:alert(1)">x</a>', "x"),
        ("<blockquote>old<br>words</blockquote>new", "> old\n> words\n>\nnew"),
        ("<style>p{}</style><script>x<y</script><title>t</title>Hello<!-- <p>no</p> -->", "Hello"),
        ("<script>left open", ""),
        ("3 < 4 &lt; 5 &amp; &eacute; &#233; &nope;", "3 < 4 < 5 & é é &nope;"),
        ("&#" + "9" * 5000 + ";x", "\ufffdx"),
        ("<pre>a\n  b</pre>c", "a\n  b\nc"),
        ('<img src=x alt="a cat"> <img src=y>', "[a cat]"),
        ('<p title="a > b">x</p>', "x"),
        ("<p>a&nbsp;b\n  c</p>", "a b c"),
        ("سلام <b>دنیا</b> می\u200cخواهم", "سلام دنیا می\u200cخواهم"),
        ("a" + "&zwnj;&nbsp;" * 50 + "b", "a b"),
        ("<p>x", "x"),
        ("<p", ""),
        ("", ""),
    ],
)
def test_as_text(html, text):
    assert html_to_text(html) == text


PIECES = st.sampled_from(
    re.findall(
        r"\S+",
        "< > </ <! <!-- --> <p> </p> <a <a> </a> href= ' \" = x & &# 9 ; <script> </script> <svg> <br> <pre> <li> <td>"
        " <blockquote> </blockquote> <img alt=",
    )
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=60).map("".join))
def test_any_html_becomes_text(html):
    html_to_text(html).encode("utf-8", "surrogatepass")


class Nodes(HTMLParser):
    """Collects what a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def assert_harmless(html: str) -> None:
    nodes = Nodes()
    nodes.feed(html)
    active = {
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "button",
        "meta",
        "link",
        "base",
        "svg",
        "math",
        "style",
    }
    assert not active.intersection(nodes.tags)
    for name, value in nodes.attributes:
        assert not name.startswith("on")
        assert name not in (
            "srcset",
            "background",
            "action",
            "formaction",
            "poster",
            "xlink:href",
            "srcdoc",
            "id",
            "class",
        )
        if name == "src":
            assert value.startswith("cid:")
        if name == "href":
            assert re.match(r"(?i)(https?|mailto|tel|sms|xmpp):", value)
        if name == "style":
            assert "url" not in value.lower()


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<img src="http://t.example/p.gif" width=1 height=1>',
    '<img srcset="http://t.example/p.gif 2x">',
    '<img src="data:image/svg+xml,<svg onload=alert(1)>">',
    '<img src=" http://t.example/a">',
    '<img src="//t.example/a">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" java\tscript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<a href="vbscript:x">x</a>',
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    '<form action="http://evil.example"><input name=p><button>go</button></form>',
    '<iframe src="http://evil.example"></iframe>',
    '<object data="x"></object><embed src=x>',
    '<meta http-equiv=refresh content="0;url=http://evil.example">',
    '<base href="http://evil.example/">',
    '<link rel=stylesheet href="http://evil.example/s.css">',
    '<style>@import "http://evil.example";</style>',
    '<div style="background:url(http://t.example/p.gif)">x</div>',
    '<div style="background-color:u\\72l(http://t.example)">x</div>',
    '<div style="color:expression(alert(1))">x</div>',
    '<table background="http://t.example/p.gif"><tr><td background="http://t.example/q.gif">x</table>',
    '<video poster="http://t.example/p"><source src=x></video><audio src=x autoplay>',
    "<template><script>alert(1)</script></template>",
    '<p id="location" class="x">clobber</p>',
    "<body onload=alert(1)><p>x",
    "<<script>script>alert(1)<</script>/script>",
    "<img alt=\"' src=&#xe0fe;http://x\" src='cid:a'>",
    " src=\"&#xe0fe;javascript:x",
]  # fmt: skip


@pytest.mark.parametrize("html", HOSTILE)
def test_what_is_shown_is_harmless(html):
    assert_harmless(safe_html(html))
    assert_harmless(safe_html(f"<p>a</p>{html}<p>b</p>"))


@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=10), max_size=6).map("".join), st.randoms())
def test_mixtures_are_harmless(html, chance):
    letters = list(html)
    for _ in range(chance.randrange(4)):
        if letters:
            del letters[chance.randrange(len(letters))]
    assert_harmless(safe_html("".join(letters)))


def test_what_people_write_stays():
    html = '<p dir="rtl" style="color: red">سلام <b>دنیا</b></p><ul><li>x</li></ul><img src="cid:1" alt="y">'
    out = safe_html(html)
    assert '<p dir="rtl" style="color:red">' in out.replace("color: red", "color:red")
    assert '<img src="cid:1" alt="y">' in out
    assert "<li>x</li>" in out
    link = safe_html('<a href="https://x.org/?a=1&amp;b=2">x</a>')
    assert 'target="_blank"' in link
    assert "noreferrer" in link


def test_what_is_too_large_or_too_deep_is_not_touched():
    assert safe_html("<p>x</p>", length=5) == ""
    assert safe_html("<div>" * 301) == ""
    assert safe_html("<div>" * 300) != ""
    assert depth("<p><p><p><b><i></i></b><br><b>") == 2
    assert safe_html("   ") == ""
