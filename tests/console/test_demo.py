"""`orderpulse demo`: plain without a terminal, live on one, never anything left behind."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from rich.console import Console

from console.embedded_redis import EmbeddedRedis
from console.live_view import LiveView
from console.tally import Tally
from console.view import ReadModelView
from sinks.read_model import ReadModelSink
from tests.console.conftest import orderpulse
from tests.sinks.samples import ALERT, redis_settings


def test_the_demo_shows_alerts_and_that_they_are_right(tmp_path: Path) -> None:
    outcome = orderpulse("demo", "--orders", 200, "--keep", tmp_path / "demo")

    truth = len((tmp_path / "demo/truth.ndjson").read_bytes().splitlines())
    assert outcome.code == 0, outcome.complained
    assert f"{truth} of {truth} alerts as the truth asks, 0 extra" in outcome.said
    assert "弱信号" in outcome.said
    assert "weak signals" in outcome.said
    assert outcome.said.count("  orderpulse ") == 3


def test_the_commands_to_try_next_work(tmp_path: Path) -> None:
    said = orderpulse("demo", "--orders", 60, "--keep", tmp_path / "demo").said

    for command in re.findall(r"^  orderpulse (.*)$", said, flags=re.MULTILINE):
        assert orderpulse(*command.split()).code == 0


def test_one_language_leaves_the_other_out(tmp_path: Path) -> None:
    said = orderpulse("demo", "--orders", 60, "--language", "zh", "--keep", tmp_path / "demo").said

    assert "停留" in said
    assert "has stayed" not in said
    assert orderpulse("demo", "--language", "fr").code == 2


def test_alerts_that_are_not_those_of_the_truth_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.detectors.card_burst.CardBurst.enabled", classmethod(lambda *_: False))

    outcome = orderpulse("demo", "--orders", 200)

    assert outcome.code == 1
    assert "missing: card_burst" in outcome.said


def test_the_demo_does_not_write_into_an_earlier_one(tmp_path: Path) -> None:
    orderpulse("simulate", "--orders", 10, "--output", tmp_path)

    assert orderpulse("demo", "--keep", tmp_path).code == 2


def test_the_embedded_redis_is_gone_with_its_files() -> None:
    with EmbeddedRedis() as server:
        socket = Path(server.url.removeprefix("unix://"))
        with redis.Redis.from_url(server.url) as client:
            process = int(client.info("server")["process_id"])
            assert client.ping()

    assert not socket.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_the_embedded_redis_does_not_outlive_a_killed_demo() -> None:
    code = (
        "from console.embedded_redis import EmbeddedRedis; import redis, sys, time\n"
        "with EmbeddedRedis() as server:\n"
        "  print(redis.Redis.from_url(server.url).info('server')['process_id'], flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    process = int(owner.stdout.readline())

    owner.kill()
    owner.wait()

    assert _ends(process)


def _ends(process: int) -> bool:
    for _ in range(3_000):
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text(encoding="utf-8").split()[2] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_the_live_view_shows_what_the_read_model_holds(redis_server: str) -> None:
    settings = redis_settings(redis_server)
    sink, tally = ReadModelSink(settings), Tally()
    console = Console(width=120, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    with ReadModelView(settings) as view:
        board = LiveView(view, tally, "Asia/Shanghai", ("zh", "en"), total=100, height=10, clock=lambda: 0.0)
        # What a run marks before its first event.
        sink.mark(-(2**62) - 1, 1, {"events": 0})
        console.print(board.render())
        assert "starting" in console.export_text()

        sink.write([ALERT])
        tally.write([ALERT])
        sink.mark(ALERT.time, ALERT.time, {"events": 50})
        console.print(board.render())

    shown = console.export_text()
    assert "event time 2026-01-01 12:00:00+08:00" in shown
    assert re.search(r"card_burst +1 +1", shown)
    assert "● 同一卡号多笔订单" in shown
    assert "Many orders on one card" in shown


@pytest.mark.slow
def test_on_a_terminal_alerts_appear_one_after_the_other_until_ctrl_c(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "console.main", "demo", "--orders", "300", "--keep", str(tmp_path / "demo")]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "44"},
    )  # fmt: skip
    os.close(theirs)

    seen = _read_until(ours, lambda text: len(set(re.findall(r"\b(\w+_\w+|resonance) +\d+ +[1-9]", text))) >= 4)
    process.send_signal(2)
    seen += _read_until(ours, lambda text: False)

    assert process.wait(30) == 0
    assert "●" in seen
    assert "as the truth asks, 0 extra (up to where it was stopped)" in seen
    assert "Try next:" in seen


def _read_until(terminal: int, enough: "object", seconds: float = 40.0) -> str:
    text = ""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 65_536)
            except OSError:  # the other side has ended
                return text
            text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
            if callable(enough) and enough(text):
                return text
    return text
