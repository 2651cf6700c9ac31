"""From the greeting to the account, with servers that offer this or that."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from msgserver.protocols.imap.line import Refused
from msgserver.protocols.imap.login import NotUsable, log_in
from msgserver.protocols.imap.settings import Settings
from msgserver.settings import Secret, read_table
from tests.protocols.imap.test_line import Talk

TOKEN = Secret("t0ken")
OAUTH = {"password": None, "token": TOKEN}


def settings(**changes: Any) -> Settings:
    table: dict[str, Any] = {"connect": "tcp:127.0.0.1:143", "tls": "none", "user": "desk", "password": Secret('p"w')}
    return Settings(**{**table, **changes})


class Login(Talk):
    """A login under way; ``offer`` answers CAPABILITY."""

    def __init__(self, greeting: bytes = b"* OK ready", **changes: Any) -> None:
        super().__init__(greeted=False)
        self.hear(greeting + b"\r\n")
        self.securing: list[object] = []
        self.transport.startTLS = self.securing.append  # type: ignore[attr-defined]
        self.tag = 0
        self._watch(log_in(self.line, settings(**changes), "the context"))

    def asked(self) -> str:
        """The next command, without its tag."""
        self.tag += 1
        tag, _, words = self.said().decode().partition(" ")
        assert tag == f"{self.tag:04X}"
        return words.removesuffix("\r\n")

    def ok(self, *before: str) -> None:
        self.hear("".join(f"* {one}\r\n" for one in before).encode() + b"%04X OK done\r\n" % self.tag)

    def no(self, words: str) -> None:
        self.hear(b"%04X NO %b\r\n" % (self.tag, words.encode()))

    def offer(self, *abilities: str) -> None:
        assert self.asked() == "CAPABILITY"
        self.ok("CAPABILITY IMAP4rev1 " + " ".join(abilities))

    @property
    def trouble(self) -> NotUsable:
        (result,) = self.results
        assert isinstance(result, NotUsable), result
        assert 'p"w' not in str(result)
        assert "t0ken" not in str(result)
        return result


PLAIN = base64.b64encode(b'\0desk\0p"w').decode()


def test_by_password_in_one_step() -> None:
    login = Login()
    login.offer("SASL-IR", "AUTH=PLAIN")
    assert login.asked() == f"AUTHENTICATE PLAIN {PLAIN}"
    login.ok()
    login.offer("IDLE", "move")
    assert login.results == [{b"IMAP4REV1", b"IDLE", b"MOVE"}]


def test_by_password_in_two_steps() -> None:
    login = Login()
    login.offer("AUTH=PLAIN")
    assert login.asked() == "AUTHENTICATE PLAIN"
    login.hear(b"+ \r\n")
    assert login.said().decode() == f"{PLAIN}\r\n"
    login.ok()
    login.offer()
    assert login.results


def test_by_the_old_command_where_nothing_better_is_offered() -> None:
    login = Login()
    login.offer()
    assert login.asked() == 'LOGIN "desk" "p\\"w"'
    login.ok()
    login.offer()
    assert login.results
    for password in ("pässword", "two\r\nlines"):
        login = Login(password=Secret(password))
        login.offer()
        assert login.trouble.settled
        assert login.said() == b""


def test_a_password_is_not_sent_where_the_server_says_that_it_must_not() -> None:
    login = Login()
    login.offer("LOGINDISABLED")
    assert login.trouble.settled
    assert login.said() == b""


@pytest.mark.parametrize(
    ("answer", "words", "settled"),
    [
        ("[AUTHENTICATIONFAILED] bad", "password refused: bad", True),
        ("bad", "password refused: bad", True),
        ("[UNAVAILABLE] the directory is away", "no login just now: the directory is away", False),
    ],
)
def test_a_refused_password(answer: str, words: str, settled: bool) -> None:
    login = Login()
    login.offer("SASL-IR", "AUTH=PLAIN")
    login.asked()
    login.no(answer)
    assert (str(login.trouble), login.trouble.settled) == (words, settled)


def test_by_xoauth2() -> None:
    login = Login(auth="xoauth2", **OAUTH)
    login.offer("SASL-IR", "AUTH=XOAUTH2")
    verb, mechanism, words = login.asked().split()
    assert (verb, mechanism) == ("AUTHENTICATE", "XOAUTH2")
    assert base64.b64decode(words) == b"user=desk\1auth=Bearer t0ken\1\1"
    login.hear(b"+ " + base64.b64encode(b'{"status":"401","schemes":"Bearer"}') + b"\r\n")
    assert login.said() == b"\r\n"
    login.no("[AUTHENTICATIONFAILED] bad")
    assert str(login.trouble) == "the token was refused (401)"


def test_by_oauthbearer() -> None:
    login = Login(auth="oauthbearer", user="d=e,sk", **OAUTH)
    login.offer("AUTH=OAUTHBEARER")
    assert login.asked() == "AUTHENTICATE OAUTHBEARER"
    login.hear(b"+ \r\n")
    assert base64.b64decode(login.said()) == b"n,a=d=3De=2Csk,\1host=127.0.0.1\1auth=Bearer t0ken\1\1"
    login.hear(b"+ " + base64.b64encode(b'{"status":"invalid_token"}') + b"\r\n")
    assert login.said() == b"AQ==\r\n"
    login.no("bad")
    assert str(login.trouble) == "the token was refused (invalid_token)"


@pytest.mark.parametrize("challenge", [b"", b"!", base64.b64encode(b"[]"), base64.b64encode(b"[" * 9999)])
def test_a_refusal_that_cannot_be_read(challenge: bytes) -> None:
    login = Login(auth="xoauth2", **OAUTH)
    login.offer("SASL-IR", "AUTH=XOAUTH2")
    login.asked()
    login.hear(b"+ " + challenge + b"\r\n")
    login.said()
    login.no("bad")
    assert str(login.trouble) == "the token was refused"


def test_a_server_that_asks_for_ever() -> None:
    login = Login(auth="xoauth2", **OAUTH)
    login.offer("AUTH=XOAUTH2")
    for _ in range(5):
        login.hear(b"+ eA==\r\n")
    assert login.why == "it asks for ever during the login"


def test_a_token_is_read_anew_at_each_login(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = Secret.from_file(path)
    for word in ("second", "third"):
        path.write_text(f"{word}\n")
        login = Login(auth="xoauth2", password=None, token=token)
        login.offer("SASL-IR", "AUTH=XOAUTH2")
        assert f"Bearer {word}\1" in base64.b64decode(login.asked().split()[2]).decode()
    path.unlink()
    login = Login(auth="xoauth2", password=None, token=token)
    login.offer("SASL-IR", "AUTH=XOAUTH2")
    assert "cannot be read" in str(login.trouble)
    assert not login.trouble.settled


def test_a_way_that_is_not_offered() -> None:
    login = Login(auth="oauthbearer", **OAUTH)
    login.offer("AUTH=PLAIN")
    assert "does not offer oauthbearer" in str(login.trouble)


STARTTLS = {"tls": "starttls"}


def test_encryption_first() -> None:
    login = Login(**STARTTLS)
    login.offer("STARTTLS", "AUTH=PLAIN", "SASL-IR")
    assert login.asked() == "STARTTLS"
    assert not login.securing
    login.ok()
    assert login.securing == ["the context"]
    login.offer("AUTH=PLAIN", "SASL-IR")  # what was offered in clear does not count
    assert login.asked().startswith("AUTHENTICATE PLAIN ")


def test_no_encryption_no_login() -> None:
    login = Login(**STARTTLS)
    login.offer("AUTH=PLAIN")
    assert "no STARTTLS" in str(login.trouble)
    refused = Login(**STARTTLS)
    refused.offer("STARTTLS")
    refused.asked()
    refused.no("not today")
    assert str(refused.trouble) == "it refuses STARTTLS: not today"
    assert login.said() == refused.said() == b""


def test_what_is_said_in_clear_after_starttls_is_an_attack() -> None:
    login = Login(**STARTTLS)
    login.offer("STARTTLS")
    login.asked()
    login.hear(b"0002 OK go\r\n* CAPABILITY AUTH=PLAIN\r\n0003 OK\r\n")
    assert "somebody may stand between" in str(login.trouble)
    assert not login.securing
    assert login.said() == b""


def test_being_let_in_before_encryption_is_an_attack() -> None:
    login = Login(b"* PREAUTH welcome", **STARTTLS)
    assert "somebody may stand between" in str(login.trouble)


def test_being_let_in_at_once() -> None:
    login = Login(b"* PREAUTH welcome")
    login.offer("IDLE")
    assert login.results == [{b"IMAP4REV1", b"IDLE"}]


def test_a_server_that_does_not_say_what_it_can_do() -> None:
    login = Login()
    login.asked()
    login.no("what?")
    assert not login.trouble.settled


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": None}, "password is missing"),
        ({"auth": "xoauth2"}, "token is missing"),
        ({"connect": "tcp:10.0.0.5:143"}, "in clear"),
        ({"connect": "tcp:localhost.example:143"}, "in clear"),
        ({"connect": "tls:127.0.0.1:993"}, 'must begin with "tcp:"'),
        ({"folder": []}, "folder must be"),
        ({"folder": ["A", "A"]}, "folder must be"),
        ({"folder": ["INBOX", "A"], "then": "move:A"}, "again and again"),
        ({"user": "a\r\nb"}, "control characters"),
        ({"connect": "unix:/run/imap", "tls": "tls"}, "tls_name"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**changes)


@pytest.mark.parametrize(("then", "right"), [("seen", True), ("move:Taken", True), ("move: ", False), ("keep", False)])
def test_what_is_done_with_a_mail_is_checked(then: str, right: bool) -> None:
    table = {"connect": "tcp:127.0.0.1:993", "user": "desk", "password": {"env": "PATH"}, "then": then}
    read, mistakes = read_table(table, Settings, "connector.box", Path())
    assert (read is not None) is right
    assert [mistake.key for mistake in mistakes] == ([] if right else ["then"])


def test_settings_that_work() -> None:
    assert settings(connect=r"tcp:\:\:1:143").host == "::1"
    assert settings(connect="tcp:host=localhost:port=143").host == "localhost"
    assert settings(connect="unix:/run/imap").host == ""
    assert settings(connect="tcp:mail.example:993", tls="tls").certified_name == "mail.example"
    assert settings(connect="tcp:mail.example:993", tls="tls", tls_name="x.example").certified_name == "x.example"
    assert settings(then="move: Taken ").target == "Taken"
    assert settings(folder=["A", "B"]).folders == ("A", "B")


def test_refusals_have_words() -> None:
    assert str(Refused(b"NO ")) == "NO"
