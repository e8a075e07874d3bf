"""Kill any process at any moment, start again with another number of them, lose broker or Redis for a while: topics
and Redis end up as if nothing had happened. One run of a few faults; ``make faults`` does all of them many times.

ORDERPULSE_FAULT_SEED gives all of them another seed.
"""

import os
from collections.abc import Iterator

import pytest

from tests.faults.catalogue import BY_NAME
from tests.faults.file_kills import kill_over_files
from tests.faults.ground import Ground, prepared
from tests.support.kafka_broker import missing_requirements
from tests.support.linux_processes import SUPPORTED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("kafka"),
    pytest.mark.skipif(not SUPPORTED, reason="the processes of a run are found through /proc, on Linux"),
]
ORDERS = 200
FEED_SECONDS = 5.0
# 12: three processes, all killed while they write a snapshot; then two, and the same; then three.
SHORT = {"killed": 12, "stopped": 1, "redis-frozen": 1}
FILES = 1


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if missing := missing_requirements():
        pytest.skip(missing)
    with prepared(tmp_path_factory.mktemp("faults"), ORDERS, FEED_SECONDS) as ready:
        yield ready


@pytest.mark.kafka
@pytest.mark.parametrize(("fault", "seed"), SHORT.items())
def test_a_fault_leaves_no_trace(ground: Ground, fault: str, seed: int) -> None:
    verdict = BY_NAME[fault].run(ground, _seed(seed))
    assert verdict.passed, str(verdict)


def test_a_run_over_files_that_is_killed_leaves_no_trace(tmp_path_factory: pytest.TempPathFactory) -> None:
    verdict = kill_over_files(tmp_path_factory.mktemp("files"), _seed(FILES), ORDERS)
    assert verdict.passed, str(verdict)


def _seed(usual: int) -> int:
    return int(os.environ.get("ORDERPULSE_FAULT_SEED", usual))
