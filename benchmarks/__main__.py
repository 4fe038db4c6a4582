"""`python -m benchmarks`: measures, and prints one table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import figures, surroundings
from benchmarks.figures import Figure
from benchmarks.gateway import WINDOW
from benchmarks.large import LARGE, Large
from benchmarks.operation_queue import OPERATION_QUEUE, OperationQueue
from benchmarks.processes import ROOT
from benchmarks.throughput import BACKLOG, DIRECTORY, Throughput
from benchmarks.workload import RECORD_BYTES
from tests.broker import Broker
from tests.certificates import Certificates, make_certificates

NAMES = (DIRECTORY, BACKLOG, LARGE, OPERATION_QUEUE)
PAGE = ROOT / "docs" / "figures.md"


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int
    records: int
    backlog: int


FULL = Sizes(rounds=5, records=100_000, backlog=1_000_000)
QUICK = Sizes(rounds=1, records=2_000, backlog=20_000)


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    sizes = QUICK if arguments.quick else FULL
    sizes = sizes._replace(rounds=arguments.rounds or sizes.rounds)
    names = arguments.benchmarks or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))} (there are {', '.join(NAMES)})")
    with tempfile.TemporaryDirectory(prefix="weir-") as directory:
        found = _measured(Path(directory), names, sizes)
        about = _about(names, sizes, surroundings.described(Path(directory)))
    text = f"{figures.table(found)}\n\n{about}"
    print(text)
    if arguments.write:
        figures.write(PAGE, text)
    return 0


def _measured(directory: Path, names: Sequence[str], sizes: Sizes) -> list[Figure]:
    certificates = make_certificates(directory)
    found: list[Figure] = []
    if set(names) & {DIRECTORY, BACKLOG}:
        with _broker(directory / "throughput", certificates) as broker:
            found += Throughput(broker.directory / "work", broker, sizes.records).measure(names, sizes.rounds, _say)
    if LARGE in names:
        with _broker(directory / "large", certificates) as broker:
            found += Large(broker.directory / "work", broker, sizes.backlog).measure(sizes.rounds, _say)
    if OPERATION_QUEUE in names:
        with _broker(directory / "queue", certificates) as broker:
            found += OperationQueue(broker.directory / "work", broker, sizes.records).measure(sizes.rounds, _say)
    return found


@contextmanager
def _broker(directory: Path, certificates: Certificates) -> Iterator[Broker]:
    directory.mkdir()
    broker = Broker(directory, certificates)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def _about(names: Sequence[str], sizes: Sizes, surroundings: str) -> str:
    words = f"python -m benchmarks {' '.join(names)} --rounds {sizes.rounds}"
    how = (
        f"{sizes.records:,} records of {RECORD_BYTES} bytes, one a message, QoS 1, {WINDOW} in flight at most, pace "
        f"off; `{LARGE}`: {sizes.backlog:,} records in the store. The ceiling is the bare client library with the same "
        f"window; `{OPERATION_QUEUE}` has the windows of its rows, with 1 a tenth of the messages and with 10 half of "
        "them. Within a round everything runs in shuffled order; a ratio is taken round by round."
    )
    return f"Made by `{words}`: {how}\n\nMeasured on {surroundings}."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, and print a table.")
    parser.add_argument("benchmarks", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="little of everything: does it run?")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how many rounds (default: {FULL.rounds})")
    parser.add_argument("--write", action="store_true", help="put the table into docs/figures.md too")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
