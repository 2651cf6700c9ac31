"""Weights: what a slow line has to carry (SCREENS 1.4), and what a form's fields survive."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.web.ask import Refusal, local
from msgserver.web.forms import file_name, read_form, read_query
from msgserver.web.rendering import static_files
from tests.store.desk import conversation, message
from tests.web.conftest import Web


def test_style_and_script_are_light() -> None:
    files = static_files()
    assert len(files["desk.css"].squeezed) <= 7 * 1024
    assert len(files["desk.js"].squeezed) <= 12 * 1024


def test_fifty_rows_are_light(web: Web) -> None:
    ana = web.signed_in("ana")
    for n in range(50):
        subject = f"Subject number {n}: water and tents for the valley, please"
        ticket_id = web.store.now(
            conversation,
            subject=subject,
            address=f"sms:+93701{n:06d}",
            priority=n % 4,
            snippet=f"What {n} says at length",
        )
        web.store.now(message, ticket_id, sender=f"sms:+93701{n:06d}", tags=("site/north",))
    page = ana.get("/?view=all")
    assert page.text.count("<li data-id") == 50
    assert len(gzip.compress(page.body, 5)) <= 10 * 1024


def test_static_files_are_kept_for_a_year(web: Web) -> None:
    answer = web.browser().get("/static/desk.css")
    assert "immutable" in answer.header("cache-control")
    assert web.browser().get("/static/desk.css", Accept_Encoding="gzip").header("content-encoding") == "gzip"
    assert web.browser().get("/static/nothing.css").status == 404


def test_pages_are_squeezed_for_those_who_take_it(web: Web) -> None:
    ana = web.signed_in("ana")
    assert ana.get("/", Accept_Encoding="gzip").header("content-encoding") == "gzip"
    assert ana.get("/").header("content-encoding") == ""


@given(st.binary(max_size=300))
def test_any_query_is_read(query: bytes) -> None:
    for name in read_query(query).names():
        assert "\x00" not in read_query(query)(name)


@given(st.binary(max_size=400), st.sampled_from(["b", "", "b b", "\u00e9", "x" * 80]))
def test_any_multipart_is_read_or_refused(body: bytes, boundary: str) -> None:
    body = body.replace(b"|", f"\r\n--{boundary}\r\n".encode())
    refused = 0
    try:
        read_form(f'multipart/form-data; boundary="{boundary}"', io.BytesIO(body))
    except Refusal as refusal:
        refused = refusal.status
    assert refused in (0, 400, 413)


@given(st.text(max_size=300))
def test_a_file_name_is_one_plain_name(name: str) -> None:
    plain = file_name(name)
    assert plain
    assert len(plain) <= 120
    assert not set(plain) & set("/\\\x00\r\n\u202e")
    assert file_name(plain) == plain


@given(st.text(max_size=60))
def test_a_local_place_is_local(place: str) -> None:
    found = local(place)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(Refusal):
        read_query(b"a=1&" * 1001)
    with pytest.raises(Refusal) as told:
        read_form("text/plain", io.BytesIO(b"a=1"))
    assert told.value.status == 415
