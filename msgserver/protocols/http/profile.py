"""What a profile is, and the loading of one by its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import msgspec

from msgserver.settings import did_you_mean, read_table
from msgserver.wire.webhook import Reply

_PROFILES = "msgserver.protocols.http.profiles"


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For gateways that need no settings of their own."""


def _say_nothing(*_: Any) -> Reply:
    """The reply for gateways that only look at the status; some would send a body on to the phone."""
    return Reply()


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The public names of a profile's module; see ``profiles``."""

    request: Callable[..., Any]
    receipt: Callable[..., Any]
    items: Callable[..., Any]
    URL: str = ""
    NEEDS: tuple[str, ...] = ()
    METHODS: tuple[str, ...] = ("POST",)
    IDEMPOTENT: bool = False  # the gateway itself knows a repeated reference
    Options: type[msgspec.Struct] = NoOptions
    authentic: Callable[..., bool] | None = None
    signs: Callable[[Any], bool] | None = None  # whether this account's calls are signed; default: where authentic is
    reply: Callable[..., Reply] = _say_nothing
    credit_request: Callable[..., Any] | None = None
    credit: Callable[..., str] | None = None
    BATCH: int = 1
    together: Callable[..., Hashable] | None = None
    batch_request: Callable[..., Any] | None = None
    batch_outcomes: Callable[..., Any] | None = None


def is_signed(profile: Profile, options: Any) -> bool:
    """Whether an account's calls carry a signature that is checked."""
    return profile.authentic is not None and (profile.signs is None or profile.signs(options))


def names() -> list[str]:
    """The profiles that there are."""
    package = importlib.import_module(_PROFILES)
    return sorted(found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_"))


def load(name: str) -> Profile:
    """A profile by its name.

    Raises:
        ValueError: there is none of this name.
    """
    known = names()
    if name not in known:
        hint = did_you_mean(name, known) or f"known are: {', '.join(known)}"
        raise ValueError(f"profile names no gateway that is known; {hint}")
    module = importlib.import_module(f"{_PROFILES}.{name}")
    return Profile(**{f: getattr(module, f) for f in Profile.__struct_fields__ if hasattr(module, f)})


def read_options(profile: Profile, table: dict[str, Any]) -> Any:
    """A profile's own settings.

    Raises:
        ValueError: with all that is wrong in them.
    """
    options, mistakes = read_table(table, profile.Options, "options", Path())
    if options is None:
        raise ValueError("; ".join(str(mistake) for mistake in mistakes))
    return options
