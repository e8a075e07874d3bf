"""Chinese addresses in parts: province, city, district, and the rest, whichever way a source writes them.

Names become the official ones (``浙江`` -> ``浙江省``), levels above a known one are filled in, what a source wrote
twice stands once, and a text that begins with a province, city or district is split. What no rule knows stays as it is
written: nothing is invented.
"""

import re
import unicodedata
from functools import lru_cache

from sources.mapping.regions import Gazetteer, Place, gazetteer, like_a_district

CHINA = frozenset(("CN", "CHN", "中国", "中华人民共和国", "CHINA"))

_NOWHERE = Place("")
_COUNTRY = re.compile(r"^(?:中华人民共和国|中国)(?![一-龥]{0,2}(?:路|街|银行|电信|移动|联通))")
_BETWEEN = re.compile(r"^[\s,，、;；:：/|_\-—>·.。]+")
# Placeholders of the official list that are no names.
_NO_CITY = frozenset(("市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划", "直辖县", "直辖"))
_NO_DISTRICT = frozenset(("市辖区", "其它区", "其他区", "其它", "其他", "全境"))


def clean_address(raw: dict[str, str]) -> dict[str, str]:
    """The parts of an address of China, cleaned; the same dict where there is nothing to do.

    ``raw``: any of country, province, city, district, detail, postcode. An address that names another country, or
    that has no part of China in it, comes back as it is.
    """
    country = raw.get("country")
    if country is not None and country.upper() not in CHINA:
        return raw
    if _is_clean(raw):
        return raw
    found = _levels(raw, gazetteer())
    if found is None:
        return raw
    place, detail = found
    cleaned = {**raw, "province": place.province, "city": place.city, "district": place.district, "detail": detail}
    cleaned = {name: text for name, text in cleaned.items() if text}
    return raw if cleaned == raw else cleaned


def _is_clean(raw: dict[str, str]) -> bool:
    """Whether all parts have their official names and none stands in the detail again: most addresses of platforms."""
    detail = raw.get("detail", "")
    starts = _other_starts(raw.get("province", ""), raw.get("city", ""), raw.get("district", ""))
    return starts is not None and detail[:2] not in starts and detail == _folded(detail)


@lru_cache(maxsize=10_000)
def _other_starts(province: str, city: str, district: str) -> frozenset[str] | None:
    """With which two signs a detail would have to be looked into; None where the parts have to be."""
    places = gazetteer()
    if district not in getattr(places.districts.get((province, city)), "full", ()):
        return None
    names = (*places.provinces.starts, *places.cities[province].starts, *places.districts[province, city].starts)
    return frozenset(("中国", "中华", *names, *(filler[:2] for filler in _NO_CITY), *_NO_CITY))


def _levels(raw: dict[str, str], places: Gazetteer) -> tuple[Place, str] | None:
    province = _official(raw.get("province", ""))
    city = _official(raw.get("city", ""))
    district = _official(raw.get("district", ""))
    known = _known(province, city, district)
    if known is None and (province or city):
        return None  # levels that no list knows: another country, or another way to write
    place, rest = _split(known or _NOWHERE, _tidy(raw.get("detail", "")), places)
    if not place.province:
        return None
    if city and not place.city:
        place = Place(place.province, city, place.district)
    if district and not place.district:
        place = Place(place.province, place.city, district)
    return place, _with_what_is_left((city, district), place, rest)


def _with_what_is_left(given: tuple[str, ...], place: Place, detail: str) -> str:
    """The detail with the given names in front that found no level of their own, such as a town beside a city."""
    left = [
        text
        for text in given
        if text not in detail
        and not any(level.startswith(text) for level in (place.city, place.district, place.province))
    ]
    return "".join(left) + detail


def _official(text: str) -> str:
    text = _folded(text)
    return "" if text in _NO_CITY or text in _NO_DISTRICT else text


@lru_cache(maxsize=10_000)
def _known(province: str, city: str, district: str) -> Place | None:
    """What the given parts say, in official names, with what lies above them; None when no list knows them."""
    places = gazetteer()
    name = places.provinces.named(province)
    if province and not name:
        return None
    if name and name in places.cities[name].full:  # a city that is its own province
        below = places.districts[name, name].named(city)  # some write its districts in the place of cities
        return _with_district(name, name, below or district, places)
    town = (places.cities[name] if name else places.all_cities).named(city)
    place = places.city(town) if town and not name else Place(name, town)
    if place is not None and place.city:
        return _with_district(place.province, town, district, places)
    if city and name:  # a county-level city in the place of its city
        return places.district(city, name) or Place(name)
    if district and not city:
        return places.district(district, name) or place
    return None if city else place


def _with_district(province: str, city: str, district: str, places: Gazetteer) -> Place:
    known = places.districts[province, city].named(district) if district else ""
    return Place(province, city, known or district)


def _tidy(text: str) -> str:
    text = _folded(text)
    return _COUNTRY.sub("", text) if text.startswith("中") else text


def _folded(text: str) -> str:
    return (text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)).strip()


def _split(place: Place, text: str, places: Gazetteer) -> tuple[Place, str]:
    """Take names of levels off the start of a text as long as they fit what is known."""
    rest = text
    province, length = places.provinces.at_the_start(rest)
    if province and place.province in ("", province):
        place, rest = (place if place.province else Place(province)), _after(rest, length)
    if place.province and place.province in places.cities[place.province].full and not place.city:
        place = Place(place.province, place.province)
    place, rest = _take_city(place, rest, places)
    place, rest = _take_district(place, rest, places)
    return (place, rest) if place.province else (place, text)


def _take_city(place: Place, text: str, places: Gazetteer) -> tuple[Place, str]:
    for filler in _NO_CITY:
        if len(filler) > 1 and text.startswith(filler):
            return place, _after(text, len(filler))
    names = places.cities[place.province] if place.province else places.all_cities
    city, length = names.at_the_start(text)
    if not city or place.city not in ("", city):
        return place, text
    found = place if place.city else places.city(city)
    if found is None or (place.province and found.province != place.province):
        return place, text
    return found, _after(text, length)


def _take_district(place: Place, text: str, places: Gazetteer) -> tuple[Place, str]:
    if place.district:
        return place, _after(text, len(place.district)) if text.startswith(place.district) else text
    if place.city:
        district, length = places.districts[place.province, place.city].at_the_start(text)
        if not district:
            district = like_a_district(text)
            length = len(district)
        return (Place(place.province, place.city, district), _after(text, length)) if district else (place, text)
    district, length = places.all_districts.at_the_start(text)
    found = places.district(district, place.province) if district else None
    return (found, _after(text, length)) if found is not None else (place, text)


def _after(text: str, length: int) -> str:
    return _BETWEEN.sub("", text[length:])
