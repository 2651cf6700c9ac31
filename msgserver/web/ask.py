"""What a page is asked, what it answers, and how it refuses: the values between the wire and the acts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from msgserver.message import Attachment
from msgserver.records import Viewer

T = TypeVar("T")
Tx = Any  # a transaction of the store: only passed on, never looked into


class Refusal(Exception):
    """The act cannot be done; shown as a page or as problem details (RFC 9457).

    ``words`` say what happened; ``hint`` says what is safe and what to do. ``kind`` names it for programs.
    """

    def __init__(self, status: int, words: str, hint: str = "", kind: str = "about:blank", **facts: object) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.hint = hint
        self.kind = kind
        self.facts = facts
        self.headers: tuple[tuple[str, str], ...] = ()


def not_found(what: str = "page") -> Refusal:
    """There is none, or it is not for this person to know that there is one (the same words on purpose)."""
    return Refusal(404, f"There is no such {what}.", "It may have been removed, or it is not shared with you.")


class Fields:
    """The names and values of a form or a query, several values a name allowed; looks only, never changes."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        self._values: Mapping[str, Sequence[str]] = values

    def __call__(self, name: str, default: str = "") -> str:
        """The last value of a name, or ``default``."""
        found = self._values.get(name)
        return found[-1] if found else default

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def all(self, name: str) -> Sequence[str]:
        """Every value of a name, in order."""
        return self._values.get(name, ())

    def number(self, name: str, default: int | None = None) -> int | None:
        """A name's value as a whole number from 0 to 2**53; ``default`` where it is none."""
        value = self(name).strip()
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else default

    def names(self) -> Iterable[str]:
        """Every name there is."""
        return self._values.keys()


class Session(msgspec.Struct, frozen=True):
    """A browser that is signed in; ``csrf`` stands in every form it is shown."""

    key: str
    user_id: int
    csrf: str


class Cookie(msgspec.Struct, frozen=True):
    """A cookie to set; ``seconds`` 0 removes it, None: until the browser closes."""

    name: str
    value: str
    seconds: int | None = None
    strict: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back: a body, or with ``stream`` something that keeps the request and writes when it likes."""

    status: int = 200
    body: bytes = b""
    media_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[Cookie, ...] = ()
    stream: Callable[[Any], None] | None = None


class StoreDoor(Protocol):
    """What the web uses of the store."""

    async def read(self, query: Callable[..., T], *args: Any) -> T:
        """Run ``query(tx, *args)`` in a reader."""

    async def write(self, unit: Callable[..., T], *args: Any) -> T:
        """Run ``unit(tx, *args)`` in the writer; returned means committed."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request, read and checked: by the time an act sees it, its sender may do this act."""

    id: str  # stands in the log line, and on the page when something breaks
    method: str
    path: str
    at: float
    house: Any
    site: Any  # what the site itself keeps: pages, passwords, live streams
    viewer: Viewer
    session: Session | None = None
    part: Mapping[str, Any] = {}  # what the path's pattern caught
    query: Fields = Fields()
    form: Fields = Fields()
    files: tuple[Attachment, ...] = ()
    body: bytes = b""
    headers: Mapping[str, str] = {}
    cookies: Mapping[str, str] = {}
    peer: str = ""
    secure: bool = False

    @property
    def store(self) -> StoreDoor:
        """The store's door."""
        door: StoreDoor = self.house.store
        return door

    def page(self, template: str, status: int = 200, cookies: tuple[Cookie, ...] = (), **values: Any) -> Answer:
        """Answer with a template; it also sees ``ask``."""
        body = self.site.pages.render(template, ask=self, **values)
        return Answer(status=status, body=body, cookies=cookies)


def changed(ask: Ask, **what: Any) -> Ask:
    """The same request with some of it known better."""
    better: Ask = msgspec.structs.replace(ask, **what)
    return better


def see_other(place: str, cookies: tuple[Cookie, ...] = ()) -> Answer:
    """Send the browser to another page of ours after a POST (303, RFC 9110 section 15.4.4)."""
    return Answer(status=303, headers=(("Location", local(place)),), cookies=cookies)


def local(place: str, otherwise: str = "/") -> str:
    """A path on this site and nothing else: ``//evil``, ``/\\evil`` and ``https:...`` become ``otherwise``."""
    plain = place.startswith("/") and not place.startswith(("//", "/\\"))
    if not plain or any(ord(c) < 33 or c == "\\" for c in place) or len(place) > 2000:
        return otherwise
    return place
