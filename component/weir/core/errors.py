"""The errors Weir raises on purpose.

Owns the types and what each tells the caller to do; knows nothing of where they are raised. A docstring here is the
sentence a person reads when nothing more is known.
"""

from __future__ import annotations

from typing import NamedTuple


class WeirError(Exception):
    """Weir cannot go on with this request."""

    exit_code = 1


class Problem(NamedTuple):
    """One thing that is wrong with a configuration: where it is, what is wrong, what is allowed."""

    path: str
    message: str

    def __str__(self) -> str:
        """Give the line that `weir check` prints."""
        return f"{self.path}: {self.message}"


class ConfigurationRefused(WeirError):
    """The configuration is refused; every problem is listed. Mend all of them, then start again."""

    exit_code = 78  # EX_CONFIG of sysexits.h

    def __init__(self, problems: list[Problem]) -> None:
        """Keep the problems, one line each."""
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class UsageError(WeirError):
    """The command line does not say what to do; see `weir --help`."""

    exit_code = 2


class StateInUse(WeirError):
    """Another process owns the state directory; stop it, or give this one a state directory of its own."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class StoreFailed(WeirError):
    """The outcome of the last transaction is unknown: close the store, open it again, reload everything from it."""


class StoreDamaged(StoreFailed):
    """What lies in the database is not a database any more: it must be set aside and a new one begun."""


class StoreUnusable(WeirError):
    """The store cannot be opened as it is: it is of a newer version, or its directory may not be used."""


class Refused(WeirError):
    """The client itself refuses this operation (topic or size): it was not sent and never will be."""


class RefusedByBroker(WeirError):
    """The broker answered that it will not have this very message: to send it again brings the same answer."""


class NotTaken(WeirError):
    """Nobody has the message and nobody will send it: it can wait again, and is no twin when it goes again.

    `retry_seconds` is how long it should wait, None if the loop may choose.
    """

    def __init__(self, message: str, retry_seconds: float | None = None) -> None:
        """Say why, and when to try again."""
        super().__init__(message)
        self.retry_seconds = retry_seconds
