"""Where the engine runs what: what OrderPulse expects is what Bytewax does, and the load is spread evenly."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows import placement
from dataflows.fleet import free_addresses
from dataflows.placement import group_names, groups_of, partitions_of, worker_of_key

PARTITIONS = ["orders/10", "orders/2", "behaviour/0", "actions/0", "orders/0"]
KEYS = ["", "a", "1234567", "12345678", "订单", "x" * 100, *map(str, range(50))]

# Python hashes bytes with SipHash-1-3 too, with a key of zeros when it is told to use no chance.
_HASHES = """
import json, sys
assert sys.hash_info.algorithm == "siphash13"
print(json.dumps([hash(key.encode() + b"\\xff") % 2**64 for key in json.load(sys.stdin)]))
"""

_FLOW = """
import json, sys
from datetime import timedelta
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

number, addresses, keys, partitions = json.loads(sys.argv[1])
here = {"keys": [], "partitions": []}

class Part(StatefulSourcePartition):
    def __init__(self, name): self.left = [(key, name) for key in keys]
    def next_batch(self):
        if not self.left: raise StopIteration
        batch, self.left = self.left, []
        return batch
    def snapshot(self): return None

class Source(FixedPartitionedSource):
    def list_parts(self): return partitions
    def build_part(self, step_id, for_part, resume_state):
        here["partitions"].append(for_part)
        return Part(for_part)

class Logic(StatefulBatchLogic):
    def on_batch(self, values): return values, False
    def snapshot(self): return None

class Sink(DynamicSink, StatelessSinkPartition):
    def build(self, *_): return self
    def write_batch(self, items): here["keys"] += [key for key, _ in items]

flow = Dataflow("placement")
keyed = op.input("source", flow, Source())
op.output("end", op.stateful_batch("logic", keyed, lambda _: Logic()), Sink())
cli_main(flow, process_id=number, addresses=addresses)
print(json.dumps(here))
"""


def run_bytewax(processes: int, keys: list[str]) -> list[dict[str, set[str]]]:
    """What each process of a real flow had to do with."""
    addresses = free_addresses(processes)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _FLOW, json.dumps([number, addresses, keys, PARTITIONS])],
            stdout=subprocess.PIPE,
        )
        for number in range(processes)
    ]
    try:
        # What Bytewax says of its connections stands before it.
        found = [json.loads(process.communicate(timeout=60)[0].splitlines()[-1]) for process in started]
    finally:
        for process in started:
            process.kill()
    return [{what: set(names) for what, names in of_one.items()} for of_one in found]


@pytest.mark.parametrize("processes", [2, 3])
def test_bytewax_places_key_groups_and_partitions_where_every_process_expects_them(processes: int) -> None:
    names = group_names(64)
    for number, found in enumerate(run_bytewax(processes, [*names, *KEYS])):
        expected = {names[group] for group in groups_of(number, processes, 64)}
        assert found["keys"] & {*names} == expected
        assert found["keys"] - expected == {key for key in KEYS if worker_of_key(key, processes) == number}
        assert found["partitions"] == {*partitions_of(number, processes, PARTITIONS)}


def test_keys_are_hashed_as_an_independent_siphash_hashes_them() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _HASHES],
        input=json.dumps(KEYS).encode(),
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        check=True,
    )
    modulus = 2**64  # as many workers: the hash itself
    assert json.loads(answer.stdout) == [worker_of_key(key, modulus) for key in KEYS]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 6, 8, 10, 12])
def test_key_groups_spread_evenly(workers: int) -> None:
    counts = [len(groups_of(worker, workers, 64)) for worker in range(workers)]
    assert sum(counts) == 64
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("workers", [7, 9, 11])
def test_over_an_unusual_number_of_workers_every_one_has_some(workers: int) -> None:
    counts = [len(groups_of(worker, workers, 64)) for worker in range(workers)]
    assert sum(counts) == 64
    assert min(counts) > 0
    assert max(counts) <= 2.5 * 64 / workers


@pytest.mark.parametrize("groups", [1, 2, 64, 200])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_key_group_lives_on_one_worker(groups: int, workers: int) -> None:
    owners = Counter(group for worker in range(workers) for group in groups_of(worker, workers, groups))
    assert owners == Counter(range(groups))


def test_the_names_of_key_groups_are_those_that_recovery_stores_hold() -> None:
    names = group_names(64)
    assert len({*names}) == 64
    assert names == group_names(128)[:64]
    assert Path(__file__).with_name("group_names.txt").read_text(encoding="ascii").split() == list(names)


@given(st.lists(st.text(max_size=5), unique=True), st.integers(1, 8))
def test_every_partition_is_read_by_one_worker_and_none_reads_many_more_than_another(
    partitions: list[str], workers: int
) -> None:
    shares = [partitions_of(worker, workers, partitions) for worker in range(workers)]
    assert sorted(name for share in shares for name in share) == sorted(partitions)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_names_that_need_no_search_are_those_that_it_finds() -> None:
    assert [placement._name(number) for number in range(70)] == [placement._searched(number) for number in range(70)]
