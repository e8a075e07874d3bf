"""Timelines as texts: a day of the trade in its own words, run through the real flow, and what came of it.

A line is `<time> <what happened> [<order> or <order>/<parcel>] [name=value ...]`, with times of one day in Shanghai:

    10:00 created                                  order A, as nothing else is said
    10:00 created B customer=C address=home amount=9900
    10:06 paid                                     a payment
    10:20 queued A/P                               a stage of the chain, here of parcel P
    10:30 moved stage=paid                         the same for names that mean something else, or nothing
    +7d 10:01:00.001 cancelled                     seven days later

`-` stands for no order, and as a value for null. All lines form one log in the order of the text.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest

from config.loader import load_settings
from config.settings import Settings
from dataflows.memory import MemoryDriver
from events.model import AnyEvent
from events.records import AlertRecord, HoldRecord, Record
from operators.heart.component import Environment
from operators.topology import topology
from tests.support.flow import batch

SETTINGS = load_settings()
SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = "2026-05-10"  # in no season
HASH_KEY = b"only for tests"
ADDRESSES: Mapping[str, Mapping[str, str]] = {
    "home": {"city": "上海市", "district": "浦东新区", "detail": "世纪大道1号"},
    "home_spelt_otherwise": {"city": "上海市", "district": "浦东新区", "detail": "世纪大道 １号"},
    "work": {"city": "上海市", "district": "黄浦区", "detail": "南京路2号"},
    "forwarder": {"city": "广州市", "district": "白云区", "detail": "环球转运仓 3 号库"},
    "nowhere": {},
}

_MOMENT = re.compile(r"(?:\+(\d+)d )?(\d+):(\d\d)(?::(\d\d)(?:\.(\d{3}))?)?")
_WORDS = {
    "created": ("order.created", "oms"),
    "changed": ("order.changed", "oms"),
    "moved": ("order.stage", "wms"),
    "split": ("order.split", "wms"),
    "paid": ("payment.succeeded", "payment"),
    "failed": ("payment.failed", "payment"),
    "scanned": ("logistics.scan", "tms"),
    "waybill": ("waybill.printed", "print"),
    "status": ("system.status", ""),
    "signal": ("behaviour.signal", "probe"),
    "chat": ("behaviour.chat", "crm"),
    "released": ("review.released", "risk"),
    "confirmed": ("review.confirmed", "risk"),
    "merged": ("order.merged", "oms"),
    "linked": ("fallback.linked", "console"),
    "rejected": ("fallback.rejected", "console"),
    "acknowledged": ("alert.acknowledged", "console"),
    "counted": ("contract.counted", "pay"),
    "beat": ("job.heartbeat", "scheduler"),
}
_NAMES = {"customer": "customer_id", "warehouse": "warehouse_id", "parcel": "parcel_id", "ms": "duration_ms"}
_OF_THE_EVENT = {"id", "source", "operator"}
_NAMING = ("card_burst", "merge_candidate")

Lines = Sequence[str]
Case = tuple[str, Lines, str, list[str]]
R = TypeVar("R")


def table(*cases: Case) -> pytest.MarkDecorator:
    """Timelines as test cases: what happens, the events, until when, and what must come of it."""
    return pytest.mark.parametrize(
        ("lines", "until", "expected"), [pytest.param(*rest, id=name) for name, *rest in cases]
    )


def settings(**changes: Any) -> Settings:
    """The defaults with changes; a name of a detector leads to that detector's settings."""
    detectors = {name: changes.pop(name) for name in SETTINGS.detectors.__struct_fields__ if name in changes}
    return load_settings(overrides={"detectors": detectors, **changes})


def at(text: str, day: str = DAY) -> int:
    """The moment (epoch ms) of `10:05`, `10:05:00.001`, `+1d 10:05`."""
    match = _MOMENT.fullmatch(text)
    assert match, f"not a moment: {text!r}"
    days, hours, minutes, seconds, milliseconds = (int(group or 0) for group in match.groups())
    midnight = round(datetime.fromisoformat(day).replace(tzinfo=SHANGHAI).timestamp()) * 1000
    return midnight + ((days * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000 + milliseconds


def clock(moment: int, day: str = DAY) -> str:
    """A moment as a text, without zeros that say nothing."""
    days, rest = divmod(moment - at("0:00", day), 86_400_000)
    minutes, rest = divmod(rest, 60_000)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    if rest:
        text += f":{rest // 1000:02d}" + (f".{rest % 1000:03d}" if rest % 1000 else "")
    return f"+{days}d {text}" if days else text


def event(line: str, number: int = 0, day: str = DAY) -> AnyEvent:
    """The event of a line; `number` is its id, unless the line names one."""
    match = _MOMENT.match(line)
    assert match, f"no moment at the beginning of {line!r}"
    what, *words = shlex.split(line[match.end() :])
    plain = [word for word in words if "=" not in word]
    assert len(plain) <= 1, f"one order in {line!r}, not {plain}"
    given = dict(word.split("=", 1) for word in words if "=" in word)
    kind, source = _WORDS.get(what, _WORDS["moved"])
    if what not in _WORDS:
        given["stage"] = what
    fields: dict[str, Any] = {_NAMES.get(name, name): _value(name, text) for name, text in given.items()}
    unit = plain[0] if plain else "A"
    if kind == "alert.acknowledged":
        fields = _acknowledgement(unit, fields, day)
    elif kind == "contract.counted":
        fields = _counts(fields, at(match[0], day))
    elif unit != "-":
        fields["order_id"], _, parcel = unit.partition("/")
        if parcel:
            fields["parcel_id"] = parcel
    if kind == "order.changed":
        fields = _change(fields)
    head = {"type": kind, "id": f"{number:04d}", "source": source or fields.get("system"), "time": at(match[0], day)}
    return msgspec.convert({**head, **fields}, AnyEvent, strict=False)  # type: ignore[no-any-return]


def play(
    lines: Lines, until: str | None = None, settings: Settings = SETTINGS, day: str = DAY, groups: int = 4
) -> list[Record]:
    """All records of a timeline; with `until`, time goes on that far after the last event."""
    plan = topology(Environment(settings, groups, HASH_KEY, read_model=True))
    flow = MemoryDriver(plan, ["day"], until=None if until is None else at(until, day))
    log = [(event(line, number, day), None) for number, line in enumerate(lines)]
    return flow.feed(batch("day", log, finished=True))


def of_kind(kind: type[R], records: Iterable[object]) -> list[R]:
    """The records of one kind."""
    return [record for record in records if isinstance(record, kind)]


def alerts(rule: str, records: Iterable[Record]) -> list[AlertRecord]:
    """The steps of one rule by time; those of one entity stay in the order in which they came."""
    found = [record for record in of_kind(AlertRecord, records) if record.rule == rule]
    return sorted(found, key=lambda step: (step.time, step.entity_type, step.entity_id))


def told(rule: str, lines: Lines, until: str | None = None, settings: Settings = SETTINGS, day: str = DAY) -> list[str]:
    """The steps of one rule as texts: `10:05 opened breach`, `10:06 resolved breach paid_late A/P`.

    The entity is named where it is not order A; rules about several orders name all of them.
    """
    return [say(step, day) for step in alerts(rule, play(lines, until, settings, day))]


def say(step: AlertRecord, day: str = DAY) -> str:
    """One step of an alert as a text."""
    words = [clock(step.time, day), step.step, step.level]
    if step.step in ("updated", "resolved"):
        words.append(step.reason)
    if step.rule in _NAMING:
        words += [step.entity_type, f"{step.entity_id}:", *step.orders]
    elif step.entity_id != "A":
        words.append(step.entity_id)
    return " ".join(words)


def held(lines: Lines, until: str | None = None, settings: Settings = SETTINGS) -> list[str]:
    """The hold records as texts, by time and order: `10:02 A held card_burst`, `10:20 A released review_released`."""
    found = sorted(of_kind(HoldRecord, play(lines, until, settings)), key=lambda hold: (hold.time, hold.order_id))
    return [f"{clock(hold.time)} {hold.order_id} {hold.status} {hold.reason}" for hold in found]


def _value(name: str, text: str) -> Any:
    if text == "-":
        return None
    if name == "address":
        return dict(ADDRESSES[text])
    if name == "parcels":
        return text.split(",")
    if name == "items":
        return [{"sku": sku} for sku in text.split(",")]
    return text


def _change(fields: dict[str, Any]) -> dict[str, Any]:
    about = {name: fields.pop(name) for name in [*fields] if name in _OF_THE_EVENT or name == "order_id"}
    by = fields.pop("by", None)
    return {**about, **({} if by is None else {"customer_id": by}), "fields": fields}


def _counts(given: dict[str, Any], moment: int) -> dict[str, Any]:
    """`counted - seen=20 lacking=5 names=id,coupon headers=x-nonce version=2` of one slice; all are of one field."""
    seen = int(given.pop("seen", 20))
    kinds = (("field", "names"), ("header", "headers"))
    names = [(kind, name) for kind, word in kinds for name in str(given.pop(word, "id")).split(",")]
    version = given.pop("version", None)
    return {
        "entity_type": "source",
        "entity_id": "pay",
        "partition": "raw/0",
        "start": moment - 15_000,
        "records": seen,
        "fields": [
            {
                "field": "no",
                "seen": seen,
                "deviations": [
                    {"what": what, "count": int(count), "position": 7, "since": moment}
                    for what, count in sorted(given.items())
                ],
            }
        ],
        "names": [{"kind": kind, "name": name, "count": 1, "position": 7} for kind, name in names],
        "traits": [{"name": "version", "value": str(version), "count": 1, "position": 7}] if version else [],
    }


def _acknowledgement(unit: str, fields: dict[str, Any], day: str) -> dict[str, Any]:
    """`acknowledged order:A rule=stage_timeout opened=10:05 variant=created operator=mei`"""
    kind, _, name = unit.partition(":")
    variant = fields.pop("variant", None)
    episode = f"{fields.pop('rule')}/{kind}/{name}/{at(fields.pop('opened'), day)}" + (f"/{variant}" if variant else "")
    return {**fields, "episode": episode, "entity_type": kind, "entity_id": name}
