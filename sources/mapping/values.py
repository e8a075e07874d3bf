"""Raw values to canonical ones: texts, whole numbers, money in minor units, moments in epoch milliseconds.

Nothing here passes through a binary fraction: JSON fractions come in as Decimal, money is computed in whole minor
units, ids stay texts. A value that cannot be read raises ValueError, with the remedy.
"""

import re
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from sources.mapping.time_forms import likely_form

Unit = Literal["major", "minor"]
Mark = Literal[".", ","]
Rounding = Literal["reject", "half_up"]

_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"), 0),
    **dict.fromkeys(("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_LOST_DIGITS = re.compile(r"[+-]?\d(?:\.\d+)?[eE]\+\d+")
_SIGN = re.compile(r"^(R\$|US\$|[¥￥$€£]|[A-Z]{3}(?=[\s\d-]))\s*|\s*(元)$")
_DOLLARS = frozenset(("USD", "AUD", "BBD", "BMD", "BND", "BSD", "BZD", "CAD", "FJD", "GYD", "HKD", "JMD", "KYD", "LRD"))
_SIGNS = {
    "R$": frozenset(("BRL",)),
    "US$": frozenset(("USD",)),
    "$": _DOLLARS
    | frozenset(("ARS", "CLP", "COP", "MXN", "NAD", "NZD", "SBD", "SGD", "SRD", "TTD", "TWD", "UYU", "XCD")),
    **dict.fromkeys("¥￥", frozenset(("CNY", "JPY"))),
    "€": frozenset(("EUR",)),
    "£": frozenset(("EGP", "FKP", "GBP", "GIP", "LBP", "SDG", "SHP", "SSP", "SYP")),
    "元": frozenset(("CNY", "TWD", "HKD", "MOP")),
}
_GROUPED = {".": re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?"), ",": re.compile(r"-?\d{1,3}(?:\.\d{3})+(?:,\d+)?")}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times are computed without a zone, then moved by their offset
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_UNITS = {"epoch_s": 1000, "epoch_ms": 1}
_FORMS = {"iso": "an ISO 8601 time", "epoch_s": "epoch seconds", "epoch_ms": "epoch milliseconds"}
_QUOTES = {'"': '"', "'": "'", "“": "”"}
# Only a text that begins or ends with one of these has anything that clean() takes off. U+3000 is the last space.
AROUND_TEXTS = "".join(sign for sign in map(chr, range(0x3001)) if sign.isspace()) + "=" + "".join(_QUOTES)


def clean(text: str) -> str:
    """A text without what spreadsheets and exports put around it: spaces, tabs, ``="…"``, a pair of quotes, ``'``."""
    if text.strip(AROUND_TEXTS) == text:
        return text  # nothing to take off at either end: most texts by far
    text = text.strip()
    if text[:2] == '="' and text[-1:] == '"' and len(text) > 2:
        return text[2:-1].strip()
    if text and text[0] in _QUOTES:
        if len(text) > 1 and text[-1] == _QUOTES[text[0]]:
            return text[1:-1].strip()
        if text[0] == "'" and text[1:].isdecimal():
            return text[1:]
    return text


def as_text(value: Any) -> str:
    """A text or an id. Numbers are written out in full; one in exponent form has lost digits and is refused."""
    if type(value) is str:
        if "+" in value and _LOST_DIGITS.fullmatch(value):
            raise ValueError(f"{value!r} is a number that lost digits: export the column as text")
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        text = str(value)
        if "E" in text:
            raise ValueError(f"{text} is a number that lost digits: export it as text")
        return text
    raise ValueError(f"{_short(value)} is not one value: name a field inside it")


def short_id(texts: list[str]) -> str:
    """One id of 32 letters and digits for several texts; any difference in any of them gives another one."""
    joined = "".join(f"{len(text)}:{text}" for text in texts)
    return blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def as_integer(value: Any) -> int:
    """A whole number, as a number or a text."""
    return _scaled(value, 0, ".", "reject")


def digits_of(currency: str) -> int:
    """How many decimals the major unit of a currency has."""
    return _DIGITS.get(currency, 2)


class MoneyForm(Struct, frozen=True):
    """How a source writes money: in which unit, with which decimal mark, and what to do with too many decimals."""

    unit: Unit
    decimal: Mark = "."
    rounding: Rounding = "reject"


def as_money(value: Any, form: MoneyForm, digits: int, currency: str = "", told: list[str] | None = None) -> int:
    """An amount in minor units, exactly. ``digits``: decimals of the currency's major unit.

    A sign or code in the text must be of ``currency``. ``told`` gets the word ``rounded`` when digits were lost.
    """
    if currency and type(value) is str and not (value[:1].isdecimal() and value[-1:].isdecimal()):
        _check_sign(value, currency)
    exact = digits if form.unit == "major" else 0
    if form.rounding == "reject":
        return _scaled(value, exact, form.decimal, "reject")
    try:
        return _scaled(value, exact, form.decimal, "reject")
    except TooPreciseError:
        if told is not None:
            told.append("rounded")
        return _scaled(value, exact, form.decimal, "half_up")


def _check_sign(text: str, currency: str) -> None:
    match = _SIGN.search(text.lstrip("-"))
    sign = match and (match[1] or match[2])
    if sign and currency not in _SIGNS.get(sign, (sign,)):
        raise ValueError(f"{text!r} is not in {currency}: name the field that holds the currency, or correct [money]")


class TooPreciseError(ValueError):
    """An amount has more decimals than its currency."""


def _scaled(value: Any, digits: int, mark: Mark, rounding: Rounding) -> int:
    """``value`` times ``10 ** digits``."""
    if type(value) is int:
        return int(value * 10**digits)
    if isinstance(value, Decimal) and abs(value.adjusted()) < 40:  # a huge exponent would be written out in full
        text, mark = format(value, "f"), "."
    elif isinstance(value, str):
        text = value
    else:
        raise ValueError(f"{_short(value)} is not a number")
    whole, _, fraction = text.partition(mark)
    if not (whole.isdecimal() and text.isascii() and (not fraction or fraction.isdecimal())):
        return _signed(text, digits, mark, rounding)
    if len(fraction) <= digits:
        return int(whole + fraction + "0" * (digits - len(fraction)))
    kept, rest = int(whole + fraction[:digits]), fraction[digits:]
    if rounding == "half_up":
        return kept + (rest[0] >= "5")
    if rest.strip("0"):
        raise TooPreciseError(f"{text!r} has more than {digits} decimals: check the unit, or set round = 'half_up'")
    return kept


def _signed(text: str, digits: int, mark: Mark, rounding: Rounding) -> int:
    """The rarer forms: a currency sign, a minus, grouped thousands, no digit before the mark."""
    bare = _SIGN.sub("", text)
    if _GROUPED[mark].fullmatch(bare):
        bare = bare.replace("," if mark == "." else ".", "")
    negative = bare.startswith("-")
    bare = bare[negative:]
    if bare.startswith(mark) and len(bare) > 1:
        bare = "0" + bare
    if bare == text or not bare.isascii() or not bare[:1].isdecimal():
        raise ValueError(f"{text!r} is not a number with {mark!r} as decimal mark: check the field, or set decimal")
    amount = _scaled(bare, digits, mark, rounding)
    return -amount if negative else amount


class TimeForm(Struct, frozen=True):
    """How a source writes moments.

    ``formats``: ``iso``, ``epoch_s``, ``epoch_ms`` or strptime patterns, tried in this order. ``zone``: of texts that
    carry none. ``date_only_at``: the local time of day that a bare date stands for; ``midnight_is_date``: whether
    00:00:00 stands for a bare date. ``ambiguous``: which of two moments a local time means when clocks are set back.
    ``nonexistent``: what to do with a local time that is skipped when clocks are set forward; ``forward`` moves it on
    by the length of the gap. ``earliest``, ``latest``: epoch ms; outside of them a unit or a clock is wrong.
    """

    formats: tuple[str, ...]
    zone: str | None
    date_only_at: str | None
    midnight_is_date: bool
    ambiguous: Literal["earlier", "later", "reject"]
    nonexistent: Literal["forward", "reject"]
    earliest: int
    latest: int


class _OtherFormError(ValueError):
    """A value is not of one form; it may be of another."""


def as_time(value: Any, form: TimeForm, told: list[str] | None = None) -> int:
    """A moment in epoch milliseconds; parts of a millisecond are cut off.

    ``told`` gets a word for each rule that had to decide: ``date_only``, ``ambiguous_hour``, ``skipped_hour``.
    """
    told = [] if told is None else told
    for kind in form.formats:
        try:
            moment = _epoch(value, EPOCH_UNITS[kind]) if kind in EPOCH_UNITS else _written(value, kind, form, told)
        except _OtherFormError:
            continue
        except OverflowError:
            moment = form.latest + 1
        if not form.earliest <= moment <= form.latest:
            what = f"{value!r} is far from our days"
            raise ValueError(f"{what}: check the unit (epoch_s, epoch_ms), or declare it missing")
        return moment
    forms = " or ".join(_FORMS.get(kind, f"a time like {kind!r}") for kind in form.formats)
    raise ValueError(f"{_short(value)!r} is not {forms}: set format to what the field holds{likely_form(value)}")


def plain_moment(text: str, form: TimeForm) -> int:
    """The moment of a plainly written ISO time, in epoch milliseconds; -1 where a rule has to decide."""
    if len(text) < 19 or text[4] != "-":
        return -1
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return _in_ms(moment - _EPOCH_UTC)
        offset = None if form.zone is None else _steady_offset_ms(form.zone, moment.toordinal())
    except (ValueError, OverflowError):
        return -1
    return -1 if offset is None else _in_ms(moment - _EPOCH) - offset


def _epoch(value: Any, unit_ms: int) -> int:
    if type(value) is int and abs(value) < 10**15:
        return value * unit_ms
    if isinstance(value, str):
        value = Decimal(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else value
    usable = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not usable or abs(Decimal(value).adjusted()) >= 40:
        raise _OtherFormError
    return int(value * unit_ms)


def _written(value: Any, kind: str, form: TimeForm, told: list[str]) -> int:
    if not isinstance(value, str):
        raise _OtherFormError
    moment, bare_date = _parsed(value, kind)
    if moment.tzinfo is not None:
        return _in_ms(moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH)
    if bare_date or (form.midnight_is_date and moment.time() == time()):
        if form.date_only_at is None:
            raise ValueError(f"{value!r} is only a date: set date_only_at to the local time of day that it stands for")
        moment = datetime.combine(moment, time.fromisoformat(form.date_only_at))
        told.append("date_only")
    if form.zone is None:
        raise ValueError(f"{value!r} has no zone: set zone, e.g. 'Asia/Shanghai'")
    return _in_ms(moment - _EPOCH) - _offset_ms(moment, form, value, told)


def _parsed(text: str, kind: str) -> tuple[datetime, bool]:
    """A written time and whether it is a date alone."""
    try:
        if kind == "iso":
            if text[4:5] != "-":  # the standard also has forms like 20171002 and 2017-W40-1, which may well be ids
                raise ValueError
            return datetime.fromisoformat(text.upper()), len(text) == 10
        return datetime.strptime(text, kind), not _has_hour(kind)  # noqa: DTZ007 - the zone is added from the profile
    except ValueError:
        raise _OtherFormError from None


@lru_cache
def _has_hour(pattern: str) -> bool:
    return any(code in pattern for code in ("%H", "%I", "%c", "%X", "%s"))


def _offset_ms(moment: datetime, form: TimeForm, text: str, told: list[str]) -> int:
    steady = _steady_offset_ms(form.zone or "UTC", moment.toordinal())
    if steady is not None:
        return steady
    zone = ZoneInfo(form.zone or "UTC")
    first = moment.replace(tzinfo=zone).utcoffset() or timedelta()
    second = moment.replace(tzinfo=zone, fold=1).utcoffset() or timedelta()
    offset = first
    if first > second:
        if form.ambiguous == "reject":
            raise ValueError(f"{text!r} happened twice (clocks were set back): set ambiguous = 'earlier' or 'later'")
        offset = first if form.ambiguous == "earlier" else second
        told.append("ambiguous_hour")
    elif first < second:
        if form.nonexistent == "reject":
            raise ValueError(f"{text!r} never happened (clocks were set forward): set nonexistent = 'forward'")
        told.append("skipped_hour")
    return _in_ms(offset)


@lru_cache(maxsize=100_000)
def _steady_offset_ms(zone: str, day: int) -> int | None:
    """The offset of a zone on a day on and around which no clock is set; None where one is."""
    at = datetime.fromordinal(day).replace(tzinfo=ZoneInfo(zone))
    before, after = (at - timedelta(days=1)).utcoffset(), (at + timedelta(days=2)).utcoffset()
    return _in_ms(before) if before is not None and before == after else None


def _in_ms(span: timedelta) -> int:
    return span.days * 86_400_000 + span.seconds * 1000 + span.microseconds // 1000


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
