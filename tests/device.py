"""A device for the tests: the real `weir` as a process, with a state and an inbox of its own.

Owns how the command is started and asked. Everything goes through the command line, as for a person.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS, eventually
from weir.store import seals

TOPIC = "telemetry/gateway/telemetry"


class Device:
    """One forwarder: its configuration, its inbox, its state, and the process while it runs."""

    def __init__(self, directory: Path, broker: Broker | None = None, *, name: str = "gateway") -> None:
        """Make the inbox; nothing runs yet."""
        self.directory = directory
        self.inbox = directory / "inbox"
        self.state = directory / "state"
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.broker = broker
        self.process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def arguments(self, *more: str, **keys: object) -> list[str]:
        """Give the arguments that lead to the broker; `keys` are set, with `__` for the dots of a path."""
        arguments = [*more, "--state", str(self.state)]
        if "--stdin" not in more:
            arguments += ["--watch", str(self.inbox)]
        if self.broker is not None:
            connection = self.broker.connection()
            arguments += ["--endpoint", str(connection.endpoint), "--port", str(connection.port)]
            arguments += ["--cert", str(connection.certificate), "--key", str(connection.private_key)]
            arguments += ["--ca-file", str(connection.ca)]
        defaults: dict[str, object] = {
            "thingName": self.name,
            "pace__publishesPerSecond": "none",
            "pace__bytesPerSecond": "none",
            "connection__reconnectMaxSeconds": 1,
            "streams__telemetry__source__settleSeconds": 0.2,
        }
        for path, value in {**defaults, **keys}.items():
            arguments += ["--set", f"{path.replace('__', '.')}={value}"]
        return arguments

    def command(self, *words: str) -> list[str]:
        """Give the command line of one `weir` command."""
        return [sys.executable, "-m", "weir.cli", *words]

    def start(self, *more: str, stdin: int | IO[bytes] = subprocess.DEVNULL, **keys: object) -> subprocess.Popen[bytes]:
        """Start `weir run` and return at once; its log goes to a file of its own."""
        self._runs += 1
        with (self.directory / f"run-{self._runs}.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command("run", *self.arguments(*more, **keys)),
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=self.directory,
            )
        return self.process

    def environment(self) -> dict[str, str]:
        """Give the variables that it runs with."""
        return environment()

    def run(self, *more: str, stdin: bytes | None = None, timeout: float = 120, **keys: object) -> int:
        """Run `weir run` to its end; give its exit code."""
        process = self.start(*more, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, **keys)
        process.communicate(stdin, timeout)
        return process.returncode

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same state."""
        command = self.command(*words, "--state", str(self.state))
        return subprocess.run(
            command, capture_output=True, text=True, env=environment(), cwd=self.directory, check=False, timeout=60
        )

    def status(self, *more: str) -> dict[str, Any]:
        """Give the status document; the law must hold in it."""
        answer = self.ask("status", "--json", *more)
        assert answer.stdout, answer.stderr
        document: dict[str, Any] = json.loads(answer.stdout)
        assert document["records"]["balanced"], document
        return document

    def until(self, condition: Any, seconds: float = DEADLINE_SECONDS, what: str = "the status is as wanted") -> Any:
        """Wait until the status document fulfils a condition; give it."""
        found: list[dict[str, Any]] = []

        def fulfilled() -> bool:
            assert self.process is None or self.process.poll() is None, self.log()
            found[:] = [self.status()]
            return bool(condition(found[0]))

        eventually(fulfilled, seconds, what=what)
        return found[0]

    @property
    def pid(self) -> int:
        """Give the number of the process that runs, or ran last."""
        assert self.process is not None
        return self.process.pid

    def signal(self, number: int) -> int:
        """Send a signal and wait for the end; give the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def terminate(self) -> int:
        """Stop it in order; give the exit code."""
        return self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word."""
        self.signal(signal.SIGKILL)

    def log(self) -> str:
        """Give what every run has logged."""
        logs = [self.directory / f"run-{number}.log" for number in range(1, self._runs + 1)]
        return "".join(log.read_text(errors="replace") for log in logs)

    def close(self) -> None:
        """End what still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_SECONDS)


def environment() -> dict[str, str]:
    """Give the environment of a device: none of ours that would change what Weir does."""
    foreign = ("AWS_", "WEIR_", "GG_", "PYTHONDONTWRITEBYTECODE")  # the last: an installed Weir starts from bytecode
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def change(device: Device, statement: str, *values: object) -> None:
    """Change a state as a bug of ours would do it: with checksums that are right."""
    with sqlite3.connect(device.state / "weir.db") as database:
        seals.teach(database)
        database.execute(statement, values)
        for table in ("stream", "loss"):
            seals.seal(database, table)
    database.close()
