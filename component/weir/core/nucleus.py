"""What Weir asks of the Greengrass nucleus it runs under, as a protocol; an adapter and a stand-in fulfil it.

Owns the shapes and the kinds of failure. It must not know of sockets, of the SDK, or of what a configuration says.

The two nuclei answer differently, and often say less than they know: a call that lite lacks fails with the same
ServiceError as one that could not be done just now. So an error says what the caller can rely on, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from weir.core.errors import WeirError
from weir.core.topics import MESSAGE_BYTES

Kind = Literal["classic", "lite"]
Answer_co = TypeVar("Answer_co", covariant=True)

# The most that topic and payload of one publish may have together. Lite: a message of 7,317 bytes on a topic of 4 was
# the largest that passed, and one byte more costs the IPC connection. Classic: what IoT Core takes.
TAKEN_BYTES: dict[Kind, int] = {"lite": 7_000, "classic": MESSAGE_BYTES}
MOST_UNACKNOWLEDGED: dict[Kind, int] = {"lite": 10, "classic": 1_000}  # lite: of the whole device


class NucleusFailed(WeirError):
    """The nucleus did not do what it was asked to; ask again later."""


class NotFound(NucleusFailed):
    """The nucleus knows no such key, component or topic; nothing changes until somebody configures it."""


class NotAllowed(NucleusFailed):
    """The component's accessControl does not allow this; deploy a recipe that does."""


class ConnectionGone(NucleusFailed):
    """The connection was lost, or no answer came in time: whether it was done is not known, and may yet change."""


class NotSent(ConnectionGone):
    """There was no connection, so nothing was asked; one is being made."""


class Answer(Protocol[Answer_co]):
    """An answer that is on its way; `result` raises a `NucleusFailed`, and never waits for ever."""

    def done(self) -> bool:
        """Tell whether it has arrived."""

    def result(self, timeout: float | None = None) -> Answer_co:
        """Give it, waiting at most so many seconds for it."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Give the `NucleusFailed` that came instead of it, None if none did; waits as `result` does."""

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call this once it has arrived: on a native thread, at once, or in `Nucleus.advance` when its time is up."""


class Proposal(NamedTuple):
    """A configuration that a deployment is about to set, and that the nucleus asks the component to judge."""

    deployment: str
    configuration: dict[str, Any]


class Nucleus(Protocol):
    """The nucleus, by IPC. Every call returns at once and may be made while there is no connection: then it fails.

    Every call is made by the loop's thread. Callbacks run on a native thread, unless they say otherwise: they append to
    something and wake the loop, and do nothing else.
    """

    kind: Kind

    @property
    def unanswered(self) -> int:
        """Count the calls that failed because no answer came in time, and that may still be carried out."""

    def connect(self) -> Answer[None]:
        """Connect, unless that was done, and tell how it went; failed or lost, it is tried again for ever.

        Whoever comes second is answered for the connection that there is.
        """

    def reconnect(self) -> Answer[None]:
        """Give up the connection for a new one; answered once the old one can send nothing any more."""

    def advance(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds); say when to be called next, or None for not before a wake-up.

        Any number of users of one nucleus may call it.
        """

    def configuration(self, component: str | None = None, key: str | None = None) -> Answer[dict[str, Any]]:
        """Read the whole configuration of this component, or of another one, or what is below one key of it.

        A map is answered as it is, any other value as a map of the key and the value.
        """

    def watch_configuration(self, changed: Callable[[], None]) -> Answer[None]:
        """Have it said that something of this component's configuration changed; what, has to be read."""

    def watch_proposals(self, proposed: Callable[[Proposal], None]) -> Answer[None]:
        """Be asked before a deployment sets a configuration. Only the classic nucleus asks."""

    def judge(self, deployment: str, objection: str | None) -> Answer[None]:
        """Accept a proposed configuration, or say what is wrong with it."""

    def publish(self, topic: str, payload: bytes, qos: int) -> Answer[None]:
        """Hand a message to the nucleus, which is not delivery: it tells of no PUBACK."""

    def on_restored(self, restored: Callable[[], None]) -> None:
        """Have `advance` say that there is a connection again: what was watched has to be watched anew.

        It is not said of a connection that `connect` has answered for.
        """

    def on_lost(self, lost: Callable[[str], None]) -> None:
        """Have `advance` say that the connection was lost, and why; not said of one that was given up."""

    def on_failed(self, failed: Callable[[str], None]) -> None:
        """Have `advance` say that an attempt to connect failed, and why."""

    def close(self, timeout_seconds: float = 0.0) -> None:
        """Leave the nucleus for good, waiting at most so long; what has no answer fails."""
