"""What the loop needs from the outside, as protocols. The adapters fulfil them; fakes in the tests fulfil them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from weir.core.events import ConnectionEvent
from weir.core.positions import FilePosition
from weir.core.span import Span

Post = Callable[[ConnectionEvent], None]  # called by any thread; appends to the inbox and wakes the loop


class Operation(Protocol):
    """One operation at the client, as a future: told apart by identity, with an outcome once it is settled."""

    def done(self) -> bool:
        """Tell whether there is an outcome."""

    def exception(self) -> BaseException | None:
        """Give what went wrong, None if nothing did; asked only once there is an outcome."""


Settled = Callable[[Operation], None]  # called by a native thread when an operation has its outcome


class Statistics(NamedTuple):
    """The MQTT client's own operation statistics: counts of operations, sizes in bytes.

    unacked is a subset of incomplete (awscrt.mqtt.OperationStatisticsData).
    """

    incomplete: int
    incomplete_bytes: int
    unacked: int
    unacked_bytes: int


class Transport(Protocol):
    """The way to the broker. Every call is made by the loop's thread and returns at once."""

    name: str
    generation: int  # the number of the connection object in use, or of the one that replace() has promised
    message_bytes: int  # the most that topic and payload of one message may have together
    most_outstanding: int | None  # it takes no more operations at a time than these; None where it sets no limit
    hands_over: bool  # a good outcome says that somebody else took the message on, and not that the broker has it
    carries_ids: bool  # publish() sends the record's id along; where it does not, nobody need compute one
    operation_bytes: int  # the most that its statistics count of an operation beyond topic and payload
    packet_bytes: int  # the most that a PUBLISH has beyond topic and payload

    def start(self) -> None:
        """Begin to connect; events of it are posted."""

    def publish(self, topic: str, payload: bytes, qos: int, record_id: bytes | None = None) -> Operation:
        """Hand one message to the client, with the id of its record where `carries_ids`.

        The future resolves on a native thread: with no error once the PUBACK arrived (QoS 1) or the client wrote it
        (QoS 0). Raises `Refused` where the client will never send this message, or the broker has said that it takes
        none so large. Fails with `RefusedByBroker` or `NotTaken` where an answer says so, and in any other way where
        the broker may have the message.
        """

    def statistics(self) -> Statistics:
        """Read the client's operation statistics."""

    def advance(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds), say when to be called next, or None for not before an event."""

    def replace(self) -> None:
        """Give up the connection object for a new one; `Closed` is posted once the old one can never send again.

        Until the new one is connected nothing may be published. What the old one still held fails after `Closed`.
        """

    def close(self, timeout_seconds: float) -> None:
        """Disconnect for good, waiting at most so long."""


class Reject(NamedTuple):
    """A record that is set aside as soon as it is read, with all that can be said of it.

    `kept` is its bytes, or only its first ones where `size` says there were more; then `digest` is the SHA-256 of all.
    `begin` and `end` are its range in the file, or twice its sequence number for a pipe.
    """

    reason: str
    detail: str
    file: FilePosition | None
    begin: int
    end: int
    size: int
    kept: bytes
    digest: bytes


class Reading(NamedTuple):
    """What one look into a source gave: at most one span, and what was set aside beside it."""

    span: Span | None
    rejects: tuple[Reject, ...]


class SourceCounts(NamedTuple):
    """What a source noticed since it was last asked, beside the law."""

    truncated_bytes: int = 0
    vanished_files: int = 0
    late_bytes: int = 0
    skipped_files: int = 0
    possible_twins: int = 0  # records that are read once more


class Source(Protocol):
    """Where one stream's records come from. Every call is made by the loop's thread and does not block."""

    replayable: bool  # what was read can be read again (a directory), or not (a pipe)

    def read(self, now: float, max_records: int) -> Reading | None:
        """Take the next few records, at most `max_records`; None if there is nothing to take now."""

    def advance(self, now: float) -> float | None:
        """Look again at the outside if it is time to; say when to be called next (monotonic s), or None."""

    def before_commit(self) -> list[FilePosition]:
        """Bring the tail hashes up to date and give the positions that differ from their rows, which are `changed`.

        Whoever has committed them says so there.
        """

    def forgotten(self) -> list[FilePosition]:
        """Give the positions that the next commit may remove: their files are gone for good."""

    def after_commit(self, now: float) -> None:
        """Do what only a commit allows: finish files whose every byte is committed."""

    def counts(self) -> SourceCounts:
        """Give what was noticed since the last call."""

    def unfinished(self) -> dict[int, int]:
        """Give the files of which something is not accounted for, by inode, with the size they had (bytes)."""

    def expect(self, files: dict[int, int]) -> None:
        """Count the files as vanished that are not there any more, of those that an earlier source did not finish."""

    def held_by(self) -> str | None:
        """Say why nothing can be read: `missing`, `unreadable`, or None."""

    def unread(self) -> tuple[int, int]:
        """Count the bytes not read yet and the files they are in."""

    def exhausted(self) -> bool:
        """Tell whether nothing more is to be taken: a pipe is at its end, all that a directory first showed was read.

        What of it is settled is another matter.
        """

    def close(self) -> None:
        """Stop reading; what was already taken from a pipe can still be read."""
