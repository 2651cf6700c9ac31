"""The main job in a real browser on a real hub: set up, see a mail come in, answer it, write to anybody."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.peers.browser import patient
from tests.peers.hub import HubProcess
from tests.peers.mail import SMTPSink
from tests.peers.programs import wait_until

pytestmark = pytest.mark.peer
PASSPHRASE = "boats and tents for all"


@pytest.fixture
def hub(make_hub: Callable[..., HubProcess], smtp_sink: SMTPSink) -> HubProcess:
    """A hub whose mail goes to the sink, set up by nobody yet."""
    return make_hub(relay_port=smtp_sink.port)


def sign_in(hub: HubProcess, page: Page, name: str = "admin") -> None:
    page.goto(f"{hub.url}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("a long enough pass phrase")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[data-list]")).to_be_visible()


def send(
    swaks: Callable[..., str], hub: HubProcess, subject: str, body: str, sender: str = "rai@clinic.example"
) -> None:
    swaks(
        "-s", "127.0.0.1", "-p", str(hub.smtp_port), "-f", sender, "-t", "desk@hub.example",
        "--h-From", f"Dr. Rai <{sender}>", "--h-Subject", subject, "--body", body,
        "--header", "Message-Id: <first@clinic.example>",
    )  # fmt: skip


def in_the_log(hub: HubProcess, token: str, subject: str) -> None:
    """Wait until a mail has become a message: a page without script shows what is there when it is asked for."""
    wait_until(
        lambda: [one for one in hub.api(token, "/messages")["items"] if one["subject"] == subject],
        f"{subject[:20]} is in the log",
    )


def test_set_up_with_the_one_time_link(hub: HubProcess, page: Page) -> None:
    printed = hub.command("init").stdout
    link = re.search(r"http://\S+/setup\?token=\S+", printed)
    assert link is not None, printed
    hub.start()
    page.goto(link[0])
    page.get_by_label("Your name").fill("Ana")
    page.get_by_label("Password").fill(PASSPHRASE)
    page.get_by_label("The same again").fill(PASSPHRASE)
    page.get_by_role("button", name="Make the administrator").click()
    expect(page.get_by_role("status")).to_contain_text("Welcome")
    page.goto(link[0])
    expect(page.get_by_role("heading", name="This setup link has been used")).to_be_visible()


def test_a_mail_is_seen_within_a_second_and_answered_threaded(
    hub: HubProcess, page: Page, swaks: Callable[..., str], smtp_sink: SMTPSink
) -> None:
    hub.start()
    hub.token()
    sign_in(hub, page)
    expect(page.get_by_text("All clear").first).to_be_visible()
    for n in range(60):  # a busy machine may be late now and then, a page that asks every few seconds always is
        send(swaks, hub, f"Warm up {n}.", "x", sender=f"w{n}@clinic.example")
        since = time.monotonic()
        expect(page.locator(".row", has_text=f"Warm up {n}.")).to_be_visible()
        if n >= 2 and time.monotonic() - since < 1:
            break
    else:
        pytest.fail("not once within a second")
    send(swaks, hub, "Insulin stock", "Three days left.\n<script>document.title='owned'</script>")
    row = page.locator(".row", has_text="Insulin stock")
    expect(row).to_be_visible()
    expect(page).to_have_title(re.compile(rf"^\({n + 2}\) "))
    row.click()
    expect(page.get_by_role("heading", name="Insulin stock")).to_be_visible()
    expect(page.locator(".thread")).to_contain_text("<script>document.title")
    expect(page).not_to_have_title("owned")
    page.get_by_label("Answer", exact=True).fill("We send more today.")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".msg.out")).to_contain_text("We send more today.")
    (mail,) = smtp_sink.wait_for(1)
    assert mail.recipients == ["rai@clinic.example"]
    assert "first@clinic.example" in mail.message["In-Reply-To"]
    assert "We send more today." in mail.message.get_content()
    expect(page.locator(".sent")).to_contain_text(re.compile("sent|delivered"))


def test_what_one_writes_stays_while_messages_arrive(hub: HubProcess, page: Page, swaks: Callable[..., str]) -> None:
    hub.start()
    hub.token()
    send(swaks, hub, "First", "one")
    sign_in(hub, page)
    page.locator(".row", has_text="First").click()
    box = page.get_by_label("Answer", exact=True)
    box.fill("half a sentence")
    send(swaks, hub, "Second", "two", sender="other@clinic.example")
    expect(page.locator(".row", has_text="Second")).to_be_visible()
    expect(box).to_have_value("half a sentence")
    expect(box).to_be_focused()


def test_without_script_everything_still_works(
    hub: HubProcess, browser: object, swaks: Callable[..., str], smtp_sink: SMTPSink
) -> None:
    hub.start()
    token = hub.token()
    send(swaks, hub, "Plain", "no script here")
    in_the_log(hub, token, "Plain")
    context = patient(browser.new_context(java_script_enabled=False))  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{hub.url}/login")
    page.fill("#name", "admin")
    page.fill("#password", "a long enough pass phrase")
    page.click("text=Sign in >> nth=-1")
    page.click(".row >> text=Plain")
    page.click("text=Mark read")
    page.click("text=Take")
    page.fill("#text", "Answered without script.")
    page.click(".compose .go")
    expect(page.locator("[role=status]")).to_contain_text("Sent.")
    page.goto(f"{hub.url}/messages/new")
    page.fill("#to", "mina@ngo.example")
    page.fill("#subject", "Tents")
    page.fill("#text", "Who coordinates the tents?")
    page.click(".card .go")
    expect(page.locator("[role=status]")).to_contain_text("Sent.")
    mails = smtp_sink.wait_for(2)
    assert {mail.recipients[0] for mail in mails} == {"rai@clinic.example", "mina@ngo.example"}
    context.close()


def test_no_page_is_wider_than_a_phone(hub: HubProcess, browser: object, swaks: Callable[..., str]) -> None:
    hub.start()
    token = hub.token()
    send(swaks, hub, "A" * 120, "w" * 300 + " https://example.org/" + "x" * 200)
    in_the_log(hub, token, "A" * 120)
    context = patient(browser.new_context(viewport={"width": 360, "height": 740}))  # type: ignore[attr-defined]
    page = context.new_page()
    sign_in(hub, page)
    for path in (
        "/",
        "/tickets/1",
        "/log",
        "/people",
        "/rules",
        "/subscriptions",
        "/channels",
        "/messages/new",
        "/trace/1",
        "/users",
        "/users/1",
        "/copies",
        "/searches",
        "/audit",
        "/me",
    ):
        page.goto(hub.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        for menu in page.locator("details.menu > summary:visible").all():
            menu.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
            page.keyboard.press("Escape")
    context.close()
