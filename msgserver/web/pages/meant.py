"""Who is meant by what somebody wrote into a form, where no script completed it."""

from __future__ import annotations

from msgserver.formats.phones import read_address
from msgserver.records import Entity, Viewer
from msgserver.store import people
from msgserver.store.edits import Refused
from msgserver.web.ask import Tx
from msgserver.web.language import _


def entity_meant(tx: Tx, viewer: Viewer, words: str, region: str) -> Entity:
    """The person, group or organisation of that name or address.

    Raises:
        Refused: nobody is called so, or several are.
    """
    words = " ".join(words.split())[:200]
    near = people.complete(tx, viewer, words)
    same = [one for one in near if one.name.lower() == words.lower()]
    near = same if len(same) == 1 else near or _by_address(tx, viewer, words, region)
    if not near:
        raise Refused(_("Nothing was saved: nobody is called “%s”. Add them under People first.") % words[:60])
    if len(near) > 1:
        raise Refused(several(words, [one.name for one in near], _("Write the whole name, or an address.")))
    return near[0]


def _by_address(tx: Tx, viewer: Viewer, words: str, region: str) -> list[Entity]:
    try:
        known = people.who(tx, [read_address(words, region)]).values()
    except ValueError:
        return []
    seen = [people.entity(tx, viewer, one.id) for one in known]
    return [one for one in seen if one is not None]


def several(words: str, near: list[str], then: str) -> str:
    """Why nothing was saved where the words may mean any of ``near``, and what to do ``then``."""
    return _("Nothing was saved: “%(words)s” may be %(near)s. %(then)s") % {
        "words": words[:60],
        "near": ", ".join(near),
        "then": then,
    }
