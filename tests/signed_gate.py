"""The front of IoT Core for WebSockets, on loopback: lets pass whose opening request carries a good signature.

Owns TLS, the reading of that one request and the answer 403; what passes goes on to a broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from tests import sigv4
from tests.certificates import Certificates
from tests.looped import LoopedServer

_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SignedGate(LoopedServer):
    """The gate; `requests` are the opening requests that came, `refused` those of them that did not pass."""

    def __init__(self, certificates: Certificates, onward_port: int, keys: dict[str, str]) -> None:
        """Let pass who signs with one of the keys, by access key id; onward is a WebSocket listener with TLS."""
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.load_cert_chain(certificates.server.certificate, certificates.server.key)
        super().__init__(ours)
        self.keys = keys
        self.requests: list[sigv4.Request] = []
        self.refused: list[sigv4.Request] = []
        self._onward_port = onward_port
        self._theirs = ssl.create_default_context(cafile=certificates.ca)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                if self._passes(sigv4.parse(head)):
                    await self._go_on(head, reader, writer)
                else:
                    writer.write(_FORBIDDEN)
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.transport.abort() if writer.is_closing() else writer.close()

    def _passes(self, request: sigv4.Request) -> bool:
        self.requests.append(request)
        query = request.query
        secret = self.keys.get(query.get("X-Amz-Credential", "").split("/")[0])
        good = secret is not None and query.get("X-Amz-Signature") == sigv4.signature(request, secret)
        if not good:
            self.refused.append(request)
        return good

    async def _go_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("localhost", self._onward_port, ssl=self._theirs)
        self._open.add(onward_writer)
        onward_writer.write(head)
        await asyncio.gather(_pour(reader, onward_writer), _pour(onward_reader, writer))
        self._open.discard(onward_writer)


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(1 << 16):
            sink.write(chunk)
            await sink.drain()
    sink.close()
