"""Kill any process at any moment, start again with another number of them, lose broker or Redis for a while: topics
and Redis end up as if nothing had happened. One or two runs of each; ``make faults`` repeats them many times.

ORDERPULSE_FAULT_SEED starts every run from another seed.
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
SEED = int(os.environ.get("ORDERPULSE_FAULT_SEED", "1"))
SHORT = ("killed", "supervisor-killed", "stopped", "redis-frozen")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    if missing := missing_requirements():
        pytest.skip(missing)
    with prepared(tmp_path_factory.mktemp("faults"), ORDERS) as ready:
        yield ready


@pytest.mark.kafka
@pytest.mark.parametrize("fault", SHORT)
def test_a_fault_leaves_no_trace(ground: Ground, fault: str) -> None:
    verdict = BY_NAME[fault].run(ground, SEED)
    assert verdict.passed, str(verdict)


def test_a_run_over_files_that_is_killed_leaves_no_trace(tmp_path_factory: pytest.TempPathFactory) -> None:
    verdict = kill_over_files(tmp_path_factory.mktemp("files"), SEED, ORDERS)
    assert verdict.passed, str(verdict)
