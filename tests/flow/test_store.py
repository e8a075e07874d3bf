"""The recovery store: what a run finds there fits it, or the run is refused with the reason and the remedy.

The stores are made by Bytewax itself, run over a small flow that counts.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from bytewax.testing import TestingSink, TestingSource

from dataflows import store
from dataflows.store import (
    Manifest,
    Store,
    claim,
    describe,
    identity,
    is_new,
    open_for,
    open_store,
    owns,
    read_manifest,
)
from dataflows.store_errors import StoreError, of_engine
from dataflows.store_lock import INHERITED, hold

FILES = 3
STAGES = {"orders": ("order_truth", "stage_timeout"), "alerts": ("alert_lifecycle",)}
MANIFEST = Manifest(key_groups=64, stages=STAGES, input="kafka", partitions=("orders/0", "orders/1"))


class Counting(StatefulBatchLogic[int, int, bytes]):
    """Keeps the last number of its key, in ``size`` bytes."""

    def __init__(self, size: int, known: bytes | None) -> None:
        self._size = size
        self._last = 0 if known is None else int(known.split(b" ")[0])

    def on_batch(self, values: list[int]) -> tuple[list[int], bool]:
        self._last = values[-1]
        return values, StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        return b"%d " % self._last + os.urandom(self._size)


class Numbers(TestingSource[tuple[str, int]]):
    """All from the first of the partitions; the second is empty."""

    def list_parts(self) -> list[str]:
        return list(MANIFEST.partitions)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Any:
        if for_part == MANIFEST.partitions[0]:
            return super().build_part(step_id, for_part, resume_state)
        return TestingSource[tuple[str, int]]([]).build_part(step_id, for_part, resume_state)


def run_flow(directory: Path, numbers: range, size: int = 100, keep: timedelta = timedelta(0)) -> list[int]:
    """Give each of eight keys these numbers; an epoch each."""
    out: list[Any] = []
    flow = Dataflow("orderpulse")
    source = op.input("source", flow, Numbers([(f"key-{n % 8}", n) for n in numbers]))
    op.output("out", op.stateful_batch("count", source, lambda known: Counting(size, known)), TestingSink(out))
    cli_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(directory, keep))  # type: ignore[no-untyped-call]
    return [number for _, number in out]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A store that a run has written to."""
    path = tmp_path / "store"
    with open_store(path, MANIFEST, FILES):
        run_flow(path, range(40))
    return path


def reopened(directory: Path, manifest: Manifest = MANIFEST) -> Store:
    """The store, opened and closed again."""
    with open_store(directory, manifest, FILES) as opened:
        return opened


def refusal(directory: Path, manifest: Manifest = MANIFEST) -> StoreError:
    """Why it is refused; every refusal says what to do."""
    with pytest.raises(StoreError) as refused:
        reopened(directory, manifest)
    assert refused.value.remedy
    return refused.value


def changed(**values: Any) -> Manifest:
    return msgspec.structs.replace(MANIFEST, **values)


def test_a_new_store_says_what_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store"

    assert is_new(path)
    with open_store(path, MANIFEST, FILES) as opened:
        assert opened.is_new

    assert is_new(path)
    kept = read_manifest(path)
    assert kept is not None
    assert (kept.manifest, kept.files, kept.format) == (MANIFEST, FILES, store.FORMAT)
    assert len(list(path.glob("part-*.sqlite3"))) == FILES


def test_a_run_goes_on_where_the_one_before_ended(directory: Path) -> None:
    with open_store(directory, MANIFEST, 99) as opened:
        assert not opened.is_new
        assert not is_new(directory)
        assert run_flow(directory, range(60)) == [*range(40, 60)]


def test_a_store_goes_on_in_another_place(directory: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(directory, moved)

    with open_store(moved, MANIFEST, FILES):
        assert run_flow(moved, range(50)) == [*range(40, 50)]


@pytest.mark.parametrize(
    ("manifest", "says", "remedy"),
    [
        (changed(key_groups=32), "64 key groups, this run has 32", "set key_groups = 64"),
        (changed(input="files"), "a run over kafka, this one reads files", "read kafka"),
        (
            changed(stages={**STAGES, "orders": ("order_truth",)}),
            "stage_timeout of stage orders is missing in this run",
            "switch on and off",
        ),
        (
            changed(stages={**STAGES, "signals": ("resonance",)}),
            "resonance of stage signals is new in this run",
            "switch on and off",
        ),
        (
            changed(stages={**STAGES, "orders": ("stage_timeout", "order_truth")}),
            "stage orders has its components in another order (order_truth, stage_timeout)",
            "switch on and off",
        ),
        (changed(partitions=("orders/1",)), "does not have: orders/0", "give the run all its inputs again"),
        (changed(partitions=()), "does not have: orders/0, orders/1", "kafka.start"),
    ],
)
def test_a_run_that_the_state_does_not_belong_to_is_refused(
    directory: Path, manifest: Manifest, says: str, remedy: str
) -> None:
    refused = refusal(directory, manifest)

    assert says in refused.what
    assert remedy in refused.remedy
    assert refused.where == str(directory / "store.json")
    assert refused.lasting


def test_new_partitions_are_taken_in_and_then_belong_to_it(directory: Path) -> None:
    reopened(directory, changed(partitions=("orders/0", "orders/1", "orders/2")))

    assert "does not have: orders/2" in refusal(directory).what


def test_as_long_as_nothing_is_committed_any_run_may_have_it(tmp_path: Path) -> None:
    reopened(tmp_path / "store")

    assert reopened(tmp_path / "store", changed(key_groups=32, partitions=("other/0",))).is_new
    kept = read_manifest(tmp_path / "store")
    assert kept is not None
    assert (kept.manifest.key_groups, kept.manifest.partitions) == (32, ("other/0",))


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / "part-1.sqlite3").unlink()

    assert "part-1.sqlite3 of the store's 3 files missing" in refusal(directory).what


def test_a_second_copy_of_a_file_is_refused_for_the_engine_would_choose_one(directory: Path) -> None:
    shutil.copy(directory / "part-1.sqlite3", directory / "part-1 (copy).sqlite3")

    assert "part-1 (copy).sqlite3" in refusal(directory).what


def test_files_that_changed_their_names_are_told_apart(directory: Path) -> None:
    (directory / "part-0.sqlite3").rename(directory / "x")
    (directory / "part-1.sqlite3").rename(directory / "part-0.sqlite3")
    (directory / "x").rename(directory / "part-1.sqlite3")

    assert "is file 1 of a store of 3 files" in refusal(directory).what


@pytest.mark.parametrize(
    ("length", "says"), [(0, "is empty"), (10, "does not begin as a file of SQLite"), (20_000, "is damaged")]
)
def test_a_file_that_was_cut_off_is_named(directory: Path, length: int, says: str) -> None:
    os.truncate(directory / "part-2.sqlite3", length)

    refused = refusal(directory)

    assert says in refused.what
    assert refused.where == str(directory / "part-2.sqlite3")
    assert "put back a copy of the whole directory" in refused.remedy
    assert refused.lasting


def test_a_file_with_overwritten_pages_is_found(directory: Path) -> None:
    path = directory / "part-0.sqlite3"
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 7] = os.urandom(4096 * 2)
    path.write_bytes(content)

    assert "is damaged" in refusal(directory).what


def test_one_file_of_an_older_copy_is_found(directory: Path, tmp_path: Path) -> None:
    shutil.copy(directory / "part-1.sqlite3", tmp_path / "old")
    with open_store(directory, MANIFEST, FILES):
        run_flow(directory, range(60))
    shutil.copy(tmp_path / "old", directory / "part-1.sqlite3")

    refused = refusal(directory)

    assert "is from another time than the rest of the store" in refused.what
    assert refused.where == str(directory / "part-1.sqlite3")


@pytest.mark.parametrize("partition", MANIFEST.partitions)
def test_a_place_that_a_file_has_lost_is_missed(partition: str, directory: Path) -> None:
    for path in directory.glob("*.sqlite3"):
        with sqlite3.connect(path) as file:
            file.execute("DELETE FROM snaps WHERE state_key = ?", (partition,))

    assert partition in refusal(directory).what


def test_a_partition_that_came_with_a_run_that_committed_nothing_needs_no_place(directory: Path) -> None:
    more = changed(partitions=("orders/0", "orders/1", "orders/2"))
    reopened(directory, more)
    reopened(directory, more)


def test_a_whole_older_copy_is_taken(directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    with open_store(directory, MANIFEST, FILES):
        run_flow(directory, range(60))

    with open_store(copy, MANIFEST, FILES):
        assert run_flow(copy, range(60)) == [*range(40, 60)]


def test_files_without_their_manifest_are_not_guessed_at(directory: Path) -> None:
    (directory / "store.json").unlink()

    assert "stands here without a manifest" in refusal(directory).what


def test_what_a_run_left_that_was_killed_while_making_the_store_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (path / "unfinished").mkdir(parents=True)
    init_db_dir(path / "unfinished", FILES)  # type: ignore[no-untyped-call]
    (path / "unfinished/part-0.sqlite3").rename(path / "part-0.sqlite3")

    assert reopened(path).is_new

    assert not (path / "unfinished").exists()
    with open_store(path, MANIFEST, FILES):
        assert run_flow(path, range(10)) == [*range(10)]


def made_by_one_of_several(path: Path, begin: "Barrier", names: "Queue[str]") -> None:
    begin.wait()
    names.put(store.identity(path))


def test_processes_that_begin_at_once_make_one_store_and_wait_for_each_other(tmp_path: Path) -> None:
    """The lock is that of the file with the store's name: were it replaced, two could hold it."""
    forked = multiprocessing.get_context("fork")
    for attempt in range(20):
        path, begin, names = tmp_path / str(attempt), forked.Barrier(6), forked.Queue()
        processes = [forked.Process(target=made_by_one_of_several, args=(path, begin, names)) for _ in range(6)]
        for process in processes:
            process.start()
        found = {names.get(timeout=60) for _ in processes}
        for process in processes:
            process.join(60)
        assert found == {store.identity(path)}
        assert [each.name for each in path.iterdir()] == [store.IDENTITY]


def test_a_run_that_was_killed_while_it_marked_the_files_does_not_spoil_them(directory: Path) -> None:
    with sqlite3.connect(directory / "part-0.sqlite3") as file:
        (marked,) = file.execute("PRAGMA application_id").fetchone()
        file.execute(f"PRAGMA application_id = {marked + 1}")
    file.close()

    assert not reopened(directory).is_new
    assert not reopened(directory).is_new


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": 5, "version": "9.9"}', "OrderPulse 9.9 in format 5; this one reads up to 4"),
        ('{"format": 0}', "format 0, which this version cannot read any more"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 2}', "is damaged"),
        ('{"format": 3}', "is damaged"),
        ('{"format": "1"}', "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("", "is damaged"),
    ],
)
def test_a_manifest_of_another_format_is_refused(directory: Path, content: str, says: str) -> None:
    (directory / "store.json").write_text(content)

    assert says in refusal(directory).what


def test_an_older_manifest_is_brought_up_step_by_step(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = json.loads((directory / "store.json").read_text())
    old["format"] = -1
    old["groups"] = old["manifest"].pop("key_groups")
    (directory / "store.json").write_text(json.dumps(old))

    def rename(values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "manifest": {**values["manifest"], "key_groups": values.pop("groups")}}

    monkeypatch.setattr(store, "MIGRATIONS", {-1: rename, 0: lambda values: values, **store.MIGRATIONS})

    assert not reopened(directory).is_new
    assert json.loads((directory / "store.json").read_text())["format"] == store.FORMAT


@pytest.mark.parametrize("older", [1, 2, 3])
def test_a_store_of_an_older_format_is_taken_over_as_it_is(directory: Path, older: int) -> None:
    old = json.loads((directory / "store.json").read_text())
    (directory / "store.json").write_text(json.dumps({**old, "format": older}))

    assert not reopened(directory).is_new
    assert json.loads((directory / "store.json").read_text())["format"] == 4


def test_two_runs_on_one_store_are_refused_naming_the_other(directory: Path) -> None:
    with open_store(directory, MANIFEST, FILES):
        refused = refusal(directory)

    assert f"process {os.getpid()}" in refused.what
    assert not reopened(directory).is_new


def test_a_process_that_its_supervisor_started_shares_the_store(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = hold(directory)
    monkeypatch.setenv(INHERITED, str(lock.descriptor))

    assert not reopened(directory).is_new

    monkeypatch.delenv(INHERITED)
    assert "another run uses" in refusal(directory).what
    lock.release()


def test_the_processes_of_one_start_count_as_one(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.RUN, "start-1")
    generations = []
    for _ in range(3):
        reopened(directory)
        kept = read_manifest(directory)
        assert kept is not None
        generations.append(kept.generation)

    assert generations == [2, 2, 2]


def test_of_several_hosts_only_the_first_process_has_files(directory: Path, tmp_path: Path) -> None:
    with open_for(1, tmp_path / "second", MANIFEST, FILES):
        assert not list((tmp_path / "second").glob("*.sqlite3"))
    with open_for(0, directory, MANIFEST, FILES) as first:
        assert not first.is_new

    with pytest.raises(StoreError, match="that of process 0"):
        open_for(1, directory, MANIFEST, FILES)


def test_a_store_keeps_its_identity(tmp_path: Path) -> None:
    name = identity(tmp_path / "a")

    assert identity(tmp_path / "a") == name != identity(tmp_path / "b")


def test_an_output_directory_knows_its_store_wherever_both_are_moved(directory: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert not owns(directory, output)
    claim(directory, output)
    shutil.move(directory, tmp_path / "moved")
    shutil.move(output, tmp_path / "moved-out")

    assert owns(tmp_path / "moved", tmp_path / "moved-out")
    assert not owns(tmp_path / "another", tmp_path / "moved-out")


def test_it_can_be_described_while_a_run_uses_it(directory: Path) -> None:
    with open_store(directory, MANIFEST, FILES):
        state = describe(directory)

    assert state.held_by == str(os.getpid())
    assert (state.files, state.runs, state.workers) == (FILES, 1, 1)
    assert state.epoch is not None
    assert state.epoch > 1
    assert state.written_at is not None
    assert abs(time.time() - state.written_at / 1000) < 60
    assert state.size > FILES * 4096
    assert describe(directory).held_by is None


def test_a_store_without_any_snapshot_has_no_epoch(tmp_path: Path) -> None:
    reopened(tmp_path / "store")

    state = describe(tmp_path / "store")

    assert (state.epoch, state.written_at, state.runs) == (None, None, 0)


def test_a_directory_without_a_store_is_not_described(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no recovery store"):
        describe(tmp_path)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refusal(tmp_path / "file").where == str(tmp_path / "file")


def test_checking_a_large_store_takes_no_time_that_one_would_notice(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with open_store(path, MANIFEST, FILES):
        run_flow(path, range(64), size=1_000_000, keep=timedelta(hours=1))
    assert describe(path).size > 60_000_000

    began = time.perf_counter()
    reopened(path)

    assert time.perf_counter() - began < 5


def limited_to(size: int, script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with no file larger than ``size`` bytes: SQLite then meets what it meets on a full disk."""
    program = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
from pathlib import Path
from datetime import timedelta
from tests.flow.test_store import *
directory = Path({str(directory)!r})
{script}
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_a_disk_that_refuses_a_snapshot_ends_the_run_with_the_reason_and_spoils_nothing(directory: Path) -> None:
    script = """
try:
    run_flow(directory, range(200), size=50_000, keep=timedelta(hours=1))
except BaseException as error:
    print(of_engine(error, directory))
"""
    ended = limited_to(2_000_000, script, directory)

    assert f"{directory}: " in ended.stdout, ended.stderr
    with open_store(directory, MANIFEST, FILES):
        resumed = run_flow(directory, range(200))
    assert resumed
    assert resumed == [*range(resumed[0], 200)]
    assert resumed[0] >= 40


def test_a_full_disk_is_refused_at_the_start(directory: Path) -> None:
    script = """
try:
    reopened(directory)
except StoreError as error:
    print(error.lasting, error)
"""
    ended = limited_to(500_000, script, directory)

    assert f"{directory}: " in ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("code", "says", "lasting"),
    [
        ("DiskFull", "no space is left", False),
        ("DatabaseCorrupt", "damaged", True),
        ("ReadOnly", "cannot be written", True),
        ("Unheard", "SQLite says Unheard", False),
    ],
)
def test_what_the_engine_says_of_sqlite_is_said_in_words(code: str, says: str, lasting: bool, tmp_path: Path) -> None:
    text = (
        f"called `Result::unwrap()` on an `Err` value: SqliteFailure(Error {{ code: {code}, extended_code: 13 }}, None)"
    )

    error = of_engine(RuntimeError(text), tmp_path)

    assert error is not None
    assert says in error.what
    assert error.lasting is lasting


def test_other_failures_of_the_engine_are_none_of_the_store(tmp_path: Path) -> None:
    assert of_engine(RuntimeError("step raised"), tmp_path) is None


def test_a_killed_run_leaves_a_store_that_is_free_and_whole(directory: Path) -> None:
    script = f"""
from pathlib import Path
from tests.flow.test_store import *
directory = Path({str(directory)!r})
with open_store(directory, MANIFEST, FILES):
    run_flow(directory, range(10**6), size=20_000)
"""
    began_at = describe(directory).epoch or 0
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        while (describe(directory).epoch or 0) < began_at + 20:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    state = describe(directory)
    assert state.held_by is None
    assert state.epoch is not None
    end = state.epoch + 20

    with open_store(directory, MANIFEST, FILES):
        resumed = run_flow(directory, range(end))

    assert resumed == [*range(resumed[0], end)]
    assert resumed[0] > 40
