"""Phone numbers in one form: those of China as people there dial them, all others with their country code.

It is the form by which orders are compared (events/normal_form.py), so a buyer is the same one on every channel.
"""

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

_CHINESE_MOBILE = re.compile(r"1[3-9][0-9]{9}")
# Series that are in use as a whole, so that no list has to be asked; the library knows of the others.
_ABROAD = re.compile(r"\+86[ -]?(1(?:[38][0-9]|5[0-35-9]|7[0-35-8]|9[0-35-9])[0-9]{8})")
_WRITTEN = re.compile(r"\(?\+?[\d\s().\-/]{5,}")
# A virtual number that platforms lend to hide the buyer's: the extension, not the number, says whose it is.
_WITH_EXTENSION = re.compile(r"(.{7,}?)\s*(?:转|分机|ext\.?|x|,|#|-|\[)\s*(\d{1,6})\]?", re.IGNORECASE)


def clean_phone(text: str, region: str) -> str:
    """A number in its one form; what is no valid number, is masked or encrypted comes back as it is.

    ``region``: ISO 3166 code that numbers without a country code belong to. An extension follows after ``-``.
    """
    if region == "CN" and _CHINESE_MOBILE.fullmatch(text):
        return text
    match = _ABROAD.fullmatch(text)
    return match[1] if match else _cleaned(text, region)


@lru_cache(maxsize=10_000)
def _cleaned(text: str, region: str) -> str:
    folded = unicodedata.normalize("NFKC", text).strip()
    number = _normal(folded, region)
    if number:
        return number
    match = _WITH_EXTENSION.fullmatch(folded)
    number = _normal(match[1], region) if match else ""
    return f"{number}-{match[2]}" if match and number else text


def _normal(text: str, region: str) -> str:
    if not _WRITTEN.fullmatch(text):
        return ""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    if number.country_code == 86:
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        return re.sub(r"\D", "", national)
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
