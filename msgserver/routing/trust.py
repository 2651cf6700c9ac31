"""Finds out whether a mail's sender is who it says: what SPF, DKIM and DMARC tell, before the mail is recorded.

It stands between the journal and the workers: the mail is ours already, so nothing is lost however slow the DNS is, and
there is a limit on how long it may take. The keys are fetched here, the checking with them is done by the workers. What
the DNS does not say in time is no verdict, for the sender or against it.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
from collections.abc import Awaitable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from msgserver.formats import arc
from msgserver.formats.authentication import Claim, claims, results, written_by
from msgserver.formats.dmarc import Policies, Policy, SpfResult, judge, policy, walk
from msgserver.formats.reading import Reading, Seal, Signature, Trust
from msgserver.formats.sender_policy import MOST_QUESTIONS, Question, check
from msgserver.formats.signatures import keys_wanted
from msgserver.message import Arrival
from msgserver.routing.journalling import Journalled

WITHIN = 5.0  # seconds for all that is asked about one group of mails
_LATE = Trust(checks="not checked in time")

T = TypeVar("T")


class Readers(Protocol):
    """``workers.WorkerPool``."""

    def read_mails(self, raws: Sequence[bytes], keys: Sequence[Mapping[str, bytes]] = ()) -> Awaitable[Sequence[Any]]:
        """One Reading, or what says why there is none, for each mail; signatures are checked with the keys."""


class Dns(Protocol):
    """``wire.lookups.Lookups``."""

    def ask(self, name: str, kind: str) -> Awaitable[tuple[Any, ...]]:
        """The records of a name; raises where the DNS does not say."""


class Examiner:
    """Has mails read, each with a verdict on its sender.

    Args:
        readers: the workers.
        dns: None where nothing is to be checked.
        borders: by connector, the authserv-id of the mail server before it that checks senders; "" where there is none.
        reactor: gives time.
        sealers: domains that are believed what they seal of mail which they hand on (ARC).
    """

    log = Logger()

    def __init__(
        self,
        readers: Readers,
        dns: Dns | None,
        borders: Mapping[str, str],
        reactor: Any,
        within: float = WITHIN,
        sealers: Iterable[str] = (),
    ) -> None:
        self._readers = readers
        self._dns = dns
        self._borders = borders
        self._reactor = reactor
        self._within = within
        self._sealers = frozenset(sealers)

    async def read_mails(self, items: Sequence[Journalled]) -> Sequence[Any]:
        """Like the workers' ``read_mails``, of arrivals; every Reading carries its ``trust``."""
        until = self._reactor.seconds() + self._within
        keys: list[dict[str, bytes]] = [{} for _ in items]
        wanted = {i: names for i, item in enumerate(items) if (names := self._wanted(item.arrival))}
        for i, found in await self._each(until, {i: self._keys(names) for i, names in wanted.items()}, {}):
            keys[i] = found
        readings = list(await self._readers.read_mails([item.arrival.raw for item in items], keys))
        asks: dict[int, Coroutine[Any, Any, Trust]] = {}
        for i, (item, reading) in enumerate(zip(items, readings, strict=True)):
            if isinstance(reading, Reading):
                try:
                    trust = self._at_once(item, reading)
                except Exception:
                    self.log.failure("a sender could not be checked")
                    trust = _LATE
                if trust is None:
                    asks[i] = self._asked(item, reading)
                elif trust != reading.trust:
                    readings[i] = msgspec.structs.replace(reading, trust=trust)
        for i, trust in await self._each(until + self._within / 2, asks, _LATE):
            readings[i] = msgspec.structs.replace(readings[i], trust=trust)
        for i, (item, reading) in enumerate(zip(items, readings, strict=True)):
            if isinstance(reading, Reading) and reading.spam_mark is not None:
                readings[i] = self._marked(item, reading, *reading.spam_mark)
        return readings

    async def _each(
        self, until: float, asks: Mapping[int, Coroutine[Any, Any, T]], otherwise: T
    ) -> Iterable[tuple[int, T]]:
        """All at once, each with its answer, or what stands for it where there is none in time."""
        if not asks:
            return ()
        left = max(0.1, until - self._reactor.seconds())

        async def one(ask: Coroutine[Any, Any, T]) -> T:
            try:
                return await Deferred.fromCoroutine(ask).addTimeout(left, self._reactor, _late)
            except TimeoutError:
                return otherwise
            except Exception:
                self.log.failure("a sender could not be checked")
                return otherwise

        answers = await gatherResults([Deferred.fromCoroutine(one(ask)) for ask in asks.values()])
        return zip(asks, answers, strict=True)

    # --- before reading ----------

    def _wanted(self, arrival: Arrival) -> Collection[str]:
        """Where the keys are with which a mail's signatures are checked; nothing where they need not be."""
        if self._dns is None or arrival.facts.get("auth"):
            return ()
        try:
            return dict.fromkeys((*keys_wanted(arrival.raw), *arc.keys_wanted(arrival.raw, self._sealers)))
        except Exception:
            self.log.failure("a mail's signatures could not be looked at")
            return ()

    async def _keys(self, wanted: Collection[str]) -> dict[str, bytes]:
        """These records; those that the DNS does not give are left out."""
        found = await self._all((name, "TXT") for name in wanted)
        keys = {
            name: next((one for one in records if b"p=" in one), b"")
            for (name, _), records in found.items()
            if records is not None
        }
        return keys or {"": b""}  # with none at all, it would not be looked at

    async def _all(self, questions: Iterable[Question]) -> dict[Question, tuple[Any, ...] | None]:
        """Answers to many questions at once; None where there is none."""
        each = tuple(dict.fromkeys(questions))
        answers = await gatherResults(
            [Deferred.fromCoroutine(self._ask(*question)) for question in each], consumeErrors=True
        )
        return dict(zip(each, answers, strict=True))

    async def _ask(self, name: str, kind: str) -> tuple[Any, ...] | None:
        assert self._dns is not None
        try:
            return await self._dns.ask(name, kind)
        except CancelledError:
            raise
        except Exception as error:
            self.log.debug("no answer about {name} {kind}: {error}", name=name, kind=kind, error=error)
            return None

    # --- after reading ----------

    def _at_once(self, item: Journalled, reading: Reading) -> Trust | None:
        """The verdict on one mail; None where it takes questions to the DNS."""
        arrival = item.arrival
        if user := arrival.facts.get("auth"):
            return Trust(believed=f"logged in as {user}")
        if reading.sender is None:
            return Trust()
        if reading.authors > 1:
            return Trust(doubt="it names several senders, which hides who wrote it", checks="dmarc=permerror")
        author = _dns_name(reading.sender.value)
        said = claims(reading.results, self._borders.get(item.connector, ""))
        if _passed(said, author):
            checks = f"dmarc=pass header.from={author} (said by {self._borders[item.connector]})"
            who = self._borders[item.connector]
            return Trust(believed=f"{author} vouches for it: {who} has checked it", checks=checks)
        if self._dns is None:
            return Trust()
        if not said and _public(arrival.facts.get("peer", "")):
            return None  # SPF is to be asked for
        signatures = (*reading.signatures, *_claimed_signatures(said))
        spf = _claimed_spf(said) or SpfResult() if said else SpfResult("")
        if spf.result or self._sealed(reading) or any(one.result == "pass" for one in signatures):
            return None  # what is proven has still to fit the author's policy
        return Trust(checks=_failed(signatures))

    def _sealed(self, reading: Reading) -> bool:
        """Whether a mail's chain ends with a seal that is believed."""
        return bool(reading.seals) and reading.seals[0].domain in self._sealers

    def _marked(self, item: Journalled, reading: Reading, highest: int, words: str) -> Reading:
        """A mail that a server marked as spam: it counts where our own border did."""
        border = self._borders.get(item.connector, "")
        place = written_by(reading.results, border)
        if place is None or place < highest:
            return reading
        trust = reading.trust or Trust()
        doubt = f"{border} takes this mail for spam ({words})"
        doubted = msgspec.structs.replace(trust, doubt="; ".join(filter(None, (trust.doubt, doubt))))
        return msgspec.structs.replace(reading, trust=doubted)

    async def _asked(self, item: Journalled, reading: Reading) -> Trust:
        """The verdict on one mail, by what the DNS says."""
        arrival = item.arrival
        assert reading.sender is not None
        author = _dns_name(reading.sender.value)
        said = claims(reading.results, self._borders.get(item.connector, ""))
        spf = _claimed_spf(said) or (SpfResult() if said else await self._spf(arrival))
        trust = await self._judged(author, (*reading.signatures, *_claimed_signatures(said)), spf)
        if trust.believed or not self._sealed(reading):
            return trust
        return await self._handed_on(author, reading.seals, trust)

    async def _judged(self, author: str, signatures: Sequence[Signature], spf: SpfResult) -> Trust:
        """What signatures and SPF are worth by the policies of their domains."""
        if not spf.result and not any(one.result == "pass" for one in signatures):
            return Trust(checks=_failed(signatures))
        policies, known = await self._policies(author, signatures, spf)
        return judge(author, signatures, spf, policies, known)

    async def _handed_on(self, author: str, seals: Sequence[Seal], trust: Trust) -> Trust:
        """A mail whose author's domain does not vouch for it as it came: whether it did, say those who handed it on.

        From the last seal backwards, as far as there is nobody among them whom we do not know: a seal tells what its
        maker saw, and that he believed the one before him is his own affair.
        """
        last = seals[0]
        why = f" ({last.why})" if last.why else ""
        checks = "; ".join(filter(None, (trust.checks, f"arc={last.result}{why} header.d={last.domain}")))
        if last.result == "pass":
            for seal in itertools.takewhile(lambda seal: seal.domain in self._sealers, seals):
                said = results(seal.found)
                if (
                    _passed(said, author)
                    or (
                        await self._judged(author, _claimed_signatures(said), _claimed_spf(said) or SpfResult(""))
                    ).believed
                ):
                    believed = f"{author} vouches for it: {seal.domain} has checked it before handing it on"
                    return Trust(believed=believed, checks=checks)
        return msgspec.structs.replace(trust, checks=checks)

    async def _spf(self, arrival: Arrival) -> SpfResult:
        """What SPF says of the server that brought a mail; no result where it had it from another one."""
        peer, sender = arrival.facts.get("peer", ""), arrival.sender
        if not _public(peer):
            return SpfResult("")
        answers: dict[Question, tuple[Any, ...] | None] = {}
        for _ in range(MOST_QUESTIONS):
            result = check(peer, sender.value if sender else "", arrival.facts.get("helo", ""), answers)
            if isinstance(result, SpfResult):
                return result
            answers[result] = await self._ask(*result)
        return SpfResult("permerror")

    async def _policies(self, author: str, signatures: Sequence[Signature], spf: SpfResult) -> tuple[Policies, bool]:
        """The policies that decide about a mail, and whether the DNS told all of them."""
        proven = [one.domain for one in signatures if one.result == "pass"]
        proven += [spf.domain] if spf.result == "pass" else []
        domains = [author, *(one for one in dict.fromkeys(proven) if _may_align(author, one))][:6]
        names = dict.fromkeys(name for domain in domains for name in walk(domain))
        found = await self._all((f"_dmarc.{name}", "TXT") for name in names)
        policies: dict[str, Policy | None] = {}
        for (name, _), records in found.items():
            policies[name.removeprefix("_dmarc.")] = policy(records) if records is not None else None
        return policies, None not in found.values()


def _failed(signatures: Iterable[Signature]) -> str:
    """What is kept of signatures that prove nothing."""
    return "; ".join(f"dkim={one.result} header.d={one.domain}" for one in signatures)


def _late(_result: object, _seconds: float) -> Any:
    raise TimeoutError


def _dns_name(address: str) -> str:
    """The domain of an address as the DNS writes it."""
    domain = address.rpartition("@")[2].rstrip(".")
    try:
        return domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _may_align(author: str, other: str) -> bool:
    """Whether two domains can belong to one organisation at all: then it is worth asking."""
    return author.split(".")[-2:] == other.split(".")[-2:]


@functools.lru_cache(maxsize=4096)
def _public(address: str) -> bool:
    """Whether a mail came from outside: servers on this machine and network hand on what others gave them."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _passed(said: Iterable[Claim], author: str) -> bool:
    """Whether somebody says that the author's domain vouches for a mail (DMARC)."""
    return any(one.method == "dmarc" and one.result == "pass" and one.domain("header.from") == author for one in said)


def _claimed_spf(said: Sequence[Claim]) -> SpfResult | None:
    for one in said:
        if one.method == "spf":
            return SpfResult(one.result, one.domain("smtp.mailfrom", "smtp.helo"))
    return None


def _claimed_signatures(said: Sequence[Claim]) -> tuple[Signature, ...]:
    passed = [one.domain("header.d", "header.i") for one in said if one.method == "dkim" and one.result == "pass"]
    return tuple(Signature(domain, "pass", "said by our border") for domain in dict.fromkeys(passed) if domain)[:5]
