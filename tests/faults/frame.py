"""The frame of every test of a fault: feed, let it go wrong, start again, judge, and one line of the table.

Owns the life of one forwarder over one fault, and how its counters are looked at. Knows nothing of how a fault is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.broker import Broker
from tests.checker import Evidence, Look, Verdict, verdict
from tests.conditions import DEADLINE_SECONDS, eventually
from tests.device import Device
from tests.faults.workload import BOUND, Document, Step, Workload
from weir.control.protocol import ask

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("FAULTS") == "long"
TABLE = os.environ.get("FAULTS_TABLE")  # a file that takes one line of JSON for each test


class Ended(Exception):
    """The process is not there any more."""


class Forwarder(Device):
    """A device whose state and inboxes lie on a disk that can fail; its log does not."""

    def __init__(self, directory: Path, broker: Broker, workload: Workload, variables: Mapping[str, str]) -> None:
        """Write the configuration; nothing runs yet."""
        super().__init__(directory, broker)
        self.state = workload.place / "state"
        self.variables = variables
        self.prefix: list[str] = []  # a command that runs it
        self.launch: list[str] = ["-m", "weir.cli"]
        self.configuration = workload.configuration()
        connection = broker.connection()
        self.configuration["connection"] = {
            "endpoint": connection.endpoint,
            "port": connection.port,
            "certificate": str(connection.certificate),
            "privateKey": str(connection.private_key),
            "ca": str(connection.ca),
            "reconnectMaxSeconds": 1,
        }

    def arguments(self, *more: str, **keys: object) -> list[str]:
        """Give the arguments: all settings are in the file."""
        path = self.directory / "weir.json"
        path.write_text(json.dumps(self.configuration))
        sets = [word for key, value in keys.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
        return [*more, "--config", str(path), "--state", str(self.state), *sets]

    def command(self, *words: str) -> list[str]:
        """Give the command line; only a run is made to fail."""
        if words[0] != "run":
            return [sys.executable, "-m", "weir.cli", *words]
        return [*self.prefix, sys.executable, *self.launch, *words]

    def environment(self) -> dict[str, str]:
        """Give the variables of a run."""
        given = super().environment()
        path = os.pathsep.join(filter(None, [given.get("PYTHONPATH"), str(ROOT)]))
        return {**given, "PYTHONPATH": path, **self.variables}


class Trial:
    """One life: it begins without a link, and what is fed goes on over the fault."""

    def __init__(self, logs: Path, place: Path, broker: Broker, variables: Mapping[str, str] | None = None) -> None:
        """Make everything; nothing runs yet, the broker neither."""
        logs.mkdir(parents=True)
        self.workload = Workload(place)
        self.broker = broker
        self.forwarder = Forwarder(logs, broker, self.workload, variables or {})
        self.looks: list[Look] = []
        self.kills = self.interrupted = 0
        self.arrived_before = len(broker.observers[0].messages)
        self.strict = True  # what is broken is an error at once, and not only for the judge
        self.patience = 2 * DEADLINE_SECONDS
        self.steps = iter(self.workload.steps(self.link_up))

    # -- the link -----------------------------------------------------------------------------------------------------

    def link_up(self) -> None:
        """Let the broker be reached."""
        if not self.broker.running:
            self.broker.start()

    def received(self) -> list[bytes]:
        """Give what arrived in this life."""
        return self.broker.observers[0].payloads[self.arrived_before :]

    # -- looking ------------------------------------------------------------------------------------------------------

    def peek(self) -> Document | None:
        """Look at the counters of the running process; None if it does not answer. Raises `Ended`."""
        process = self.forwarder.process
        if process is None or process.poll() is not None:
            raise Ended
        arrived = len(self.received())
        answer = ask(self.forwarder.state, {"command": "status"})
        if answer is None:
            return None
        status: Document = answer["status"]
        if status["epoch"] is not None:
            look = Look(status, arrived, self.kills)
            if not self.looks or self.looks[-1].status["records"] != status["records"] or arrived:
                self._remember(look)
        return status

    def _remember(self, look: Look) -> None:
        same = self.looks and self.looks[-1].status["records"] == look.status["records"]
        if same and self.looks[-1].kills == look.kills and self.looks[-1].arrived == look.arrived:
            return
        self.looks.append(look)

    def look(self) -> Document:
        """Look at the state that nobody owns; every row is checked against the law."""
        arrived = len(self.received())
        answer = self.forwarder.ask("status", "--json", "--verify")
        assert answer.returncode == 0 or not self.strict, answer.stdout + answer.stderr + self.log()
        status: Document = json.loads(answer.stdout)
        assert status["verified"] or not self.strict, status["broken"]
        self.looks.append(Look(status, arrived, self.kills))
        return status

    # -- living -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.forwarder.start()

    def until(self, reached: Callable[[Document], object], what: str, seconds: float = DEADLINE_SECONDS) -> Document:
        """Wait for the counters of the running process. Raises `Ended`."""
        found: list[Document] = []

        def fulfilled() -> object:
            status = self.peek()
            found[:] = [status] if status is not None else []
            return status is not None and reached(status)

        try:
            eventually(fulfilled, seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}\n{self.log()}") from None
        return found[0]

    def do(self, step: Step) -> None:
        step.action()
        self.until(step.reached, step.what)

    def live(self) -> bool:
        """Live to the end, or until the process ends; tell which."""
        try:
            for step in self.steps:
                self.do(step)
        except Ended:
            return False
        return self.forwarder.terminate() == 0

    def ended(self) -> int:
        """Wait for the end of the process, unclean as it was; give its exit code."""
        process = self.forwarder.process
        assert process is not None
        code = process.wait(DEADLINE_SECONDS)
        self.kills += code != 0
        return code

    def finish(self, *, clean: bool = True) -> Document:
        """Start again without a fault, feed the rest, and let everything come to its end."""
        if clean:
            self.forwarder.variables = {"FAULT_BOOT": self.forwarder.variables.get("FAULT_BOOT", "")}
        self.workload.prefix = "b"
        self.link_up()
        for step in self.steps:
            step.action()
        if self.forwarder.process is None or self.forwarder.process.poll() is not None:
            self.start()
        try:
            self.until(self._done, "everything has come to its end", self.patience)
        except Ended:
            raise AssertionError(f"it did not come back:\n{self.log()}") from None
        code = self.forwarder.terminate()
        assert code == 0, f"exit code {code}\n{self.looks[-1]}\n{self.log()}"
        status = self.look()
        sent = status["records"]["delivered"]
        with contextlib.suppress(AssertionError):  # then the judge says what is missing
            eventually(lambda: len(set(self.received())) >= sent, 5)
        self.looks[-1] = self.looks[-1]._replace(arrived=len(self.received()))
        return status

    def _done(self, status: Document) -> bool:
        streams = status["streams"].values()
        waiting = status["source"]["bytesUnread"] or status["source"]["filesWaiting"]
        if waiting or status["records"]["pending"] or any(stream["queueRecords"] for stream in streams):
            return False
        if status["records"]["inFlight"] or status["state"] in {"starting", "stopped"}:
            return False
        return self._enough(status)

    def _enough(self, status: Document) -> bool:
        """Tell whether all that is sure to be read was; a state that began anew may have no more to read than that."""
        least = len(self.workload.evidence()[0])
        return bool(status["records"]["read"] >= least or status["beside"]["stateLost"] > 0)

    def judge(self, *, may_lose_state: bool = False, reread: bool = False) -> Verdict:
        """Judge this life; every promise must have been kept."""
        fed, maybe = self.workload.evidence()
        evidence = Evidence(
            fed,
            self.received(),
            self.looks,
            bound=BOUND,
            interrupted=self.interrupted,
            maybe=maybe,
            may_lose_state=may_lose_state,
            reread=reread,
        )
        return verdict(evidence)

    def log(self) -> str:
        return self.forwarder.log()[-6_000:]

    def log_of(self, event: str) -> int:
        """Count how often something was logged."""
        return self.forwarder.log().count(f"event={event} ")

    def close(self) -> None:
        """End the process and throw away what it had, since a long run has many."""
        self.forwarder.close()
        shutil.rmtree(self.workload.place, ignore_errors=True)
        shutil.rmtree(self.forwarder.directory, ignore_errors=True)


class Row(NamedTuple):
    """One line of the table of faults."""

    fault: str
    trials: int
    records: int
    lost: int
    unaccounted: int
    twins: int
    bound: int


class Tally:
    """Sums up the trials of one fault; every broken promise is kept to be shown at the end."""

    def __init__(self, fault: str) -> None:
        """Begin at nothing."""
        self.fault = fault
        self.trials = 0
        self.verdicts: list[Verdict] = []
        self.broken: list[str] = []

    def add(self, found: Verdict, trial: object = "", log: str = "", *, trials: int = 1) -> None:
        """Add a trial, or one life with so many; `trial` says which."""
        self.trials += trials
        self.verdicts.append(found)
        if found.violations or found.lost or found.unaccounted:
            self.broken.append(f"{self.fault} {trial}: {found.violations[:3]}\n{log}")

    def row(self) -> Row:
        sums = [
            sum(getattr(v, name) for v in self.verdicts)
            for name in ("records", "lost", "unaccounted", "twins", "bound")
        ]
        return Row(self.fault, self.trials, *sums)

    def close(self) -> None:
        """Write the line of the table, and fail if a promise was broken."""
        if TABLE:
            with Path(TABLE).open("a", encoding="ascii") as file:
                file.write(json.dumps(self.row()) + "\n")
        assert not self.broken, f"{len(self.broken)} of {len(self.verdicts)}: " + "\n".join(
            self.broken[: None if LONG else 3]
        )


def run_tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
