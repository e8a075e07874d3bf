"""Order numbers that are given at once, without asking anybody: unique, sorted by time, fit to be read out on a phone.

``FB-20261122-11RPBS-KARJ-X``: the day (UTC), the millisecond of that day, who gave it, a check character.
``FB-R4XS6T-C8HTT7-B``: made from the caller's own request id, so the same request has the same number everywhere.
"""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: nothing that is misheard or misread
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_BASE: Final = len(_ALPHABET)
_MISREAD: Final = str.maketrans("ILO", "110")
_DAY_MS: Final = 86_400_000
_TIME_CHARACTERS: Final = 6
_TAG_CHARACTERS: Final = 4
_REQUEST_CHARACTERS: Final = 11
_BY_TIME = re.compile(r"FB(\d{8})([0-9A-Z]{6})([0-9A-Z]{4})([0-9A-Z])")
_BY_REQUEST = re.compile(r"FB(R[0-9A-Z]{5})([0-9A-Z]{6})([0-9A-Z])")


class Numbers:
    """Gives numbers. Two processes share none: each has a tag of its own, one in a million, and never the same moment
    twice. ``clock`` gives epoch ms; where it stands still or goes back, the moments go on by single milliseconds.
    """

    def __init__(self, clock: Callable[[], int], tag: int | None = None) -> None:
        self._clock = clock
        self._tag = _written(secrets.randbelow(_BASE**_TAG_CHARACTERS) if tag is None else tag, _TAG_CHARACTERS)
        self._last = 0

    def next(self) -> tuple[str, int]:
        """A new number, and its moment (epoch ms)."""
        self._last = moment = max(self._clock(), self._last + 1)
        day = datetime.fromtimestamp(moment // 1000, tz=UTC).strftime("%Y%m%d")
        time = _written(moment % _DAY_MS, _TIME_CHARACTERS)
        return f"FB-{day}-{time}-{self._tag}-{_check(day + time + self._tag)}", moment


def number_of_request(request_id: str) -> str:
    """The number of a request that names itself: always the same."""
    digest = int.from_bytes(sha256(b"fallback:" + request_id.encode()).digest())
    text = "R" + _written(digest % _BASE**_REQUEST_CHARACTERS, _REQUEST_CHARACTERS)
    return f"FB-{text[:6]}-{text[6:]}-{_check(text)}"


def read_number(text: str) -> str | None:
    """A number as somebody wrote it down, in its one form; None when it is none, or has a slip in it."""
    plain = re.sub(r"[\s\-_.]", "", text.upper())
    rest = plain.removeprefix("FB").translate(_MISREAD)
    by_time, by_request = _BY_TIME.fullmatch("FB" + rest), _BY_REQUEST.fullmatch("FB" + rest)
    match = by_time or by_request
    if match is None or not plain.startswith("FB"):
        return None
    *parts, check = match.groups()
    body = "".join(parts)
    if not set(body) <= _VALUES.keys() or _check(body) != check:
        return None
    return "-".join(("FB", *match.groups()))


def _written(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, value = divmod(number, _BASE)
        characters.append(_ALPHABET[value])
    return "".join(reversed(characters))


def _check(text: str) -> str:
    """Luhn's check character to the base of the alphabet: it finds each wrong character and neighbours that swapped."""
    total = 0
    for place, character in enumerate(reversed(text)):
        value = _VALUES[character] * (2 if place % 2 == 0 else 1)
        total += value // _BASE + value % _BASE
    return _ALPHABET[-total % _BASE]
