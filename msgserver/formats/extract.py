"""What can be read off a text besides its words: positions, phone numbers, hashtags and ``@codes``. Pure.

Positions are found as people and their telephones write them: ``geo:`` URIs (RFC 5870), links to the usual maps,
degrees with minutes and seconds, and decimal degrees in any script's digits. A pair of bare decimals counts from three
places on, so that "3.5, 4.2" stays what it is; the letter O is no side of the world (Ost is east, ouest is west).
Every pattern is bounded: the time taken is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import unquote

import msgspec
import phonenumbers

MOST_TEXT = 20_000  # characters looked at
MOST = 20  # of each kind
_MOST_PLACES = 100  # looked at, before the same ones are counted once
_MOST_TRIES = 500  # at reading a phone number


class Position(msgspec.Struct, frozen=True):
    """A place on the Earth, in degrees (WGS 84), and the piece of the text that says so."""

    latitude: float
    longitude: float
    written: str = ""


class Found(msgspec.Struct, frozen=True):
    """What a text names, each thing once, in the order of the text.

    ``phones`` are E.164 (``+15551234567``); ``hashtags`` and ``codes`` come without their sign, case-folded.
    """

    positions: tuple[Position, ...] = ()
    phones: tuple[str, ...] = ()
    hashtags: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


_HASHTAG = re.compile(r"(?<![\w&/#@＃])[#＃](\w[\w\u200c\u200d·-]{0,59})")
_CODE = re.compile(r"(?<![\w.@/&])@(\w[\w-]{0,59})(?![\w@]|\.\w)")


def extract(text: str, region: str = "") -> Found:
    """Everything that stands in a text. ``region``: country (ISO 3166) whose national phone numbers count too."""
    text = text[:MOST_TEXT]
    spans: list[tuple[int, int]] = []
    places = positions(text, spans)
    return Found(places, phones(_without(text, spans), region), hashtags(text), codes(text))


def hashtags(text: str) -> tuple[str, ...]:
    """``#flood`` and the like, case-folded; numbers alone are ticket numbers and no hashtags."""
    if "#" not in text and "＃" not in text:
        return ()
    names = (match[1].strip("-·") for match in _HASHTAG.finditer(text[:MOST_TEXT]))
    return _once(name.casefold() for name in names if not name.isdecimal())


def codes(text: str) -> tuple[str, ...]:
    """``@site12`` and the like, case-folded; mail addresses are none."""
    if "@" not in text:
        return ()
    return _once(match[1].rstrip("-").casefold() for match in _CODE.finditer(text[:MOST_TEXT]))


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, names)))[:MOST]


# Phone numbers ---------------------------------------------------------------------------------------------------


def phones(text: str, region: str = "") -> tuple[str, ...]:
    """Valid phone numbers as E.164, by the numbering plans of their countries."""
    if sum(map(str.isdigit, text[:MOST_TEXT])) < 5:
        return ()
    found = phonenumbers.PhoneNumberMatcher(text[:MOST_TEXT], region.upper() or None, max_tries=_MOST_TRIES)
    e164 = phonenumbers.PhoneNumberFormat.E164
    return _once(phonenumbers.format_number(match.number, e164) for match in islice(found, _MOST_PLACES))


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with what was read already blotted out: degrees are no phone numbers."""
    for start, end in spans:
        text = f"{text[:start]}{'.' * (end - start)}{text[end:]}"
    return text


# Positions -------------------------------------------------------------------------------------------------------

_N = r"[-+]?\d{1,3}(?:\.\d{1,12})?"
_PAIR = rf"(?P<lat>{_N})\s?,\s?(?P<lon>{_N})"
_GEO = re.compile(rf"\bgeo:(?P<lat>{_N}),(?P<lon>{_N})(?:,{_N})?(?P<rest>(?:;[\w.=-]{{1,40}}){{0,8}})", re.I)
_LINK = re.compile(r"https?://[^\s<>\"]{1,1000}", re.I)
_IN_LINK = (
    re.compile(rf"!3d(?P<lat>{_N})!4d(?P<lon>{_N})"),
    re.compile(rf"[?&#]mlat=(?P<lat>{_N})&mlon=(?P<lon>{_N})"),
    re.compile(rf"[?&](?:q|ll|sll|query|daddr|destination|center|coordinate|pin|loc)=(?:loc:|geo:)?{_PAIR}"),
    re.compile(rf"[?&](?:cp|sp)=(?:point\.)?(?P<lat>{_N})[~_](?P<lon>{_N})"),
    re.compile(rf"[#&]map=[\d.]{{1,5}}/(?P<lat>{_N})/(?P<lon>{_N})"),
    re.compile(rf"/(?:@|place/|search/|dir/){_PAIR}"),
    re.compile(rf"[?&]lat(?:itude)?=(?P<lat>{_N})&(?:lon|lng|long|longitude)=(?P<lon>{_N})"),
)
_MAPS = re.compile(
    r"^https?://[^/]*(?:google|goo\.gl|openstreetmap|osm|apple|bing|waze|here|yandex|mapy|osmand|organicmaps|amap|2gis)"
    r"[^/]*/",
    re.I,
)
_DMS = re.compile(
    r"""(?P<before>[NSEW])?\s?(?P<deg>\d{1,3}(?:[.,]\d{1,8})?)\s?(?:°|º|deg\b|d\b)\s?
        (?:(?P<min>\d{1,2}(?:[.,]\d{1,8})?)\s?(?:'|′|’|min\b|m\b)\s?)?
        (?:(?P<sec>\d{1,2}(?:[.,]\d{1,6})?)\s?(?:"|″|”|''|′′|sec\b|s\b)\s?)?
        (?(before)|(?P<after>[NSEW](?!\w))?)""",
    re.X | re.I,
)
_LETTERED = re.compile(
    r"""(?<![\w.])(?:(?P<a>\d{1,2}(?:[.,]\d{1,12})?)\s?(?P<ns>[NS])|(?P<ns2>[NS])\s?(?P<a2>\d{1,2}(?:[.,]\d{1,12})?))
        [\s,;/]{1,3}
        (?:(?P<o>\d{1,3}(?:[.,]\d{1,12})?)\s?(?P<ew>[EW])|(?P<ew2>[EW])\s?(?P<o2>\d{1,3}(?:[.,]\d{1,12})?))(?!\w)""",
    re.X | re.I,
)
_NAMED = re.compile(
    rf"\blat(?:itude)?\.?\s?[:=]?\s?(?P<lat>{_N})[\s,;/]{{0,3}}(?:lon|lng|long|longitude)\.?\s?[:=]?\s?(?P<lon>{_N})",
    re.I,
)
_DECIMAL = re.compile(
    r"(?<![\w.,:/=-])(?P<lat>[-+]?\d{1,2}\.\d{3,12})(?:\s{0,2}[,;/]\s{0,2}|\s{1,2})(?P<lon>[-+]?\d{1,3}\.\d{3,12})(?![\w-]|[.,]\d)"
)
_COMMAS = re.compile(
    r"(?<![\w.,:/=-])(?P<lat>[-+]?\d{1,2},\d{3,12})(?:\s{0,2}[;/]\s{0,2}|,?\s{1,2})(?P<lon>[-+]?\d{1,3},\d{3,12})(?![\w-]|[.,]\d)"
)


def positions(text: str, spans: list[tuple[int, int]] | None = None) -> tuple[Position, ...]:
    """The positions that a text names; ``spans`` receives where they stand."""
    taken: list[tuple[int, int]] = [] if spans is None else spans
    plain = _plain_digits(text[:MOST_TEXT])
    places: dict[tuple[float, float], tuple[int, Position]] = {}
    for start, end, latitude, longitude in _all(plain):
        if len(taken) >= _MOST_PLACES:
            break
        if any(start < other_end and other_start < end for other_start, other_end in taken):
            continue
        if -90 <= latitude <= 90 and -180 <= longitude <= 180:
            taken.append((start, end))
            key = (round(latitude, 6), round(longitude, 6))
            places.setdefault(key, (start, Position(*key, text[start:end].strip()[:200])))
    return tuple(place for _, place in sorted(places.values(), key=lambda found: found[0]))[:MOST]


def _all(text: str) -> Iterator[tuple[int, int, float, float]]:
    """Candidates: start, end, latitude, longitude; what is written most plainly first."""
    if not any(map(str.isdigit, text)):
        return
    for match in _GEO.finditer(text):
        if "crs=" not in match["rest"].lower() or "crs=wgs84" in match["rest"].lower():
            yield (*match.span(), float(match["lat"]), float(match["lon"]))
    for link in _LINK.finditer(text):
        yield from _linked(link)
    yield from _degrees(text)
    for match in _LETTERED.finditer(text):
        latitude = _number(match["a"] or match["a2"]) * _sign(match["ns"] or match["ns2"])
        longitude = _number(match["o"] or match["o2"]) * _sign(match["ew"] or match["ew2"])
        if "." in match[0] or "," in match[0]:
            yield (*match.span(), latitude, longitude)
    for pattern in (_NAMED, _DECIMAL, _COMMAS):
        for match in pattern.finditer(text):
            yield (*match.span(), _number(match["lat"]), _number(match["lon"]))


def _linked(link: re.Match[str]) -> Iterator[tuple[int, int, float, float]]:
    if not _MAPS.match(link[0]) and "map" not in link[0]:
        return
    address = unquote(link[0]).replace("+", "") if "%2B" not in link[0] else unquote(link[0])
    for pattern in _IN_LINK:
        if match := pattern.search(address):
            yield (*link.span(), float(match["lat"]), float(match["lon"]))
            return


def _degrees(text: str) -> Iterator[tuple[int, int, float, float]]:
    """Two angles one after the other, a latitude and a longitude, by their letters or in this order."""
    if not any(sign in text for sign in "°º") and "deg" not in text.lower():
        return
    before: tuple[re.Match[str], float, str] | None = None
    for match in _DMS.finditer(text):
        letter = (match["before"] or match["after"] or "").upper()
        minutes, seconds = _number(match["min"] or "0"), _number(match["sec"] or "0")
        if minutes >= 60 or seconds >= 60:
            before = None
            continue
        angle = (_number(match["deg"]) + minutes / 60 + seconds / 3600) * (_sign(letter) if letter else 1)
        if match.start() and text[match.start() - 1] == "-" and not letter:
            angle = -angle
        if before is not None and match.start() - before[0].end() <= 4:
            first, one, its = before
            if (its in ("N", "S") and letter in ("E", "W")) or not (its or letter):
                yield first.start(), match.end(), one, angle
                before = None
                continue
            if its in ("E", "W") and letter in ("N", "S"):
                yield first.start(), match.end(), angle, one
                before = None
                continue
        before = (match, angle, letter)


def _number(written: str) -> float:
    return float(written.replace(",", "."))


def _sign(letter: str) -> int:
    return -1 if letter.upper() in ("S", "W") else 1


def _plain_digits(text: str) -> str:
    """Digits of every script as ASCII, and the decimal and list signs that go with them; the length stays."""
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(sign)) if sign > "\x7f" and sign.isdecimal() else _SIGNS.get(sign, sign)
        for sign in text
    )


_SIGNS = {"٫": ".", "，": ",", "、": ",", "،": ",", "−": "-", "–": "-", "．": "."}
