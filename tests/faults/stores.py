"""Recovery stores that are damaged or lost: a clear error or a clean return, never a wrong output."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.faults.flow_command import FlowCommand
from tests.faults.ground import Ground
from tests.faults.trial import MOST_PROCESSES, READY_SECONDS, Trial, Verdict

REFUSAL_SECONDS = 60.0
MADE_ANEW = ("lock", "-shm")  # at each start: who runs on the store, and the index of SQLite's log
Damage = Callable[[Path, Random], None]


def store_truncated(ground: Ground, seed: int) -> Verdict:
    """A file of the store ends somewhere in its middle, as after a disk that was full."""
    return _damaged(ground, "store truncated", seed, _truncate)


def store_corrupted(ground: Ground, seed: int) -> Verdict:
    """Bytes in the middle of a file of the store are others."""
    return _damaged(ground, "store corrupted", seed, _corrupt)


def store_file_lost(ground: Ground, seed: int) -> Verdict:
    """A file of the store is gone."""
    return _damaged(ground, "store file lost", seed, lambda path, _: path.unlink())


def store_lost(ground: Ground, seed: int) -> Verdict:
    """The whole store is gone: the flow begins anew, and writes onto the topics once more what it wrote before."""
    with ground.trial("store lost", seed) as trial:
        _until_killed(trial, Random(seed), ground.feed_seconds)
        shutil.rmtree(trial.installation.recovery)
        before = trial.written()
        trial.start(2)
        trial.await_fed()
        if not trial.wait_until(lambda: trial.written() >= before + trial.expected(), REFUSAL_SECONDS):
            trial.problem("the flow did not write everything once more")
        return trial.finish(may_double=True)


def view_lost(ground: Ground, seed: int) -> Verdict:
    """Redis lost everything: a run beside the flow fills it again from the topics, as docs/operations.md says."""
    rng = Random(seed)
    with ground.trial("read model lost", seed) as trial:
        trial.feed(ground.feed_seconds)
        trial.start(rng.randint(1, MOST_PROCESSES))
        trial.wait_until(trial.ready, READY_SECONDS)
        trial.sleep(rng.uniform(0, ground.feed_seconds))
        trial.stop()
        ground.servers.redis.flush()
        trial.await_fed()
        _fill_view(trial)
        trial.start(rng.randint(1, MOST_PROCESSES))
        return trial.finish()


def _fill_view(trial: Trial) -> None:
    own = trial.installation
    options = ["--config", str(own.config), "--input", "kafka", "--bounded", "--output", str(own.directory / "filling")]
    filling = FlowCommand([*options, "--redis", own.redis_url, "--metrics-port", "0"], own.directory / "filling.log")
    filling.start()
    if (code := filling.wait(REFUSAL_SECONDS)) != 0:
        trial.problem(f"the run that fills the read model again ended with exit code {code}:\n{filling.log_tail()}")
    filling.end()


def _damaged(ground: Ground, fault: str, seed: int, damage: Damage) -> Verdict:
    rng = Random(seed)
    with ground.trial(fault, seed) as trial:
        _until_killed(trial, rng, ground.feed_seconds)
        store = trial.installation.recovery
        copy = shutil.copytree(store, store.with_name("copy"))
        file = rng.choice(sorted(path for path in store.iterdir() if not path.name.endswith(MADE_ANEW)))
        trial.say(f"{fault}: {file.name}, {file.stat().st_size} bytes")
        damage(file, rng)
        trial.start(rng.randint(1, MOST_PROCESSES))
        if not trial.wait_until(trial.ready, REFUSAL_SECONDS):
            _expect_refusal(trial)
            shutil.rmtree(store)
            copy.rename(store)
            trial.start(rng.randint(1, MOST_PROCESSES))
        return trial.finish()


def _until_killed(trial: Trial, rng: Random, feed_seconds: float) -> None:
    """A run that is killed while it works, with a store of some snapshots."""
    trial.feed(feed_seconds)
    trial.start(rng.randint(1, MOST_PROCESSES))
    trial.wait_until(trial.ready, READY_SECONDS)
    trial.sleep(rng.uniform(1, feed_seconds))
    trial.kill(trial.flow.members())


def _expect_refusal(trial: Trial) -> None:
    """The flow ended by itself and said which store it cannot use."""
    said = trial.flow.said_since_start()
    if trial.flow.running:
        trial.problem(f"neither ready nor refused within {REFUSAL_SECONDS:g} s")
        trial.flow.end()
    elif not trial.flow.exit_code:
        trial.problem("ended with exit code 0 before everything was written")
    elif str(trial.installation.recovery) not in said:
        trial.problem(f"the error does not name the store: {said}")
    trial.expect_gone()


def _truncate(path: Path, rng: Random) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * rng.random()))


def _corrupt(path: Path, rng: Random) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(20):
            file.seek(int(size * rng.random()))
            file.write(rng.randbytes(8))
