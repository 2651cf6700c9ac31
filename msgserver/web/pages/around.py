"""What stands around every page of the desk: the views with their counts, the channels and how they are."""

from __future__ import annotations

from typing import Any

import msgspec

from msgserver.records import ConnectorRow, Viewer
from msgserver.routing.may import Act, may
from msgserver.store import connectors, tickets
from msgserver.web import station
from msgserver.web.ask import Answer, Ask, Tx
from msgserver.web.language import _

VIEWS = (
    ("todo", _("To do")),
    ("mine", _("Mine")),
    ("unassigned", _("Unassigned")),
    ("all", _("All")),
    ("done", _("Done")),
    ("spam", _("Spam")),
)
TITLES = dict(VIEWS)

# What a page says after a POST, by the word in ``?said=``: nothing from outside is ever shown there.
SAID = {
    "sent": _("Sent. It leaves as soon as the channel takes it."),
    "noted": _("The note is kept. Nobody outside sees it."),
    "taken": _("It is yours."),
    "dropped": _("You gave it back."),
    "assigned": _("Assigned."),
    "priority": _("The priority is changed."),
    "done": _("Done. It comes back by itself when they write again."),
    "reopened": _("It is open again."),
    "unread": _("Marked unread, for you."),
    "tagged": _("Tagged."),
    "untagged": _("Taken back. What had gone out already cannot be."),
    "routed": _("Routed."),
    "forwarded": _("Sent on."),
    "created": _("The record is made."),
    "joined": _("Merged: both are this one conversation now."),
    "split": _("A conversation of its own now."),
    "moved": _("Moved here."),
    "retried": _("It is tried again now."),
    "cancelled": _("It will not be sent again."),
    "added": _("Added."),
    "subscribed": _("Subscribed: a copy of every message that comes."),
    "removed": _("Removed."),
    "saved": _("Saved."),
    "merged": _("Merged: all that was known of either is here now."),
    "asked": _("Saved. They are asked whether they want it, and get copies once they say YES."),
    "unasked": _("Saved, but they were not asked: three questions went there today, or they said STOP."),
    "let_go": _("The copies go out."),
    "kept_back": _("The copies are cancelled."),
    "password": _("The password is changed, and you are signed out everywhere else."),
    "left": _("You are signed out everywhere else."),
    "paused": _("Paused. What waits is kept."),
    "resumed": _("Resumed."),
    "taken-text": _("It is yours: read it out, then say what came of it."),
    "passed": _("Delivered. It stands in the log."),
    "not-passed": _("Not delivered. It stands in the log, with the reason."),
    "put-back": _("It is back in the queue."),
    "logged": _("Logged. It is a message like any other now."),
    "welcome": _("Welcome. Send the hub a message, and it appears here by itself."),
}


class Around(msgspec.Struct, frozen=True):
    """What a page shows around itself."""

    counts: dict[str, int]
    channels: tuple[ConnectorRow, ...]


def around(tx: Tx, viewer: Viewer) -> Around:
    """Look it up, in the transaction in which the page looks up its own things."""
    return Around(tickets.counts(tx, viewer), tuple(connectors.rows(tx)))


def desk_page(ask: Ask, template: str, here: Around, view: str, *, status: int = 200, **values: Any) -> Answer:
    """Answer with a page of the desk; ``view`` is the place that is lit in the navigation."""
    values.setdefault("said", SAID.get(ask.query("said"), ""))
    values.setdefault("query", "")
    values.setdefault("wrong", "")
    values["stations"] = station.names(ask.house) if may(ask.viewer, Act.RELAY) else ()
    return ask.page(template, status, view=view, views=VIEWS, counts=here.counts, channels=here.channels, **values)
