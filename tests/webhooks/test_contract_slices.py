"""The counts of raw records: the same slices whatever the batches, and after a restart none lost and none twice."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from events.model import ContractCounted, Event
from events.records import DeadLetterRecord
from sinks.metrics import Metrics
from sources.mapping.loading import load_profile
from sources.webhooks.contract_slices import ContractSlices
from sources.webhooks.map_run import MapRun, RouteMapper
from sources.webhooks.raw import raw_delivery
from sources.webhooks.record_mapper import RecordMapper
from tests.webhooks.support import order
from tests.webhooks.test_mapping import KEY, PAID, mapper, notice

SETTINGS = load_settings().intake.contract
LENGTH = int(SETTINGS.slice)
TOPIC = "orders.raw.shop.v1"
START = 1_770_000_000_000 // LENGTH * LENGTH


class Raw:
    """A raw record as the consumer hands it over."""

    def __init__(self, offset: int, stamp: int, partition: int = 3, body: bytes | None = None) -> None:
        self._offset, self._stamp, self._partition = offset, stamp, partition
        self._body = order(offset) if body is None else body

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._body

    def timestamp(self) -> tuple[int, int]:
        return 2, self._stamp

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("op_origin", b"webhook"), ("http_user-agent", b"A")]


class Reading:
    """One partition's log, from a restart's place on; ``done`` keeps what a commit would carry."""

    def __init__(self, log: Sequence[Raw], slices: ContractSlices, known: int = 0, start: int = 0) -> None:
        self._log, self._slices = log, slices
        self._known, self._at = known, start
        self.reads = 0
        self.committed = (known, start)

    @property
    def finished(self) -> bool:
        return self.reads > len(self._log) + 2

    def read(self, most: int) -> Any:
        self.reads += 1
        batch = self._log[self._at : self._at + most]
        self._at += len(batch)
        return batch

    def done(self) -> None:
        again = self._slices.opened_at((TOPIC, 3))
        self.committed = (max(self._at, self._known), self._at if again is None else again)

    def is_again(self, message: Any) -> bool:
        return bool(message.offset() < self._known)

    def at_end(self, place: tuple[str, int]) -> bool:
        return place == (TOPIC, 3) and self._at >= len(self._log)

    def reassigned(self) -> Sequence[tuple[str, int]]:
        return ()

    def close(self) -> None:
        """Nothing to let go of."""


class Target:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def event(self, event: Event) -> None:
        self.events.append(event)

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        """Nobody looks."""

    def flush(self) -> bool:
        return True

    @property
    def counted(self) -> list[ContractCounted]:
        return [event for event in self.events if isinstance(event, ContractCounted)]


@pytest.fixture(autouse=True, scope="module")
def _headers() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sources.webhooks.map_run._read_headers", Raw.headers)
        yield


def run(
    log: Sequence[Raw], batch: int = 100, stop_after: int | None = None, before: tuple[int, int] = (0, 0)
) -> tuple[Target, tuple[int, int], Metrics]:
    """Map a log; ``stop_after`` so many reads as a crash does; ``before``: what was committed by then."""
    slices = ContractSlices(SETTINGS)
    reading, target, metrics = Reading(log, slices, *before), Target(), Metrics()
    stopping = (lambda: False) if stop_after is None else (lambda: reading.reads >= stop_after)
    mappers = {TOPIC: RouteMapper("shop", mapper())}
    later = lambda: (START + 86_400_000) / 1000  # noqa: E731
    MapRun(cast("Any", reading), mappers, target, metrics, stopping, slices, later).run(batch)
    return target, reading.committed, metrics


def log_of(gaps: Sequence[int]) -> list[Raw]:
    stamp, log = START, []
    for offset, gap in enumerate(gaps):
        stamp += gap
        log.append(Raw(offset, stamp, body=order(offset) if offset % 5 else b'{"id": 1}'))
    return log


GAPS = st.lists(st.sampled_from((0, 1, LENGTH // 3, LENGTH - 1, LENGTH, 5 * LENGTH)), min_size=1, max_size=40)


@given(GAPS, st.integers(1, 10))
def test_any_batches_give_the_same_counts(gaps: list[int], batch: int) -> None:
    log = log_of(gaps)
    counted = run(log)[0].counted
    assert run(log, batch)[0].counted == counted
    assert sum(each.records for each in counted) == len(log)
    assert len({each.id for each in counted}) == len(counted)


@given(GAPS, st.integers(1, 10), st.integers(1, 30))
def test_a_crash_anywhere_loses_no_count_and_gives_none_twice(gaps: list[int], batch: int, reads: int) -> None:
    log = log_of(gaps)
    whole = run(log)[0]
    first, committed, _ = run(log, batch, stop_after=reads)
    second, _, _ = run(log, batch, before=committed)
    by_id = {each.id: each for each in first.counted}
    assert all(by_id.get(each.id, each) == each for each in second.counted), "the same id says the same"
    assert by_id | {each.id: each for each in second.counted} == {each.id: each for each in whole.counted}
    events = [event for target in (first, second) for event in target.events if not isinstance(event, ContractCounted)]
    assert len(events) == len({event.id for event in events}), "records that are read again are counted alone"


def test_a_slice_goes_out_with_the_first_record_behind_it() -> None:
    slices = ContractSlices(SETTINGS)
    counts, ended = slices.begin((TOPIC, 3), 0, START, "shop")
    counts.begin(0, START)
    assert ended is None
    assert slices.begin((TOPIC, 3), 1, START + LENGTH - 1, "shop")[1] is None
    ended = slices.begin((TOPIC, 3), 2, START + LENGTH, "shop")[1]
    assert ended is not None
    assert (ended.start, ended.time, ended.records) == (START, START + LENGTH, 1)


def test_silence_ends_a_slice_once_the_end_of_the_log_is_known() -> None:
    slices = ContractSlices(SETTINGS)
    slices.begin((TOPIC, 3), 0, START, "shop")
    assert list(slices.overdue(START + LENGTH, lambda _: True)) == []
    assert list(slices.overdue(START + LENGTH + 5_000, lambda _: False)) == []
    assert len(list(slices.overdue(START + LENGTH + 5_000, lambda _: True))) == 1
    slices.begin((TOPIC, 3), 1, START + 1, "shop")
    (later,) = slices.overdue(START + 3 * LENGTH, lambda _: True)
    assert later.start == START + LENGTH, "a record of a clock that is behind counts in the next slice"


def test_a_partition_that_went_elsewhere_is_forgotten() -> None:
    slices = ContractSlices(SETTINGS)
    slices.begin((TOPIC, 3), 0, START, "shop")
    slices.forget((TOPIC, 3))
    assert slices.opened_at((TOPIC, 3)) is None


def test_metrics_count_records_and_what_is_wrong_with_them() -> None:
    text = run(log_of([0] * 10))[2].render().decode()
    assert 'orderpulse_contract_records_total{source="shop"} 10.0' in text
    assert 'orderpulse_contract_deviations_total{field="(message)",source="shop",what="unparsable"} 2.0' in text


def test_a_key_that_does_not_fit_is_counted_with_what_stands_around_the_seal() -> None:
    slices = ContractSlices(SETTINGS)
    by = RecordMapper(load_profile("wechat_pay"), b"x" * 32)
    raw = raw_delivery([("http_x-wx-nonce", b"1"), ("http_wechatpay-serial", b"77")], "pay")
    counts, _ = slices.begin((TOPIC, 3), 0, START, by.source)
    counts.begin(0, START)
    by.map(notice(PAID), raw, counts)
    counts.begin(1, START)
    RecordMapper(load_profile("wechat_pay"), KEY).map(notice(PAID), raw, counts)
    (event,) = slices.overdue(START + 10 * LENGTH, lambda _: True)
    (resource,) = [each for each in event.fields if each.field == "resource"]
    assert [(each.what, each.count) for each in resource.deviations] == [("decrypt_failed", 1)]
    assert {("header", "x-wx-nonce"), ("field", "resource")} <= {(each.kind, each.name) for each in event.names}
    values = {each.name: each.value for each in event.traits}
    assert values["resource.algorithm"] == "AEAD_AES_256_GCM"
    assert values["wechatpay-serial"] == "77"
    assert b"O-1" not in msgspec.json.encode(event)
