"""One gateway with Weir on it: its state, its configuration, and what is done with them.

Owns the command lines. Everything goes through the program as a person has it, so that nothing is measured that nobody
would run; only where the time between two moments inside of it is wanted, it runs under the stopwatch.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.processes import ROOT, TIMEOUT_SECONDS, Run, environment, measure, peak_mib, python
from tests.broker import Broker

TOPIC = "telemetry/gateway/telemetry"
WINDOW = 100
NOBODY_LISTENS = 1  # a port
NO_LIMIT = 1 << 40  # bytes; one of the two limits must be a number

_LOOK_AGAIN_SECONDS = 0.2
_SETTINGS = {
    "pace.publishesPerSecond": "none",
    "pace.bytesPerSecond": "none",
    "gate.maxIncomplete": WINDOW,
    "gate.maxInFlight": WINDOW,
    "connection.reconnectMaxSeconds": 1,
}


class Gateway:
    """A state directory and what is done to it."""

    def __init__(self, directory: Path, broker: Broker, *, topic: str = TOPIC) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.topic = topic
        self._broker = broker
        directory.mkdir(parents=True, exist_ok=True)

    # -- running ------------------------------------------------------------------------------------------------------

    def drain_directory(self, inbox: Path, records: int) -> Run:
        """Forward what lies in a directory."""
        return self._drain(["--watch", inbox], records)

    def drain_backlog(self, records: int) -> Run:
        """Forward what lies in the store, with nothing new coming."""
        return self._drain(self._of_a_pipe(), records)

    def _drain(self, source: list[object], records: int) -> Run:
        report = self.directory / "report.json"
        arguments = ["run", "--once", *self._arguments(source, self._broker.port)]
        run = measure(python("benchmarks.stopwatch", report, *arguments), report, self.directory / "run.log")
        status = self.status()["records"]
        if not (status["delivered"] == status["read"] >= records) or status["pending"]:
            raise RuntimeError(f"not all of {records} records were delivered: {status}")
        return run._replace(report=run.report._replace(acknowledged=records))

    def fill(self, input_file: Path, records: int, end: signal.Signals) -> float:
        """Take a backlog from a pipe while there is no broker, and end in this way; give the peak memory in MiB."""
        arguments = self._arguments(self._of_a_pipe(), NOBODY_LISTENS)
        with (
            input_file.open("rb") as file,
            subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as producer,
            self._running(arguments, producer.stdout) as process,
        ):
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while self.status()["records"]["pending"] < records:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the backlog did not come in:\n{self._log()}")
                time.sleep(_LOOK_AGAIN_SECONDS)
            peak = peak_mib(process.pid)
            end_process(process, end)
            return peak

    def begin_empty(self) -> None:
        """Make a store with nothing in it."""
        with self._running(["--once", *self._arguments(self._of_a_pipe(), NOBODY_LISTENS)]) as process:
            if process.wait(TIMEOUT_SECONDS):
                raise RuntimeError(self._log())

    def draining(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Begin to forward what lies in the store; what still runs at the end of the block is killed."""
        return self._running(self._arguments(self._of_a_pipe(), self._broker.port))

    @contextmanager
    def _running(self, arguments: list[str], stdin: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        with (self.directory / "run.log").open("wb") as log:
            process = subprocess.Popen(
                python("weir.cli", "run", *arguments),
                stdin=stdin or subprocess.DEVNULL,
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

    def _of_a_pipe(self) -> list[object]:
        queue = "streams.telemetry.queue"
        return ["--stdin", "--queue-mode", 4, "--queue-limit", "none", "--set", f"{queue}.maxBytes={NO_LIMIT}"]

    def _arguments(self, source: list[object], port: int) -> list[str]:
        connection = self._broker.connection()
        given = [
            *source,
            *("--state", self.state, "--topic", self.topic, "--client-id", "gateway"),
            *("--endpoint", connection.endpoint, "--port", port),
            *("--cert", connection.certificate, "--key", connection.private_key, "--ca-file", connection.ca),
        ]
        for key, value in _SETTINGS.items():
            given += ["--set", f"{key}={value}"]
        return list(map(str, given))


def end_process(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a process in this way and wait until it is gone."""
    process.send_signal(how)
    process.wait(TIMEOUT_SECONDS)
