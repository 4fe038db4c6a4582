"""`python -m benchmarks`: measures, prints tables, and writes them into docs/performance.md, plot included."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import figures, flash, idle, pace, page, peers, plot, scale, surroundings, throughput
from benchmarks.figures import Figure
from benchmarks.large import LARGE, large
from benchmarks.operation_queue import OPERATION_QUEUE, operation_queue
from benchmarks.work import FULL, QUICK, Missing, Sizes, Work
from tests.certificates import make_certificates

BENCHMARKS: dict[str, Callable[[Work], list[Figure]]] = {
    throughput.MESSAGES: throughput.messages,
    throughput.BATCHES: throughput.batches,
    peers.PEERS: peers.measure,
    pace.PACE: pace.measure,
    scale.SCALE: scale.scale,
    scale.STREAMS: scale.streams,
    LARGE: large,
    flash.FLASH: flash.measure,
    idle.IDLE: idle.measure,
    OPERATION_QUEUE: operation_queue,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = arguments.benchmarks or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))} (there are {', '.join(BENCHMARKS)})")
    sizes = QUICK if arguments.quick else FULL
    sizes = sizes._replace(rounds=arguments.rounds or sizes.rounds)
    with tempfile.TemporaryDirectory(prefix="weir-") as directory:
        return _measure_all(Path(directory), names, sizes, arguments)


def _measure_all(directory: Path, names: Sequence[str], sizes: Sizes, arguments: argparse.Namespace) -> int:
    certificates = make_certificates(directory)
    on = surroundings.described(directory)
    failed = False
    for name in names:
        place = directory / name
        place.mkdir()
        work = Work(place, certificates, sizes)
        try:
            found = BENCHMARKS[name](work)
        except Missing as missing:
            print(f"SKIP {name}: {missing}\n", flush=True)
            continue
        except (
            RuntimeError,
            OSError,
            AssertionError,
            subprocess.SubprocessError,
        ) as error:  # the others are worth having all the same
            print(f"FAILED {name}: {error}\n", flush=True)
            failed = True
            continue
        finally:
            shutil.rmtree(place, ignore_errors=True)
        text = f"{figures.table(found)}\n\n{_about(name, arguments, on, work.skipped)}"
        print(f"{text}\n", flush=True)
        if arguments.write:
            page.write(name, text)
            plot.write()
    return int(failed)


def _about(name: str, arguments: argparse.Namespace, on: str, skipped: Sequence[str]) -> str:
    more = [f"--rounds {arguments.rounds}"] if arguments.rounds else []
    more += ["--quick"] if arguments.quick else []
    words = " ".join([".venv/bin/python -m benchmarks", name, *more])
    day = time.strftime("%Y-%m-%d", time.gmtime())
    load = f"load {os.getloadavg()[0]:.1f}"
    left_out = "".join(f"\n\nSKIP {line}" for line in skipped)
    return f"`{words}`, {day}, on {on}; {load} at its end.{left_out}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, and print tables.")
    known = ", ".join(BENCHMARKS)
    parser.add_argument("benchmarks", nargs="*", metavar="NAME", help=f"one of {known} (default: all)")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how many rounds (default: {FULL.rounds})")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--quick", action="store_true", help="little of everything: does it run?")
    kind.add_argument("--write", action="store_true", help="put tables and plot into docs/ too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
