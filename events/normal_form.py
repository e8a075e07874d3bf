"""One form for what must match but not be read: phones, cards and addresses become keyed hashes of their normal form.

Two spellings of one phone or address give one key; the key cannot be read back. The hash is BLAKE2b with the operator's
secret key, 128 bits, written as ``h:<hex>``.
"""

import re
import unicodedata
from hashlib import blake2b

from events.model import Address

_PHONE = re.compile(r"[+(]?[\d\s().-]{6,}\d")
_CARD = re.compile(r"\d(?:[ -]?\d){12,18}")
_NOT_DIGIT = re.compile(r"\D")
_NOT_WORD = re.compile(r"[\W_]+")


def keyed_hash(text: str, key: bytes) -> str:
    """The keyed hash of a normal form. ``key`` has at most 64 bytes."""
    return "h:" + blake2b(text.encode(), digest_size=16, key=key).hexdigest()


def risk_key(kind: str, value: str, key: bytes) -> str:
    """The form in which orders are compared by ``kind`` (card, phone, ip, device, address).

    Clear phone and card numbers are hashed; a token that a platform already made opaque stays as it is, so it can be
    recognised in an alert. A masked number (``138****1234``) is shared by many people: it gives ``""``, no key.
    """
    folded = (value if value.isascii() else unicodedata.normalize("NFKC", value)).strip()
    if kind in ("phone", "card") and "*" in folded:
        return ""
    if kind == "phone" and _PHONE.fullmatch(folded):
        return keyed_hash("phone:" + normal_phone(folded), key)
    if kind == "card" and _CARD.fullmatch(folded):
        return keyed_hash("card:" + _digits(folded), key)
    if kind == "ip":
        return folded.lower()
    return folded


def normal_phone(text: str) -> str:
    """Digits without China's country code, others with theirs.

    ``+86 138-0000-1234`` and ``13800001234`` are one, ``+1 380 000 1234`` (``00 1 ...``) is another.
    """
    digits = _digits(text)
    abroad = text.startswith("+") or digits.startswith("00")
    digits = digits.removeprefix("00")
    if len(digits) == 13 and digits.startswith("861"):
        return digits[2:]
    return f"+{digits}" if abroad else digits


def address_key(address: Address, key: bytes) -> str:
    """The keyed hash of an address; ``""`` when no part of it is known.

    Width, case, spaces and punctuation make no difference; every other character does.
    """
    parts = (address.country, address.province, address.city, address.district, address.detail, address.postcode)
    normal = [_word(part) if part else "" for part in parts]
    if not any(normal):
        return ""
    return keyed_hash("address:" + "|".join(normal), key)


# Most values need nothing of this, and to see that takes less than a substitution.
def _digits(text: str) -> str:
    return text if text.isdecimal() and text.isascii() else _NOT_DIGIT.sub("", text)


def _word(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded if folded.isalnum() else _NOT_WORD.sub("", folded)


def mask(text: str) -> str:
    """A value that people may recognise but not read: ``13800001234`` -> ``138****1234``, ``王小明`` -> ``王**``."""
    if len(text) >= 8:
        return f"{text[:3]}****{text[-4:]}"
    return text[:1] + "*" * (len(text) - 1)
