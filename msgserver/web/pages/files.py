"""The style sheet, the script and the mark of the desk: named by their content, kept by browsers for a year."""

from __future__ import annotations

from msgserver.web.ask import Answer, Ask, not_found


async def static(ask: Ask) -> Answer:
    """One of the files that pages load."""
    file = ask.site.pages.files.get(ask.part["name"])
    if file is None:
        raise not_found("file")
    headers = [("Cache-Control", "public, max-age=31536000, immutable"), ("Vary", "Accept-Encoding")]
    body = file.body
    if "gzip" in ask.headers.get("accept-encoding", ""):
        headers.append(("Content-Encoding", "gzip"))
        body = file.squeezed
    return Answer(body=body, media_type=file.media_type, headers=tuple(headers))
