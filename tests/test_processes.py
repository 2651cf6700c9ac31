"""Several processes on one PostgreSQL, with Redis as their bell: one has the mail, one the web."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.peers.dovecot import Dovecot
from tests.peers.hub import HubProcess
from tests.peers.mail import SMTPSink
from tests.peers.programs import wait_until
from tests.peers.redis import Redis


@pytest.mark.peer
def test_a_mail_taken_by_one_process_is_answered_in_the_other(
    make_hub: Callable[..., HubProcess],
    swaks: Callable[..., str],
    postgresql_url: str,
    redis: Redis,
    smtp_sink: SMTPSink,
) -> None:
    bell = f'[redis]\nurl = "{redis.url}"\n'
    mail = make_hub(store=postgresql_url, extra=bell, relay_port=smtp_sink.port, hub='node = "mail"')
    desk = make_hub(store=postgresql_url, extra=bell, connectors="", hub='node = "desk"')
    mail.start()
    desk.start()
    token = desk.token()
    swaks("-s", "127.0.0.1", "-p", str(mail.smtp_port), "-f", "ana@field.example", "-t", "help@hub.example")
    wait_until(lambda: desk.api(token, "/messages")["items"], "the mail is in the log")
    [message] = desk.api(token, "/messages")["items"]
    desk.api(token, f"/messages/{message['id']}/reply", {"text": "A lorry comes."})
    smtp_sink.wait_for(1)
    redis.stop()  # and without the bell
    desk.api(token, f"/messages/{message['id']}/reply", {"text": "It is there."})
    smtp_sink.wait_for(2)
    for hub in (desk, mail):
        hub.stop()
        assert "Traceback" not in hub.log.read_text()


@pytest.mark.peer
@pytest.mark.slow
def test_a_mailbox_is_read_by_one_process_and_by_the_spare_when_that_one_is_gone(
    make_hub: Callable[..., HubProcess], postgresql_url: str, dovecot: Dovecot
) -> None:
    mailbox = f"""
[connector.box]
type = "imap"
connect = "tcp:127.0.0.1:{dovecot.tls_port}"
user = "spare"
password = {{ env = "BOX" }}
ca_file = "{dovecot.ca}"
poll_every = 1.0
"""
    made = {"store": postgresql_url, "connectors": mailbox, "env": {"BOX": dovecot.password}}
    first, spare = (make_hub(**made, hub=f'node = "{name}"') for name in ("first", "spare"))
    first.start()
    spare.start()
    assert "connector box is run by another process: standing by" in spare.log.read_text()
    token = spare.token()

    def subjects() -> list[str]:
        return [one["subject"] for one in spare.api(token, "/messages")["items"]]

    def bring(subject: str) -> None:
        dovecot.append("spare", f"From: ana@field.example\r\nSubject: {subject}\r\n\r\nThe well is dry.\r\n".encode())
        wait_until(lambda: subject in subjects(), f"{subject} is read", 60)

    bring("one")
    [box] = spare.api(token, "/connectors")["items"]
    assert box["able"]
    first.kill()
    bring("two")
    assert "connector box is run here now" in spare.log.read_text()
    first.start()  # it stands by now
    bring("three")
    assert subjects() == ["three", "two", "one"]
    for hub in (spare, first):
        hub.stop()
        assert "Traceback" not in hub.log.read_text()
