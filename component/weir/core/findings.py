"""The problems of a configuration while they are being found.

Owns the list and the one rule about it: what follows from a key that is itself wrong is not reported again.
"""

from __future__ import annotations

from collections.abc import Iterable

from weir.core.errors import Problem


class Findings:
    """Collects problems, and remembers which keys cannot be relied upon."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._unreliable: set[str] = set()

    def add(self, path: str, message: str) -> None:
        """Report a key that is wrong by itself."""
        self._unreliable.add(path)
        self.problems.append(Problem(path, message))

    def follow(self, problems: Iterable[Problem]) -> None:
        """Report what others found out about keys that are fine by themselves."""
        for problem in problems:
            self.conclude(problem.path, problem.message)

    def conclude(self, path: str, message: str, *others: str) -> None:
        """Report what a key and others say together, unless one of them is already known to be wrong."""
        if self._unreliable.isdisjoint((path, *others)):
            self.problems.append(Problem(path, message))
