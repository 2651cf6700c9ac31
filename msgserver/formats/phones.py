"""Phone numbers as people write them, brought to the one form in which they are kept: E.164 (ITU-T E.164)."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from msgserver.message import Address

_SHORT = 6  # digits: "1234" is a service's number, the same in every country's spelling
_PHONE_SCHEMES = ("sms", "tel")
_POSSIBLE = (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY)


def known_region(region: str) -> bool:
    """Whether numbers can be read as written in this country ("AF", ISO 3166-1 alpha-2)."""
    return region in phonenumbers.SUPPORTED_REGIONS


@lru_cache(8192)
def e164(words: str, region: str = "") -> str:
    """A phone number as ``+93701234567``; short numbers and words ("BANK") come back as they are.

    ``region``: the country whose way of writing counts where the number names no country, empty for none.

    Raises:
        ValueError: it cannot be a number; says why, for people.
    """
    digits = "".join(sign for sign in words if sign.isdigit())
    if any(sign.isalpha() for sign in words) or any(sign in "*#" for sign in words):
        return words
    if len(digits) <= _SHORT and not words.strip().startswith("+"):
        return digits or words
    try:
        number = phonenumbers.parse(words, region or None)
    except NumberParseException as error:
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE and not words.strip().startswith("+"):
            raise ValueError(
                f"{words} names no country: write it with + and the country's code, as in +93 70 123 4567"
            ) from None
        raise ValueError(f"{words} is not a phone number") from None
    found = phonenumbers.is_possible_number_with_reason(number)
    if found not in _POSSIBLE:
        why = {
            ValidationResult.TOO_SHORT: "too short for a phone number",
            ValidationResult.TOO_LONG: "too long for a phone number",
            ValidationResult.INVALID_COUNTRY_CODE: "of no country there is",
        }.get(found, "no possible phone number")
        raise ValueError(f"{words} is {why}")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def read_address(words: str, region: str = "") -> Address:
    """An address as somebody typed it: a URI, a mail address or a phone number, the latter brought to E.164.

    Raises:
        ValueError: it is none, or no possible number.
    """
    bare = "".join(sign for sign in words if not ("\u200e" <= sign <= "\u200f" or "\u202a" <= sign <= "\u202e")).strip()
    if ":" not in bare and "@" not in bare:
        bare = bare.replace("(0)", "")
        if any(sign.isdigit() for sign in bare) and not any(sign.isalpha() for sign in bare):
            return Address.of("sms", e164(bare, region))
    address = Address.parse(bare)
    if address.scheme in _PHONE_SCHEMES:
        return Address(address.scheme, e164(address.value, region))
    return address


@lru_cache(8192)
def ways_to_write(number: str) -> tuple[str, ...]:
    """The digits of a number in E.164 as people search for them: with the country's code, and as dialled within it."""
    digits = number.lstrip("+")
    if not number.startswith("+"):
        return (digits,)
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return (digits,)
    national = phonenumbers.national_significant_number(parsed)
    return tuple(dict.fromkeys((digits, national, f"0{national}")))
