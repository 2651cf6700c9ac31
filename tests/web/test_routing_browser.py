"""Routing by hand in a real browser on a real hub: names completed, a record filled in, sent on, read as a feed."""

from __future__ import annotations

import re
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect

from tests.peers.hub import HubProcess
from tests.peers.mail import SMTPSink
from tests.web.test_main_job import send, sign_in

pytestmark = pytest.mark.peer


@pytest.fixture
def hub(make_hub: Callable[..., HubProcess], smtp_sink: SMTPSink) -> HubProcess:
    """A hub whose mail goes to the sink."""
    return make_hub(relay_port=smtp_sink.port)


def test_from_a_mail_to_a_record_to_a_group_and_a_feed(
    hub: HubProcess, page: Page, swaks: Callable[..., str], smtp_sink: SMTPSink
) -> None:
    hub.command("init")
    hub.start()
    token = hub.token()
    hub.api(token, "/records", {"resource": "incident", "name": "Flood in the north", "code": "FN", "uid": "f-1"})
    hub.api(token, "/entities", {"name": "Bo Driver", "addresses": ["mailto:bo@x.example"]})
    sign_in(hub, page)
    send(swaks, hub, "Bridge down", "Gone at 34.5553, 69.2075")
    page.get_by_text("Bridge down").first.click()
    page.get_by_role("link", name="Route…").click()
    page.get_by_label("Record", exact=True).press_sequentially("flo")
    expect(page.locator("#words-choices option")).to_have_attribute("value", "Flood in the north")
    page.get_by_label("Record", exact=True).fill("Flood in the north")
    page.get_by_role("button", name="Route", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Routed")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_label("Whom").press_sequentially("bo")
    expect(page.locator("#to-choices option")).to_have_attribute("label", re.compile("Bo Driver · Mail"))
    page.get_by_label("Whom").fill("Bo Driver")
    page.get_by_role("button", name="Send on").click()
    expect(page.get_by_text("1 copy leaves.")).to_be_visible()
    assert smtp_sink.wait_for(1)[0].recipients == ["bo@x.example"]
    page.get_by_role("button", name="New, filled in from this…").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Bridge down")
    expect(page.get_by_label("Position")).to_have_value("34.5553, 69.2075")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Save and route").click()
    expect(page.get_by_role("heading", name="Bridge down")).to_be_visible()
    page.goto(f"{hub.url}/resources/incident")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("link", name=re.compile(r"\(1.*read")).first.click()
    expect(page.locator("table")).to_contain_text("Gone at")
    page.goto(f"{hub.url}/me")
    page.get_by_label("Which reader").fill("the reader")
    page.get_by_role("button", name="Make a key").click()
    key = page.locator("code").inner_text()
    asked = urllib.request.Request(f"{hub.url}/feeds/records/incident/f-1/rss")
    asked.add_header("Authorization", "Basic " + b64encode(f"reader:{key}".encode()).decode())
    with urllib.request.urlopen(asked) as answer:
        found = [item.findtext("title") for item in ElementTree.fromstring(answer.read()).iterfind("channel/item")]
    assert found == ["Bridge down", "Incident: Flood in the north"]
