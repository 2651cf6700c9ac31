"""How every API act reads what it takes and says what it gives."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec

from msgserver.formats.phones import read_address
from msgserver.message import Address
from msgserver.records import Draft, Priority, Recorded
from msgserver.store import idempotency
from msgserver.store.edits import Refused, Stale
from msgserver.store.paging import Page
from msgserver.web.ask import Answer, Ask, Refusal
from msgserver.web.words import sentence

T = TypeVar("T")
JSON = "application/json"
KEY = "idempotency-key"
LONGEST_KEY = 200
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # JSON writes it in no other way; PostgreSQL keeps no such text


def take(ask: Ask, kind: type[T]) -> T:
    """Read the body.

    Raises:
        Refusal: 415, it is not JSON; 400, it is broken; 422, something in it is not as it must be.
    """
    if ask.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refusal(415, "This takes JSON.", f"Send it with Content-Type: {JSON}.")
    if _NUL.search(ask.body):
        raise Refusal(422, "A text has a NUL character in it.", "Nothing was changed. Leave it out.")
    try:
        return msgspec.json.decode(ask.body, type=kind)
    except msgspec.ValidationError as error:
        raise Refusal(422, f"{error}.", "Nothing was changed.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"This is not JSON: {error}.", "Nothing was changed.") from None


def give(value: Any, status: int = 200, *, place: str = "", version: int | None = None) -> Answer:
    """Answer with one thing."""
    headers = [("Location", place)] if place else []
    if version is not None:
        headers.append(("ETag", f'"{version}"'))
    return Answer(status=status, body=msgspec.json.encode(value), media_type=JSON, headers=tuple(headers))


def give_page(page: Page[Any], shape: Callable[[Any], Any]) -> Answer:
    """Answer with a page: ``{"items": [...], "next": cursor or null}``."""
    listed: dict[str, Any] = {"items": [shape(item) for item in page.items], "next": page.next or None}
    if page.ignored:
        listed["ignored"] = page.ignored
    return give(listed)


def give_all(items: Iterable[Any], shape: Callable[[Any], Any]) -> Answer:
    """Answer with a list that is never long."""
    return give({"items": [shape(item) for item in items], "next": None})


NOTHING = Answer(status=204)


def limit(ask: Ask, most: int = 100) -> int:
    """How many items a page shall have."""
    return max(1, min(ask.query.number("limit", 50) or 50, most))


def expected(ask: Ask) -> int | None:
    """The version that If-Match names, None where the header is missing or ``*`` (RFC 9110 section 13.1.1).

    Raises:
        Refusal: 412, it is no version of ours.
    """
    tag = ask.headers.get("if-match", "*").strip()
    if tag == "*":
        return None
    bare = tag.removeprefix("W/").strip('"')
    if not (bare.isascii() and bare.isdigit() and len(bare) < 16):
        raise Refusal(412, "If-Match names no version of this.", "Take the ETag of a GET.")
    return int(bare)


def level(word: str) -> Priority:
    """A priority by its word."""
    return Priority[word.upper()]


def addresses(ask: Ask, words: Iterable[str]) -> tuple[Address, ...]:
    """Addresses by their URIs; phone numbers that name no country are those of the hub's region.

    Raises:
        Refusal: 422, one of them is none.
    """
    try:
        return tuple(read_address(word, ask.house.config.hub.region) for word in words)
    except ValueError as error:
        raise Refusal(422, f"{error}.", "Nothing was sent or changed.") from None


async def edit(ask: Ask, unit: Callable[..., T], *args: Any) -> T:
    """Run a write, its refusals told as problems."""
    try:
        return await ask.store.write(unit, *args)
    except Stale as stale:
        raise Refusal(412, str(stale), "Get it again and repeat your change.") from None
    except Refused as refused:
        raise Refusal(422, sentence(str(refused))) from None


async def write(ask: Ask, draft: Draft) -> Recorded:
    """Send somebody's words, refusals told as problems."""
    try:
        recorded: Recorded = await ask.house.desk.write(ask.viewer, draft)
    except Stale as stale:
        raise Refusal(412, str(stale), "Read what came meanwhile; nothing was sent.") from None
    except Refused as refused:
        raise Refusal(422, sentence(str(refused)), "Nothing was sent.") from None
    return recorded


def new_uid(ask: Ask) -> str:
    """A message's uid: the same for the same user and Idempotency-Key, so that a repeat cannot become a second one."""
    key = ask.headers.get(KEY)
    if not key:
        return str(uuid.uuid4())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"msgserver:{ask.viewer.user_id}:{ask.path}:{key}"))


# Repeats ---------------------------------------------------------------------------------------------------------


class _Kept(msgspec.Struct, frozen=True):
    status: int
    body: str
    media_type: str
    headers: tuple[tuple[str, str], ...]


def _repeated(known: idempotency.Answered, fingerprint: str) -> Answer:
    """The answer that was given before.

    Raises:
        Refusal: 422, the key stands for another request; 409, it is being done just now.
    """
    if known.fingerprint != fingerprint:
        raise Refusal(422, "This Idempotency-Key was used for another request.", "Take a fresh one.")
    if not known.answer:
        refusal = Refusal(409, "This request is being done just now.", "Send it again in a moment to get its answer.")
        refusal.headers = (("Retry-After", "1"),)
        raise refusal
    kept = msgspec.json.decode(known.answer, type=_Kept)
    headers = (*kept.headers, ("Idempotent-Replayed", "true"))
    return Answer(status=kept.status, body=kept.body.encode(), media_type=kept.media_type, headers=headers)


def once(act: Callable[[Ask], Awaitable[Answer]]) -> Callable[[Ask], Awaitable[Answer]]:
    """Let a request with an ``Idempotency-Key`` be done once: its repeat gets the first one's answer.

    The answer is kept for a day; while it is being found, a repeat is told to come again (409). A refusal is not kept:
    the request may be mended and sent again.
    """

    async def done_once(ask: Ask) -> Answer:
        key = ask.headers.get(KEY, "")
        if not key:
            return await act(ask)
        if len(key) > LONGEST_KEY:
            raise Refusal(400, f"The Idempotency-Key is longer than {LONGEST_KEY} characters.", "Nothing was done.")
        asked = [(name, *ask.query.all(name)) for name in sorted(ask.query.names())]
        print_ = hashlib.sha256(f"{ask.method} {ask.path}{asked or ''}\n".encode() + ask.body).hexdigest()
        known = await ask.store.write(idempotency.begin, ask.viewer.user_id, key, print_, ask.at)
        if known is not None:
            return _repeated(known, print_)
        try:
            answer = await act(ask)
        except Exception:
            await ask.store.write(idempotency.let_go, ask.viewer.user_id, key)
            raise
        kept = _Kept(answer.status, answer.body.decode(), answer.media_type, answer.headers)
        words = msgspec.json.encode(kept).decode()
        await ask.store.write(idempotency.put, ask.viewer.user_id, key, print_, words, ask.at)
        return answer

    done_once.__doc__ = act.__doc__
    done_once.__name__ = act.__name__
    done_once.__module__ = act.__module__
    return done_once
