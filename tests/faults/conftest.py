"""What the tests of faults share: brokers, the library that makes calls fail, and disks of their own."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.certificates import Certificates
from tests.faults import disks, shim
from tests.faults.frame import Trial
from tests.faults.shim import Board

Begin = Callable[..., Trial]


@pytest.fixture(scope="session", autouse=True)
def no_cores() -> None:
    """Let no process that is ended by a signal leave its memory behind in a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the library, once for all; skip where this machine takes none."""
    found, why = shim.probe(tmp_path_factory.mktemp("shim"))
    if found is None:
        pytest.skip(f"SKIP: {why}")
    return found


@pytest.fixture
def board(library: Path, tmp_path: Path) -> Iterator[Board]:
    """Give a board to arm the library with."""
    made = Board(tmp_path / "board", library)
    yield made
    made.close()


@pytest.fixture(scope="session")
def can_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where no file system can be mounted; take away what an earlier run has left."""
    if why := disks.probe(tmp_path_factory.mktemp("probe")):
        pytest.skip(f"SKIP: {why}")
    disks.sweep()


@pytest.fixture
def make_disk(can_mount: None, tmp_path: Path) -> Iterator[Callable[..., disks.Disk]]:  # noqa: ARG001 - it may skip
    """Give a way to make disks; they go with the test."""
    made: list[disks.Disk] = []

    def make(kind: type[disks.Loop | disks.Memory], size: int) -> disks.Disk:
        made.append(kind(tmp_path, str(len(made)), size))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


@pytest.fixture
def begin(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Begin]:
    """Give a way to begin a life: each has a broker that is down, and that nobody else uses."""
    brokers: list[Broker] = []
    trials: list[Trial] = []
    numbers = count()

    def begin_one(place: Path | None = None, variables: dict[str, str] | None = None) -> Trial:
        if trials:
            trials[-1].close()
        if not brokers:
            brokers.append(Broker(tmp_path_factory.mktemp("broker"), certificates))
            brokers[0].start()
            brokers[0].observe()
        if brokers[0].running:
            brokers[0].stop()
        number = next(numbers)
        where = (place or tmp_path) / f"place-{number}"
        trials.append(Trial(tmp_path / f"logs-{number}", where, brokers[0], variables))
        return trials[-1]

    yield begin_one
    for trial in trials[-1:]:
        trial.close()
    for broker in brokers:
        broker.close()
