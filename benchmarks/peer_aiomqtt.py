"""A peer: aiomqtt, lines of a file at QoS 1, a window of them at a time. A process of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiomqtt

from benchmarks.gateway import WINDOW


async def forward(arguments: list[str]) -> None:
    port, certificate, key, ca, topic, file = arguments
    tls = aiomqtt.TLSParameters(ca_certs=ca, certfile=certificate, keyfile=key)
    async with aiomqtt.Client(
        "localhost", int(port), identifier="peer-aiomqtt", tls_params=tls, max_inflight_messages=WINDOW
    ) as client:
        slots = asyncio.Semaphore(WINDOW)
        client.pending_calls_threshold = 2 * WINDOW  # else it warns of every call

        async def publish(line: bytes) -> None:
            try:
                await client.publish(topic, line, qos=1, timeout=60)
            finally:
                slots.release()

        tasks: set[asyncio.Task[None]] = set()
        with Path(file).open("rb") as lines:  # noqa: ASYNC230 - reading a line of a local file waits for nothing
            for line in lines:
                await slots.acquire()
                task = asyncio.create_task(publish(line.rstrip(b"\n")))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(forward(sys.argv[1:]))
