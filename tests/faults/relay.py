"""A small TCP relay with levers: the way to the broker, and what a bad way does to it.

Owns the bytes between a client and whatever it leads to. It cannot look into TLS, so it acts on all bytes of a
direction. The levers may be moved at any time, from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from tests.looped import LoopedServer

_CHUNK_BYTES = 1 << 14
_LOOK_AGAIN_SECONDS = 0.01


class Relay(LoopedServer):
    """The relay: listens at `port` for as long as it is `running`."""

    def __init__(self, target: int) -> None:
        """Lead to a port of this machine, without any fault."""
        super().__init__()
        self.target = target
        self.connections = 0  # accepted, ever
        self.latency = 0.0  # seconds, each way
        self.bytes_per_second: float | None = None  # each way
        self.swallows_answers = False  # what the broker says is thrown away, what the client says arrives
        self.stalls = False  # nothing moves, and nobody is told
        self.refuses = False  # whoever comes is hung up on
        self.cut_after: int | None = None  # a connection is reset after so many bytes of the client

    def heal(self) -> None:
        """Move every lever back; a stream that lost bytes cannot go on, so its connection is reset."""
        torn, self.swallows_answers = self.swallows_answers, False
        self.latency, self.bytes_per_second, self.cut_after = 0.0, None, None
        self.stalls = self.refuses = False
        if torn:
            self.break_all()

    def _break(self, writer: asyncio.StreamWriter) -> None:
        end = writer.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        super()._break(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ends = [writer]
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError):
                if self.refuses:
                    return
                onward_reader, onward = await self._onward()
                ends.append(onward)
                self._open.add(onward)
                await self._carry((reader, onward), (onward_reader, writer))
        finally:
            self._open.difference_update(ends)
            for end in ends:
                self._break(end)

    async def _onward(self) -> _Way:
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _carry(self, there: _Way, back: _Way) -> None:
        """Carry both ways until one of them ends."""
        ways = [asyncio.ensure_future(self._pour(*there, answers=False))]
        ways.append(asyncio.ensure_future(self._pour(*back, answers=True)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pour(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        carried = 0
        while chunk := await source.read(_CHUNK_BYTES):
            await self._hold(len(chunk))
            if answers and self.swallows_answers:
                continue
            if not answers and self.cut_after is not None and carried + len(chunk) > self.cut_after:
                sink.write(chunk[: max(0, self.cut_after - carried)])
                await sink.drain()
                return
            sink.write(chunk)
            await sink.drain()
            carried += len(chunk)

    async def _hold(self, size: int) -> None:
        """Take the time that these bytes take."""
        while self.stalls:  # noqa: ASYNC110 - the lever is moved by another thread
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        rate = self.bytes_per_second
        await asyncio.sleep(self.latency + (size / rate if rate is not None else 0.0))


_Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]
