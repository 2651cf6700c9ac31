"""Plug-in parsers inside a reader process: loads the one it is asked for and lets it look at a message.

A parser is a module with ``parse(message)``, or such a function. It is given a dictionary and gives back None or a
dictionary (see docs/parsers.md); whatever else it does is said in words, never believed.
"""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

FUNCTION = "msgserver.workers.parsers:suggest"
GROUP = "msgserver.parsers"  # of entry points

_Word = Annotated[str, Meta(min_length=1, max_length=60)]
_Key = Annotated[str, Meta(max_length=200)]


class Asked(Struct, frozen=True):
    """A parser, by its file or its entry point, and the message that it is to look at; None: it is only loaded."""

    file: str
    entry: str
    message: dict[str, Any] | None


class Said(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """What a parser suggests; ``tags`` are resource and record."""

    tags: Annotated[tuple[tuple[_Word, _Key], ...], Meta(max_length=20)] = ()
    routes: Annotated[tuple[Annotated[int, Meta(ge=1, lt=2**53)], ...], Meta(max_length=20)] = ()
    priority: Literal["low", "normal", "high", "urgent"] | None = None
    actionable: bool | None = None
    spam: bool = False
    why: Annotated[str, Meta(max_length=300)] = ""
    confidence: Annotated[float, Meta(ge=0, le=1)] = 1.0


class Wrong(Struct, frozen=True, tag=True):
    """It could not say anything, and why, in words."""

    why: str


Answer = Said | Wrong | None
_questions = msgspec.msgpack.Decoder(Asked)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_loaded: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {}


def suggest(payload: bytes) -> bytes:
    """Ask a parser; called in a process of its own, since there is no telling what it does."""
    asked = _questions.decode(payload)
    return msgspec.msgpack.encode(_answer(asked))


def read_answer(said: bytes) -> Answer:
    """What came back.

    Raises:
        msgspec.MsgspecError: it is no answer.
    """
    return _answers.decode(said)


def _answer(asked: Asked) -> Answer:
    try:
        parse = _parser(asked)
        said = None if asked.message is None else parse(asked.message)
        return None if said is None else msgspec.convert(said, Said)
    except msgspec.ValidationError as error:
        return Wrong(f"what it gave back is no suggestion: {error}")
    except MemoryError:
        return Wrong("it takes more memory than it is given")
    except Exception as error:
        traceback.print_exc(limit=-8)
        return Wrong(f"it failed: {type(error).__name__}: {error}"[:300])


def _parser(asked: Asked) -> Callable[[dict[str, Any]], Any]:
    key = (asked.file, asked.entry)
    if key not in _loaded:
        found = _from_file(Path(asked.file)) if asked.file else _from_entry(asked.entry)
        parse = getattr(found, "parse", None) if isinstance(found, ModuleType) else found
        if not callable(parse):
            raise TypeError("it has no function parse(message)")
        _loaded[key] = parse
    return _loaded[key]


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"msgserver_parser_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_entry(name: str) -> Any:
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    raise ImportError(f"no installed package offers the parser {name}")
