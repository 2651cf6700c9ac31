"""People in and out as a table (CSV), for programs."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from msgserver.formats.phones import known_region
from msgserver.routing.imports import bring_in as import_people
from msgserver.routing.imports import look
from msgserver.store import audit, exporting
from msgserver.store.edits import Refused
from msgserver.store.importing import Report
from msgserver.web.api.giving import give
from msgserver.web.api.people_shapes import ImportProblem, ImportShape
from msgserver.web.ask import Answer, Ask, Refusal
from msgserver.web.streaming import Pouring
from msgserver.web.words import sentence

log = Logger()


def region_of(ask: Ask, words: str) -> str:
    """The country whose way of writing counts for phone numbers that name none; the hub's own unless said.

    Raises:
        Refusal: 422, there is no such country.
    """
    region: str = words.strip().upper() or ask.house.config.hub.region
    if region and not known_region(region):
        raise Refusal(
            422, f"There is no country {region[:10]!r}.", "Write two letters, as in AF. Nothing was imported."
        )
    return region


async def bring_in(ask: Ask) -> Answer:
    """Import people, groups and organisations from a table (CSV); ``dry_run=1`` only looks and says what is wrong."""
    kind = ask.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise Refusal(415, "This takes a table.", "Send it with Content-Type: text/csv.")
    region = region_of(ask, ask.query("region"))
    dry = ask.query("dry_run") not in ("", "0", "false")
    file = " ".join(ask.query("file").split())[:120] or "a file"
    try:
        if dry:
            report = await look(ask.store, ask.site.in_thread, ask.body, region)
        else:
            clock = ask.house.reactor.seconds
            report = await import_people(ask.store, ask.site.in_thread, ask.body, region, ask.viewer, file, clock)
            await ask.store.write(audit.note, ask.viewer, "import people", "people", {"file": file}, ask.at)
    except Refused as refused:
        raise Refusal(422, sentence(str(refused)), "Nothing was imported.") from None
    return give(import_shape(report, dry))


def import_shape(report: Report, dry: bool) -> ImportShape:
    """What became of a file, for programs."""
    problems = tuple(ImportProblem(one.line, one.column, one.words, one.left_out) for one in report.problems)
    return ImportShape(
        dry, report.rows, report.new, report.known, report.left_out, tuple(report.new_groups), report.ignored_columns,
        problems, report.problems_in_all,
    )  # fmt: skip


async def export(ask: Ask) -> Answer:
    """Everybody one may see as a table (CSV, UTF-8), safe to open in a spreadsheet; the import takes it back."""
    log.info("user {user} takes all people out as a table [{request_id}]", user=ask.viewer.user_id, request_id=ask.id)
    headers = (("Content-Disposition", 'attachment; filename="people.csv"'),)

    async def piece(place: str) -> tuple[bytes, str]:
        found: tuple[bytes, str] = await ask.store.read(exporting.page, ask.viewer, place)
        return found

    def pour(request: Any) -> None:
        Pouring(request, piece)

    return Answer(media_type="text/csv; charset=utf-8", headers=headers, stream=pour)
