import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.units import Duration
from events.records import AlertRecord, HoldRecord, OrderSnapshot, Record, Step
from sinks.read_model import ReadModelSink
from sinks.sink import Sink, SinkError
from tests.sinks.breaking_proxy import BreakingProxy
from tests.sinks.samples import ALERT, EVERY_KIND, HEALTH, HOLD, NOON, SNAPSHOT, alert, redis_settings
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "redis.md"
P = "op:v1:"
EPISODE = ALERT.episode
MINUTE = 60_000


def content(client: Any) -> dict[str, object]:
    """All keys with what they hold."""
    dump: dict[str, object] = {}
    for key in client.scan_iter(count=1000):
        is_hash = client.type(key) == "hash"
        dump[key] = client.hgetall(key) if is_hash else client.zrange(key, 0, -1, withscores=True)
    return dump


@pytest.fixture
def client(redis_server: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def sink(redis_server: str) -> Iterator[ReadModelSink]:
    opened = ReadModelSink(redis_settings(redis_server))
    yield opened
    opened.close()


def order(number: int, version: int = 1, *, closed: bool = False) -> OrderSnapshot:
    """Version `version` of an order that was created `number` minutes after noon."""
    return OrderSnapshot(
        order_id=f"O-{number}",
        version=version,
        time=NOON + number * MINUTE + version,
        closed=closed,
        customer_id="C-1",
        fields={"basics.created_at": NOON + number * MINUTE, "version_of_fields": version},
    )


def hold(version: int, status: str) -> HoldRecord:
    return msgspec.structs.replace(HOLD, id=f"h{version}", version=version, status=status, time=NOON + version)


def step(number: int, kind: Step, **changes: Any) -> AlertRecord:
    return alert(id=f"{EPISODE}#{number}", step=kind, step_number=number, time=NOON + number, **changes)


def test_an_order_can_be_looked_up_with_its_newest_version(sink: Sink, client: redis.Redis) -> None:
    sink.write([order(1, 2)])
    sink.write([order(1, 1)])
    found = client.hgetall(f"{P}order:O-1")
    assert found["version"] == "2"
    assert found["customer_id"] == "C-1"
    assert found["time"] == str(NOON + MINUTE + 2)
    assert json.loads(found["fields"]) == {"basics.created_at": NOON + MINUTE, "version_of_fields": 2}


def test_a_customers_newest_orders_stand_by_time_of_creation(sink: Sink, client: redis.Redis) -> None:
    for number in (4, 1, 3, 2):
        sink.write([order(number)])
    assert client.zrange(f"{P}customer:C-1:orders", 0, -1) == ["O-2", "O-3", "O-4"]


def test_an_order_of_nobody_known_yet_stands_in_no_list(sink: Sink, client: redis.Redis) -> None:
    sink.write([msgspec.structs.replace(SNAPSHOT, customer_id=None, fields={})])
    assert list(content(client)) == [f"{P}order:O-1"]


def test_an_open_alert_stands_in_every_list_that_it_concerns(sink: Sink, client: redis.Redis) -> None:
    sink.write([ALERT])
    for index in ("alerts:open", "alerts:open:card_burst", "order:O-1:alerts", "order:O-2:alerts"):
        assert client.zrange(f"{P}{index}", 0, -1, withscores=True) == [(EPISODE, float(NOON))]
    found = client.hgetall(f"{P}alert:{EPISODE}")
    assert found["state"] == "open"
    assert msgspec.json.decode(found["record"], type=AlertRecord) == ALERT


def test_a_resolved_alert_leaves_the_lists_and_stays_in_the_feed(sink: Sink, client: redis.Redis) -> None:
    sink.write([ALERT])
    sink.write([step(2, "resolved", reason="window_passed")])
    assert sorted(content(client)) == [f"{P}alert:{EPISODE}", f"{P}feed", f"{P}feed:records"]
    assert client.hget(f"{P}alert:{EPISODE}", "state") == "resolved"
    assert client.zrange(f"{P}feed", 0, -1) == [ALERT.id, f"{EPISODE}#2"]


def test_an_order_that_left_an_alert_is_no_longer_listed_under_it(sink: Sink, client: redis.Redis) -> None:
    sink.write([ALERT])
    sink.write([step(2, "updated", orders=("O-2", "O-3"))])
    listed = [client.exists(f"{P}order:{name}:alerts") for name in ("O-1", "O-2", "O-3")]
    assert listed == [0, 1, 1]


def test_an_acknowledged_alert_stays_so_when_it_is_updated(sink: Sink, client: redis.Redis) -> None:
    sink.write([ALERT])
    sink.write([step(3, "updated")])
    sink.write([step(2, "acknowledged")])
    found = client.hgetall(f"{P}alert:{EPISODE}")
    assert (found["state"], found["step_number"], found["acknowledged"]) == ("acknowledged", "3", "2")


def test_a_merge_group_can_be_looked_up_with_its_orders(sink: Sink, client: redis.Redis) -> None:
    sink.write([alert(rule="merge_candidate", entity_type="customer", entity_id="C-1", evidence={"address": "k"})])
    found = client.hgetall(f"{P}merge:{EPISODE}")
    assert found["customer_id"] == "C-1"
    assert found["open"] == "1"
    assert json.loads(found["orders"]) == ["O-1", "O-2"]
    assert json.loads(found["evidence"]) == {"address": "k"}
    assert client.zrange(f"{P}merges:open", 0, -1) == [EPISODE]
    sink.write([step(2, "resolved", rule="merge_candidate", entity_id="C-1")])
    assert client.exists(f"{P}merges:open") == 0
    assert client.hget(f"{P}merge:{EPISODE}", "open") == "0"


def test_a_held_order_waits_for_review_since_its_first_cause(sink: Sink, client: redis.Redis) -> None:
    sink.write([HOLD])
    assert client.zrange(f"{P}holds", 0, -1, withscores=True) == [("O-1", float(NOON - 5))]
    assert client.hget(f"{P}hold:O-1", "status") == "held"


@pytest.mark.parametrize("status", ["released", "confirmed"])
def test_a_reviewed_order_no_longer_waits(sink: Sink, client: redis.Redis, status: str) -> None:
    sink.write([hold(2, status)])
    sink.write([hold(1, "held")])
    assert client.exists(f"{P}holds") == 0
    assert client.hget(f"{P}hold:O-1", "status") == status


def test_the_feed_keeps_the_newest_steps_with_their_texts(sink: Sink, client: redis.Redis) -> None:
    sink.write([step(number, "updated") for number in range(1, 9)])
    assert client.zrange(f"{P}feed", 0, -1) == [f"{EPISODE}#{number}" for number in range(4, 9)]
    assert sorted(client.hkeys(f"{P}feed:records")) == [f"{EPISODE}#{number}" for number in range(4, 9)]
    newest = client.hget(f"{P}feed:records", f"{EPISODE}#8")
    assert newest is not None
    assert msgspec.json.decode(newest, type=AlertRecord) == step(8, "updated")


def published(client: Any) -> tuple[str | None, ...]:
    """What the view says about its age, and the run's counts."""
    return tuple(client.hmget(f"{P}meta", ["watermark", "updated_at", "counts"]))


def test_the_view_tells_how_old_it_is_and_never_goes_back(sink: ReadModelSink, client: redis.Redis) -> None:
    sink.mark(NOON, NOON + 700, {"late": 1, "events": 3})
    sink.mark(NOON - 1, NOON + 900, {"events": 2})
    assert published(client) == (str(NOON), str(NOON + 700), '{"events":3,"late":1}')
    sink.mark(NOON, NOON + 1700, {"events": 3})
    assert client.hget(f"{P}meta", "updated_at") == str(NOON + 1700)


def workers_of(url: str, workers: int) -> list[ReadModelSink]:
    return [ReadModelSink(redis_settings(url), worker=worker, workers=workers) for worker in range(workers)]


def test_of_several_workers_the_one_furthest_behind_tells_how_old_the_view_is(
    redis_server: str, client: redis.Redis
) -> None:
    first, second = workers_of(redis_server, 2)
    first.mark(NOON, NOON + 700, {"events": 3})
    assert published(client) == (None, None, None)
    second.mark(NOON - 5, NOON + 900, {"events": 4})
    assert published(client) == (str(NOON - 5), str(NOON + 700), '{"events":7}')
    second.mark(NOON + 9, NOON + 1900, {"events": 5, "late": 2})
    assert published(client) == (str(NOON), str(NOON + 700), '{"events":8,"late":2}')


def test_after_a_start_with_fewer_workers_only_they_count_and_the_view_does_not_go_back(
    redis_server: str, client: redis.Redis
) -> None:
    for ahead, worker in enumerate(workers_of(redis_server, 3)):
        worker.mark(NOON + 100 * ahead, NOON + 700, {"events": 3})
    first, second = workers_of(redis_server, 2)
    first.mark(NOON + 50, NOON + 1000, {"events": 1})
    assert published(client) == (str(NOON), str(NOON + 700), '{"events":9}')
    second.mark(NOON - 7, NOON + 1000, {"events": 1})
    assert published(client) == (str(NOON), str(NOON + 700), '{"events":9}')
    second.mark(NOON + 7, NOON + 1100, {"events": 1})
    assert published(client) == (str(NOON + 7), str(NOON + 1000), '{"events":2}')
    assert not client.hexists(f"{P}meta", "worker:2")


def test_everything_expires_and_what_is_over_expires_sooner(sink: ReadModelSink, client: redis.Redis) -> None:
    merge = alert(rule="merge_candidate", episode="m")
    sink.write([*EVERY_KIND, order(7, closed=True), hold(2, "released"), merge])
    sink.write([alert(id="a2", episode="r", step="resolved")])
    sink.mark(NOON, NOON, {})
    days = {key: round(client.pttl(key) / 86_400_000) for key in client.scan_iter()}
    over = {f"{P}order:O-7", f"{P}hold:O-1", f"{P}alert:r"}
    assert over <= set(days)
    assert days == {key: 2 if key in over else 14 for key in days}


def test_a_hold_that_was_not_released_never_expires(sink: ReadModelSink, client: redis.Redis) -> None:
    sink.write([hold(1, "held")])
    assert client.pttl(f"{P}hold:O-1") == -1
    sink.write([hold(2, "released")])
    assert client.pttl(f"{P}hold:O-1") > 0
    sink.write([hold(3, "held")])
    assert client.pttl(f"{P}hold:O-1") == -1


def test_what_has_expired_is_taken_out_of_the_lists(redis_server: str, client: redis.Redis) -> None:
    sink = ReadModelSink(redis_settings(redis_server))
    sink.write([ALERT, HOLD, alert(rule="merge_candidate", episode="m"), alert(episode="young", opened_at=NOON + 2)])
    client.delete(f"{P}alert:{EPISODE}", f"{P}alert:m", f"{P}merge:m", f"{P}hold:O-1")
    sink.mark(NOON + 1 + Duration.parse("14d"), NOON, {})
    sink.close()
    assert client.zrange(f"{P}alerts:open", 0, -1) == ["young"]
    assert client.zrange(f"{P}alerts:open:card_burst", 0, -1) == ["young"]
    assert client.exists(f"{P}holds", f"{P}merges:open") == 0


def a_history() -> list[Record]:
    """Some alerts, holds and orders from beginning to end: more of them than the caps hold."""
    records: list[Record] = []
    for number in range(5):
        records += [order(number, version, closed=version == 3) for version in (1, 2, 3)]
    for number in range(4):
        rule = "merge_candidate" if number % 2 else "stage_timeout"
        base = {"episode": f"E-{number}", "rule": rule, "opened_at": NOON + number}
        steps: list[tuple[Step, tuple[str, ...]]] = [
            ("opened", ("O-1", "O-2")),
            ("acknowledged", ("O-1", "O-2")),
            ("updated", ("O-2", f"O-{number}")),
            ("resolved" if number < 2 else "updated", ("O-2",)),
        ]
        records += [
            alert(**base, id=f"{number}-{at}", step=kind, step_number=at, time=NOON + at, orders=orders)
            for at, (kind, orders) in enumerate(steps, 1)
        ]
    return [*records, hold(1, "held"), hold(2, "released"), hold(3, "held")]


HISTORY = a_history()


def fill(url: str, batches: Sequence[Sequence[Record]]) -> None:
    sink = ReadModelSink(redis_settings(url))
    for batch in batches:
        sink.write(batch)
    sink.close()


def lives(client: redis.Redis) -> dict[str, int]:
    """For each key the days that it has to live; -1: for ever."""
    return {key: round(left / 86_400_000) if (left := client.pttl(key)) > 0 else -1 for key in client.scan_iter()}


def entity_of(record: Record) -> str:
    return record.episode if isinstance(record, AlertRecord) else getattr(record, "order_id", "")


@st.composite
def disturbed(draw: st.DrawFn, history: Sequence[Record]) -> list[list[Record]]:
    """The history in any order, some of it again, in any portions."""
    repeated = draw(st.lists(st.sampled_from(history), max_size=20))
    shuffled = draw(st.permutations([*history, *repeated]))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=6)))
    return [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=disturbed(HISTORY))
def test_any_order_and_any_repetition_of_the_records_end_in_the_same_content(
    redis_server: str, client: redis.Redis, batches: list[list[Record]]
) -> None:
    client.flushall()
    fill(redis_server, [[record] for record in HISTORY])
    expected = content(client), lives(client)
    client.flushall()
    fill(redis_server, batches)
    assert (content(client), lives(client)) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_however_the_writes_of_two_workers_meet_the_content_is_that_of_one(
    redis_server: str, client: redis.Redis, data: st.DataObject
) -> None:
    client.flushall()
    fill(redis_server, [[record] for record in HISTORY])
    expected = content(client), lives(client)
    client.flushall()
    entities = sorted({entity_of(record) for record in HISTORY})
    of_first = data.draw(st.sets(st.sampled_from(entities)))
    sinks = workers_of(redis_server, 2)
    waiting = [
        data.draw(disturbed([record for record in HISTORY if (entity_of(record) in of_first) == mine]))
        if any((entity_of(record) in of_first) == mine for record in HISTORY)
        else []
        for mine in (True, False)
    ]
    while any(waiting):
        turn = data.draw(st.sampled_from([worker for worker in (0, 1) if waiting[worker]]))
        sinks[turn].write(waiting[turn].pop(0))
    assert (content(client), lives(client)) == expected


def test_writing_the_same_again_changes_nothing(sink: Sink, client: redis.Redis) -> None:
    sink.write(HISTORY)
    before = content(client)
    sink.write(HISTORY)
    assert content(client) == before


def test_a_wrong_password_is_refused_at_the_start_without_telling_it(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path, password="right") as server:
        url = server.url.replace("right", "wrong")
        with pytest.raises(SinkError, match="correct the user and the password") as refused:
            ReadModelSink(redis_settings(url))
    assert str(refused.value).startswith(f"Redis at 127.0.0.1:{server.port}/0: ")
    assert "wrong" not in str(refused.value)


def test_a_password_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "right")
    with RedisServer.start(tmp_path, password="right") as server:
        ReadModelSink(redis_settings(server.url.replace("right", "${REDIS_PASSWORD}"))).close()


def test_an_unreachable_server_is_an_error_at_the_start() -> None:
    with pytest.raises(SinkError, match=r"check redis.url and that the server is up"):
        ReadModelSink(redis_settings(f"redis://127.0.0.1:{free_port()}/0"))


def test_a_connection_that_breaks_once_at_the_start_is_no_reason_to_end(
    redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = redis.Redis.script_load
    left = [redis.ConnectionError("Connection closed by server.")]

    def breaks_once(client: redis.Redis, script: str) -> Any:
        if left:
            raise left.pop()
        return answers(client, script)

    monkeypatch.setattr(redis.Redis, "script_load", breaks_once)
    ReadModelSink(redis_settings(redis_server)).close()
    assert not left


def test_a_url_that_is_none_is_an_error_with_a_remedy() -> None:
    with pytest.raises(SinkError, match=r"correct redis.url"):
        ReadModelSink(redis_settings("localhost:6379"))


def test_a_server_that_is_away_holds_the_flow_back_and_gets_the_records_when_it_is_back(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server:
        sink = ReadModelSink(redis_settings(server.url))
        sink.write([ALERT])
        server.kill()
        writing = threading.Thread(target=sink.write, args=([HOLD],))
        writing.start()
        time.sleep(0.3)
        assert writing.is_alive()
        server.restart()
        writing.join(timeout=10)
        with server.client() as client:
            assert client.hget(f"{P}hold:O-1", "status") == "held"
        sink.close()


def writing(sink: Sink, *records: Record) -> threading.Thread:
    """A write that goes on by itself, and has begun to wait."""
    thread = threading.Thread(target=sink.write, args=(records,), daemon=True)
    thread.start()
    until(lambda: sink.waiting is not None)
    assert thread.is_alive()
    return thread


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not come to pass within 20 s"
        time.sleep(0.01)


def test_whoever_waits_says_for_what_and_since_when(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server:
        sink = ReadModelSink(redis_settings(server.url))
        before = round(time.time() * 1000)
        server.kill()
        thread = writing(sink, HOLD)
        assert (waiting := sink.waiting) is not None
        assert re.search(rf"Redis at 127.0.0.1:{server.port}/0: .*(refused|closed|reset)", waiting.reason)
        assert before <= waiting.since_ms <= round(time.time() * 1000)
        time.sleep(0.2)
        assert sink.waiting is not None
        assert sink.waiting.since_ms == waiting.since_ms
        server.restart()
        thread.join(timeout=10)
        assert sink.waiting is None


def test_a_run_that_was_asked_to_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    stopping = threading.Event()
    with RedisServer.start(tmp_path) as server:
        sink = ReadModelSink(redis_settings(server.url), give_up=stopping.is_set)
        server.kill()
        threading.Timer(0.5, stopping.set).start()
        with pytest.raises(SinkError, match=r"asked to stop after waiting for 0\.\d s: Redis at .*; put it right"):
            sink.write([ALERT])


def test_a_process_that_starts_while_the_server_is_away_waits_for_it(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server:
        server.kill()
        sink = ReadModelSink(redis_settings(server.url), patient=True)
        thread = writing(sink, HOLD)
        server.restart()
        thread.join(timeout=10)
        with server.client() as client:
            assert client.hget(f"{P}hold:O-1", "status") == "held"


def test_a_full_server_holds_the_flow_back_until_it_has_room(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server, server.client() as client:
        sink = ReadModelSink(redis_settings(server.url))
        client.config_set("maxmemory", 1)
        thread = writing(sink, HOLD)
        assert sink.waiting is not None
        assert "raise maxmemory" in sink.waiting.reason
        client.config_set("maxmemory", 0)
        thread.join(timeout=10)
        assert client.hget(f"{P}hold:O-1", "status") == "held"


def run_until_killed(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while 1 do end", 0)


def is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


def test_a_server_that_is_busy_with_another_script_is_waited_for(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server, server.client() as client, server.client() as other:
        sink = ReadModelSink(redis_settings(server.url))
        client.config_set("lua-time-limit", 1)
        endless = threading.Thread(target=run_until_killed, args=(other,))
        endless.start()
        until(lambda: is_busy(client))
        thread = writing(sink, HOLD)
        client.script_kill()
        endless.join()
        thread.join(timeout=10)
        assert client.hget(f"{P}hold:O-1", "status") == "held"


def test_a_server_that_freezes_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.read_model._SOCKET_SECONDS", 0.3)
    with RedisServer.start(tmp_path) as server, server.client() as client:
        sink = ReadModelSink(redis_settings(server.url))
        server.pause()
        thread = writing(sink, hold(1, "held"))
        server.resume()
        thread.join(timeout=10)
        assert client.hget(f"{P}hold:O-1", "status") == "held"


@pytest.mark.parametrize("break_after", [15_000, 30_000, 90_000])
def test_a_connection_that_breaks_amid_a_write_leaves_nothing_out(
    shared_redis: RedisServer, redis_server: str, client: redis.Redis, break_after: int
) -> None:
    records = [*HISTORY, *(msgspec.structs.replace(order(number), customer_id=None) for number in range(10, 600))]
    fill(redis_server, [records])
    expected = content(client), lives(client)
    client.flushall()
    with BreakingProxy(shared_redis.port, break_after) as proxy:
        fill(redis_server.replace(str(shared_redis.port), str(proxy.port)), [records])
        assert proxy.broke.is_set()
    assert (content(client), lives(client)) == expected


def test_an_account_without_the_rights_ends_the_flow(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server, server.client() as client:
        client.acl_setuser("op", enabled=True, passwords=["+right"], keys=["*"], commands=["+@all"])
        sink = ReadModelSink(redis_settings(server.url.replace("redis://", "redis://op:right@")))
        client.acl_setuser("op", commands=["-@scripting"])
        with pytest.raises(SinkError, match=r"no permissions.*give the account its rights"):
            sink.write([ALERT])


def test_a_password_that_is_changed_amid_the_run_ends_the_flow(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server, server.client() as client:
        sink = ReadModelSink(redis_settings(server.url))
        client.config_set("requirepass", "other")
        client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(SinkError, match="correct the user and the password"):
            sink.write([ALERT])


def test_a_fail_over_is_waited_for(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server, server.client() as client:
        sink = ReadModelSink(redis_settings(server.url))
        client.replicaof("127.0.0.1", "1")
        writing = threading.Thread(target=sink.write, args=([HOLD],))
        writing.start()
        time.sleep(0.2)
        assert writing.is_alive()
        client.replicaof("NO", "ONE")
        writing.join(timeout=10)
        assert client.hget(f"{P}hold:O-1", "status") == "held"


def test_a_server_that_forgot_the_scripts_is_taught_them_again(sink: Sink, client: redis.Redis) -> None:
    client.script_flush()
    sink.write([ALERT])
    assert client.exists(f"{P}alerts:open") == 1


def test_the_newest_health_of_a_source_counts(sink: ReadModelSink, client: redis.Redis) -> None:
    newer = msgspec.structs.replace(HEALTH, time=NOON + 15_000, records=7, open=())
    sink.write([HEALTH])
    sink.write([newer])
    sink.write([HEALTH, msgspec.structs.replace(HEALTH, time=NOON - 1)])
    found = client.hgetall(f"{P}contract:wechat_pay")
    assert (found["time"], found["records"], found["open"]) == (str(NOON + 15_000), "7", "[]")
    assert client.zrange(f"{P}contracts", 0, -1) == ["wechat_pay"]
    assert client.pttl(f"{P}contract:wechat_pay") > 0


def test_the_document_has_every_key_with_its_type(sink: ReadModelSink, client: redis.Redis) -> None:
    sink.write([*HISTORY, *EVERY_KIND])
    sink.mark(NOON, NOON, {})
    rows = re.findall(r"^\| `([^`]+)` \| ([a-z ]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {re.sub(r"<\w+>", "*", name): kind for name, kind in rows}
    written = {pattern_of(key): client.type(key) for key in client.scan_iter()}
    assert written == {name: {"sorted set": "zset"}.get(kind, kind) for name, kind in documented.items()}


def pattern_of(key: str) -> str:
    """`op:v1:order:O-1:alerts` -> `order:*:alerts`."""
    name = key.removeprefix(P)
    first, _, rest = name.partition(":")
    if first == "alerts":
        return "alerts:open:*" if name.count(":") == 2 else name
    if first in {"order", "customer"} and rest.endswith((":alerts", ":orders")):
        return f"{first}:*:{rest.rpartition(':')[2]}"
    if first == "precision":
        return "precision:*:*"
    return f"{first}:*" if first in {"order", "alert", "hold", "merge", "contract"} else name
