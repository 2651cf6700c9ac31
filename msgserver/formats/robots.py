"""Whether a mail was written by a machine: such mail gets no automatic answer (RFC 3834 section 2)."""

from __future__ import annotations

import re

from msgserver.formats.headers import Fields, words
from msgserver.message import Address

_PRECEDENCE = {"bulk": "bulk", "junk": "bulk", "list": "list", "auto_reply": "auto-replied"}
_LIST = ("list-id", "list-post", "list-unsubscribe", "list-help", "mailing-list", "x-mailing-list", "list-subscribe")
_REPLIERS = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-mail-autoreply", "x-autoreply-from")
_SUPPRESSED = re.compile(r"(?i)\b(?:all|oof|autoreply|dr|ndr|rn|nrn)\b")
_MAILER = re.compile(r"(?i)^(?:mailer-?daemon|mail-?daemon|mdaemon|post_?master|mail\.?delivery|bounces?)(?:[+\-=@]|$)")
_MAILER_WORDS = re.compile(r"(?i)mailer-?daemon|mail delivery (?:sub)?system|\bpostmaster\b")
_REPORTS = {"disposition-notification": "receipt", "feedback-report": "feedback"}
_NOBODY = re.compile(
    r"(?i)^(?:no-?_?\.?reply|do-?_?not-?_?reply|noreply|no-?response|nobody|ne-?pas-?repondre|owner-.*|.*-request"
    r"|.*-owner|.*-bounces?|auto-?confirm|listserv|majordomo|notifications?)(?:[+\-=].*)?@"
)
_AWAY = re.compile(
    r"(?i)^\s*(?:\[?auto(?:matic)?[ -]?(?:reply|response)\b|auto:|autoreply|out of (?:the )?office"
    r"|away from (?:the )?office"
    r"|automatische (?:antwort|abwesenheit)|abwesenheits(?:notiz|meldung|benachrichtigung)|abwesend:"
    r"|r[ée]ponse automatique"
    r"|absence du bureau|respuesta autom[áa]tica|fuera de (?:la )?oficina|resposta autom[áa]tica|risposta automatica"
    r"|automatisch antwoord|afwezigheid|autosvar|automatiskt svar|automatisk svar|odpowied[źz] automatyczna"
    r"|автоответ|автоматический ответ|автоматична відповідь|自动回复|自動回覆|自動返信|自動応答|رد تلقائي|vacation:)"
)


def robot(fields: Fields, kind: str, sender: Address | None, subject: str) -> str:
    """Why a mail is a machine's, in one word, or "" where a person seems to have written it.

    Args:
        fields: of the mail's header.
        kind: its media type with the report's type behind it where it has one ("multipart/report; delivery-status").
        sender: of From:.
        subject: decoded.
    """
    if kind.startswith("multipart/report"):
        return _REPORTS.get(kind.rpartition(" ")[2], "bounce")
    who = sender.value if sender else ""
    if "x-failed-recipients" in fields or _by_mailer(fields, who):
        return "bounce"
    reason = _declared(fields)
    if reason:
        return reason
    if "return-path" in fields and fields["return-path"][0].strip() == "<>":
        return "no-return"
    if _AWAY.match(subject):
        return "auto-replied"
    if who and _NOBODY.match(who):
        return "no-reply"
    return ""


def _by_mailer(fields: Fields, who: str) -> bool:
    """Whether From: names a mail system, by an address or (as the old ones do) without one."""
    if who:
        return bool(_MAILER.match(who))
    written = words(fields["from"][0], 200).strip() if "from" in fields else ""
    return written == "<>" or bool(_MAILER_WORDS.search(written))


def _declared(fields: Fields) -> str:
    """What the header itself says it is."""
    for value in fields.get("auto-submitted", ()):
        said = words(value, 60).lower().partition(";")[0].partition("(")[0].strip()
        if said and said != "no":
            return said if said in ("auto-replied", "auto-generated", "auto-notified") else "auto-generated"
    if any(name in fields for name in _REPLIERS):
        return "auto-replied"
    for value in fields.get("precedence", ()):
        if value.strip().lower() in _PRECEDENCE:
            return _PRECEDENCE[value.strip().lower()]
    if any(name in fields for name in _LIST):
        return "list"
    if any(_SUPPRESSED.search(value[:200]) for value in fields.get("x-auto-response-suppress", ())):
        return "suppressed"
    if "x-loop" in fields:
        return "loop"
    if "feedback-id" in fields or "x-campaign-id" in fields:
        return "bulk"
    return ""
