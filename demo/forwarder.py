"""The real thing: `weir run` as a process of its own, and the commands that a person asks it with.

Everything goes through the command line. Its log is appended to one file, over all runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from demo.trouble import Trouble, until
from demo.workplace import Workplace

Status = dict[str, Any]

END_SECONDS = 15.0
ANSWER_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.2
HARMLESS = (0, 3)  # exit codes of a question that was answered: fine, and degraded
UNBALANCED = 1


class Forwarder:
    """One forwarder: the process while it runs, its configuration and its state."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*_weir("run"), "--config", self._workplace.configuration.name]
        with self._workplace.forwarder_log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._workplace.path,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to act on
            )

    def kill(self) -> None:
        """End it without a word, as a power cut or the kernel does."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Stop it in order; give its exit code."""
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            raise Trouble("the forwarder was never started")
        self._process.send_signal(number)
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise Trouble(f"the forwarder did not end within {END_SECONDS:g} seconds of {number.name}") from None

    def ask(self, *words: str) -> str:
        """Give what a command prints: `status`, `losses` and what they may be followed by."""
        try:
            answer = subprocess.run(
                [*_weir(*words), "--state", "state"],
                cwd=self._workplace.path,
                env=_environment(),
                capture_output=True,
                text=True,
                timeout=ANSWER_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Trouble(f"`weir {' '.join(words)}` gave no answer in {ANSWER_SECONDS:g} seconds") from None
        # A law that is broken is an answer too: the account says it better than an error could.
        if answer.returncode not in (*HARMLESS, UNBALANCED) or not answer.stdout:
            raise Trouble(f"`weir {' '.join(words)}` ended with code {answer.returncode}: {answer.stderr.strip()}")
        return answer.stdout

    def status(self, *more: str) -> Status:
        document: Status = json.loads(self.ask("status", "--json", *more))
        return document

    def until(self, condition: Callable[[Status], bool], what: str) -> Status:
        """Wait until the status is as wanted, and give it; a forwarder that has ended is trouble."""
        seen: list[Status] = []

        def fulfilled() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise Trouble(f"the forwarder ended by itself, with code {self._process.returncode}")
            seen[:] = [self.status()]
            return condition(seen[0])

        until(fulfilled, what, every_seconds=LOOK_EVERY_SECONDS)
        return seen[0]


def _weir(*words: str) -> list[str]:
    return [sys.executable, "-m", "weir.cli", *words]


def _environment() -> dict[str, str]:
    """Give the environment without what would change what Weir does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WEIR_", "GG_"))}
    return {**kept, "PYTHONUNBUFFERED": "1"}
