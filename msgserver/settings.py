"""What a setting may be, and the reading of a TOML table into a Struct with every mistake at once.

A table's settings are a frozen ``msgspec.Struct``; a field's type is its rule. ``Secret`` fields read
``{ file = "..." }`` or ``{ env = "..." }``; ``Listen``, ``Connect`` and ``Url`` are strings that are checked;
a rule of one's own is ``Annotated[str, msgspec.Meta(extra={"check": f})]`` where ``f(value)`` returns what is
wrong, in words that do not repeat the value, or None. ``__post_init__`` may raise ValueError for two keys
that do not fit together. Nothing said here repeats a value: it might be a misplaced secret.
"""

from __future__ import annotations

import difflib
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


class Secret:
    """A word that is never shown: ``{ file = "..." }`` or ``{ env = "..." }`` in the configuration."""

    __slots__ = ("_path", "_word")

    def __init__(self, word: str, path: Path | None = None) -> None:
        self._word = word
        self._path = path  # where it was read from

    @classmethod
    def from_file(cls, path: Path) -> Secret:
        """Read a file; one trailing line end is not part of the secret."""
        return cls(path.read_text().removesuffix("\n").removesuffix("\r"), path.absolute())

    @classmethod
    def from_env(cls, name: str) -> Secret:
        """Read an environment variable."""
        return cls(os.environ[name])

    def reveal(self) -> str:
        """The word itself, for the wire only."""
        return self._word

    def fresh(self) -> str:
        """The word as its file holds it now: access tokens are renewed while the hub runs.

        Raises:
            OSError: the file cannot be read any more.
            UnicodeDecodeError: it is not text.
        """
        return self._word if self._path is None else Secret.from_file(self._path).reveal()

    def __repr__(self) -> str:
        return "****"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._word == self._word

    def __hash__(self) -> int:
        return hash(self._word)


class Mistake(msgspec.Struct, frozen=True):
    """One thing wrong: in which table and key (empty: the file as a whole), what, and what to do about it."""

    table: str
    key: str
    words: str
    hint: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (f"[{self.table}]" if self.table else "", self.key) if part)
        said = f"{place}: {self.words}" if place else self.words
        return f"{said}; {self.hint}" if self.hint else said


class ConfigError(Exception):
    """All that is wrong with a configuration, one line a mistake, each beginning with the file's name."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        begin = f"{source}: " if source else ""
        super().__init__("\n".join(f"{begin}{mistake}" for mistake in mistakes))
        self.source = source
        self.mistakes = tuple(mistakes)


# What the checks say

_LISTEN = {
    "tcp": {"port", "interface", "backlog"},
    "tcp6": {"port", "interface", "backlog"},
    "ssl": {
        "port",
        "interface",
        "backlog",
        "privateKey",
        "certKey",
        "extraCertChain",
        "sslmethod",
        "dhParameters",
    },
    "unix": {"address", "mode", "backlog", "lockfile"},
    "systemd": {"domain", "index", "name"},
}
_CONNECT = {
    "tcp": {"host", "port", "timeout", "bindAddress"},
    "tls": {"host", "port", "timeout", "bindAddress", "certificate", "privateKey", "trustRoots", "endpoint"},
    "ssl": {"host", "port", "timeout", "bindAddress", "certKey", "privateKey", "caCertsDir", "hostname"},
    "unix": {"path", "timeout", "lockfile"},
}


def _endpoint(value: str, kinds: Mapping[str, set[str]], example: str) -> str | None:
    """Check a Twisted endpoint description without opening anything; say what is wrong, or None."""
    words = value.replace("\\:", "\0").split(":")  # \: is a colon that does not separate
    kind, rest = words[0], words[1:]
    if kind not in kinds:
        return f'must begin with {_either(f"{name}:" for name in kinds)}, as in "{example}"'
    named = dict(word.split("=", 1) for word in rest if "=" in word)
    bare = [word for word in rest if "=" not in word]
    for name in named:
        if name not in kinds[kind]:
            known = sorted(kinds[kind])
            return f'"{kind}:" does not know "{name}="; {did_you_mean(name, known) or f"it knows {_either(known)}"}'
    if "port" in kinds[kind]:
        at = 1 if "host" in kinds[kind] else 0
        if at and "host" not in named and not (bare and bare[0]):
            return f'has no host; write it as in "{example}"'
        port = named.get("port") or (bare[at] if len(bare) > at else "")
        if not (port.isascii() and port.isdigit() and (0 if at == 0 else 1) <= int(port) <= 65535):
            return f'has no port from 1 to 65535; write it as in "{example}"'
    elif kind == "unix" and not (bare and bare[0]) and not {"address", "path"} & named.keys():
        return 'has no path; write it as in "unix:/run/msgserver/socket"'
    return None


def _listen(value: str) -> str | None:
    return _endpoint(value, _LISTEN, "tcp:2525:interface=127.0.0.1")


def connect_mistake(value: str) -> str | None:
    """Say what is wrong with an endpoint to connect to, or None."""
    return _endpoint(value, _CONNECT, "tcp:127.0.0.1:2526")


def url_mistake(value: str, schemes: Iterable[str], example: str, rootless: bool = False) -> str | None:
    """Say what is wrong with a URL, or None; ``rootless`` ones may do without a host."""
    try:
        parts = urlsplit(value)
        bad_port = parts.port == 0
    except ValueError:
        return f'is not a URL; write it as in "{example}"'
    if parts.scheme not in schemes:
        return f'must begin with {_either(f"{s}://" for s in schemes)}, as in "{example}"'
    if bad_port or not (parts.hostname or rootless) or any(c.isspace() for c in value):
        return f'is not a URL; write it as in "{example}"'
    if parts.password is not None or "password=" in parts.query:
        return 'may not hold a password; give it beside the URL as password = { file = "..." }'
    return None


def _url(value: str) -> str | None:
    return url_mistake(value, ("http", "https"), "http://127.0.0.1:8080")


Listen = Annotated[str, msgspec.Meta(extra={"check": _listen})]
"""Where to listen, a Twisted endpoint description: ``tcp:2525:interface=127.0.0.1``."""
Connect = Annotated[str, msgspec.Meta(extra={"check": connect_mistake})]
"""What to connect to, a Twisted endpoint description: ``tcp:127.0.0.1:2526``."""
Url = Annotated[str, msgspec.Meta(extra={"check": _url})]
"""An http or https URL without a password in it."""


# The walk


def _either(words: Iterable[str]) -> str:
    listed = list(words)
    return " or ".join(([", ".join(listed[:-1])] if len(listed) > 1 else []) + listed[-1:])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest of the known words; empty where none is near."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f'did you mean "{close[0]}"?' if close else ""


def _arms(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


_FILE_OR_ENV = 'a secret: { file = "..." } or { env = "..." }'
_SEQUENCES = (list, tuple, set, frozenset)
_NAMES = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _wanted(kind: Any) -> str:
    """What a type asks for, in a person's words."""
    arms = [arm for arm in _arms(kind) if arm is not type(None)]
    if len(arms) > 1:
        return _either(_wanted(arm) for arm in arms)
    origin, args = get_origin(arms[0]), get_args(arms[0])
    if origin is Annotated:
        meta = [m for m in args[1:] if isinstance(m, msgspec.Meta)]
        bounds = [f"at least {m.ge}" for m in meta if m.ge is not None]
        bounds += [f"more than {m.gt}" for m in meta if m.gt is not None]
        bounds += [f"at most {m.le}" for m in meta if m.le is not None]
        bounds += [f"less than {m.lt}" for m in meta if m.lt is not None]
        bounds += ["not empty" for m in meta if m.min_length]
        return _wanted(args[0]) + "".join(f", {bound}" for bound in bounds)
    if origin is Literal:
        return _either(f'"{word}"' for word in args)
    if origin in _SEQUENCES:
        return f"a list, each {_wanted(args[0])}"
    if origin is dict or (isinstance(arms[0], type) and issubclass(arms[0], msgspec.Struct)):
        return "a table"
    if arms[0] is Secret:
        return _FILE_OR_ENV
    if isinstance(arms[0], EnumType):
        members: Iterable[Any] = arms[0]
        return _either(f'"{member.value}"' for member in members)
    return _NAMES.get(arms[0], "something else")


class _WrongError(Exception):
    """A value that is wrong, in words; raised inside the walk only."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.words, self.hint = words, hint


class _Walk:
    """One reading of tables into Structs, which gathers what is wrong instead of stopping at the first."""

    def __init__(self, base_dir: Path) -> None:
        self.base_dir = base_dir
        self.mistakes: list[Mistake] = []

    def struct(self, table: Mapping[str, Any], kind: type[S], where: str) -> S | None:
        """Read a table into ``kind``; None where something in it was wrong."""
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        before, values = len(self.mistakes), {}
        for key in (key for key in table if key not in fields):
            what = "unknown key" if where else f"[{key}]: unknown table"
            self.mistakes.append(Mistake(where, key if where else "", what, did_you_mean(key, fields)))
        for key, field in fields.items():
            if key in table:
                values[field.name] = self.value(table[key], field.type, where, key)
            elif field.required:
                self.mistakes.append(Mistake(where, key, "is missing", f"it is {_wanted(field.type)}"))
        if len(self.mistakes) > before:
            return None
        try:
            return kind(**values)
        except ValueError as error:
            self.mistakes.append(Mistake(where, "", str(error)))
            return None

    def value(self, value: Any, kind: Any, where: str, key: str) -> Any:
        """Read one value; what is wrong is gathered and None comes back."""
        inner = f"{where}.{key}" if where else key
        for arm in _arms(kind):
            args = get_args(arm)
            if isinstance(arm, type) and issubclass(arm, msgspec.Struct) and isinstance(value, dict):
                return self.struct(value, arm, inner)
            if get_origin(arm) is list and _is_struct(args[0]) and isinstance(value, list):
                return [self.value(item, args[0], where, f"{key}.{n}") for n, item in enumerate(value, 1)]
            if get_origin(arm) is dict and _is_struct(args[1]) and isinstance(value, dict):
                return {name: self.value(item, args[1], inner, name) for name, item in value.items()}
        try:
            read = msgspec.convert(value, kind, dec_hook=self.secret)
            _check(read, kind)
        except _WrongError as wrong:
            self.mistakes.append(Mistake(where, key, wrong.words, wrong.hint))
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, _WrongError):
                self.mistakes.append(Mistake(where, key, error.__cause__.words, error.__cause__.hint))
            else:
                self.mistakes.append(Mistake(where, key, f"must be {_wanted(kind)}"))
        else:
            return read
        return None

    def secret(self, kind: type, value: Any) -> Any:
        """Read ``{ file = ... }`` or ``{ env = ... }``; the only custom type there is."""
        if kind is not Secret:
            raise TypeError(f"no setting is of type {kind}")
        if not isinstance(value, dict):
            hint = 'put it into a file and write { file = "..." }, or { env = "NAME" }'
            raise _WrongError("a secret may not stand in the configuration itself", hint)
        if len(value) != 1 or not {"file", "env"} & value.keys() or not all(isinstance(v, str) for v in value.values()):
            raise _WrongError(f"must be {_FILE_OR_ENV}")
        word = self.from_file(value["file"]) if "file" in value else self.from_env(value["env"])
        if not word.reveal():
            raise _WrongError("the secret is empty")
        return word

    def from_file(self, name: str) -> Secret:
        """Read a secret's file, relative to the base directory."""
        try:
            return Secret.from_file(self.base_dir / name)
        except OSError as error:
            reason = (error.strerror or "it cannot be opened").lower()
            raise _WrongError(f"{name} cannot be read: {reason}", "write the secret into it (chmod 600)") from None
        except UnicodeDecodeError:
            raise _WrongError(f"{name} is not UTF-8 text") from None

    def from_env(self, name: str) -> Secret:
        """Read a secret's environment variable."""
        if name not in os.environ:
            raise _WrongError(f"the environment has no {name}", "set it where msgserver is started")
        return Secret.from_env(name)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _check(value: Any, kind: Any) -> None:
    """Run the checks that hang on a type's annotations over a value that already has the right type."""
    for arm in _arms(kind):
        if get_origin(arm) is Annotated:
            for meta in get_args(arm)[1:]:
                check = (getattr(meta, "extra", None) or {}).get("check")
                wrong = check(value) if check and isinstance(value, get_args(arm)[0]) else None
                if wrong:
                    raise _WrongError(wrong)
        elif get_origin(arm) in _SEQUENCES and isinstance(value, get_origin(arm)):
            for item in value:
                _check(item, get_args(arm)[0])
        elif get_origin(arm) is dict and isinstance(value, dict):
            for item in value.values():
                _check(item, get_args(arm)[1])


def read_table(table: Mapping[str, Any], kind: type[S], where: str, base_dir: Path) -> tuple[S | None, list[Mistake]]:
    """Read a table called ``where`` (empty: the whole file) into ``kind``; None where there are mistakes.

    Files that secrets name are taken relative to ``base_dir``.
    """
    walk = _Walk(base_dir)
    settings = walk.struct(table, kind, where)
    return (None if walk.mistakes else settings), walk.mistakes
