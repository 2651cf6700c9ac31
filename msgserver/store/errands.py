"""What the hub and its writer process say to each other: length-prefixed pickles, errands down, answers up.

::

    -> Settings                                                 once
    -> u64 number, [(unit, args, joined, keywords), ...]        the units of one turn
    <- [(number, [(result, None) | (None, error), ...]), ...]   of the errands that one commit ended
    <- "words"                                                  for the log

Both ends are this program, over a socket that nobody else has: pickle is no risk here, and it carries plain functions
by their names and frozen values as they are. Where a unit takes or gives a list of structs, as the hot ones do, these
travel as msgpack, which takes a tenth of the time. Imports nothing of Twisted.
"""

from __future__ import annotations

import pickle
import struct
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from msgserver.formats.frames import pack
from msgserver.store.committing import Job
from msgserver.store.failures import StoreError

_NUMBER = struct.Struct("!Q")
_encode = msgspec.msgpack.Encoder().encode
_Decode = Callable[[bytes], Any]


class Settings(msgspec.Struct, frozen=True):
    """What a writer process is told before its first errand."""

    url: str  # with its password
    state_dir: str
    writers: int
    most_copies: int


def written(said: Any) -> bytes:
    """A frame.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: something in it cannot travel, a local function for one.
    """
    return pack(pickle.dumps(said, pickle.HIGHEST_PROTOCOL))


def read(frame: bytes | memoryview) -> Any:
    """What a frame holds."""
    return pickle.loads(frame)  # noqa: S301 - our own, see above


@cache
def _structs(unit: Callable[..., Any], joined: bool) -> tuple[_Decode | None, _Decode | None]:
    """What reads a unit's argument and its result where both are structs, or (not joined) lists of them."""
    try:
        hints = get_type_hints(unit)
    except (NameError, TypeError):  # names that only a type checker knows, or no function
        return None, None
    result = hints.pop("return", None)
    argument = [*hints.values()][1] if len(hints) == 2 else None
    return _decode(argument, joined), _decode(result, joined)


def _decode(annotation: Any, joined: bool) -> _Decode | None:
    if get_origin(annotation) is not list:
        return None
    [item] = get_args(annotation)
    if not (isinstance(item, type) and issubclass(item, msgspec.Struct)):
        return None
    return msgspec.msgpack.Decoder(item if joined else annotation).decode


def errand(number: int, jobs: Sequence[Job]) -> bytes:
    """The units of one turn; raises as ``written`` does."""
    units = [(job.unit, _packed(job), job.joined, job.keywords) for job in jobs]
    return pack(_NUMBER.pack(number), pickle.dumps(units, pickle.HIGHEST_PROTOCOL))


def _packed(job: Job) -> tuple[Any, ...] | bytes:
    if _structs(job.unit, job.joined)[0] is not None and len(job.args) == 1 and not job.keywords:
        try:
            return _encode(job.args[0])
        except UnicodeEncodeError:  # half a surrogate pair: the unit cleans it, pickle carries it
            return job.args
    return job.args


def read_errand(frame: bytes) -> tuple[int, list[Job]]:
    """Its number and its units; what cannot be read is one unit that says why."""
    (number,) = _NUMBER.unpack_from(frame)
    try:
        units = read(memoryview(frame)[_NUMBER.size :])
        return number, [Job(unit, _unpacked(unit, args, joined), joined, more) for unit, args, joined, more in units]
    except Exception as error:
        return number, [Job(_unknown, (f"{type(error).__name__}: {error}",), False, {})]


def _unpacked(unit: Callable[..., Any], args: Any, joined: bool) -> tuple[Any, ...]:
    if isinstance(args, bytes):
        decode, _ = _structs(unit, joined)
        assert decode is not None
        return (decode(args),)
    return args  # type: ignore[no-any-return]


def _unknown(_tx: Any, why: str) -> None:
    raise StoreError(f"the writer does not know what it is to write ({why}); nothing was written")


def waited_for(jobs: Sequence[Job]) -> bool:
    """Whether somebody outside waits for the commit: an arrival is to be acknowledged."""
    return getattr(jobs[0].unit, "commit_place", "") == "C1"


def outcome(job: Job) -> tuple[Any, BaseException | None]:
    """What became of a unit, as it can travel."""
    if job.error is None:
        return _packed_result(job), None
    error = job.error
    if not type(error).__module__.startswith("msgserver."):
        error.add_note("".join(traceback.format_exception(error)))  # the way to a fault is known here alone
    try:
        whole = str(read(pickle.dumps(error))) == str(error)
    except Exception:
        whole = False
    if not whole:
        return None, StoreError(f"{type(error).__name__}: {error}; nothing was written")
    return None, error


def _packed_result(job: Job) -> Any:
    if _structs(job.unit, job.joined)[1] is not None:
        try:
            return _encode(job.result)
        except (UnicodeEncodeError, TypeError):
            return job.result
    return job.result


def result(job: Job, said: Any) -> Any:
    """A unit's result out of what the writer said."""
    _, decode = _structs(job.unit, job.joined)
    return decode(said) if decode is not None and isinstance(said, bytes) else said


def answer(numbered: Sequence[tuple[int, Sequence[Job]]]) -> bytes:
    """The outcomes of errands; a result that cannot travel is that unit's error."""
    outcomes = [(number, [outcome(job) for job in jobs]) for number, jobs in numbered]
    try:
        return written(outcomes)
    except Exception:
        return written([(number, [_checked(one) for one in each]) for number, each in outcomes])


def _checked(one: tuple[Any, BaseException | None]) -> tuple[Any, BaseException | None]:
    try:
        pickle.dumps(one)
    except Exception as error:
        return None, TypeError(f"a unit must return values that can be pickled: {error}")
    return one
