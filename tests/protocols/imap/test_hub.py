"""A mailbox, a hub process as operators start it, and the ticket that a mail becomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.peers.dovecot import Dovecot
from tests.peers.hub import HubProcess
from tests.peers.programs import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.slow]

TABLE = """
[connector.mailbox]
type = "imap"
connect = "tcp:127.0.0.1:{port}"
ca_file = "{ca}"
user = "{user}"
password = {{ env = "MAILBOX_PASSWORD" }}
then = "move:Taken"
largest = 100000
"""


def mail(n: int, size: int = 0) -> bytes:
    head = f"From: Ana <ana@field.example>\r\nTo: help@hub.example\r\nSubject: Water {n}\r\n"
    kind = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
    return f"{head}Message-ID: <{n}@field.example>\r\n{kind}The well {n} is dry\r\n{'x' * size}\r\n--b--\r\n".encode()


def test_a_mail_becomes_a_ticket_also_over_kills(make_hub: Callable[..., HubProcess], dovecot: Dovecot) -> None:
    user = "desk"
    table = TABLE.format(port=dovecot.tls_port, ca=dovecot.ca, user=user)
    hub = make_hub(connectors=table, env={"MAILBOX_PASSWORD": dovecot.password})
    dovecot.append(user, mail(0))
    hub.start()
    token = hub.token()
    wait_until(lambda: hub.api(token, "/messages")["items"], "the mail is in the log")
    (message,) = hub.api(token, "/messages")["items"]
    assert (message["sender"], message["subject"]) == ("mailto:ana@field.example", "Water 0")
    assert message["text"].strip().startswith("The well 0 is dry")
    assert message["connector"] == "mailbox"

    def status() -> tuple[bool, str]:
        (connector,) = hub.api(token, "/connectors")["items"]
        return connector["able"], connector["words"]

    wait_until(lambda: status() == (True, "connected, waiting (IDLE)"), "it waits for more")

    for n in (1, 3, 5):
        for m in range(20):
            dovecot.append(user, mail(100 * n + m))
        hub.restart()
    dovecot.append(user, mail(999, size=150_000))

    def subjects() -> list[str]:
        return [item["subject"] for item in hub.api(token, "/messages?limit=100")["items"]]

    expected = {"Water 0", "Water 999", *(f"Water {100 * n + m}" for n in (1, 3, 5) for m in range(20))}
    wait_until(lambda: len(subjects()) >= len(expected), "all are there", 300)
    assert sorted(subjects()) == sorted(expected)
    (large,) = [m for m in hub.api(token, "/messages?limit=100")["items"] if m["subject"] == "Water 999"]
    assert "too large" in large["text"]
    client = dovecot.client(user)
    wait_until(lambda: client.select("Taken")[1] == [b"61"], "all are moved", 300)
    assert client.select("INBOX")[1] == [b"1"]
    client.logout()

    hub.stop()
    assert hub.command("fsck").stdout == "Nothing is wrong.\n"
    assert "Traceback" not in hub.log.read_text()
