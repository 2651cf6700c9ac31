"""The real site over the real store in memory: requests go in as bytes, answers come out as bytes."""

from __future__ import annotations

import gzip
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from argon2 import PasswordHasher
from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from msgserver.config import Config, HubSettings, StoreSettings, WebSettings
from msgserver.records import HUB, Grant, Role, Viewer
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens
from msgserver.routing.desk import Desk
from msgserver.routing.passwords import hash_password
from msgserver.routing.plugins import Plugins
from msgserver.routing.snapshot import Snapshots
from msgserver.store import connectors, logins, users
from msgserver.store.connecting import once
from msgserver.web.site import make_factory

PASSWORD = "a long enough pass phrase"
_hashed: list[str] = []
NOW = 1_700_000_000.0


class PlainStore:
    """The store's door without its threads: each read and write at once, on a real database."""

    def __init__(self, path: Path) -> None:
        options = {"state_dir": path.parent}
        self.engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool, execution_options=options)
        event.listen(self.engine, "connect", self._set_up)
        event.listen(self.engine, "begin", lambda tx: tx.exec_driver_sql("BEGIN"))
        self.failure: Exception | None = None

    @staticmethod
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=OFF")

    async def read(self, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return self.now(query, *args, **kwargs)

    write = read

    def now(self, unit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.engine.begin() as tx:
            return unit(tx, *args, **kwargs)


class Answered(msgspec.Struct):
    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), [""])[-1]


def read_answer(wire: bytes, head: bool = False) -> tuple[Answered, bytes]:
    """One answer off the front of the wire, and what is behind it."""
    top, _, rest = wire.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    length = int(headers.get("content-length", ["0"])[0])
    body, rest = (b"", rest) if head else (rest[:length], rest[length:])
    if headers.get("content-encoding") == ["gzip"]:
        body = gzip.decompress(body)
    return Answered(int(lines[0].split()[1]), headers, body), rest


class Browser:
    """Somebody with a cookie jar, on connections of their own."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.cookies: dict[str, str] = {}

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, raw: bool = False
    ) -> Any:
        sent = {"Host": "desk.example", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if body or method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items()), "", ""]
        channel, transport = self.web.connect()
        channel.dataReceived("\r\n".join(lines).encode() + body)
        if raw:
            return channel, transport
        answer, _rest = read_answer(transport.value(), head=method == "HEAD")
        for cookie in answer.headers.get("set-cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def get(self, path: str, **headers: str) -> Answered:
        return self.send("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answered:
        kind = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.send("POST", path, urlencode(fields).encode(), kind)

    def submit(self, page: str, path: str, **fields: str) -> Answered:
        """Fill in the form on a page that goes to ``path``."""
        html = self.get(page).text
        form = re.search(rf'<form[^>]*method="post" action="{re.escape(path)}".*?</form>', html, re.S)
        assert form is not None, f"no form to {path} on {page}"
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]))
        return self.post(path, **{**hidden, **fields})

    def login(self, name: str, password: str = PASSWORD) -> Answered:
        return self.submit("/login", "/login", name=name, password=password)


class Web:
    """A site, its house, and people to use it."""

    def __init__(
        self, path: Path, *, url: str = "http://desk.example", proxies: list[str] | None = None, rate: int = 600
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = PlainStore(path)
        self.bus = Bus()
        web = WebSettings(url=url, trusted_proxies=proxies or [], token_rate=rate)
        config = Config(
            source="", hub=HubSettings(name="Relief desk"), store=StoreSettings(), redis=None, web=web, connector={}
        )
        lanes = {"mailto": "mail", "sms": "modem1", "xmpp": "chat"}
        desk = Desk(self.store, self.bus, lanes, "Relief desk", lambda: str(uuid.uuid4()), self.clock)  # type: ignore[arg-type]
        self.house = SimpleNamespace(
            config=config,
            store=self.store,
            bus=self.bus,
            desk=desk,
            connectors={},
            reactor=self.clock,
            rules=Snapshots(self.store),
            plugins=Plugins(path.parent / "parsers", 1.0, (), self.clock),  # type: ignore[arg-type]
            signer=Tokens(b"k" * 32),
        )

        async def in_thread(f: Callable[..., Any], *args: Any) -> Any:
            return f(*args)

        self.site = make_factory(self.house, in_thread)  # type: ignore[arg-type]
        self.site.doStart()
        for name, kind, schemes in (
            ("mail", "smtp", ["mailto"]),
            ("modem1", "gsm", ["sms"]),
            ("chat", "xmpp", ["xmpp"]),
        ):
            self.store.now(connectors.put_status, name, kind, "n1", True, "connected", NOW, schemes)

    def connect(self, peer: str = "192.0.2.7") -> tuple[Any, StringTransport]:
        address = IPv4Address("TCP", peer, 5000)
        channel = self.site.buildProtocol(address)
        transport = StringTransport(peerAddress=address)
        assert channel is not None
        channel.makeConnection(transport)
        return channel, transport

    def browser(self) -> Browser:
        return Browser(self)

    def user(self, name: str, *grants: Grant, role: Role = Role.RESPONDER) -> Viewer:
        _hashed[:] = _hashed or [hash_password(PASSWORD)]
        user = self.store.now(users.create_user, HUB, name, _hashed[0], grants or (Grant(role),), NOW)
        viewer = self.store.now(users.viewer, user.id)
        assert viewer is not None
        return viewer

    def signed_in(self, name: str, *grants: Grant, role: Role = Role.RESPONDER) -> Browser:
        self.user(name, *grants, role=role)
        browser = self.browser()
        answer = browser.login(name)
        assert answer.status == 303, answer.text
        return browser

    def token(self, viewer: Viewer) -> str:
        key = f"key of {viewer.name}".replace(" ", "-")
        self.store.now(logins.create_token, viewer, viewer.user_id, "test", key, NOW)
        return key


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("web") / "empty.db"
    with once(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture
def make_web(empty_database: Path, tmp_path: Path) -> Iterator[Callable[..., Web]]:
    made: list[Web] = []

    def make(**options: Any) -> Web:
        path = tmp_path / f"hub{len(made)}.db"
        shutil.copy(empty_database, path)
        made.append(Web(path, **options))
        return made[-1]

    yield make
    for web in made:
        for channel in tuple(web.site.channels):
            channel.connectionLost(Failure(ConnectionDone()))
        web.site.doStop()
        web.store.engine.dispose()
        assert web.clock.getDelayedCalls() == []


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgserver.routing.passwords._argon2", PasswordHasher(1, 8, 1))
    monkeypatch.setattr("msgserver.routing.passwords._nobody", "")


@pytest.fixture
def web(make_web: Callable[..., Web]) -> Web:
    return make_web()
