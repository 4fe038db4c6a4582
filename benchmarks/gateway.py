"""One gateway with Weir on it: its state, its configuration, and what is done with them.

Owns the command lines. Everything goes through the program as a person has it, so that nothing is measured that nobody
would run; only where the time between two moments inside of it is wanted, it runs under the stopwatch.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.processes import ROOT, TIMEOUT_SECONDS, Run, environment, measure, peak_mib, python
from tests.broker import Broker

TOPIC = "telemetry/gateway/telemetry"
WINDOW = 100
NOBODY_LISTENS = 1  # a port
NO_LIMIT = 1 << 40  # bytes; one of the two limits must be a number

# How a pipe is read, with no limit to what may wait.
PIPE = ("--stdin", "--queue-mode", 4, "--queue-limit", "none", "--set", f"streams.telemetry.queue.maxBytes={NO_LIMIT}")

_LOOK_AGAIN_SECONDS = 0.2
_TELL_AGAIN_SECONDS = 10.0
BATCH = 500  # records a message
LINES = {"streams.telemetry.batch.maxRecords": BATCH}
GZIP = {**LINES, "streams.telemetry.batch.compression": "gzip"}
# A pace that nothing reaches: compression is dense where there is a pace, and fast where there is none.
GZIP_DENSE = {**GZIP, "pace.publishesPerSecond": 100_000}
_SETTINGS = {
    "pace.publishesPerSecond": "none",
    "pace.bytesPerSecond": "none",
    "gate.maxIncomplete": WINDOW,
    "gate.maxInFlight": WINDOW,
    "connection.reconnectMaxSeconds": 1,
}


class Gateway:
    """A state directory and what is done to it."""

    def __init__(
        self,
        directory: Path,
        broker: Broker,
        *,
        topic: str = TOPIC,
        state: Path | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.directory = directory
        self.state = state or directory / "state"
        self.topic = topic
        self.settings = {**_SETTINGS, **(settings or {})}
        self._broker = broker
        directory.mkdir(parents=True, exist_ok=True)

    # -- running ------------------------------------------------------------------------------------------------------

    def drain_directory(self, inbox: Path, records: int) -> Run:
        """Forward what lies in a directory."""
        return self._drain(["--watch", inbox], records)

    def drain_backlog(self, records: int) -> Run:
        """Forward what lies in the store, with nothing new coming."""
        return self._drain(PIPE, records)

    def drain_configured(self, configuration: Path, records: int) -> Run:
        """Forward what the streams of a configuration have."""
        return self._drain(["--config", configuration], records)

    def _drain(self, source: Sequence[object], records: int) -> Run:
        report = self.directory / "report.json"
        arguments = ["run", "--once", *self._arguments(source, self._broker.port)]
        run = measure(python("benchmarks.stopwatch", report, *arguments), report, self.directory / "run.log")
        status = self.status()["records"]
        if not (status["delivered"] == status["read"] >= records) or status["pending"]:
            raise RuntimeError(f"not all of {records} records were delivered: {status}")
        return run._replace(report=run.report._replace(acknowledged=records))

    def take_over(self, other: Gateway) -> None:
        """Begin with a copy of the state that another one has left."""
        self.state.mkdir(mode=0o700)
        for file in other.state.glob("weir.db*"):
            shutil.copy2(file, self.state)

    def fill(self, input_file: Path, records: int, end: signal.Signals, say: Callable[[str], None]) -> float:
        """Take a backlog from a pipe while there is no broker, and end in this way; give the peak memory in MiB."""
        with (
            input_file.open("rb") as file,
            subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as producer,
            self.running(PIPE, link=False, stdin=producer.stdout) as process,
        ):
            deadline = time.monotonic() + TIMEOUT_SECONDS
            told = time.monotonic()
            while (pending := self.status()["records"]["pending"]) < records:
                if time.monotonic() > told + _TELL_AGAIN_SECONDS:
                    told = time.monotonic()
                    say(f"  {pending:,} of {records:,} records are stored")
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the backlog did not come in:\n{self._log()}")
                time.sleep(_LOOK_AGAIN_SECONDS)
            peak = peak_mib(process.pid)
            end_process(process, end)
            return peak

    def begin_empty(self) -> None:
        """Make a store with nothing in it."""
        with self.running(["--once", *PIPE], link=False) as process:
            if process.wait(TIMEOUT_SECONDS):
                raise RuntimeError(self._log())

    def draining(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Begin to forward what lies in the store; what still runs at the end of the block is killed."""
        return self.running(PIPE)

    @contextmanager
    def running(
        self, source: Sequence[object], *, link: bool = True, stdin: IO[bytes] | int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run it, with or without a broker to reach; what still runs at the end of the block is killed."""
        arguments = self._arguments(source, self._broker.port if link else NOBODY_LISTENS)
        with (self.directory / "run.log").open("wb") as log:
            process = subprocess.Popen(
                python("weir.cli", "run", *arguments),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment(),
            )
        try:
            yield process
        finally:
            end_process(process, signal.SIGKILL)

    def _log(self) -> str:
        return (self.directory / "run.log").read_text(errors="replace")

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask_status(self, *more: str) -> str:
        """Run `weir status`; give what it prints."""
        command = python("weir.cli", "status", "--state", self.state, *more)
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
        if done.returncode:
            raise RuntimeError(f"`weir status` ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Give the status document."""
        document: dict[str, Any] = json.loads(self.ask_status("--json"))
        return document

    # -- its configuration --------------------------------------------------------------------------------------------

    def _arguments(self, source: Sequence[object], port: int) -> list[str]:
        connection = self._broker.connection()
        given = [
            *source,
            *([] if "--config" in source else ["--topic", self.topic]),
            *("--state", self.state, "--client-id", "gateway"),
            *("--endpoint", connection.endpoint, "--port", port),
            *("--cert", connection.certificate, "--key", connection.private_key, "--ca-file", connection.ca),
        ]
        for key, value in self.settings.items():
            given += ["--set", f"{key}={value}"]
        return list(map(str, given))


def end_process(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a process in this way and wait until it is gone."""
    process.send_signal(how)
    process.wait(TIMEOUT_SECONDS)
