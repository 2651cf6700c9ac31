"""The hub as operators run it, with emulated modems in processes of their own: texts in, answers out, receipts back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.patience import stay_within_a_day
from tests.peers.hub import HubProcess
from tests.peers.programs import Program, free_port, listens, wait_until

pytestmark = [pytest.mark.peer, pytest.mark.slow]
HOUSE = Path(__file__).parents[3]


class Plugged:
    """A modem of its own process; ``sent`` is what its network took."""

    def __init__(self, directory: Path, name: str, *words: str) -> None:
        self.journal = directory / f"{name}.sent"
        argv = [sys.executable, "-m", "tests.emulators.modem", "--journal", str(self.journal), *words]
        self.program = Program(argv, directory / f"{name}.log", cwd=HOUSE)

    @property
    def sent(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Callable[..., Plugged]]:
    with ExitStack() as stack:

        def plug(name: str, *words: str) -> Plugged:
            modem = Plugged(tmp_path, name, *words)
            stack.callback(modem.program.stop, seconds=5)
            return modem

        yield plug


def states(hub: HubProcess, token: str) -> dict[str, tuple[str, str]]:
    """Connector and state of each delivery, by its address."""
    items: list[dict[str, Any]] = hub.api(token, "/deliveries")["items"]
    return {one["address"]: (one["connector"], one["state"]) for one in items}


def test_a_text_becomes_a_ticket_is_answered_on_the_web_and_its_receipt_comes_back(
    make_hub: Callable[..., HubProcess], plug: Callable[..., Plugged], page: Page, tmp_path: Path
) -> None:
    line = tmp_path / "ttyGSM0"
    modem = plug("modem", "--pty", str(line), "--pin", "1234", "--receive", "+93701234567:Water over the bridge")
    wait_until(line.is_symlink, "the modem's line")
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o600)
    table = f'[connector.modem1]\ntype = "gsm"\ndevice = "{tmp_path}/ttyGSM*"\nimei = "356938035643809"\n'
    hub = make_hub(
        connectors=table + f'pin = {{ file = "{tmp_path}/pin" }}\ncredit_code = "*100#"\ncheck_every = 1.0\n'
    )
    hub.start()
    token = hub.token()
    wait_until(lambda: hub.api(token, "/messages")["items"], "the text is in the log")
    (message,) = hub.api(token, "/messages")["items"]
    assert (message["sender"], message["text"]) == ("sms:+93701234567", "Water over the bridge")

    page.goto(f"{hub.url}/login")
    page.fill("#name", "admin")
    page.fill("#password", "a long enough pass phrase")
    page.click("text=Sign in >> nth=-1")
    page.goto(f"{hub.url}/tickets/{message['ticket']}")
    page.fill("#text", "“Two boats” are on their way")
    expect(page.locator("#answer [data-count]")).to_contain_text("1 part, 42 characters left · Unicode because of “ ”")
    page.screenshot(path=str(tmp_path / "answer.png"))
    page.click(".compose .go")
    wait_until(lambda: modem.sent, "the answer goes out")
    assert modem.sent == [{"to": "+93701234567", "text": "“Two boats” are on their way"}]
    wait_until(lambda: states(hub, token) == {"sms:+93701234567": ("modem1", "delivered")}, "the receipt comes back")
    expect(page.locator(".sent")).to_contain_text("delivered")

    page.goto(f"{hub.url}/messages/new")
    page.fill("#to", "+93701234567, +93701234568")
    page.fill("#text", "Ś" + "a" * 300)
    said = page.locator("[data-count]")
    expect(said).to_contain_text("5 parts × 2 people = 10 SMS")
    expect(said.locator(".warn")).to_be_visible()
    page.screenshot(path=str(tmp_path / "compose.png"))
    page.click("text=Use plain letters")
    expect(page.locator("#text")).to_have_value("S" + "a" * 300)
    expect(said).to_contain_text("2 parts × 2 people = 4 SMS")

    page.goto(f"{hub.url}/channels")
    expect(page.locator("body")).to_contain_text("connected, home network Field Net")
    page.screenshot(path=str(tmp_path / "channels.png"))
    hub.stop()
    assert hub.command("fsck").stdout == "Nothing is wrong.\n"
    assert "Traceback" not in hub.log.read_text()


def test_a_text_goes_by_another_modem_where_one_is_capped_or_gone(
    make_hub: Callable[..., HubProcess], plug: Callable[..., Plugged]
) -> None:
    stay_within_a_day(300)  # so long the cap holds
    ports = free_port(), free_port()
    first, second = (plug(f"m{n}", "--tcp", str(port)) for n, port in enumerate(ports, 1))
    for port in ports:
        wait_until(lambda port=port: listens(port), "a modem's line")
    hub = make_hub(
        connectors="".join(
            f'[connector.modem{n}]\ntype = "gsm"\ndevice = "tcp:127.0.0.1:{port}"\n'
            f"check_every = 1.0\ndaily_cap = {cap}\n"
            for n, port, cap in ((1, ports[0], 1), (2, ports[1], 9))
        )
    )
    hub.start()
    token = hub.token()
    able = lambda: [one["able"] for one in hub.api(token, "/connectors")["items"]]  # noqa: E731
    wait_until(lambda: able() == [True, True], "both modems are there")
    for n in (1, 2):
        hub.api(token, "/messages", {"to": [f"sms:+9370000000{n}"], "text": f"text {n}"})
        if n == 1:
            wait_until(lambda: first.sent, "the first modem sends")
    wait_until(lambda: second.sent, "the second modem stands in for the capped one", 300)
    wait_until(lambda: states(hub, token)["sms:+93700000002"] == ("modem2", "delivered"), "its receipt comes back")
    second.program.stop(seconds=5)
    wait_until(lambda: able() == [False, False], "both are of no use")
    hub.api(token, "/messages", {"to": ["sms:+93700000003"], "text": "text 3"})
    second = plug("m2again", "--tcp", str(ports[1]))
    wait_until(lambda: second.sent, "it is back, and sends what waited for the first", 600)
    wait_until(
        lambda: (
            states(hub, token)
            == {
                "sms:+93700000001": ("modem1", "delivered"),
                "sms:+93700000002": ("modem2", "delivered"),
                "sms:+93700000003": ("modem2", "delivered"),
            }
        ),
        "all have their receipts",
    )
    hub.stop()
    assert "Traceback" not in hub.log.read_text()
