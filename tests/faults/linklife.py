"""One life over a bad link: two directories and a pipe, fed again and again while the link comes and goes.

Owns the forwarder, what it is fed, and how its counters are looked at. Knows nothing of how a link is made bad.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.broker import Broker
from tests.checker import Evidence, Look, Verdict, verdict
from tests.conditions import eventually
from tests.device import Device
from weir.control.protocol import ask

Document = dict[str, Any]

WINDOW = 10
ROLLING = 30  # records that the stream of a drop mode holds
PATIENCE_SECONDS = 90.0  # until the link is found good again: a handshake that goes wrong takes up to half a minute
LOOKS = 1_000  # are kept; beyond it every other one goes


class Gateway(Device):
    """A device with all its settings in a file: two directories, of which one drops what is too much, and a pipe."""

    def __init__(
        self, directory: Path, broker: Broker, port: int | None = None, *, name: str = "gateway", **connection: object
    ) -> None:
        """Write nothing yet; the way leads to `port`, or straight to the broker."""
        super().__init__(directory, broker, name=name)
        self.rolling = directory / "rolling"
        self.rolling.mkdir()
        self.launch = ["-m", "weir.cli"]
        self.prefix: list[str] = []
        self.variables: dict[str, str] = {}
        known = broker.connection()
        ways = {"endpoint": known.endpoint, "port": port or known.port, "ca": known.ca}
        files = {"certificate": known.certificate, "privateKey": known.private_key}
        times = {"keepAliveSeconds": 5, "pingTimeoutSeconds": 1, "operationTimeoutSeconds": 8, "reconnectMaxSeconds": 1}
        self.connection: Document = {**ways, **files, **times, **connection}
        self.max_age_seconds: int | str = "none"
        self.topic = "telemetry/{thingName}/{stream}"

    def arguments(self, *more: str, **keys: object) -> list[str]:
        path = self.directory / "weir.json"
        path.write_text(json.dumps(self._configuration()))
        sets = [word for key, value in keys.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
        return [*more, "--config", str(path), "--state", str(self.state), *sets]

    def _configuration(self) -> Document:
        def directory(path: Path, **queue: object) -> Document:
            source = {"path": str(path), "format": "jsonl", "settleSeconds": 0.1}
            return {
                "source": source,
                "topic": self.topic,
                "queue": {**queue, "maxAgeSeconds": self.max_age_seconds},
            }

        pipe = {"mode": 4, "maxRecords": 500, "maxAgeSeconds": self.max_age_seconds}
        streams = {
            "files": directory(self.inbox, mode=4),
            "rolling": directory(self.rolling, mode=3, maxRecords=ROLLING),
            "pipe": {"source": {"type": "stdin", "format": "jsonl"}, "topic": self.topic, "queue": pipe},
        }
        return {
            "thingName": self.name,
            "streams": streams,
            "gate": {"maxIncomplete": 2 * WINDOW, "maxInFlight": WINDOW},
            "pace": {"publishesPerSecond": "none", "bytesPerSecond": "none"},
            "state": {"commitSeconds": 0.1, "minFreeBytes": 1},
            "connection": self.connection,
        }

    def command(self, *words: str) -> list[str]:
        given = super().command(*words)
        return [*self.prefix, given[0], *self.launch, *words] if words[0] == "run" else given

    def environment(self) -> dict[str, str]:
        root = str(Path(__file__).resolve().parents[2])
        return {**super().environment(), "PYTHONPATH": root, **self.variables}


class LinkLife:
    """A gateway that runs, its producers, and the judge of it."""

    def __init__(self, gateway: Gateway, broker: Broker) -> None:
        """Begin to observe; nothing runs yet. The broker must."""
        self.gateway = gateway
        self.broker = broker
        self.observer = broker.observe(f"telemetry/{gateway.name}/#")
        self.fed: list[bytes] = []
        self.looks: list[Look] = []
        self._number = itertools.count()
        self._round = 0
        self._read_end, self._write_end = os.pipe()

    def start(self) -> None:
        with os.fdopen(os.dup(self._read_end), "rb") as stdin:
            self.gateway.start(stdin=stdin)

    # -- feeding ------------------------------------------------------------------------------------------------------

    def feed(self, count: int = 60) -> None:
        """Give so many records to each stream, each unlike every other."""
        self._round += 1
        for directory in (self.gateway.inbox, self.gateway.rolling):
            with (directory / f"{self._round // 3:03}.jsonl").open("ab") as file:
                file.write(self._lines(count))
        os.write(self._write_end, self._lines(count))

    def feed_one(self, **fields: str) -> None:
        """Give one record with these fields to the first stream."""
        with (self.gateway.inbox / f"{self._round // 3:03}.jsonl").open("ab") as file:
            file.write(self._lines(1, **fields))

    def _lines(self, count: int, **fields: str) -> bytes:
        record = {"to": "all", "pad": "x" * 40, **fields}
        lines = [json.dumps({"n": next(self._number), **record}).encode() for _ in range(count)]
        self.fed += lines
        return b"".join(line + b"\n" for line in lines)

    # -- looking ------------------------------------------------------------------------------------------------------

    def peek(self) -> Document | None:
        """Look at the counters of the running process; it must be running."""
        process = self.gateway.process
        assert process is not None
        assert process.poll() is None, f"it ended with {process.returncode}:\n{self.log()}"
        arrived = len(self.observer.messages)
        answer = ask(self.gateway.state, {"command": "status"})
        if answer is None or answer["status"]["epoch"] is None:
            return None
        status: Document = answer["status"]
        if not self.looks or self.looks[-1].status["records"] != status["records"]:
            self.looks.append(Look(status, arrived, 0))
        if len(self.looks) > LOOKS:
            del self.looks[1:-1:2]
        return status

    def until(self, reached: Callable[[Document], object], what: str, seconds: float = PATIENCE_SECONDS) -> Document:
        """Wait for the counters of the running process."""
        found: list[Document] = []

        def fulfilled() -> object:
            status = self.peek()
            found[:] = [status] if status is not None else found
            return status is not None and reached(status)

        try:
            eventually(fulfilled, seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}\n{self.log()}") from None
        return found[0]

    def delivers(self, more: int = 1) -> Document:
        """Wait until so many more records are delivered."""
        status = self.peek()
        goal = more + (status["records"]["delivered"] if status is not None else 0)
        return self.until(lambda s: s["records"]["delivered"] >= goal, f"{goal} records are delivered")

    def loses_the_link(self) -> Document:
        """Wait until the forwarder knows that there is no link."""
        return self.until(lambda s: s["state"] != "online", "the loss of the link is noticed")

    def settles(self) -> Document:
        """Wait until all that was fed has come to its end, without anybody's help."""
        return self.until(self._is_settled, "it came back and everything came to its end")

    def _is_settled(self, status: Document) -> bool:
        waiting = status["source"]["bytesUnread"] or any(s["queueRecords"] for s in status["streams"].values())
        records = status["records"]
        return bool(not waiting and not records["pending"] and records["read"] >= len(self.fed))

    def log(self) -> str:
        return self.gateway.log()[-6_000:]

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> Verdict:
        """Let everything come to its end, stop it in order, and judge."""
        self.settles()
        assert self.gateway.terminate() == 0, self.log()
        answer = self.gateway.ask("status", "--json", "--verify")
        assert answer.returncode == 0, answer.stdout + answer.stderr + self.log()
        status: Document = json.loads(answer.stdout)
        assert status["verified"]
        delivered = status["records"]["delivered"]
        self.observer.wait_for(lambda: len(set(self.observer.payloads)) >= delivered)
        self.looks.append(Look(status, len(self.observer.messages), 0))
        evidence = Evidence(self.fed, self.observer.payloads, self.looks, interrupted=self.sessions() * WINDOW)
        return verdict(evidence)

    def sessions(self) -> int:
        """Count the connections of the forwarder, as the broker tells: each of them may have been lost."""
        return self.broker.log_text().count(f"as {self.gateway.name}-weir ")

    def close(self) -> None:
        self.gateway.close()
        for descriptor in (self._read_end, self._write_end):
            os.close(descriptor)
