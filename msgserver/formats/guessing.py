"""Which charset bytes are in that neither say so nor are UTF-8: by their letters, and by their language."""

from __future__ import annotations

_SAMPLE = 4_000  # bytes looked at
_LIKELY = 2  # languages that come into question
_FEW = 8  # bytes that say too little

# The frequent letters of a language, by which a text in its old charset is told.
_FREQUENT = {
    "cp1251": frozenset("оеаинтсрвлкмдпуяОЕАИНТСРВ"),
    "koi8-r": frozenset("оеаинтсрвлкмдпуя"),
    "cp1256": frozenset("اليمونرتبةعدسفهكقحج"),
    "cp1253": frozenset("αοιετσνηυρπκμλςήίά"),
    "cp1255": frozenset("יוהלאתרבשמנכדקםחפע"),
    "cp932": frozenset("のにはをたがでてとしれさんいすまかなる、。"),
    "euc_jp": frozenset("のにはをたがでてとしれさんいすまかなる、。"),
    "gb18030": frozenset(
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会,。早好河水很高学校关需五十请忙帮食物你下生自多天可没过年"
        "那小能她对起面想后也心开工用之而吗谢三二四六七八九日月今明路家里去看见得着都还把被让给从向村房死伤救急电话"
    ),
    "big5hkscs": frozenset(
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會,。早好河水很高學校關需五十請忙幫食物你下生自多天可沒過年"
        "那小能她對起面想後也心開工用之而嗎謝三二四六七八九日月今明路家裡去看見得著都還把被讓給從向村房死傷救急電話"
    ),
    "cp949": frozenset("이다는을의에가고하한지기서로사은니습해있"),
    "cp874": frozenset("านรอกเงมยลวดทสตะปบคหแจพชขใไ่้"),
}

# Languages that write Latin letters Western Europe does not have: their charsets, and all the letters beyond ASCII.
_LATIN = {
    "Polish": (("cp1250", "iso8859-2"), frozenset("ąćęłńóśźżĄĆĘŁŃÓŚŹŻ")),
    "Czech": (("cp1250", "iso8859-2"), frozenset("áäčďéěíĺľňóôŕřšťúůýžÁČĎÉĚÍĽŇÓŘŠŤÚŮÝŽ")),
    "Hungarian": (("cp1250", "iso8859-2"), frozenset("áéíóöőúüűÁÉÍÓÖŐÚÜŰ")),
    "Romanian": (("cp1250", "iso8859-2"), frozenset("ăâîşţĂÂÎŞŢ")),
    "Croatian": (("cp1250", "iso8859-2"), frozenset("čćđšžČĆĐŠŽ")),
    "Turkish": (("cp1254",), frozenset("çğıöşüâîÇĞİÖŞÜ")),
    "Lithuanian": (("cp1257",), frozenset("ąčęėįšųūžĄČĘĖĮŠŲŪŽ")),
    "Latvian": (("cp1257",), frozenset("āčēģīķļņšūžĀČĒĢĪĶĻŅŠŪŽ")),
    "Estonian": (("cp1257",), frozenset("äõöüšžÄÕÖÜŠŽ")),
}
_ALIKE = {"Slovak": "Czech", "Slovene": "Croatian", "Serbian": "Croatian", "Bosnian": "Croatian"}
_MARKS = frozenset("„“”‘’–—…«»§°€\xa0")


def likeliest(raw: bytes, thorough: bool = False) -> str:
    """The codec in which bytes make the most sense; cp1252 where nothing speaks for another."""
    return _by_letters(raw[:_SAMPLE])[0] or (_by_language(raw[:_SAMPLE]) if thorough else "") or "cp1252"


def another_script(raw: bytes) -> str:
    """The codec of bytes that were labelled Western and can hardly be: they consist of another script's letters."""
    sample = raw[:_SAMPLE]
    high = sum(1 for byte in sample if byte > 0x7F)
    if len(sample) <= _FEW or high * 2 <= len(sample) - sample.count(b" "):
        return ""
    codec, sure = _by_letters(sample)
    return codec if sure > 0.3 else ""


def _by_letters(sample: bytes) -> tuple[str, float]:
    """The old charset whose frequent letters the bytes hold, and how many of them they are; "" where none."""
    best, most = "", 0.25
    high = sum(1 for byte in sample if byte > 0x7F)
    # Western text has few letters beyond ASCII; the other scripts consist of them.
    if high * 3 > len(sample) - sample.count(b" "):
        for codec, frequent in _FREQUENT.items():
            text = sample.decode(codec, "replace")
            foreign = [letter for letter in text if letter > "\x7f"]
            if not foreign:
                continue
            score = sum(1 for letter in foreign if letter in frequent) / len(foreign)
            score -= 2 * foreign.count("\ufffd") / len(foreign)
            if score > most + (0.02 if best else 0.0):
                best, most = codec, score
    return best, most


def _by_language(sample: bytes) -> str:
    """The charset of a language that writes Latin letters of its own, where the text is in it and they all fit."""
    import charset_normalizer  # noqa: PLC0415 - few mails need it

    best, most = "", 0.3
    for codec in ("cp1250", "iso8859-2", "cp1254", "cp1257"):
        text = sample.decode(codec, "replace")
        beyond = [letter for letter in text if letter > "\x7f" and letter not in _MARKS]
        match = charset_normalizer.from_bytes(sample, cp_isolation=[codec], threshold=0.3).best() if beyond else None
        if match is None:
            continue
        for language in match.languages[:_LIKELY]:
            codecs, letters = _LATIN.get(_ALIKE.get(language, language), ((), frozenset()))
            fitting = sum(1 for letter in beyond if letter in letters) / len(beyond)
            if codec in codecs and fitting > 0.9 and match.coherence > most:
                best, most = codec, match.coherence
    return best
