"""Style sheets are written into the elements, and nothing is fetched."""

from __future__ import annotations

import pytest

from msgserver.formats.styles import LONGEST, inlined


def test_styles_stand_in_the_elements():
    html = inlined('<style>p { color: red } .x{margin:0}</style><p class="x">Grüße 水</p><img src="cid:a@b">')
    assert "color: red" in html.partition("<p")[2].partition(">")[0]
    assert "Grüße 水" in html
    assert 'src="cid:a@b"' in html
    assert "<html" not in html
    whole = inlined("<!DOCTYPE html><html><head><style>b{color:red}</style></head><body><b>x</b></body></html>")
    assert whole.lower().startswith("<!doctype html>")
    assert 'style="color: red;"' in whole


def test_media_queries_stay_for_those_who_know_them():
    html = inlined("<style>@media (max-width: 9px) { p { color: red } }</style><p>x</p>")
    assert "@media" in html


@pytest.mark.parametrize(
    "html",
    [
        '<link rel="stylesheet" href="http://127.0.0.1:9/x.css"><p>x</p><style>p{}</style>',
        "<style>@import url(http://127.0.0.1:9/x.css); p{color:red}</style><p>x</p>",
        "<style>p{color:</style><p>x</p>",
        "<style>" + "{" * 10_000 + "</style><p>x</p>",
        "<p>" * 5_000 + "x<style>p{color:red}</style>",
        "<style>" + "a" * LONGEST + "</style>",
        "",
    ],
)
def test_whatever_comes_nothing_breaks_and_nothing_is_asked(html):
    assert isinstance(inlined(html), str)
    assert ("x" in inlined(html)) == ("x" in html)
