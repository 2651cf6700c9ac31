"""For those who watch the hub: is the process there, can it work, and its figures for Prometheus."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from msgserver.routing.may import Act, may
from msgserver.store import connectors
from msgserver.web import sessions
from msgserver.web.ask import Answer, Ask, Refusal, Tx

LOOPBACK = ("127.0.0.1", "::1", "local")


class Metrics:
    """The web's own figures, and the hub's as the store knows them when somebody looks. No personal data in labels."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "msgserver_http_requests", "Answers by status class", ["status"], registry=self.registry
        )
        self._took = Histogram(
            "msgserver_http_seconds",
            "Time to an answer",
            registry=self.registry,
            buckets=(0.005, 0.02, 0.05, 0.15, 0.5, 2, 10),
        )
        self._streams = Gauge("msgserver_live_pages", "Open event streams", registry=self.registry)
        self._able = Gauge("msgserver_connector_able", "1: can send", ["connector"], registry=self.registry)
        self._waiting = Gauge("msgserver_waiting", "Deliveries waiting to leave", ["connector"], registry=self.registry)

    def request(self, status: int, took: float) -> None:
        """Count an answer."""
        self._requests.labels(f"{status // 100}xx").inc()
        self._took.observe(took)

    def render(self, rows: Any, streams: int) -> bytes:
        """All figures in the exposition format, version 0.0.4."""
        self._streams.set(streams)
        for row in rows:
            self._able.labels(row.name).set(1 if row.able and not row.paused else 0)
            self._waiting.labels(row.name).set(row.waiting)
        return generate_latest(self.registry)


def _json(status: int, value: object) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(value), media_type="application/json")


async def healthz(ask: Ask) -> Answer:  # noqa: ARG001 -- as all acts
    """The process is there."""
    return _json(200, {"ok": True})


def _nothing(tx: Tx) -> None:
    """A write of nothing: it takes its turn and commits."""


async def readyz(ask: Ask) -> Answer:
    """The database takes writes; how the connectors are is told, and does not make the hub unready."""
    try:
        await ask.store.write(_nothing)
        rows = await ask.store.read(connectors.rows)
    except Exception as error:
        refusal = ask.site.store_trouble(error)
        if refusal is None:
            raise
        return _json(503, {"ready": False, "database": refusal.words})
    told: dict[str, object] = {"ready": True, "database": "takes writes"}
    if ask.peer in LOOPBACK:
        told["connectors"] = {row.name: {"able": row.able, "words": row.words, "waiting": row.waiting} for row in rows}
    return _json(200, told)


async def metrics(ask: Ask) -> Answer:
    """Figures for Prometheus: to this machine, and to whoever brings an operator's token."""
    if ask.peer not in LOOPBACK:
        ask = await sessions.by_token(ask, required=True)
        if not may(ask.viewer, Act.CONNECTORS):
            raise Refusal(403, "Figures are for operators.", "Use the token of an operator.")
    rows = await ask.store.read(connectors.rows)
    body = ask.site.metrics.render(rows, len(ask.site.streams))
    return Answer(body=body, media_type="text/plain; version=0.0.4; charset=utf-8")
