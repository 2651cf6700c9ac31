"""What is in the house, for those that serve its people. Holds nothing of its own: ``service`` builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgserver.config import Config
from msgserver.connector import IConnector
from msgserver.routing.bus import Bus
from msgserver.routing.conversation import Tokens
from msgserver.routing.desk import Desk
from msgserver.routing.outbox import Outbox
from msgserver.routing.plugins import Plugins
from msgserver.routing.router import Router
from msgserver.routing.snapshot import Snapshots
from msgserver.store.door import Store


@dataclass(frozen=True, kw_only=True)
class House:
    """The rooms' doors, by name."""

    config: Config
    store: Store
    bus: Bus
    router: Router
    outbox: Outbox
    desk: Desk
    connectors: Mapping[str, IConnector]
    node: str
    reactor: Any
    rules: Snapshots
    plugins: Plugins
    signer: Tokens
    gauges: Callable[[], dict[str, float]] = dict  # figures of this process, by name, as they are now
