"""Several processes on one PostgreSQL, with Redis as their bell: one has the mail, one the web."""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
