"""People out of a file: upload it, read what would become of it, and only then import it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from msgserver.formats.people_csv import COLUMNS, Problem
from msgserver.records import Viewer
from msgserver.routing import imports as bringing
from msgserver.store import imports
from msgserver.store.edits import Refused
from msgserver.store.importing import Report
from msgserver.store.imports import Import
from msgserver.web.api.people_files import region_of
from msgserver.web.ask import Answer, Ask, Tx, not_found, see_other
from msgserver.web.language import _
from msgserver.web.pages.around import Around, around, desk_page
from msgserver.web.words import sentence

log = Logger()


async def upload(ask: Ask) -> Answer:
    """The form to upload a file, and how it must look."""
    return await _form(ask)


async def _form(ask: Ask, wrong: str = "") -> Answer:
    here = await ask.store.read(around, ask.viewer)
    return desk_page(
        ask, "people_import.html", here, "people", status=422 if wrong else 200, wrong=wrong, columns=COLUMNS,
        region=ask.form("region") or ask.house.config.hub.region, largest=bringing.LARGEST,
    )  # fmt: skip


async def look_at(ask: Ask) -> Answer:
    """Look at a file: the page that follows says what would become of it."""
    region = region_of(ask, ask.form("region"))
    if not ask.files or not ask.files[0].content:
        return await _form(ask, _("Nothing was read: choose a file."))
    file = ask.files[0]
    try:
        report = await bringing.look(ask.store, ask.site.in_thread, file.content, region)
    except Refused as refused:
        return await _form(ask, sentence(str(refused)))
    blob = await ask.house.store.keep(file.content)
    work = imports.Work(blob=blob, file=file.name, user_id=ask.viewer.user_id, region=region)
    number = await ask.store.write(imports.keep, work, report, ask.at)
    return see_other(f"/people/import/{number}")


def look(tx: Tx, viewer: Viewer, number: int, now: float) -> tuple[Around, Import] | None:
    """One's own upload."""
    found = imports.find(tx, viewer, number, now)
    return None if found is None else (around(tx, viewer), found)


async def report(ask: Ask) -> Answer:
    """What would become of the file; while it is imported how far that is, then what became of it."""
    return await _report(ask)


async def _report(ask: Ask, wrong: str = "") -> Answer:
    seen = await ask.store.read(look, ask.viewer, ask.part["upload"], ask.at)
    if seen is None:
        raise not_found("upload")
    here, found = seen
    return desk_page(
        ask, "people_report.html", here, "people", status=422 if wrong else 200, wrong=wrong, found=found,
        report=found.report,
    )  # fmt: skip


async def begin(ask: Ask) -> Answer:
    """Import it; the page says how far it is, whether one looks or not."""
    number = ask.part["upload"]
    try:
        found = await ask.store.write(imports.begin, ask.viewer, number, ask.at)
        if found is None:
            raise not_found("upload")
        raw = await ask.store.read(imports.content, found.work.blob)
    except Refused as refused:
        return await _report(ask, sentence(str(refused)))
    Deferred.fromCoroutine(_bring_in(ask, found, raw))
    return see_other(f"/people/import/{number}")


async def _bring_in(ask: Ask, found: Import, raw: bytes) -> None:
    """To its end, whatever happens; every ten slices it is told how far it is."""
    clock = ask.house.reactor.seconds
    told = [0]
    latest = [Report()]

    async def tell(report: Report) -> None:
        latest[0] = report
        told[0] += 1
        if told[0] % 10 == 0:
            await ask.store.write(imports.tell, found.id, report, clock())

    try:
        work = found.work
        done = await bringing.bring_in(
            ask.store, ask.site.in_thread, raw, work.region, ask.viewer, work.file, clock, tell
        )
        await ask.store.write(imports.tell, found.id, done, clock(), "done")
    except Exception:
        log.failure("import {number} broke off", number=found.id)
        report = latest[0]
        report.note([Problem(0, "", _("It broke off; what is counted above is saved."))])
        try:
            await ask.store.write(imports.tell, found.id, report, clock(), "failed")
        except Exception:
            log.failure("that import {number} broke off could not be written", number=found.id)
