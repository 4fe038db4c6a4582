"""What every benchmark is given: a place, a broker, how much, and somebody to tell.

Owns the shape of a benchmark. Knows none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.broker import Broker
from tests.certificates import Certificates


class Missing(Exception):
    """Something that a benchmark needs is not here; says what, and how to get it."""


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int
    records: int  # one a message
    batched: int  # in batches
    backlog: int  # the largest backlog
    stored: int  # a large one, of which each start is timed
    seconds: float  # what is measured over time


FULL = Sizes(rounds=5, records=100_000, batched=2_000_000, backlog=10_000_000, stored=1_000_000, seconds=60)
QUICK = Sizes(rounds=1, records=2_000, batched=5_000, backlog=20_000, stored=20_000, seconds=2)


class Work:
    """What one benchmark is given."""

    def __init__(self, directory: Path, certificates: Certificates, sizes: Sizes) -> None:
        self.directory = directory
        self.certificates = certificates
        self.sizes = sizes
        self.skipped: list[str] = []  # parts of it that could not be measured, and why

    @contextmanager
    def broker(self, name: str = "broker", extra: str = "") -> Iterator[Broker]:
        """Run a broker of its own for a while."""
        directory = self.directory / name
        directory.mkdir()
        broker = Broker(directory, self.certificates, extra=extra)
        try:
            broker.start()
            yield broker
        finally:
            broker.close()

    def skip(self, what: str) -> None:
        """Leave out a part, and say so in the table too."""
        self.skipped.append(what)
        self.say(f"SKIP {what}")

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        print(text, file=sys.stderr, flush=True)
