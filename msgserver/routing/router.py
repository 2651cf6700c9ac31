"""The one door in for the world: journal first, then acknowledge, then read (DESIGN, The way of a message)."""

from __future__ import annotations

from typing import Any

from msgserver.connector import TemporaryFailure
from msgserver.message import Accepted, Arrival, Report
from msgserver.records import DeliveryState, ReportRow
from msgserver.routing.bus import Bus
from msgserver.routing.journalling import Journalled, journal_row
from msgserver.routing.reader import Reader
from msgserver.store import deliveries
from msgserver.store.blobs import LARGEST_IN_ROW
from msgserver.store.door import Busy, DiskFull, Store, StoreError
from msgserver.store.journal import journal

_BUSY = "The hub cannot store messages just now and has taken nothing; please try again in a minute."
_FULL = "The hub's disk is full and it has taken nothing; please try again later."


class Router:
    """Takes arrivals and reports from the connectors, each by its connector's name."""

    def __init__(self, store: Store, bus: Bus, reader: Reader, reactor: Any) -> None:
        self._store = store
        self._bus = bus
        self._reader = reader
        self._reactor = reactor
        self.last_in: dict[str, float] = {}  # connector -> when it last brought something

    async def accept(self, connector: str, arrival: Arrival) -> Accepted:
        """Take responsibility for an arrival: when this returns, it is committed and the wire may be acknowledged.

        Raises:
            TemporaryFailure: nothing was stored; the wire must be told "later".
        """
        mail = arrival.text is None
        if self._reader.full(mail):
            await self._reader.room(mail)
        now = self._reactor.seconds()
        raw = arrival.raw
        item: Journalled | None = None
        self._reader.comes(mail)
        try:
            blob = await self._store.keep(raw) if len(raw) > LARGEST_IN_ROW else ""
            accepted: Accepted = await self._store.batch(journal, journal_row(connector, arrival, now, blob))
            if not accepted.duplicate:
                item = Journalled(accepted.raw_id, connector, now, arrival)
        except Busy:
            raise TemporaryFailure(_BUSY, 60.0) from None
        except DiskFull:
            raise TemporaryFailure(_FULL, 300.0) from None
        except (StoreError, OSError) as error:
            raise TemporaryFailure(_BUSY, 60.0) from error
        finally:
            self._reader.came(mail, item)
        self.last_in[connector] = now
        if item is not None:
            self._bus.ring("raw", (accepted.raw_id,))
        return accepted

    async def report(self, connector: str, report: Report) -> None:
        """Write down what became of something sent; an unknown id is kept and matched later.

        Raises:
            TemporaryFailure: it was not stored.
        """
        row = ReportRow(
            connector=connector,
            state=DeliveryState(report.state.value),
            wire_id=report.wire_id,
            ref=report.ref,
            recipient=str(report.recipient) if report.recipient is not None else "",
            part=report.part,
            words=report.words,
            at=report.at if report.at is not None else self._reactor.seconds(),
        )
        try:
            await self._store.batch(deliveries.report, row)
        except StoreError:
            raise TemporaryFailure(_BUSY, 60.0) from None
