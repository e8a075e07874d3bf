"""A TCP proxy that misbehaves on demand: cuts, stops, delays what goes between a client and a server."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support.ports import free_port

_CHUNK = 1 << 16
_ANSWER_SECONDS = 30.0
Result = TypeVar("Result")


class TcpProxy:
    """Listens on ``port`` and hands everything on to ``target``; may be told to from any thread."""

    def __init__(self, target: int, port: int | None = None) -> None:
        self.target = target
        self.port = port or free_port()
        self.connections = 0
        self._delay = 0.0
        self._budget: int | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        self.go_on()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._refuse)
        self.cut()
        self._call(self._end_tasks)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Breaks all connections at once, as a firewall that resets them."""
        self._call(self._cut)

    def cut_after(self, bytes_more: int) -> None:
        """Hands on so many bytes more, then breaks all connections: in the middle of whatever is under way."""
        self._call(self._set_budget, bytes_more)

    def refuse(self) -> None:
        """Breaks all connections and takes no new ones, as a server that is down."""
        self._call(self._refuse)
        self.cut()

    def accept(self) -> None:
        """Takes connections again."""
        self._call(self._listen)

    def stop(self) -> None:
        """Hands nothing on any more; connections stay open and silent."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def go_on(self) -> None:
        """Hands on again what waited."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def delay(self, seconds: float) -> None:
        """Lets everything wait that long on its way."""
        self._delay = seconds

    def _call(self, work: Callable[..., Coroutine[Any, Any, Result]], *arguments: object) -> Result:
        return asyncio.run_coroutine_threadsafe(work(*arguments), self._loop).result(_ANSWER_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _set_budget(self, bytes_more: int) -> None:
        self._budget = bytes_more

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._close(writer)
            return
        self._open.add(server_writer)
        try:
            await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer))
        finally:
            self._close(writer)
            self._close(server_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hands on until one side ends; then both are told."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                writer.write(self._within_budget(chunk))
                await writer.drain()
                if self._budget == 0:
                    self._budget = None
                    await self._cut()
        writer.close()

    def _within_budget(self, chunk: bytes) -> bytes:
        if self._budget is None:
            return chunk
        part = chunk[: self._budget]
        self._budget -= len(part)
        return part

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.transport.abort()
