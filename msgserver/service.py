"""Builds the house, starts it and stops it, each in order; this file, read from the top, is the whole story.

``makeService`` reads the configuration, builds store, router, connectors and outbox, and hands the whole to twistd
as one service. Starting: the store opens, what was under way when the hub last ended is put right, the readers start,
then connectors, lanes and the web. Stopping: lanes first (nothing more goes out), then connectors (nothing more comes
in), the web, the readers, and the store last, once all is written.
"""

from __future__ import annotations

import gc
import os
import random
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python import usage

from msgserver import systemd
from msgserver.config import Config, ConfigError, LoadedConnector, load, load_connectors
from msgserver.connector import IConnector
from msgserver.records import Claimed
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens
from msgserver.routing.desk import Desk
from msgserver.routing.digest import Digests
from msgserver.routing.house import House
from msgserver.routing.hub import Hub
from msgserver.routing.outbox import Outbox
from msgserver.routing.ownership import Ownership
from msgserver.routing.plugins import Plugins
from msgserver.routing.pulse import Pulse
from msgserver.routing.reader import Reader
from msgserver.routing.recorder import Recorder
from msgserver.routing.render import envelope_of
from msgserver.routing.router import Router
from msgserver.routing.snapshot import Snapshots
from msgserver.routing.spreading import Spreader
from msgserver.routing.statuses import Statuses
from msgserver.routing.trust import Examiner
from msgserver.routing.upkeep import Upkeep
from msgserver.store import blobs
from msgserver.store.door import Store, StoreError
from msgserver.wire.lookups import system_lookups
from msgserver.workers.pool import WorkerPool

log = Logger()
_DEFAULT = "var/msgserver.toml"
STEP = 30.0  # seconds that each step of stopping may take; then the next one follows all the same


class Options(usage.Options):
    """``twistd msgserver --config FILE``."""

    synopsis = "[--config FILE]"
    longdesc = "Runs the hub. Make a configuration first: msgserver init --config FILE"
    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", None, f"the configuration (default: $MSGSERVER_CONFIG, else {_DEFAULT})"],
    ]


def makeService(options: Options) -> IService:
    """The hub as its configuration says, not yet started.

    Raises:
        SystemExit: the configuration is wrong or a connector cannot be built; the words say which and why.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - which reactor is twistd's to choose, before this

    path = Path(options["config"] or os.environ.get("MSGSERVER_CONFIG") or _DEFAULT)
    try:
        config = load(path)
        loaded = load_connectors(config)
        return HubService(config, loaded, reactor)
    except (ConfigError, StoreError, OSError) as error:
        raise SystemExit(f"msgserver: {error}") from None


class HubService(Service):
    """The whole house as one service; ``house`` is what its rooms are reached by."""

    def __init__(self, config: Config, loaded: dict[str, LoadedConnector], reactor: Any) -> None:
        self.name = "msgserver"
        self.config = config
        self._reactor = reactor
        state = Path(config.hub.state)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        signer = Tokens.kept_in(state)
        node = config.hub.node or f"{socket.gethostname()}:{Path(config.source).stem}"
        lanes: dict[str, str] = {}  # address scheme -> the connector that sends to it

        self.bus = bus = Bus()
        self.store = store = Store(
            config.store.full_url(),
            reactor,
            readers=config.store.readers,
            writers=config.store.writers,
            state_dir=state,
            most_copies=config.hub.most_copies,
            apart=config.store.apart,
            lost=self._store_lost,
        )
        self.desk = desk = Desk(
            store, bus, lanes, config.hub.name, new_uid, reactor, config.hub.contact, config.hub.open_topics
        )
        self.rules = rules = Snapshots(store, config.hub.region)
        self.workers = WorkerPool(reactor)
        folder = Path(config.parsers.folder) if config.parsers.folder else state / "parsers"
        self.plugins = Plugins(folder, config.parsers.seconds, config.parsers.skip, reactor)
        self.recorder = recorder = Recorder(
            store, bus, signer, own_marks(loaded), rules, desk.wish, new_uid, reactor, self.plugins.suggest
        )
        examiner = make_examiner(config, loaded, self.workers, reactor)
        self.reader = Reader(store, recorder, examiner, lambda name: deferToThread(blobs.get, state, name), reactor)
        self.router = router = Router(store, bus, self.reader, reactor)

        web = reachable(config.web.url)

        def render(claimed: Claimed, connector: IConnector) -> Any:
            return envelope_of(claimed, connector.limits, signer, config.hub.name, web)

        self.outbox = outbox = Outbox(store, bus, node, render, random.random, reactor)
        self.connectors: dict[str, IConnector] = {}
        self.ownership = Ownership(store, self.connectors, start_one, self._stop_one, reactor)
        self.statuses = Statuses(store, bus, outbox, router.last_in, self.ownership.owns, node, reactor)
        self.spreader = Spreader(store, bus, node, config.hub.most_copies, reactor)
        self.digests = Digests(store, bus, config.hub.name, new_uid, reactor)
        self.upkeep = Upkeep(store, bus, node, tuple(config.connector), reactor)
        for name, found in loaded.items():
            hub = Hub(name, router, store, outbox.lanes, self.statuses.changed, reactor)
            self.connectors[name] = connector = build(name, found, hub, reactor)
            self.statuses.add(connector, config.connector[name].type)
            outbox.add(connector)
            for scheme in connector.schemes:
                lanes.setdefault(scheme, name)

        self.bell = redis_bell(config.redis.full_url(), bus, reactor) if config.redis is not None else None
        self.pulse = Pulse(reactor, alive(reactor))
        self.house = House(
            config=config,
            store=store,
            bus=bus,
            router=router,
            outbox=outbox,
            desk=desk,
            connectors=self.connectors,
            node=node,
            reactor=reactor,
            rules=rules,
            plugins=self.plugins,
            signer=signer,
            gauges=self.gauges,
        )
        self._web = web_service(self.house) if config.hub.web else None
        self._starting: Deferred[None] | None = None

    def gauges(self) -> dict[str, float]:
        """Figures of this process: seconds of lag, arrivals to be read, units to be written, sends under way."""
        return {
            "reactor_lag_seconds": self.pulse.lag,
            "unread_arrivals": float(self.reader.unread),
            "store_waiting": float(self.store.pending),
            "sends_under_way": float(sum(lane.under_way for lane in self.outbox.lanes.values())),
        }

    # --- starting ----------

    def privilegedStartService(self) -> None:
        """Take low ports while we may; nothing is accepted before the store is open."""
        for connector in self.connectors.values():
            connector.privilegedStartService()  # type: ignore[no-untyped-call]
        if self._web is not None:
            try:
                self._web.privilegedStartService()
            except CannotListenError as error:
                raise SystemExit(f"msgserver: [web] listen: {error}") from None

    def startService(self) -> None:
        """Open the store now, the rest as soon as the reactor runs."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self.store.open()
        except StoreError as error:
            raise SystemExit(f"msgserver: {error}") from None
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._broken)

    async def _start(self) -> None:
        await self.outbox.recover()
        await self.ownership.begin()
        await self.statuses.start()
        await self.upkeep.start()
        if self.bell is not None:
            self.bell.startService()
        self.workers.startService()
        self.plugins.startService()
        self.spreader.start()
        self.digests.start()
        self.reader.start()
        self.ownership.start()
        self.outbox.startService()
        if self._web is not None:
            self._web.startService()
        self.pulse.start()
        settle_memory()
        systemd.notify("READY=1")
        log.info(
            "{name} is up: connectors {connectors}", name=self.config.hub.name, connectors=", ".join(self.connectors)
        )

    def _broken(self, failure: Any) -> None:
        if self.running:
            log.failure("the hub could not start", failure)
            self._fall()

    def _store_lost(self, words: str) -> None:
        log.critical("{words}; the hub stops, start it again", words=words)
        if self.running:
            self._fall()

    def _fall(self) -> None:
        """Stop in order, and let whoever started us know that it was no wish of theirs."""
        self._reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
        self._reactor.stop()

    # --- stopping ----------

    async def _stop_one(self, connector: IConnector) -> None:
        await step(f"connector {connector.name}", connector.stopService, self._reactor)

    def stopService(self) -> Deferred[None]:
        """Stop room by room; fires when all is written and closed."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        reactor = self._reactor
        systemd.notify("STOPPING=1")
        if self._starting is not None and not self._starting.called:
            self._starting.cancel()
        self.pulse.stop()
        self.upkeep.stop()
        self.ownership.stop()
        if self.bell is not None and self.bell.running:
            await step("the bell", self.bell.stopService, reactor)
        await step("the lanes", self.outbox.stopService, reactor)
        for connector in self.connectors.values():
            await step(f"connector {connector.name}", connector.stopService, reactor)
        if self._web is not None:
            await step("the web", self._web.stopService, reactor)
        self.recorder.stop()
        await step("the reader", self.reader.stop, reactor)
        await step("the plug-in parsers", self.plugins.stopService, reactor)
        await step("the digests", self.digests.stop, reactor)
        await step("the copies", self.spreader.stop, reactor)
        await step("the workers", self.workers.stopService, reactor)
        await step("the statuses", self.statuses.stop, reactor)
        await step("the store", self.store.close, reactor)
        log.info("{name} has stopped", name=self.config.hub.name)


def reachable(url: str) -> str:
    """Where receivers of mail reach the pages; empty where the address leads to this machine alone."""
    host = urlsplit(url).hostname or ""
    alone = host == "localhost" or host.startswith("127.") or host == "::1"
    return "" if alone else url.rstrip("/")


def settle_memory() -> None:
    """What was loaded for good is not looked through again for garbage, and the rest less often.

    Else every few thousand messages each session waits until hundreds of thousands of objects that stay have been
    looked at. What is under way dies by reference count; only what refers to itself waits for the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def new_uid() -> str:
    """A name for a message that no other has: a UUID that begins with the time (RFC 9562 section 5.7).

    Names made one after the other lie beside each other in the store's index.
    """
    digits = f"{time.time_ns() // 1_000_000:012x}7{os.urandom(10).hex()}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def own_marks(loaded: dict[str, LoadedConnector]) -> frozenset[str]:
    """What our own mail carries in X-Msgserver-Loop: the domains that connectors write mail from."""
    addresses = [getattr(found.settings, "own_address", "") for found in loaded.values()]
    return frozenset(address.rpartition("@")[2].lower() for address in addresses if address)


def make_examiner(config: Config, loaded: dict[str, LoadedConnector], workers: WorkerPool, reactor: Any) -> Examiner:
    """Whoever finds out who a mail is from, by the DNS and by what our own border says."""
    trust = config.trust
    dns = system_lookups(reactor, trust.dns) if trust.check else None
    borders = {name: getattr(found.settings, "border", "") for name, found in loaded.items()}
    return Examiner(workers, dns, borders, reactor, trust.within, [domain.lower() for domain in trust.arc])


def redis_bell(url: str, bus: Bus, reactor: Any) -> IService:
    """What joins this process's bus to those of the others."""
    from msgserver.routing.redis_bell import RedisBell  # noqa: PLC0415 - one process alone need not load it

    bell: IService = RedisBell(url, bus, reactor)
    return bell


def web_service(house: House) -> IService:
    """The web, listening where the configuration says."""
    from msgserver.web.site import make_site  # noqa: PLC0415 - a process that serves no web need not load it

    return make_site(house)


def build(name: str, found: LoadedConnector, hub: Hub, reactor: Any) -> IConnector:
    """Make a connector of its settings.

    Raises:
        SystemExit: it cannot be made; says why.
    """
    try:
        connector: IConnector = found.module.make_connector(name, found.settings, hub, reactor)
    except Exception as error:
        log.failure("connector {name} cannot be built", name=name)
        raise SystemExit(f"msgserver: [connector.{name}] cannot be built: {error or type(error).__name__}") from None
    return connector


def start_one(connector: IConnector) -> None:
    """Start a connector; one that fails is logged and keeps nobody else from starting."""
    try:
        connector.startService()  # type: ignore[no-untyped-call]
    except Exception:
        log.failure("connector {name} could not be started", name=connector.name)


async def step(what: str, stop: Callable[[], Any], reactor: Any) -> None:
    """One step of stopping; one that fails or takes too long is logged and the next step follows."""
    try:
        await maybeDeferred(_awaited, stop).addTimeout(STEP, reactor)
    except Exception:
        log.failure("{what} did not stop cleanly", what=what)


def _awaited(stop: Callable[[], Any]) -> Any:
    result = stop()
    return Deferred.fromCoroutine(result) if isinstance(result, Coroutine) else result


def alive(reactor: Any) -> Callable[[], object]:
    """What tells the service manager, often enough, that the reactor still turns."""
    wanted = systemd.watchdog_seconds()
    if wanted is None:
        return lambda: None
    last = [0.0]

    def beat() -> None:
        if reactor.seconds() - last[0] > wanted / 3:
            last[0] = reactor.seconds()
            systemd.notify("WATCHDOG=1")

    return beat
