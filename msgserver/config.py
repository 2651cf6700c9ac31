"""The configuration file: its tables, and the settings of the connectors it names.

``load`` reads a file into a ``Config`` or raises ``ConfigError`` with everything that is wrong with it;
``load_connectors`` finds the modules that the connector tables name and reads each table with its module's
``Settings``. ``show`` gives it all back for people to read, secrets masked.
"""

from __future__ import annotations

import importlib
import ipaddress
import pkgutil
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from phonenumbers import SUPPORTED_REGIONS

from msgserver.settings import (
    ConfigError,
    Connect,
    Listen,
    Mistake,
    Secret,
    Url,
    did_you_mean,
    read_table,
    url_mistake,
)

__all__ = [
    "Config",
    "ConfigError",
    "Connect",
    "ConnectorTable",
    "HubSettings",
    "Listen",
    "LoadedConnector",
    "Mistake",
    "ParserSettings",
    "RedisSettings",
    "Secret",
    "StoreSettings",
    "TrustSettings",
    "Url",
    "WebSettings",
    "connector_settings",
    "connector_types",
    "load",
    "load_connectors",
    "show",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
PROTOCOLS = "msgserver.protocols"  # where connector types are looked for, loaded by name only

S = TypeVar("S", bound=msgspec.Struct)


def _store_url(value: str) -> str | None:
    if value.startswith("sqlite:"):
        path = value.removeprefix("sqlite:///")
        if path == value or not path or path == ":memory:":
            return 'must name a file, as in "sqlite:///var/msgserver.db"'
        return None
    return url_mistake(
        value, ("sqlite", "postgresql+psycopg"), "postgresql+psycopg://msgserver@127.0.0.1/msgserver", True
    )


def _redis_url(value: str) -> str | None:
    return url_mistake(value, ("redis",), "redis://127.0.0.1:6379/0")


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _network(value: str) -> str | None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return 'must be addresses or networks, as in "127.0.0.1" or "10.0.0.0/8"'
    return None


def _dns_server(value: str) -> str | None:
    host, colon, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host if colon and port.isdecimal() and "." in host else value)
    except ValueError:
        return 'must be addresses of DNS servers, as in "192.0.2.53" or "127.0.0.1:5353"'
    return None


def _domain(value: str) -> str | None:
    if not value.isascii() or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", label) for label in value.split(".")):
        return 'must be domains as the DNS writes them, as in "lists.example"'
    return None


def _region(value: str) -> str | None:
    if value and value not in SUPPORTED_REGIONS:
        return 'must be a country of two capital letters, as in "AF", or empty'
    return None


def _with_password(url: str, password: Secret | None) -> str:
    if password is None:
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password.reveal(), safe='')}@{host}"))


# The tables


class HubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[hub]``: this process."""

    name: str = "msgserver"  # shown to people: page titles, SMTP greeting
    state: str = "var"  # directory of the database, keys and spool
    connectors: Literal["all"] | list[str] = "all"  # which of the connector tables this process runs
    web: bool = True  # whether this process serves the web
    node: str | None = None  # this process among several; None: the machine's name
    sms_warn: Annotated[int, msgspec.Meta(ge=1)] = 3  # parts of a text above which its writer is warned
    sms_most: Annotated[int, msgspec.Meta(ge=1, le=255)] = 6  # parts of the longest text that people may send
    region: Annotated[str, msgspec.Meta(extra={"check": _region})] = ""  # the country of numbers written without one
    contact: str = ""  # told to whoever writes HELP
    open_topics: list[str] = []  # types of records that anybody may subscribe to: SUBSCRIBE warning
    most_copies: Annotated[int, msgspec.Meta(ge=1)] = 2000  # of one message that leave without a person's word


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[store]``: the database."""

    url: Annotated[str, msgspec.Meta(extra={"check": _store_url})] = "sqlite:///var/msgserver.db"
    password: Secret | None = None
    writers: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2  # connections that write; SQLite always has one
    readers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 3  # connections that read
    apart: bool = True  # a process of its own writes, on a second processor core; else a thread

    def full_url(self) -> str:
        """The URL with the password in it: for the driver only, never for a log or a page."""
        return _with_password(self.url, self.password)


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[redis]``: the bell between several processes."""

    url: Annotated[str, msgspec.Meta(extra={"check": _redis_url})]
    password: Secret | None = None

    def __post_init__(self) -> None:
        """Refuse a Redis that anybody on the network could speak through."""
        if self.password is None and not _on_this_machine(urlsplit(self.url).hostname or ""):
            raise ValueError("a Redis on another machine needs a password: set its requirepass, and name it here")

    def full_url(self) -> str:
        """The URL with the password in it: for the driver only, never for a log or a page."""
        return _with_password(self.url, self.password)


class WebSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[web]``: pages, API and webhooks."""

    listen: Listen = "tcp:8080:interface=127.0.0.1"
    url: Url = "http://127.0.0.1:8080"  # how people reach it: links and the Origin check use it
    token_rate: Annotated[int, msgspec.Meta(ge=1)] = 600  # requests a minute with one API token, then 429
    trusted_proxies: list[
        Annotated[str, msgspec.Meta(extra={"check": _network})]
    ] = []  # addresses whose X-Forwarded-For is believed


class TrustSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[trust]``: whether the senders of mail are checked, and by which DNS."""

    check: bool = True  # SPF, DKIM and DMARC of every mail; False: only what our own border says
    dns: list[Annotated[str, msgspec.Meta(extra={"check": _dns_server})]] = []  # servers to ask; []: the system's
    within: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 5.0  # seconds; then a mail is recorded unchecked
    arc: list[Annotated[str, msgspec.Meta(extra={"check": _domain})]] = []  # whose seals on what they forward count


class ParserSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[parsers]``: plug-in parsers."""

    folder: str = ""  # where modules may be dropped; empty: "parsers" in the hub's state directory
    seconds: Annotated[float, msgspec.Meta(gt=0, le=30)] = 1.0  # for one message; no message waits longer
    skip: list[str] = []  # names of those that are not to be used


class ConnectorTable(msgspec.Struct, frozen=True):
    """``[connector.NAME]`` as it stands in the file: its type, and keys that only the type can read."""

    type: str
    keys: dict[str, Any]

    def __repr__(self) -> str:
        return f"ConnectorTable({self.type!r}, keys {sorted(self.keys)})"  # a value may be a misplaced secret


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration, read and checked; ``source`` is the file it came from."""

    source: str
    hub: HubSettings
    store: StoreSettings
    redis: RedisSettings | None
    web: WebSettings
    trust: TrustSettings = TrustSettings()
    parsers: ParserSettings = ParserSettings()
    connector: dict[str, ConnectorTable]

    def chosen(self) -> dict[str, ConnectorTable]:
        """The connectors that this process runs, in the file's order."""
        wanted = self.hub.connectors
        return {name: t for name, t in self.connector.items() if wanted == "all" or name in wanted}


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """The file as a Struct, so that the walk reads it like any other table."""

    hub: HubSettings = HubSettings()
    store: StoreSettings = StoreSettings()
    redis: RedisSettings | None = None
    web: WebSettings = WebSettings()
    trust: TrustSettings = TrustSettings()
    parsers: ParserSettings = ParserSettings()
    connector: dict[str, Any] = {}


class LoadedConnector(msgspec.Struct, frozen=True):
    """A connector's module and the settings that its ``make_connector`` takes."""

    module: ModuleType
    settings: Any


def load(path: Path, base_dir: Path | None = None) -> Config:
    """Read a configuration file; connector tables stay raw until :func:`load_connectors`.

    Files that it names are relative to ``base_dir`` (the working directory).

    Raises:
        ConfigError: with all that is wrong, or with the one reason why it cannot be read.
    """
    source = str(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = f"make one with: msgserver init --config {source}" if isinstance(error, FileNotFoundError) else ""
        reason = (error.strerror or "it cannot be opened").lower()
        raise ConfigError(source, [Mistake("", "", f"cannot be read: {reason}", hint)]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise ConfigError(source, [Mistake("", "", f"is not TOML: {where}")]) from None
    read, mistakes = read_table(table, _File, "", base_dir or Path())
    raw = table.get("connector")
    connectors, wrong = _connector_tables(raw if isinstance(raw, dict) else {})
    mistakes += wrong
    if read is None or mistakes:
        raise ConfigError(source, mistakes)
    missing = [name for name in read.hub.connectors if name not in connectors] if read.hub.connectors != "all" else []
    if missing:
        raise ConfigError(source, [_no_such_connector(name, connectors) for name in missing])
    return Config(
        source=source,
        hub=read.hub,
        store=read.store,
        redis=read.redis,
        web=read.web,
        trust=read.trust,
        parsers=read.parsers,
        connector=connectors,
    )


def _connector_tables(raw: Mapping[str, Any]) -> tuple[dict[str, ConnectorTable], list[Mistake]]:
    tables, mistakes = {}, []
    for name, keys in raw.items():
        if not isinstance(keys, dict):
            mistakes.append(Mistake("connector", name, "must be a table", f"write [connector.{name}]"))
        elif not _NAME.fullmatch(name):
            hint = "it is part of web addresses: small letters, digits, - and _"
            mistakes.append(Mistake(f"connector.{name}", "", "this name cannot be used", hint))
        elif not isinstance(keys.get("type"), str):
            words = "must be text in quotes" if "type" in keys else "is missing"
            mistakes.append(Mistake(f"connector.{name}", "type", words, 'it names the protocol, as in type = "smtp"'))
        else:
            tables[name] = ConnectorTable(keys["type"], {k: v for k, v in keys.items() if k != "type"})
    return tables, mistakes


def _no_such_connector(name: str, known: Iterable[str]) -> Mistake:
    return Mistake("hub", "connectors", f"there is no [connector.{name}]", did_you_mean(name, known))


def connector_types(package: str = PROTOCOLS) -> list[str]:
    """The names that ``type`` may have: the modules in the package, third parties' included."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted({module.name for module in found if not module.name.startswith("_")})


def connector_settings(name: str, table: ConnectorTable, settings_type: type[S], base_dir: Path | None = None) -> S:
    """Read ``[connector.NAME]`` with its module's ``Settings``.

    Raises:
        ConfigError: with all that is wrong in this table.
    """
    settings, mistakes = read_table(table.keys, settings_type, f"connector.{name}", base_dir or Path())
    if settings is None:
        raise ConfigError("", mistakes)
    return settings


def load_connectors(
    config: Config, package: str = PROTOCOLS, base_dir: Path | None = None
) -> dict[str, LoadedConnector]:
    """Import the modules of the connectors that this process runs, and read their tables.

    Raises:
        ConfigError: with all that is wrong in all of them.
    """
    known = connector_types(package)
    loaded: dict[str, LoadedConnector] = {}
    mistakes: list[Mistake] = []
    for name, table in config.chosen().items():
        try:
            if table.type not in known:
                hint = did_you_mean(table.type, known) or f"known are: {', '.join(known)}"
                raise ConfigError("", [Mistake(f"connector.{name}", "type", f'no connector is "{table.type}"', hint)])
            module = importlib.import_module(f"{package}.{table.type}")
            loaded[name] = LoadedConnector(module, connector_settings(name, table, module.Settings, base_dir))
        except ImportError as error:
            mistakes.append(Mistake(f"connector.{name}", "type", f"{table.type} cannot be loaded: {error}"))
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(config.source, mistakes)
    return loaded


def show(config: Config, connectors: Mapping[str, LoadedConnector]) -> dict[str, dict[str, Any]]:
    """Every table with every setting in force, for people to read: ``{"hub": {"name": ...}, ...}``.

    Secrets show as ``****``; a connector that this process does not run shows its type alone.
    """
    tables: dict[str, Any] = {
        "hub": config.hub,
        "store": config.store,
        "redis": config.redis,
        "web": config.web,
        "trust": config.trust,
    }
    shown = {name: _plain(table) for name, table in tables.items() if table is not None}
    for name, table in config.connector.items():
        settings = _plain(connectors[name].settings) if name in connectors else {}
        shown[f"connector.{name}"] = {"type": table.type, **settings}
    return shown


def _plain(settings: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return plain
