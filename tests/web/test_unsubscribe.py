"""Leaving by a signed link, with a button and with one click; files by signed links."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from msgserver.records import HUB, EntityKind
from msgserver.routing.conversation import Tokens
from msgserver.store import audit, people, subscriptions
from msgserver.store.schema import msg_attachment, pe_left, pe_membership
from tests.store.desk import conversation, message
from tests.web.conftest import NOW, Web

SIGNER = Tokens(b"k" * 32)
ONE_CLICK = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://mail.example",
             "Sec-Fetch-Site": "cross-site"}  # fmt: skip


@pytest.fixture
def mina(web: Web) -> tuple[int, int]:
    """Somebody, and her subscription."""
    entity = web.store.now(people.create_entity, HUB, "uid-m", EntityKind.PERSON, "Mina", NOW)
    made = web.store.now(subscriptions.subscribe, HUB, entity.id, "tag", "flood", NOW)
    return entity.id, made.id


def there(web: Web, subscription_id: int) -> bool:
    return web.store.now(subscriptions.topic, subscription_id) is not None


def test_a_page_with_a_button_without_signing_in(web: Web, mina: tuple[int, int]) -> None:
    entity, number = mina
    path = f"/unsubscribe/{SIGNER.leaving(number, entity)}"
    stranger = web.browser()
    page = stranger.get(path)
    assert page.status == 200
    assert "flood" in page.text
    assert f'action="{path}"' in page.text
    assert there(web, number)  # looking ends nothing: mail scanners follow links
    assert stranger.send("HEAD", path).status == 200
    assert there(web, number)
    done = stranger.submit(path, path)
    assert done.status == 200
    assert "have ended" in done.text
    assert not there(web, number)
    assert "no more" in stranger.get(path).text
    trail = web.store.now(audit.trail, HUB, f"entity/{entity}") if hasattr(audit, "trail") else ()
    assert not trail or trail[0].act == "unsubscribe"


@pytest.mark.parametrize("body", [b"List-Unsubscribe=One-Click", b""])
def test_one_click_from_a_mail_program(web: Web, mina: tuple[int, int], body: bytes) -> None:
    """RFC 8058: no cookie, no page before, another site's origin; a repeat is harmless."""
    entity, number = mina
    path = f"/unsubscribe/{SIGNER.leaving(number, entity)}"
    for _ in range(2):
        answer = web.browser().send("POST", path, body, ONE_CLICK)
        assert answer.status == 200
        assert "set-cookie" not in answer.headers
    assert not there(web, number)


def test_one_click_as_multipart(web: Web, mina: tuple[int, int]) -> None:
    entity, number = mina
    body = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert web.browser().send("POST", f"/unsubscribe/{SIGNER.leaving(number, entity)}", body, kind).status == 200
    assert not there(web, number)


def test_who_is_in_a_group_leaves_alone(web: Web, mina: tuple[int, int]) -> None:
    entity, _ = mina
    group = web.store.now(people.create_entity, HUB, "uid-g", EntityKind.GROUP, "Medics", NOW)
    web.store.now(
        lambda tx: tx.execute(insert(pe_membership).values(group_id=group.id, member_id=entity, at=NOW)) and None
    )
    made = web.store.now(subscriptions.subscribe, HUB, group.id, "tag", "flood", NOW)
    path = f"/unsubscribe/{SIGNER.leaving(made.id, entity)}"
    for _ in range(2):
        assert web.browser().send("POST", path, b"", ONE_CLICK).status == 200
    assert there(web, made.id)
    rows = web.store.now(lambda tx: [tuple(row) for row in tx.execute(select(pe_left))])
    assert [row[:2] for row in rows] == [(made.id, entity)]


@pytest.mark.parametrize("token", ["u1.1.aaaaaaaaaaaaaaaa", "x", "u1", "42.k7f3qz5hwa", "u1.1", "%ff", "u1.1.é"])
def test_a_token_that_is_not_ours_ends_nothing(web: Web, mina: tuple[int, int], token: str) -> None:
    from urllib.parse import quote

    _, number = mina
    path = f"/unsubscribe/{quote(token)}"
    assert web.browser().get(path).status == 404
    assert web.browser().send("POST", path, b"", ONE_CLICK).status == 404
    assert there(web, number)


def test_another_ones_token_is_for_another_subscription(mina: tuple[int, int]) -> None:
    token = SIGNER.leaving(1, 5)
    assert SIGNER.left(token) == (1, 5)
    assert SIGNER.left(token.upper()) == (1, 5)  # mail programs change the case of addresses
    assert SIGNER.left(token.replace("u1", "u2", 1)) is None
    assert SIGNER.left(SIGNER.seal("file", "u1.5")) is None
    assert Tokens(b"x" * 32).left(token) is None


# -- files


def test_a_file_by_its_link(web: Web) -> None:
    ticket_id = web.store.now(conversation)
    number = web.store.now(message, ticket_id)
    row = {"id": 7, "message_id": number, "name": "map <1>.html", "media_type": "text/html", "size": 3, "sha256": "x"}
    web.store.now(lambda tx: tx.execute(insert(msg_attachment).values(**row, content=b"abc")) and None)
    stranger = web.browser()
    answer = stranger.get(f"/files/{SIGNER.file(7, NOW + 10)}")
    assert (answer.status, answer.body) == (200, b"abc")
    assert answer.header("content-type") == "application/octet-stream"
    assert "attachment" in answer.header("content-disposition")
    assert "sandbox" in answer.header("content-security-policy")
    old = stranger.get(f"/files/{SIGNER.file(7, NOW - 1)}")
    assert old.status == 404
    assert "30 days" in old.text
    for token in (SIGNER.file(8, NOW + 10), "7.1.aaaa", SIGNER.seal("leave", f"7.{int(NOW) + 10}")):
        assert stranger.get(f"/files/{token}").status == 404
