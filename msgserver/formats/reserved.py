"""The words that win over every rule, language by language: opting out, opting in again, asking for help. Pure.

A language is one ``Pack`` in ``PACKS``; add one and its words are understood and answered. All words of all languages
count everywhere, since nobody says in which language they are about to write. Words are compared as the house's
tokeniser makes them, so case, accents and punctuation make no difference, in any script. The English ones are the
union of what the carriers and large gateways ask for.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from msgserver.formats.tokens import tokens

MOST_WORDS = 3  # of a text that begins with a leading word and opts out; anything longer goes to a person
ONE_SMS = 160  # characters that no answer here goes beyond
_LOOKED_AT = 400  # characters of a text


class Choice(StrEnum):
    """What somebody asked for about hearing from us at all."""

    NONE = ""
    STOP = "stop"
    START = "start"
    HELP = "help"


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """One language: its words, and what is answered. ``leading``: words of ``stop`` that opt out with up to two more
    words behind them, since they are said of nothing else at the head of so short a text."""

    stop: tuple[str, ...]
    leading: tuple[str, ...]
    start: tuple[str, ...]
    help: tuple[str, ...]
    stopped: str
    started: str
    helped: str
    contact: str  # how one is told whom to reach; empty contacts leave it out


PACKS = {
    "en": Pack(
        stop=(
            *("stop", "stopall", "unsubscribe", "cancel", "end", "quit"),
            *("remove", "optout", "opt-out", "td", "revoke"),
        ),
        leading=("stop",),
        start=("start", "unstop"),
        help=("help", "info"),
        stopped="{hub}: you will get no more messages from us. Reply START to get them again.",
        started="{hub}: you will get messages from us again. Reply STOP to end them.",
        helped="{hub}. {contact}Messages come when there is news. Reply STOP to end them.",
        contact="Contact: {contact}. ",
    ),
    "fr": Pack(
        stop=("arret", "arrêter", "désinscrire", "désabonner", "résilier"),
        leading=("arret",),
        start=("reprendre", "réabonner"),
        help=("aide",),
        stopped="{hub} : vous ne recevrez plus de messages de notre part. Répondez START pour les recevoir à nouveau.",
        started="{hub} : vous recevrez à nouveau nos messages. Répondez STOP pour ne plus en recevoir.",
        helped="{hub}. {contact}Messages selon l'actualité. Répondez STOP pour ne plus en recevoir.",
        contact="Contact : {contact}. ",
    ),
    "es": Pack(
        stop=("alto", "parar", "baja", "cancelar", "fin"),
        leading=(),
        start=("alta", "reanudar"),
        help=("ayuda",),
        stopped="{hub}: no recibirá más mensajes nuestros. Responda START para recibirlos de nuevo.",
        started="{hub}: recibirá de nuevo nuestros mensajes. Responda STOP para no recibirlos.",
        helped="{hub}. {contact}Enviamos mensajes cuando hay novedades. Responda STOP para no recibirlos.",
        contact="Contacto: {contact}. ",
    ),
    "ar": Pack(
        stop=("توقف", "إيقاف", "أوقف", "إلغاء", "إلغاء الاشتراك"),
        leading=(),
        start=("ابدأ", "اشتراك", "استئناف"),
        help=("مساعدة",),
        stopped="{hub}: لن تصلك رسائل منا بعد الآن. أرسل START لتصلك من جديد.",
        started="{hub}: ستصلك رسائلنا من جديد. أرسل STOP لإيقافها.",
        helped="{hub}. {contact}نرسل عند وجود جديد. أرسل STOP للإيقاف.",
        contact="للتواصل: {contact}. ",
    ),
    "pt": Pack(
        stop=("parar", "pare", "sair", "cancelar"),
        leading=(),
        start=("retomar", "voltar"),
        help=("ajuda",),
        stopped="{hub}: não receberá mais mensagens nossas. Responda START para voltar a recebê-las.",
        started="{hub}: voltará a receber as nossas mensagens. Responda STOP para não as receber.",
        helped="{hub}. {contact}Enviamos mensagens quando há novidades. Responda STOP para não as receber.",
        contact="Contacto: {contact}. ",
    ),
    "de": Pack(
        stop=("stopp", "abmelden", "abbestellen"),
        leading=("stopp",),
        start=("anmelden",),
        help=("hilfe",),
        stopped="{hub}: Sie bekommen keine Nachrichten mehr von uns. Antworten Sie START, um sie wieder zu bekommen.",
        started="{hub}: Sie bekommen wieder Nachrichten von uns. Antworten Sie STOP, um sie zu beenden.",
        helped="{hub}. {contact}Nachrichten kommen, wenn es Neues gibt. Antworten Sie STOP, um sie zu beenden.",
        contact="Kontakt: {contact}. ",
    ),
    "ru": Pack(
        stop=("стоп", "отписаться", "отмена"),
        leading=("стоп",),
        start=("старт", "подписаться"),
        help=("помощь", "инфо"),
        stopped="{hub}: вы больше не будете получать наши сообщения. Ответьте START, чтобы получать их снова.",
        started="{hub}: вы снова будете получать наши сообщения. Ответьте STOP, чтобы их прекратить.",
        helped="{hub}. {contact}Пишем, когда есть новости. Ответьте STOP, чтобы прекратить.",
        contact="Связь: {contact}. ",
    ),
    "fa": Pack(
        stop=("لغو", "لغو اشتراک", "توقف"),
        leading=(),
        start=("شروع",),
        help=("راهنما", "کمک"),
        stopped="{hub}: دیگر پیامی از ما نمی‌گیرید. برای دریافت دوباره START بفرستید.",
        started="{hub}: دوباره پیام‌های ما را می‌گیرید. برای توقف STOP بفرستید.",
        helped="{hub}. {contact}هنگام خبر تازه پیام می‌فرستیم. برای توقف STOP بفرستید.",
        contact="تماس: {contact}. ",
    ),
}
DEFAULT = "en"


class Heard(msgspec.Struct, frozen=True):
    """What a text asks for, in which language's word; ``flagged``: it begins like STOP, but says more."""

    choice: Choice = Choice.NONE
    language: str = ""
    flagged: bool = False


NOTHING = Heard()


def _words() -> tuple[dict[tuple[str, ...], Heard], dict[str, str]]:
    exact: dict[tuple[str, ...], Heard] = {}
    leading: dict[str, str] = {}
    for language, pack in PACKS.items():
        for choice, words in ((Choice.STOP, pack.stop), (Choice.START, pack.start), (Choice.HELP, pack.help)):
            for word in words:
                exact.setdefault(tokens(word), Heard(choice, language))
        for word in pack.leading:
            leading.setdefault(tokens(word)[0], language)
    return exact, leading


_EXACT, _LEADING = _words()


def listen(text: str) -> Heard:
    """Read STOP, START and HELP out of a text: it is such a word, or begins with STOP and has at most three words."""
    if text.strip() == "?":
        return Heard(Choice.HELP, DEFAULT)
    said = tokens(text[:_LOOKED_AT])
    if not said:
        return NOTHING
    found = _EXACT.get(said)
    if found is not None:
        return found
    language = _LEADING.get(said[0])
    if language is None:
        return NOTHING
    if len(said) <= MOST_WORDS:
        return Heard(Choice.STOP, language)
    return Heard(Choice.NONE, language, flagged=True)


def reserved(words: str) -> Heard:
    """What a word or phrase of a rule means where it is all that somebody writes, or begins what they write."""
    said = tokens(words)
    found = _EXACT.get(said)
    if found is not None:
        return found
    return Heard(Choice.STOP, _LEADING[said[0]]) if said and said[0] in _LEADING else NOTHING


def answer(choice: Choice, language: str, hub: str, contact: str = "") -> str:
    """The one answer to STOP, START or HELP, at most 160 characters; names that are too long for that are cut."""
    pack = PACKS.get(language.partition("-")[0].lower(), PACKS[DEFAULT])
    said = {Choice.STOP: pack.stopped, Choice.START: pack.started, Choice.HELP: pack.helped}[choice]
    hub = _cut(hub, 40)
    room = ONE_SMS - len(said.format(hub=hub, contact=""))
    reach = _cut(contact, room - len(pack.contact.format(contact=""))) if contact.strip() else ""
    return said.format(hub=hub, contact=pack.contact.format(contact=reach) if reach else "")


def _cut(words: str, most: int) -> str:
    words = " ".join(words.split()).rstrip(".")
    if len(words) <= most:
        return words
    return f"{words[: most - 3].rstrip()}..." if most > 3 else ""  # no "…": it would make a text of three parts
