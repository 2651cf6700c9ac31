"""Refusals as they are shown: a page for people, problem details (RFC 9457) for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from msgserver.web.ask import Answer, Refusal


def problem(site: Any, refusal: Refusal, api: bool, request_id: str) -> Answer:
    """Show a refusal. ``request_id`` stands in the log beside whatever caused it."""
    if refusal.status == 303:
        return Answer(status=303, headers=refusal.headers)
    if api:
        return Answer(
            status=refusal.status,
            body=msgspec.json.encode(details(refusal, request_id)),
            media_type="application/problem+json",
            headers=refusal.headers,
        )
    body = site.pages.render("problem.html", refusal=refusal, request_id=request_id, ask=None)
    return Answer(status=refusal.status, body=body, headers=refusal.headers)


def details(refusal: Refusal, request_id: str) -> dict[str, object]:
    """A refusal as an RFC 9457 object; ``instance`` is the request's id in the log."""
    said: dict[str, object] = {
        "type": refusal.kind,
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": " ".join(words for words in (refusal.words, refusal.hint) if words),
    }
    if request_id:
        said["instance"] = f"urn:msgserver:request:{request_id}"
    return {**said, **refusal.facts}
