"""The configuration file: what is read, what is refused and in which words, and that secrets stay hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver import config as configuration
from msgserver.config import ConfigError, Connect, ConnectorTable, Listen, Secret, Url
from msgserver.settings import read_table

WHOLE = """
[hub]
name = "Relief desk"
connectors = ["mail"]
[store]
url = "postgresql+psycopg://hub@127.0.0.1/hub"
password = { file = "db.password" }
writers = 3
[redis]
url = "redis://127.0.0.1:6379/0"
[web]
listen = "tcp:8081:interface=127.0.0.1"
url = "https://desk.example"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
[connector.mail]
type = "smtp"
listen = "tcp:2525:interface=127.0.0.1"
[connector.chat]
type = "xmpp"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hub.toml"
    path.write_text(text)
    return path


def refused(tmp_path: Path, text: str) -> list[str]:
    """The mistakes that ``load`` finds, each without the file's name."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        configuration.load(path, tmp_path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert len(lines) == len(caught.value.mistakes)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_an_empty_file_is_a_whole_configuration(tmp_path: Path) -> None:
    config = configuration.load(write(tmp_path, ""))
    assert config.store.url == "sqlite:///var/msgserver.db"
    assert (config.hub.state, config.hub.connectors, config.hub.web) == ("var", "all", True)
    assert config.redis is None
    assert config.connector == {}


def test_every_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "db.password").write_text("p@ss/word\n")
    config = configuration.load(write(tmp_path, WHOLE), tmp_path)
    assert config.hub.name == "Relief desk"
    assert config.store.full_url() == "postgresql+psycopg://hub:p%40ss%2Fword@127.0.0.1/hub"
    assert config.redis is not None
    assert config.redis.full_url() == "redis://127.0.0.1:6379/0"
    assert config.web.trusted_proxies == ["127.0.0.1", "10.0.0.0/8"]
    assert config.connector["mail"] == ConnectorTable("smtp", {"listen": "tcp:2525:interface=127.0.0.1"})
    assert list(config.chosen()) == ["mail"]


def test_redis_takes_a_password_without_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_REDIS", "word")
    text = '[redis]\nurl = "redis://127.0.0.1:6379"\npassword = { env = "HUB_REDIS" }'
    config = configuration.load(write(tmp_path, text))
    assert config.redis is not None
    assert config.redis.full_url() == "redis://:word@127.0.0.1:6379"


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = """
    [hub]
    nmae = "x"
    web = "yes"
    connectors = 3
    [stor]
    [store]
    writers = 9
    [redis]
    [web]
    listen = "tcp:http"
    url = "desk.example"
    [connector.mail]
    listen = "tcp:2525"
    [connector."Über"]
    type = "smtp"
    """
    assert refused(tmp_path, text) == [
        '[stor]: unknown table; did you mean "store"?',
        '[hub] nmae: unknown key; did you mean "name"?',
        '[hub] connectors: must be "all" or a list, each text in quotes',
        "[hub] web: must be true or false",
        "[store] writers: must be a whole number, at least 1, at most 4",
        "[redis] url: is missing; it is text in quotes",
        '[web] listen: has no port from 1 to 65535; write it as in "tcp:2525:interface=127.0.0.1"',
        '[web] url: must begin with http:// or https://, as in "http://127.0.0.1:8080"',
        '[connector.mail] type: is missing; it names the protocol, as in type = "smtp"',
        "[connector.Über]: this name cannot be used; it is part of web addresses: small letters, digits, - and _",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hub = 3", "hub: must be a table"),
        ('[connector]\nmail = "smtp"', "must be a table; write [connector.mail]"),
        ('[store]\nurl = "sqlite://"', 'must name a file, as in "sqlite:///var/msgserver.db"'),
        ('[store]\nurl = "mysql://x/y"', "must begin with sqlite:// or postgresql+psycopg://"),
        ('[store]\nurl = "postgresql+psycopg://a:hunter2@b/c"', "may not hold a password"),
        ('[store]\nurl = "postgresql+psycopg://a@b/c?password=hunter2"', "may not hold a password"),
        ('[web]\nurl = "http://x:hunter2@y"', "may not hold a password"),
        ('[web]\nurl = "http://:80:"', "is not a URL"),
        ('[web]\ntrusted_proxies = ["proxy"]', "must be addresses or networks"),
        ('[store]\npassword = "hunter2"', "a secret may not stand in the configuration itself; put it into a file"),
        ('[store]\npassword = { fiel = "hunter2" }', 'must be a secret: { file = "..." } or { env = "..." }'),
        ('[store]\npassword = { file = "gone" }', "gone cannot be read: no such file or directory; write the secret"),
        ('[store]\npassword = { env = "HUB_NOT_SET" }', "the environment has no HUB_NOT_SET; set it where"),
        ('[hub]\nconnectors = ["mial"]\n[connector.mail]\ntype = "smtp"', 'no [connector.mial]; did you mean "mail"?'),
    ],
)
def test_each_mistake_says_what_to_do(tmp_path: Path, text: str, words: str) -> None:
    (line,) = refused(tmp_path, text)
    assert words in line
    assert "hunter2" not in line


def test_an_empty_secret_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "the secret is empty" in refused(tmp_path, '[store]\npassword = { file = "empty" }')[0]
    assert "binary is not UTF-8 text" in refused(tmp_path, '[store]\npassword = { file = "binary" }')[0]


def test_a_file_that_is_not_there_names_the_command_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "gone.toml"
    with pytest.raises(ConfigError) as caught:
        configuration.load(path)
    expected = f"{path}: cannot be read: no such file or directory; make one with: msgserver init --config {path}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("raw", [b"[hub\n", b"\xff"])
def test_what_is_not_toml_is_said_to_be_so(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "hub.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="is not TOML: "):
        configuration.load(path)


@given(st.text(max_size=60))
def test_no_text_breaks_an_endpoint_or_a_url(text: str) -> None:
    class Ends(msgspec.Struct, frozen=True):
        listen: Listen
        connect: Connect
        url: Url

    settings, mistakes = read_table({"listen": text, "connect": text, "url": text}, Ends, "x", Path())
    assert (settings is None) == bool(mistakes)
    assert {mistake.key for mistake in mistakes} >= {"url"} or text.startswith("http")


@pytest.mark.parametrize(
    "text", ["tcp:25", "tcp:port=25:interface=::1", "ssl:465:privateKey=a.pem", "unix:/run/x", "systemd:name=a"]
)
def test_endpoints_to_listen_on(text: str) -> None:
    assert read_table({"listen": text}, _Ends, "x", Path())[1] == []


@pytest.mark.parametrize("text", ["", "tcp", "tcp:", "tcp:0x1", "tcp:70000", "ucp:25", "tcp:25:interfac=::1", "unix:"])
def test_endpoints_to_listen_on_that_are_refused(text: str) -> None:
    (mistake,) = read_table({"listen": text}, _Ends, "x", Path())[1]
    assert mistake.key == "listen"


@pytest.mark.parametrize("text", ["tcp:mail.example:25", "tls:host=a:port=465", r"tcp:fe80\:\:1:25", "unix:/run/x"])
def test_endpoints_to_connect_to(text: str) -> None:
    assert read_table({"connect": text}, _Ends, "x", Path())[1] == []


@pytest.mark.parametrize("text", ["tcp:25", "tcp::25", "tcp:a:0", "tcp:a:b", "a:25", "tcp:a:25:timeuot=3"])
def test_endpoints_to_connect_to_that_are_refused(text: str) -> None:
    (mistake,) = read_table({"connect": text}, _Ends, "x", Path())[1]
    assert mistake.key == "connect"


@pytest.mark.parametrize("several", [["tcp:25", "nonsense"], "nonsense", {"a": "nonsense"}])
def test_a_check_reaches_into_lists_and_tables(several: object) -> None:
    class Several(msgspec.Struct, frozen=True):
        ends: Listen | tuple[Listen, ...] | dict[str, Listen] = ()

    assert read_table({"ends": ["tcp:25"]}, Several, "x", Path())[1] == []
    (mistake,) = read_table({"ends": several}, Several, "x", Path())[1]
    assert mistake.words.startswith("must begin with tcp:, tcp6:, ssl:, unix: or systemd:")


class _Ends(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: Listen | None = None
    connect: Connect | None = None


class _Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: str
    password: Secret


def _even(value: str) -> str | None:
    return None if len(value) % 2 == 0 else "must have an even length"


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    accounts: list[_Account]
    extra: dict[str, _Account] = {}
    kind: Literal["a", "b"] = "a"
    pairs: list[Annotated[str, msgspec.Meta(extra={"check": _even})]] = []
    low: float = 1
    high: float = 2

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_nested_tables_are_walked_too(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hidden\n")
    good = {"user": "ana", "password": {"file": "word"}}
    table = ConnectorTable("x", {"accounts": [good], "extra": {"b": good}})
    settings = configuration.connector_settings("x", table, _Settings, tmp_path)
    assert settings.accounts[0].password.reveal() == settings.extra["b"].password.reveal() == "hidden"

    keys = {"accounts": [{"usr": 1, "user": "x"}], "kind": "c", "extra": {"b": 3}, "pairs": ["odd"], "low": "1"}
    with pytest.raises(ConfigError) as caught:
        configuration.connector_settings("x", ConnectorTable("x", keys), _Settings, tmp_path)
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        '[connector.x.accounts.1] usr: unknown key; did you mean "user"?',
        '[connector.x.accounts.1] password: is missing; it is a secret: { file = "..." } or { env = "..." }',
        "[connector.x.extra] b: must be a table",
        '[connector.x] kind: must be "a" or "b"',
        "[connector.x] pairs: must have an even length",
        "[connector.x] low: must be a number",
    ]


def test_keys_that_do_not_fit_together(tmp_path: Path) -> None:
    keys = {"accounts": [], "low": 3}
    with pytest.raises(ConfigError, match="low is above high"):
        configuration.connector_settings("x", ConnectorTable("x", keys), _Settings, tmp_path)


PROTOCOL = """
import msgspec
from msgserver.config import Listen, Secret

class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: Listen
    password: Secret | None = None
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of protocol modules: one good, one whose dependency is not installed."""
    (tmp_path / "fakeprotocols").mkdir()
    (tmp_path / "fakeprotocols/__init__.py").write_text("")
    (tmp_path / "fakeprotocols/pigeon.py").write_text(PROTOCOL)
    (tmp_path / "fakeprotocols/broken.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "fakeprotocols"


def test_connectors_are_loaded_by_name(tmp_path: Path, package: str) -> None:
    (tmp_path / "word").write_text("canary")
    text = """
    [hub]
    connectors = ["birds"]
    [connector.birds]
    type = "pigeon"
    listen = "tcp:2525"
    password = { file = "word" }
    [connector.others]
    type = "of no concern here"
    """
    config = configuration.load(write(tmp_path, text))
    loaded = configuration.load_connectors(config, package, tmp_path)
    assert list(loaded) == ["birds"]
    assert loaded["birds"].module.__name__ == "fakeprotocols.pigeon"
    shown = configuration.show(config, loaded)
    assert shown["connector.birds"] == {"type": "pigeon", "listen": "tcp:2525", "password": "****"}
    assert shown["connector.others"] == {"type": "of no concern here"}
    assert shown["hub"]["connectors"] == ["birds"]
    assert "canary" not in repr((shown, loaded, config))


def test_all_connectors_mistakes_come_at_once(tmp_path: Path, package: str) -> None:
    text = """
    [connector.a]
    type = "pigoen"
    [connector.b]
    type = "broken"
    [connector.c]
    type = "pigeon"
    lisen = "tcp:2525"
    """
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        configuration.load_connectors(configuration.load(path), package)
    assert str(caught.value).splitlines() == [
        f'{path}: [connector.a] type: no connector is "pigoen"; did you mean "pigeon"?',
        f"{path}: [connector.b] type: broken cannot be loaded: No module named 'no_such_library'",
        f'{path}: [connector.c] lisen: unknown key; did you mean "listen"?',
        f"{path}: [connector.c] listen: is missing; it is text in quotes",
    ]


def test_a_type_far_from_all_others_names_them(tmp_path: Path, package: str) -> None:
    config = configuration.load(write(tmp_path, '[connector.a]\ntype = "zzz"'))
    with pytest.raises(ConfigError, match="known are: broken, pigeon"):
        configuration.load_connectors(config, package)


def test_secrets_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_WORD", "canary")
    text = '[store]\nurl = "postgresql+psycopg://a@b/c"\npassword = { env = "HUB_WORD" }\n'
    config = configuration.load(write(tmp_path, text + '[connector.x]\ntype = "y"\npassword = "canary"'))
    assert config.store.password is not None
    shown = configuration.show(config, {})
    assert shown["store"]["password"] == "****"
    for words in (repr(config), str(config.store.password), f"{config.store.password!r}", repr(shown)):
        assert "canary" not in words


def test_secrets_compare_by_their_word() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
