"""The TOML table of a mailbox that is polled."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from msgserver.settings import Connect, Secret

_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost")


def _end(value: str) -> str | None:
    if value in ("seen", "delete") or (value.startswith("move:") and value.removeprefix("move:").strip()):
        return None
    return 'must be "seen", "delete" or "move:" with a folder, as in "move:Taken"'


Then = Annotated[str, msgspec.Meta(extra={"check": _end})]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=86400)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account on one server; every field is explained at the head of the package."""

    connect: Connect
    user: Annotated[str, msgspec.Meta(min_length=1)]
    tls: Literal["tls", "starttls", "none"] = "tls"
    tls_name: str = ""
    ca_file: str = ""
    auth: Literal["password", "xoauth2", "oauthbearer"] = "password"
    password: Secret | None = None
    token: Secret | None = None
    folder: str | list[str] = "INBOX"
    then: Then = "seen"
    idle: bool = True
    poll_every: Seconds = 60.0
    largest: Annotated[int, msgspec.Meta(ge=10_000, le=200 * 1024 * 1024)] = 25 * 1024 * 1024
    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    answer_within: Seconds = 60.0
    border: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot work, or would show the password, in words."""
        if self.auth == "password" and self.password is None:
            raise ValueError('password is missing: { file = "..." }, or another auth with a token')
        if self.auth != "password" and self.token is None:
            raise ValueError(f'token is missing: auth = "{self.auth}" logs in with one, {{ file = "..." }}')
        if not self.folders or not all(self.folders) or len(set(self.folders)) < len(self.folders):
            raise ValueError('folder must be one, as in "INBOX", or a list of different ones')
        if self.target in self.folders:
            raise ValueError("then moves mails into a folder that is read itself: they would come again and again")
        if any(not word.isprintable() for word in (*self.folders, self.target, self.user)):
            raise ValueError("user, folder and then may hold no control characters")
        if not self.connect.startswith(("tcp:", "unix:")):
            raise ValueError('connect must begin with "tcp:" or "unix:"; TLS is asked for by the key tls')
        if self.tls == "none" and self.host and self.host != "::1" and not _LOOPBACK.fullmatch(self.host):
            raise ValueError(
                'tls = "none" would send all in clear; it is allowed only with connect = "tcp:127.0.0.1:..."'
            )
        if self.tls != "none" and not self.certified_name:
            raise ValueError("tls_name is missing: whose certificate is to be expected there?")

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders to read, as a tuple in either spelling."""
        return (self.folder,) if isinstance(self.folder, str) else tuple(self.folder)

    @property
    def target(self) -> str:
        """The folder that mails are moved into; empty: they are not moved."""
        return self.then.removeprefix("move:").strip() if self.then.startswith("move:") else ""

    @property
    def host(self) -> str:
        """The host of ``connect``; empty for a socket in the file system."""
        kind, *words = self.connect.replace("\\:", "\0").split(":")
        named = [word.removeprefix("host=") for word in words if word.startswith("host=")]
        return "" if kind == "unix" else (named or words or [""])[0].replace("\0", ":")

    @property
    def certified_name(self) -> str:
        """The name that the server's certificate must carry."""
        return self.tls_name or self.host
