"""What people do on the pages about people and groups; no script runs here."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Grant, Role
from msgserver.store import audit, blobs, membership, people, resources, subscriptions
from tests.web.conftest import NOW, Answered, Browser, Web


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana", role=Role.RESPONDER)


def make(web: Web, name: str, *addresses: str, kind: EntityKind = EntityKind.PERSON) -> int:
    made = web.store.now(people.create_entity, HUB, f"uid of {name}", kind, name, NOW)
    for address in addresses:
        web.store.now(people.add_contact, HUB, made.id, Address.parse(address), NOW)
    number: int = made.id
    return number


def csrf(browser: Browser) -> str:
    return browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]


def post(browser: Browser, path: str, *pairs: tuple[str, object]) -> Answered:
    body = urlencode([("csrf", csrf(browser)), *pairs]).encode()
    answer: Answered = browser.send("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    return answer


def test_a_person_from_the_first_address_to_the_last_comment(web: Web, ana: Browser) -> None:
    added = ana.submit("/people", "/people", name="Mina", addresses="")
    page = added.header("location").partition("?")[0]
    assert "Nothing reaches Mina: no phone number, e-mail or chat address." in ana.get(page).text
    assert ana.submit(page, f"{page}/contacts", address="+1 555 123 4567").status == 303
    assert "Nothing reaches" not in ana.get(page).text
    assert ana.submit(page, f"{page}/contacts", address="nonsense").status == 422
    change = {"name": "Mina O.", "language": "fa", "timezone": "Asia/Kabul", "quiet_from": "22:00",
              "quiet_until": "06:00", "comments": "night shift"}  # fmt: skip
    assert ana.submit(page, page, **change).status == 303
    text = ana.get(page).text
    for words in ("Mina O.", "writes fa", "Asia/Kabul", "quiet 22:00 to 06:00", "night shift", "+1 555-123-4567"):
        assert words in text
    assert "name: Mina → Mina O." in text
    for wrong in ({"quiet_from": "25:99"}, {"timezone": "Mars/Base"}, {"name": " "}, {"quiet_until": ""}):
        refused = ana.submit(page, page, **{**change, **wrong})
        assert (refused.status, 'role="alert"' in refused.text) == (422, True), wrong


def test_subscriptions_are_shown_by_what_they_are_to(web: Web, ana: Browser) -> None:
    crew = make(web, "Crew", kind=EntityKind.GROUP)
    web.store.now(resources.create_record, HUB, "i-1", "incident", {"name": "Old Bridge"}, NOW)
    for record, digest in (("", "daily"), ("i-1", "")):
        web.store.now(subscriptions.subscribe, HUB, crew, "incident", record, NOW, "sms", digest)
    words = re.sub(r"<[^>]*>|\s+", " ", ana.get(f"/groups/{crew}").text)
    words = " ".join(words.split())
    assert "Incident all of this type SMS, gathered every morning" in words
    assert "Old Bridge SMS" in words
    assert "i-1" not in words


def test_each_flag_of_an_address(web: Web, ana: Browser) -> None:
    mina = make(web, "Mina", "sms:+15551234567", "mailto:mina@example.org")
    page = f"/people/{mina}"
    phone, mail = web.store.now(people.contacts, HUB, mina)
    web.store.now(people.set_bouncing, HUB, mail.id, "box full", NOW)
    assert "does not arrive: box full" in ana.get(page).text
    for contact, act, words, there in (
        (mail, "works", "does not arrive", False), (mail, "prefer", "used first", True),
        (mail, "unprefer", "used first", False), (mail, "verify", ">verified<", True),
        (mail, "unverify", ">verified<", False), (phone, "stop", "no more messages: said by ana", True),
        (phone, "allow", "no more messages:", False),
    ):  # fmt: skip
        answer = post(ana, f"{page}/contacts/{contact.id}", ("act", act))
        assert answer.header("location") == f"{page}?said=saved", act
        assert (words in ana.get(page).text) is there, act
    other = make(web, "Other")
    assert post(ana, f"/people/{other}/contacts/{mail.id}", ("act", "remove")).status == 404
    assert post(ana, f"{page}/contacts/{mail.id}", ("act", "what")).status == 422
    assert post(ana, f"{page}/contacts/{mail.id}", ("act", "remove")).status == 303
    assert "mina@example.org</bdi>" not in ana.get(page).text
    assert post(ana, f"{page}/remove").header("location") == "/people?said=removed"
    assert ana.get(page).status == 404


def test_somebody_nothing_reaches_is_added_and_named(web: Web, ana: Browser) -> None:
    mina, bo = make(web, "Mina", "sms:+15551234567"), make(web, "Bo")
    made = ana.submit("/groups", "/groups", name="Water team")
    page = made.header("location").partition("?")[0]
    group = int(page.rpartition("/")[2])
    found = ana.get(f"{page}?find=min").text
    assert f'name="member" value="{mina}" checked' in found
    assert post(ana, f"{page}/members", ("member", mina), ("role", "driver")).header("location") == f"{page}?said=added"
    warned = post(ana, f"{page}/members", ("member", bo))
    assert warned.header("location") == f"{page}?warn={bo}"
    text = ana.get(f"{page}?warn={bo}").text
    assert "Added, but nothing reaches Bo (no phone number, e-mail or chat address)." in text
    assert "1 of 2 unreachable" in text
    assert "1 of 2 unreachable" in ana.get("/groups").text
    lost = ana.get(f"{page}?show=unreachable").text
    assert f'href="/people/{bo}"' in lost
    assert f'href="/people/{mina}"' not in lost
    assert "Mina" in ana.get("/people?q=min").text
    assert "is called so who is not a member" in ana.get(f"{page}?find=mina").text
    for foreign in (f"{page}?warn=99,x,-1", f"{page}?warn={make(web, 'Cem')}"):
        assert "nothing reaches" not in ana.get(foreign).text
    assert post(ana, f"{page}/members/{mina}", ("role", "lead")).status == 303
    assert ">lead<" in ana.get(page).text
    assert "Water team" in ana.get(f"/people/{mina}").text
    assert post(ana, f"{page}/members/{bo}", ("act", "remove")).header("location") == f"{page}?said=removed"
    back = post(ana, f"{page}/members/{mina}", ("act", "remove"), ("back", mina))
    assert back.header("location") == f"/people/{mina}?said=removed"
    assert post(ana, f"{page}/members/{mina}", ("role", "x")).status == 404
    assert web.store.now(membership.members, HUB, group).items == ()
    assert (
        post(ana, f"{page}/members", ("member", mina), ("back", mina)).header("location")
        == f"/people/{mina}?said=added"
    )
    assert post(ana, f"{page}/members").status == 422
    assert post(ana, f"{page}/members", ("member", 99)).status == 404


def test_a_group_in_a_group(web: Web, ana: Browser) -> None:
    crew = make(web, "Crew", kind=EntityKind.GROUP)
    team = make(web, "Team", "mailto:team@example.org", kind=EntityKind.ORGANISATION)
    post(ana, f"/groups/{team}/members", ("member", make(web, "Bo")))
    assert post(ana, f"/groups/{crew}/members", ("member", team)).header("location").endswith(f"?warn={team}")
    assert "nothing reaches Bo" in ana.get(f"/groups/{crew}?warn={team}").text
    refused = post(ana, f"/groups/{team}/members", ("member", crew))
    assert (refused.status, "would then contain itself" in refused.text) == (422, True)
    assert "1 of 1 unreachable" in ana.get(f"/groups/{crew}").text
    assert ana.get(f"/people/{crew}?said=saved").header("location") == f"/groups/{crew}?said=saved"
    assert ana.get(f"/groups/{make(web, 'Mina')}").status == 303
    assert "team@example.org" in ana.get(f"/groups/{team}").text
    assert "Team" in ana.get("/groups?kind=organisation").text
    assert ana.submit("/groups", "/groups", name=" ").status == 422
    assert ana.get("/groups/99").status == ana.get("/people/99").status == 404


def test_two_that_are_one(web: Web, ana: Browser) -> None:
    first, second = (
        make(web, "Mina", "sms:+15551234567"),
        make(web, "M. Omar", "sms:+15551234567", "mailto:m@example.org"),
    )
    web.store.now(subscriptions.subscribe, HUB, second, "tag", "flood", NOW)
    assert f"/people/{first}/merge?with={second}" in ana.get("/people/likely-duplicates").text
    page = ana.get(f"/people/{first}").text
    assert f'href="/people/{first}/merge?with={second}"' in page
    assert "m@example.org" in ana.get(f"/people/{first}/merge?with={second}").text
    assert (
        post(ana, f"/people/{first}/merge", ("duplicate", second)).header("location") == f"/people/{first}?said=merged"
    )
    page = ana.get(f"/people/{first}").text
    assert "m@example.org" in page
    assert "merged with M. Omar" in page
    assert ">flood<" in page
    assert ana.get(f"/people/{second}").header("location") == f"/people/{first}"
    assert ana.get(f"/people/{first}/merge?with={second}").status == 404
    assert post(ana, f"/people/{first}/merge", ("duplicate", first)).status == 422
    assert "No two share" in ana.get("/people/likely-duplicates").text


def test_a_reader_sees_and_changes_nothing(web: Web) -> None:
    reader = web.signed_in("reader", role=Role.READER)
    mina, crew = make(web, "Mina", "sms:+15551234567"), make(web, "Crew", kind=EntityKind.GROUP)
    for path in (f"/people/{mina}", f"/groups/{crew}", "/people", "/groups"):
        text = reader.get(path).text
        main = text[text.index('id="main"') :]
        assert 'method="post"' not in main, path
        assert "/people/import" not in main
    scoped = web.signed_in("scoped", Grant(Role.RESPONDER, "site", "north"))
    assert scoped.get(f"/people/{mina}").status == scoped.get(f"/groups/{crew}").status == 404


def send_file(browser: Browser, content: bytes, name: str = "crew.csv", region: str = "AF") -> Answered:
    parts = [("csrf", csrf(browser)), ("region", region)]
    body = b"".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in parts)
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'
    body += head.encode() + content + b"\r\n--b--\r\n"
    answer: Answered = browser.send("POST", "/people/import", body, {"Content-Type": "multipart/form-data; boundary=b"})
    return answer


@pytest.fixture
def keeping(web: Web, tmp_path: object) -> Web:
    async def keep(content: bytes) -> str:
        return web.store.now(lambda tx: blobs.put(blobs.folder(tx), content))  # type: ignore[no-any-return]

    web.store.keep = keep  # type: ignore[attr-defined]
    return web


def test_a_file_is_looked_at_then_imported(keeping: Web, ana: Browser) -> None:
    table = b"name,phone,shoe\nMina,0701234567,38\nBo,12,40\n,+93701111111,\n"
    looked = send_file(ana, table, "<b>crew.csv")
    page = looked.header("location")
    assert re.fullmatch(r"/people/import/\d+", page)
    text = ana.get(page).text
    assert "Nothing is saved yet." in text
    for words in ("Import 2 people", "row left out", "has no name", "shoe", "&lt;b&gt;crew.csv"):
        assert words in text, words
    assert keeping.store.now(people.entities, HUB).items == ()
    assert post(ana, page).header("location") == page
    assert "Imported." in ana.get(page).text
    assert {one.name for one in keeping.store.now(people.entities, HUB).items} == {"Mina", "Bo"}
    assert "imported Mina from" in ana.get("/people/1").text
    assert post(ana, page).status == 422
    other = keeping.signed_in("other")
    assert other.get(page).status == post(other, page).status == 404
    acts = [entry.act for entry in keeping.store.now(audit.entries).items]
    assert "import people" in acts


def test_what_is_no_table_is_said(keeping: Web, ana: Browser) -> None:
    assert ana.get("/people/import").status == 200
    for content in (b"", b"\x00\x01", b"a,b\n1,2\n"):
        refused = send_file(ana, content)
        assert (refused.status, 'role="alert"' in refused.text) == (422, True)
    assert send_file(ana, b"name\nMina\n", region="XX").status == 422


def test_an_import_that_breaks_off_says_so_and_can_begin_again(
    keeping: Web, ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = send_file(ana, b"name\nMina\n").header("location")
    with monkeypatch.context() as broken:
        broken.setattr("msgserver.routing.imports.importing.write", lambda *_args: 1 / 0)
        assert post(ana, page).status == 303
    text = ana.get(page).text
    assert "The import broke off." in text
    assert post(ana, page).status == 303
    assert "Imported." in ana.get(page).text
