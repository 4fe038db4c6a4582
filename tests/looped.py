"""A server of the tests on a port of this machine: one thread with an event loop of its own.

Owns the thread, the listener, and breaking connections off. What is served is for the subclass to say.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

Self = TypeVar("Self", bound="LoopedServer")


class LoopedServer(abc.ABC):
    """The server: listens at `port` for as long as it is `running`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()

    @contextlib.contextmanager
    def running(self: Self) -> Iterator[Self]:  # noqa: PYI019 - Python 3.10 has none of its own
        """Serve for as long as the block goes on."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        self._call(self._begin())
        yield self
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        thread.join()
        self._loop.close()

    def break_all(self) -> None:
        """Break off every connection there is."""
        self._call(self._break_all())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _break_all(self) -> None:
        for writer in list(self._open):
            self._break(writer)

    async def _end(self) -> None:
        self._server.close()
        await self._break_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _break(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    @abc.abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
