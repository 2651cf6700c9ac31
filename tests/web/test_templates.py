"""Templates on their pages and over the API."""

from __future__ import annotations

import pytest

from msgserver.records import HUB, Role
from msgserver.store import messages, templates
from tests.web.conftest import Browser, Web


@pytest.fixture
def ana(web: Web) -> Browser:
    return web.signed_in("ana", role=Role.ADMINISTRATOR)


def add(web: Web, ana: Browser) -> int:
    fields = {"name": "Water", "subject": "At {{ place }}", "text": "{{ place }} <has> water", "html": ""}
    answer = ana.submit("/templates", "/templates", **fields)
    assert answer.status == 303, answer.text
    return web.store.now(templates.templates)[0].id


def test_add_word_anew_and_remove(web: Web, ana: Browser) -> None:
    assert "No templates" in ana.get("/templates").text
    first = add(web, ana)
    page = f"/templates/{first}"
    assert "Water" in ana.get("/templates").text
    assert "{{ place }} &lt;has&gt; water" in ana.get(page).text
    saved = ana.submit(page, page, text="anew {{ place }}", subject="", html="")
    assert saved.status == 303
    assert (
        f'action="{saved.header("location").partition("?")[0]}"' in ana.get(page).text
    )  # old links lead to the newest
    page = saved.header("location").partition("?")[0]
    assert [one.text for one in web.store.now(templates.templates)] == ["anew {{ place }}"]
    refused = ana.submit(page, page, text="{{ broken", subject="", html="")
    assert refused.status == 422
    assert "{{ broken" in refused.text
    stale = ana.submit(page, page, version="1", text="mine", subject="", html="")
    assert stale.status == 409
    assert "mine" in stale.text
    assert ana.submit("/templates", "/templates", name="Water", text="x").status == 409
    assert ana.submit(page, f"{page}/remove").status == 303
    assert web.store.now(templates.templates) == []
    assert ana.get(page).status == 404


def test_preview_and_send(web: Web, ana: Browser) -> None:
    page = f"/templates/{add(web, ana)}"
    assert 'name="value-place"' in ana.get(page).text
    fields = {"to": "bo@x.example", "value-place": "Camp <3>"}
    shown = ana.submit(page, f"{page}/send", do="preview", **fields)
    assert shown.status == 200
    assert "Camp &lt;3&gt; &lt;has&gt; water" in shown.text
    assert 'value="Camp &lt;3&gt;"' in shown.text
    sent = ana.submit(page, f"{page}/send", do="send", **fields)
    assert sent.status == 303, sent.text
    (log,) = web.store.now(messages.log, HUB).items
    assert (log.subject, log.recipients) == ("At Camp <3>", ("mailto:bo@x.example",))
    nobody = ana.submit(page, f"{page}/send", do="send", to="", **{"value-place": "x"})
    assert nobody.status == 422


def test_who_may_only_write_sees_no_box_to_change_it(web: Web, ana: Browser) -> None:
    page = f"/templates/{add(web, ana)}"
    bo = web.signed_in("bo")
    text = bo.get(page).text
    assert "Write with it" in text
    assert f'action="{page}"' not in text


def test_the_api(web: Web) -> None:
    bearer = {"Authorization": f"Bearer {web.token(web.user('ana', role=Role.ADMINISTRATOR))}",
              "Content-Type": "application/json"}  # fmt: skip
    api = web.browser()

    def ask(method: str, path: str, body: str = "", **headers: str):
        return api.send(method, f"/api/v1/{path}", body.encode(), {**bearer, **headers})

    made = ask("POST", "templates", '{"name": "Water", "text": "{{ place }}: {{ to.name }}", "subject": "S"}')
    assert made.status == 201
    number = made.json["id"]
    assert made.json["asks"] == ["place"]
    assert ask("POST", "templates", '{"name": "Water", "text": "x"}').status == 412
    assert ask("POST", "templates", '{"name": "Bad", "text": "{{ f() }}"}').status == 422
    shown = ask("POST", f"templates/{number}/preview", '{"values": {"place": "C", "to": {"name": "Bo"}}}')
    assert shown.json == {"subject": "S", "text": "C: Bo", "html": ""}
    assert ask("POST", f"templates/{number}/preview", '{"values": {}}').status == 422
    sent = ask(
        "POST", "messages", f'{{"to": ["mailto:b@x.example"], "template": {number}, "values": {{"place": "C"}}}}'
    )
    assert sent.status == 201
    assert sent.json["text"] == "C: …"
    assert ask("POST", "messages", '{"to": ["mailto:b@x.example"]}').status == 422
    tag = ask("GET", f"templates/{number}").header("etag")
    anew = ask("PUT", f"templates/{number}", '{"name": "Water", "text": "anew"}', **{"If-Match": tag})
    assert (anew.status, anew.json["version"]) == (200, 2)
    assert ask("PUT", f"templates/{number}", '{"name": "Water", "text": "x"}', **{"If-Match": tag}).status == 412
    assert ask("PUT", f"templates/{number}", '{"name": "Other", "text": "x"}').status == 422
    assert [one["text"] for one in ask("GET", "templates").json["items"]] == ["anew"]
    assert ask("DELETE", f"templates/{number}").status == 204
    assert ask("DELETE", f"templates/{number}").status == 404
    assert ask("GET", "templates").json["items"] == []
