"""The peers themselves: each starts, does its one thing, and is gone afterwards."""

from __future__ import annotations

import http.server
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page

from tests.peers.dovecot import Dovecot
from tests.peers.kannel import Kannel
from tests.peers.mail import SMTPSink
from tests.peers.postgresql import PostgreSQL
from tests.peers.programs import Program, listens, program, wait_until
from tests.peers.redis import Redis

pytestmark = pytest.mark.peer


def test_a_peer_that_is_not_installed_fails_and_says_what_to_do() -> None:
    with pytest.raises(pytest.fail.Exception, match="apt-get install no-such-package"):
        program("no-such-program", "no-such-package")


def test_a_program_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    dying = Program(["sh", "-c", "echo no such luck; exit 3"], tmp_path / "log")
    with pytest.raises(AssertionError, match="ended with 3") as caught:
        dying.wait_ready(lambda: False)
    assert "no such luck" in "".join(caught.value.__notes__)


def test_a_stubborn_program_is_killed_with_its_children(tmp_path: Path) -> None:
    stubborn = Program(["sh", "-c", "trap '' TERM; sleep 98 & echo $!; wait; wait"], tmp_path / "log")
    wait_until(lambda: (tmp_path / "log").read_text().strip(), "the child runs")
    child = int((tmp_path / "log").read_text())
    assert stubborn.stop(seconds=0.2) == -9
    wait_until(lambda: not _words_of(child), "the child is gone")


def _words_of(pid: int) -> bytes:
    """The command line of a process; nothing where it is dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_each_test_has_a_database_of_its_own(postgresql: PostgreSQL, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    assert postgresql.url("x") != postgresql_url


def test_redis_is_empty_and_can_go_away(redis: Redis) -> None:
    assert redis.command("DBSIZE") == b":0\r\n"
    assert redis.command("SET", "a", "b") == b"+OK\r\n"
    redis.stop()
    assert not listens(redis.port)


def test_redis_is_back_for_the_next_test(redis: Redis) -> None:
    assert redis.command("DBSIZE") == b":0\r\n"


def test_dovecot_keeps_a_mail(dovecot: Dovecot) -> None:
    dovecot.append("peers", b"Subject: hello\r\n\r\nbody\r\n")
    client = dovecot.client("peers")
    assert client.select("INBOX") == ("OK", [b"1"])
    client.logout()


def test_swaks_reaches_the_sink(swaks: Callable[..., str], smtp_sink: SMTPSink) -> None:
    swaks("-s", "127.0.0.1", "-p", str(smtp_sink.port), "-f", "a@x.example", "-t", "b@y.example", "--body", "hi")
    (mail,) = smtp_sink.wait_for(1)
    assert (mail.sender, mail.recipients) == ("a@x.example", ["b@y.example"])
    assert mail.message.get_content().strip() == "hi"


def test_smtp_source_reaches_the_sink(smtp_source: str, smtp_sink: SMTPSink) -> None:
    subprocess.run([smtp_source, "-m", "5", "-s", "2", f"127.0.0.1:{smtp_sink.port}"], check=True)
    assert len(smtp_sink.wait_for(5)) == 5


@pytest.fixture
def asked() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A web server of a few lines: its URL, and the queries it was asked."""
    queries: list[dict[str, str]] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            queries.append(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", queries
    server.shutdown()
    server.server_close()


def test_kannel_brings_a_text_and_takes_one(
    kannel: Callable[[str], Kannel], asked: tuple[str, list[dict[str, str]]]
) -> None:
    url, queries = asked
    gateway = kannel(f"{url}/in?from=%p&to=%P&text=%a")
    phones = gateway.network("+15551234 13013 data hello+from+phone")
    wait_until(lambda: queries, "the text has come")
    assert queries[0] == {"from": "+15551234", "to": "13013", "text": "hello from phone"}

    words = {"username": gateway.user, "password": gateway.password, "to": "+15559999", "text": "answer"}
    with urllib.request.urlopen(f"{gateway.url}?{urllib.parse.urlencode(words)}", timeout=60) as response:
        assert response.read() == b"0: Accepted for delivery"
    wait_until(lambda: b"answer" in phones.log.read_bytes(), "the phone has it")


def test_a_page_opens(page: Page) -> None:
    page.set_content("<title>desk</title><p>waiting</p>")
    assert page.title() == "desk"
