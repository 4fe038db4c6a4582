"""What waits in the queue: operations in order, and a mode that says where one enters and what a full queue does.

Owns the order and the limit. What a mode means is decided in `core.modes`; here a deque follows its answers. Knows
nothing of threads: whoever shares a line sees to it that one at a time uses it.

The deque is kept in order of arrival, as the line of the forwarder is: its left end is the old one. The front of the
queue is the end that the mode takes from. An index counts from the front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from operator import attrgetter

from weir.core.modes import End, Mode
from weir.operation_queue.errors import QueueFull
from weir.operation_queue.operations import Operation


class Waiting:
    """The operations that wait. Limits count what waits, not what is at the client."""

    def __init__(self, mode: Mode, limit: int | None) -> None:
        """Begin empty; at most `limit` operations wait, or any number with None."""
        self._mode = mode
        self._limit = limit
        self._line: deque[Operation] = deque()
        self._from_old = mode.take is End.OLD

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._line)

    def listed(self) -> tuple[Operation, ...]:
        """List what waits, the front first."""
        return tuple(self._line) if self._from_old else tuple(reversed(self._line))

    def enter(self, operation: Operation, index: int | None) -> Operation | None:
        """Let one enter where the mode says, or at an index; gives the one that had to go, None unless it was full.

        The index is one of what is left once the mode has made room; behind the last one is the back. Raises QueueFull
        in modes 4 and 5.
        """
        line, limit = self._line, self._limit
        cut = None if limit is None or len(line) < limit else self._make_room()
        if index is None:
            line.append(operation)
        else:
            index = min(index, len(line))
            line.insert(index if self._from_old else len(line) - index, operation)
        return cut

    def sizes(self) -> Iterator[int]:
        """Give the size of each, the front first; only as long as nothing changes."""
        return map(_size, self._line if self._from_old else reversed(self._line))

    def take(self, count: int) -> list[Operation]:
        """Take so many at the front."""
        take = self._line.popleft if self._from_old else self._line.pop
        return [take() for _ in range(count)]

    def take_at(self, index: int) -> Operation:
        """Take one out; raises IndexError where there is none."""
        if not 0 <= index < len(self._line):
            raise IndexError(f"no operation waits at {index} (there are {len(self._line)}, the front is at 0)")
        place = index if self._from_old else len(self._line) - 1 - index
        operation = self._line[place]
        del self._line[place]
        return operation

    def take_all(self, chosen: Iterable[Operation]) -> list[Operation]:
        """Take these out, as far as they still wait; gives them with the front first."""
        identities = {id(operation) for operation in chosen}
        taken = [operation for operation in self.listed() if id(operation) in identities]
        if taken:
            self._line = deque(operation for operation in self._line if id(operation) not in identities)
        return taken

    def _make_room(self) -> Operation:
        if self._mode.cut is None:
            raise QueueFull(self._limit or 0, self._mode.name)
        return self._line.popleft() if self._mode.cut is End.OLD else self._line.pop()


_size = attrgetter("size")
