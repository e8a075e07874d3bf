"""A way to a server that breaks once, in the middle of what is being sent."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class BreakingProxy:
    """Passes connections on to a server; the first one breaks after so many bytes towards it."""

    def __init__(self, port: int, break_after: int) -> None:
        self._target = ("127.0.0.1", port)
        self._left = break_after
        self.broke = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                for source, target, counted in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pump, args=(source, target, counted), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if counted and not self.broke.is_set():
                    data = data[: self._left]
                    self._left -= len(data)
                target.sendall(data)
                if counted and self._left <= 0 and not self.broke.is_set():
                    self.broke.set()
                    break
            source.close()
            target.close()
