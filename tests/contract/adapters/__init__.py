"""What the contract needs to know of each connector's wire: one module a type, named as the type.

Each has a class ``Wire`` that is made fresh for every test, with a ``tests.fakes.FakeHub`` as its house::

    hub, connector
    await start()                 # started and able
    await stop()                  # stopService, waited for
    await turn()                  # let what is under way go on
    await bring(n)                # the far side brings its message number n (again, if it was brought before)
    acknowledged(n) -> bool       # was it told that n is taken?
    refused(n) -> bool            # was it told never to bring n again?
    sending(mood) -> Deferred     # send an envelope to a far side in this mood: "takes", "busy", "refuses", "silent"
    left() -> list                # what is still scheduled or open

``moods`` are those that its wire knows.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from msgserver.message import Address, Envelope


def envelope(to: Address, **changes: Any) -> Envelope:
    """Something to send."""
    values = {"ref": "d1.0123456789ab", "attempt": 1, "sender": "Relief desk", "text": "The bridge is open again."}
    return Envelope(to=to, **{**values, **changes})


def sent(connector: Any, to: Address) -> Deferred[Any]:
    """Send to an address."""
    return maybeDeferred(connector.send, envelope(to))
