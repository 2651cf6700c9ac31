"""The whole, as operators run it: a mail through a real hub process, commands beside it, a kill, a restart."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest

from tests.peers.hub import HubProcess
from tests.peers.mail import SMTPSink
from tests.peers.programs import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.slow]


def test_a_mail_comes_is_answered_and_survives_a_kill(
    make_hub: Callable[..., HubProcess], swaks: Callable[..., str], smtp_sink: SMTPSink
) -> None:
    hub = make_hub(relay_port=smtp_sink.port)
    hub.start()
    token = hub.token()
    words = ["-f", "ana@field.example", "-t", "help@hub.example", "--h-Subject", "Water", "--body", "The well is dry"]
    swaks("-s", "127.0.0.1", "-p", str(hub.smtp_port), *words)
    wait_until(lambda: hub.api(token, "/messages")["items"], "the mail is in the log")
    (message,) = hub.api(token, "/messages")["items"]
    assert (message["sender"], message["subject"]) == ("mailto:ana@field.example", "Water")

    hub.restart()
    (again,) = hub.api(token, "/messages")["items"]
    assert again["uid"] == message["uid"]

    hub.api(token, f"/messages/{message['id']}/reply", {"text": "A truck is on its way"})
    (answer,) = smtp_sink.wait_for(1)
    assert answer.recipients == ["ana@field.example"]
    assert answer.message["Subject"] == "Re: Water" or "Water" in answer.message["Subject"]
    assert "A truck is on its way" in answer.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]

    told = hub.command("trace", message["number"]).stdout
    assert "by mail" in told
    exported = [json.loads(line) for line in hub.command("export").stdout.splitlines()]
    assert [line["direction"] for line in exported] == ["out", "in"]
    hub.command("backup", str(hub.directory / "saved"))
    refused = hub.command("restore", str(hub.directory / "saved"), check=False)
    assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)

    hub.stop()
    assert "has stopped" in hub.log.read_text()
    assert hub.command("fsck").stdout == "Nothing is wrong.\n"
    assert "Traceback" not in hub.log.read_text()


def test_when_its_writer_is_killed_it_ends_and_says_so_and_nothing_is_lost(
    make_hub: Callable[..., HubProcess], swaks: Callable[..., str]
) -> None:
    hub = make_hub()
    hub.start()
    mail = ["-s", "127.0.0.1", "-p", str(hub.smtp_port), "-f", "ana@field.example", "-t", "help@hub.example"]
    swaks(*mail, "--h-Subject", "Before")
    os.kill(hub.writer(), signal.SIGKILL)
    wait_until(lambda: not hub.running(), "it ends too", 60)
    assert hub.program is not None
    assert hub.program.process.returncode == 1
    assert "the process that writes to the database was killed by signal 9" in hub.log.read_text()
    hub.start()
    swaks(*mail, "--h-Subject", "Afterwards")
    token = hub.token()
    wait_until(lambda: len(hub.api(token, "/messages")["items"]) == 2, "both are in the log")
    assert [one["subject"] for one in hub.api(token, "/messages")["items"]] == ["Afterwards", "Before"]
    hub.stop()
    assert hub.command("fsck").stdout == "Nothing is wrong.\n"


def test_a_second_hub_on_the_same_file_refuses_in_one_line(hub_process: HubProcess) -> None:
    second = HubProcess(hub_process.directory, store=f"sqlite:///{hub_process.directory}/state/msgserver.db")
    with pytest.raises(AssertionError) as caught:
        second.start()
    said = "".join(caught.value.__notes__)
    assert "another msgserver runs on" in said
    assert "Traceback" not in said
    assert hub_process.ready()


def test_a_wrong_configuration_ends_it_with_every_mistake(make_hub: Callable[..., HubProcess]) -> None:
    hub = make_hub(extra='[connector.x]\ntype = "smtq"\n')
    with pytest.raises(AssertionError) as caught:
        hub.start()
    said = "".join(caught.value.__notes__)
    assert 'no connector is "smtq"; did you mean "smtp"?' in said
    assert "Traceback" not in said
