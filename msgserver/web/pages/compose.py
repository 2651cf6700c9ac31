"""Writing a new message to anybody, by any channel."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

from msgserver.formats.marks import as_html, unmarked
from msgserver.formats.phones import read_address
from msgserver.message import Address
from msgserver.records import Draft, Priority, Viewer
from msgserver.store.edits import Refused
from msgserver.web.ask import Answer, Ask, Refusal, Tx, see_other
from msgserver.web.language import _
from msgserver.web.pages import counting
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.pages.preview import Preview
from msgserver.web.words import sentence

MOST = 100  # addresses typed by hand; more than that is an alert to a group

_SEPARATOR = re.compile(r"[,;\n]+")


def look(tx: Tx, viewer: Viewer) -> Around:
    """What stands around the page."""
    return around(tx, viewer)


async def form(ask: Ask) -> Answer:
    """An empty sheet; ``?to=`` may name somebody."""
    return await show(ask, to=ask.query("to")[:2000])


async def show(ask: Ask, *, wrong: str = "", status: int = 200, to: str = "") -> Answer:
    """The sheet, with what was written on it."""
    here = await ask.store.read(look, ask.viewer)
    text = counting.plainer(ask.form("text")) if ask.form("plain") else ask.form("text")
    to = to or ask.form("to")
    more = ask.form("more")
    return desk_page(
        ask,
        "compose.html",
        here,
        "",
        status=status,
        wrong=wrong,
        to=to,
        subject=ask.form("subject"),
        text=text,
        more=more,
        preview=Preview(unmarked(text) + as_html(more), text, bool(ask.files)) if ask.form("preview") else None,
        count=counting.counted(ask, text, to),
        priority=read_priority(ask.form("priority")),
        once=ask.form("once") or str(uuid.uuid4()),
    )


async def send(ask: Ask) -> Answer:
    """Send it; what is wrong is said beside the words, which stay."""
    if ask.form("count") or ask.form("plain") or ask.form("preview"):
        return await show(ask)
    try:
        to = read_addresses(ask.form("to"), ask.house.config.hub.region)
        text, html = worded(ask.form("text").strip(), ask.form("more").strip(), to)
        if not text and not ask.files:
            raise Refused(_("There are no words to send. Write something, or attach a file."))
        counting.refuse_too_long(ask, ask.form("text"), ask.form("to"))
        recorded = await ask.house.desk.write(
            ask.viewer,
            Draft(
                uid=once(ask),
                to=to,
                subject=ask.form("subject").strip(),
                text=text,
                html=html,
                attachments=ask.files,
                priority=read_priority(ask.form("priority")),
            ),
        )
    except Refused as refused:
        return await show(ask, wrong=sentence(str(refused)), status=422)
    return see_other(f"/tickets/{recorded.ticket_id}?view=all&said=sent#m{recorded.number}")


def worded(text: str, more: str, to: Sequence[Address]) -> tuple[str, str]:
    """The text for everybody and the HTML for those with e-mail, who get ``more`` (with light marks) below the text.

    Raises:
        Refused: somebody would get nothing of it.
    """
    if not more:
        return text, ""
    mail = [address.scheme == "mailto" for address in to]
    if not any(mail):
        raise Refused(_("None of these is an e-mail address: nobody would get what stands under “More by e-mail”."))
    if text:
        return text, unmarked(text) + as_html(more)
    if not all(mail):
        raise Refused(
            _("Those without e-mail would get nothing: “More by e-mail” goes to e-mail alone. Write a message, too.")
        )
    return more, as_html(more)


def once(ask: Ask) -> str:
    """The form's own name for what it sends: the same form sent twice is one message."""
    try:
        return str(uuid.UUID(ask.form("once")))
    except ValueError:
        raise Refusal(
            400, _("The form is incomplete."), _("Nothing was sent. Load the page again; your words are kept.")
        ) from None


def read_addresses(words: str, region: str = "") -> tuple[Address, ...]:
    """Addresses with commas between them; phone numbers that name no country are those of ``region``.

    Raises:
        Refused: none, too many, or one that is none.
    """
    found: list[Address] = []
    for word in filter(None, (word.strip() for word in _SEPARATOR.split(words))):
        bare = word.rpartition("<")[2].rstrip(">") if word.endswith(">") else word
        try:
            found.append(read_address(bare, region))
        except ValueError as error:
            if any(sign.isdigit() for sign in bare) and "@" not in bare and not any(map(str.isalpha, bare)):
                raise Refused(f"{error}.") from None
            raise Refused(
                _("“%s” is not an address. Write ana@example.org, +93 70 123 4567 or xmpp:ana@example.org.") % word[:80]
            ) from None
    if not found:
        raise Refused(_("Nobody to send it to. Write at least one address."))
    if len(found) > MOST:
        raise Refused(_("These are more than %d addresses. Send it to a group instead.") % MOST)
    return tuple(dict.fromkeys(found))


def read_priority(word: str) -> Priority:
    """A priority out of a form; normal where it is none."""
    return Priority(int(word)) if word in ("0", "1", "2", "3") else Priority.NORMAL
