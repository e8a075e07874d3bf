"""A mapping profile as types: what a platform's files look like, and which canonical events their records give.

``docs/profiles.md`` says how to write one; ``load_profile`` in ``loading.py`` reads one.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from config.units import Instant
from sources.mapping.values import Mark, Rounding, Unit

Path = Annotated[str, Meta(min_length=1)]
Formats = str | tuple[str, ...]
Scalar = str | int | bool


class InputSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of file or message, or one collection inside a document.

    ``fields``: a file is of this kind when its header or its first record has all of them. ``records``: where in a JSON
    document the records are; ``keyed``: they are an object's values, and their names are ``$key``. ``key``: the field
    by which other records look these up. ``form``: what a web form posts, ``a=1&b=2``, in files one a line.
    ``skip_lines``: how many lines stand above the header of a table.
    """

    format: Literal["csv", "json", "jsonl", "form"]
    fields: tuple[str, ...] = ()
    records: str = ""
    keyed: bool = False
    key: Path | None = None
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8-sig"
    skip_lines: Annotated[int, Meta(ge=0)] = 0

    @property
    def flat(self) -> bool:
        """Whether a record is a row of named columns."""
        return self.format == "csv"


class TypeTest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"is_": "is"}):
    """Keeps an id when ``field`` of the record that it looks up is one of ``is_``."""

    lookup: str
    field: Path
    is_: tuple[str, ...]


class SetSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Ids that a record speaks of: named in ``field``, or the first of ``first_of`` that gives any.

    A member of ``first_of`` is a set, or a set followed along relations: ``items > order_of_item``.
    """

    from_: str
    field: Path | None = None
    where: TypeTest | None = None
    first_of: tuple[str, ...] = ()


class RelationSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """What belongs to what, learned from every record that names both: each of set ``key`` to each of ``value``."""

    from_: str
    key: str
    value: str


class TimeRules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How times are written, unless a value says otherwise."""

    format: Formats = "iso"
    zone: str | None = None
    date_only_at: str | None = None
    midnight_is_date: bool = False
    ambiguous: Literal["earlier", "later", "reject"] = "earlier"
    nonexistent: Literal["forward", "reject"] = "forward"
    earliest: Instant = Instant.parse("2000-01-01T00:00:00Z")
    latest: Instant = Instant.parse("2100-01-01T00:00:00Z")


class MoneyRules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How money is written, unless a value says otherwise. ``currency``: of amounts whose event names none."""

    unit: Unit | None = None
    decimal: Mark = "."
    round: Rounding = "reject"
    currency: str = "CNY"


class CleanRules(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is brought into one form after the fields are filled; each is off unless named.

    ``phone``: the region (ISO 3166) of numbers without a country code. ``address``: the country whose addresses are
    split and completed. ``warehouses``: by region (``浙江省``, ``浙江省/宁波市``, a country code, ``*``), for orders
    that name no warehouse.
    """

    phone: str | None = None
    address: Literal["CN"] | None = None
    warehouses: dict[str, str] = {}


class ValueSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one value comes from (exactly one of the first seven), and how it is read."""

    field: Path | None = None
    value: Scalar | None = None
    template: Annotated[str, Meta(min_length=1)] | None = None
    set: str | None = None
    sum: tuple[Path, ...] = ()
    latest: tuple[Path, ...] = ()
    digest: tuple[Path, ...] = ()
    lookup: str | None = None
    by: Path | None = None
    take: Literal["first", "last", "only", "count"] = "first"
    each: dict[str, Any] | None = None
    map: dict[str, str | int] | None = None
    unmapped: Literal["reject", "keep", "leave_out"] = "reject"
    missing: tuple[str, ...] = ()
    unit: Unit | None = None
    decimal: Mark | None = None
    round: Rounding | None = None
    format: Formats | None = None
    zone: str | None = None
    date_only_at: str | None = None
    midnight_is_date: bool | None = None
    ambiguous: Literal["earlier", "later", "reject"] | None = None
    nonexistent: Literal["forward", "reject"] | None = None


class Parts(Struct, frozen=True):
    """The parts of a value that has some (an address, an order's changed fields, one item)."""

    fields: dict[str, "Field"]


class Choice(Struct, frozen=True):
    """Ways to get one value; the first that gives any counts. ``items``: the parts of each element of a list."""

    values: tuple[ValueSpec, ...]
    items: Parts | None = None


Field = Choice | Parts


class Test(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"is_": "is", "not_": "not"}):
    """One condition on a field; what is given must all hold. Texts are compared exactly, numbers by their text.

    ``differs``: another field, whose value must not be the same.
    """

    __test__ = False  # not a test case of pytest's

    is_: tuple[str, ...] | None = None
    not_: tuple[str, ...] | None = None
    present: bool | None = None
    differs: Path | None = None


Condition = tuple[dict[str, Test], ...]  # any of these groups, in which every test holds


class EachSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event per element of a list: of a field, or of a set. The element is ``$each``, its number ``$index``."""

    field: Path | None = None
    set: str | None = None


class EventRule(Struct, frozen=True):
    """Which records give an event of which type, and how its fields are filled.

    ``optional``: a record that lacks a needed field gives no such event, and that is no defect. ``once``: the platform
    tells the same thing again in later records; the first counts.
    """

    name: str
    input: str
    type: str
    when: Condition
    for_each: EachSpec | None
    fields: dict[str, Field]
    optional: bool
    once: bool = False


class IgnoreRule(Struct, frozen=True):
    """Records that give no event on purpose."""

    input: str
    when: Condition


class Profile(Struct, frozen=True, kw_only=True):
    """A whole profile. ``source`` is the events' source unless a rule names one."""

    name: str
    source: str
    description: str
    missing: tuple[str, ...]
    time: TimeRules
    money: MoneyRules
    clean: CleanRules
    inputs: dict[str, InputSpec]
    sets: dict[str, SetSpec]
    relations: dict[str, RelationSpec]
    events: tuple[EventRule, ...]
    ignore: tuple[IgnoreRule, ...]


SOURCES_OF_A_VALUE = ("field", "value", "template", "set", "sum", "latest", "digest")
