"""The program that writes telemetry: the machine's vitals as JSON Lines, with a running number, into a directory.

It is what a device does anyway, and it knows nothing of Weir: it appends to a file, and now and then begins another.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import BinaryIO

from demo import vitals

RECORDS_PER_FILE = 2000
TICK_SECONDS = 0.0125  # five readings each: 400 records a second


class Feeder:
    """Writes from `start` to `stop`; remembers every record, for the account."""

    def __init__(self, directory: Path) -> None:
        self.fed: list[bytes] = []
        self._directory = directory
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            path = self._directory / f"vitals-{len(self.fed):06}.jsonl"
            with path.open("xb", buffering=0) as file:
                self._fill(file)

    def _fill(self, file: BinaryIO) -> None:
        end = len(self.fed) + RECORDS_PER_FILE
        while len(self.fed) < end and not self._stopping.wait(TICK_SECONDS):
            records = self._records()
            file.write(b"".join(record + b"\n" for record in records))
            self.fed += records

    def _records(self) -> list[bytes]:
        number, now = len(self.fed), round(time.time(), 3)
        return [
            json.dumps({"n": number + at, "time": now, "what": what, **reading}).encode()
            for at, (what, reading) in enumerate(vitals.readings())
        ]
